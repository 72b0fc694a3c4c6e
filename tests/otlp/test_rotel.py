"""Through a real collector: what we send to rotel, it hands on to our receiver."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ccagent.export.otlp.outbox import Outbox
from ccagent.export.otlp.push import MetricsPush
from ccagent.export.otlp.sender import Sender
from ccagent.facts.trace_ids import span_id
from tests.otlp.ledger import NOW, Events, Ledger
from tests.otlp.receiver import Received, Running, grpc_receiver
from tests.otlp.test_metrics import RESOURCE, SNAPSHOT

pytestmark = pytest.mark.rotel

DEADLINE_SECONDS = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def until(condition: Callable[[], bool]) -> bool:
    """Whether the condition holds before the deadline."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def agent() -> Path:
    """The collector's binary; skips where there is none."""
    spec = importlib.util.find_spec("rotel")
    found = Path(spec.origin).parent / "rotel-agent" if spec and spec.origin else None
    if found is None or not found.is_file():
        pytest.skip("rotel is not installed")
    return found


@contextmanager
def rotel(tmp_path: Path, target: Running) -> Iterator[dict[str, Running]]:
    """The collector in front of `target`; its own addresses by protocol."""
    binary, grpc_port, http_port = agent(), free_port(), free_port()
    libraries = [sysconfig.get_config_var("LIBDIR") or "", os.environ.get("LD_LIBRARY_PATH", "")]
    log = tmp_path / "rotel.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, "start", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}",
             "--otlp-http-endpoint", f"127.0.0.1:{http_port}", "--exporter", "otlp",
             "--otlp-exporter-endpoint", target.http, "--otlp-exporter-protocol", "grpc",
             "--pid-file", tmp_path / "rotel.pid", "--log-file", tmp_path / "agent.log"],
            stdout=output, stderr=output, env={**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, libraries))},
        )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or (listens(grpc_port) and listens(http_port)))
        if process.poll() is not None:
            pytest.skip(f"rotel does not start here: {log.read_text(errors='replace').strip()[-200:]}")
        yield {
            "grpc": Running(received=Received(), port=grpc_port),
            "http/protobuf": Running(received=Received(), port=http_port),
        }
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_all_spans_and_metrics_arrive_through_a_real_collector(
    tmp_path: Path, ledger: Ledger, events: Events, senders: Callable[..., Sender],
    outboxes: Callable[..., Outbox], protocol: str,
) -> None:  # fmt: skip
    natives = ledger.tools(700)
    with grpc_receiver() as target, rotel(tmp_path, target) as collector:
        sender = senders(collector[protocol], protocol)

        drain = outboxes(sender).drain_once(NOW)
        pushed = MetricsPush(
            "test", sender, snapshot=lambda _now: SNAPSHOT, resource=RESOURCE, version="1", observe=events
        ).tick(NOW)
        until(lambda: len(target.received.spans) >= 700 and len(target.received.metrics) >= len(SNAPSHOT.families))

        assert (drain.sent, drain.problem) == (700, "")
        assert pushed.outcome == "sent"
        assert sorted(span.span_id for span in target.received.spans) == sorted(span_id(f"tool:{n}") for n in natives)
        names = sorted(metric.name for metric in target.received.metrics)
        assert names == sorted(family.spec.otel_name for family in SNAPSHOT.families)
