"""The copy of the client's own telemetry that the Collector writes is what `ccagent reconcile` reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.collector.stage import collector, running
from tests.collector.test_redaction import post
from tests.daemon.rig import Ground, small_session, until
from tests.otlp.receiver import grpc_receiver, http_receiver
from tests.reconcile import telemetry

pytestmark = pytest.mark.collector


def test_what_the_collector_copies_can_be_compared(ground: Ground, tmp_path: Path) -> None:
    session = small_session("told of", requests=3)
    ground.tree.write(session)
    events = telemetry.logs(telemetry.api_request(reply) for reply in telemetry.replies(session)[:2])
    copy = tmp_path / "copies" / "copy.jsonl"
    with grpc_receiver() as tempo, http_receiver() as loki:
        between = collector(
            tmp_path / "collector", "collector.yaml", "reconcile.yaml", TEMPO_ENDPOINT=f"127.0.0.1:{tempo.port}",
            LOKI_ENDPOINT=f"{loki.http}/otlp", COLLECTOR_RECONCILE_FILE=str(copy),
        )  # fmt: skip
        with running(between):
            post(between, "logs", events)
            until(lambda: loki.received.logs, "the backend has it, too")

    done = subprocess.run(
        [sys.executable, "-m", "ccagent", "reconcile", str(copy), "--source", str(ground.root), "--json"],
        env=ground.environment(), cwd=ground.home, text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["sessions"]
    assert found["session"] == session.session_id
    assert found["requests"] == {"both": 2, "transcript_only": 1, "native_only": 0, "differing": 0}
    assert between.complaints == []
    assert copy.parent.stat().st_mode & 0o777 == 0o700, "it names people and folders"
