"""Who exports nothing loads nothing of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("grpc", "google.protobuf", "opentelemetry", "http.client", "ssl")


def loaded(code: str) -> set[str]:
    """Which heavy modules a fresh interpreter has after `code`."""
    script = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["ccagent.export.otlp", "ccagent.export.otlp.sender", "ccagent.export.privacy"])
def test_importing_the_room_loads_no_protocol(module: str) -> None:
    assert loaded(f"import {module}") == set()


def test_http_loads_no_grpc() -> None:
    assert "grpc" not in loaded("import ccagent.export.otlp.http, ccagent.export.otlp.outbox")
