"""`ccagent status` is asked often, by scripts and prompts: it loads only what it shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources.feed import Feed
from tests.transcripts import Session

NOT_ASKED_FOR = (
    "grpc", "google.protobuf", "opentelemetry", "http.client", "ssl",
    "ccagent.facts.evidence", "ccagent.store.view", "ccagent.store.links", "ccagent.sources", "ccagent.metrics",
)  # fmt: skip
SETTINGS = '[privacy]\ntier = 1\n[otlp]\nendpoint = "http://127.0.0.1:9"\nprotocol = "http/protobuf"\n'


@pytest.mark.parametrize("settings", ["", SETTINGS], ids=["nothing leaves", "a destination"])
def test_status_loads_neither_protocols_nor_rules(settings: str, tmp_path: Path) -> None:
    session = Session("status", cwd="/home/demo/atlas")
    session.prompt("hello")
    session.request()
    feed = Feed(tmp_path / "ccagent.db").read(session)
    feed.close()
    config = tmp_path / "config.toml"
    config.write_text(settings)
    script = (
        "import sys\nfrom ccagent.cli import main\n"
        f"code = main(['status', '--db', {str(tmp_path / 'ccagent.db')!r}, '--config', {str(config)!r}])\n"
        f"print(code, *[name for name in {NOT_ASKED_FOR!r} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60,
        env={"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip

    assert "today" in done.stdout
    assert done.stdout.splitlines()[-1] == "3", "it runs nowhere, and nothing of these was loaded"
