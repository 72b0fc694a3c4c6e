"""Fixtures of the OTLP tests: receivers, a database, and outboxes between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ccagent.export.otlp.circuit import Circuit
from ccagent.export.otlp.encoding import Traces
from ccagent.export.otlp.outbox import Outbox
from ccagent.export.otlp.sender import Destination, Sender, make_sender
from ccagent.export.privacy import Policy
from tests.otlp.ledger import HOST, Events, Ledger
from tests.otlp.receiver import Running, grpc_receiver, http_receiver

RESOURCE = {"service.name": "ccagent", "service.instance.id": "instance-1"}


def everything(_cwd: str | None, _project: str | None) -> Policy:
    """Every folder allows metadata."""
    return Policy(tier=1)


@pytest.fixture
def http() -> Iterator[Running]:
    """An HTTP receiver."""
    with http_receiver() as running:
        yield running


@pytest.fixture
def grpc_() -> Iterator[Running]:
    """A gRPC receiver."""
    with grpc_receiver() as running:
        yield running


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty database with the schema."""
    return Ledger(tmp_path / "ccagent.db")


@pytest.fixture
def events() -> Events:
    """What the export told of itself."""
    return Events()


@pytest.fixture
def senders() -> Iterator[Callable[..., Sender]]:
    """Makes senders to a receiver, closed at the end: `senders(running, protocol)`."""
    made: list[Sender] = []

    def make(running: Running, protocol: Any = "http/protobuf", **options: Any) -> Sender:
        paths = (
            {signal: f"/v1/{signal}" for signal in ("traces", "metrics", "logs")}
            if protocol == "http/protobuf"
            else dict.fromkeys(("traces", "metrics", "logs"), "")
        )
        urls: Any = {signal: running.http + path for signal, path in paths.items()}
        sender = make_sender(Destination(**{"name": "test", "urls": urls, "protocol": protocol} | options))
        made.append(sender)
        return sender

    yield make
    for sender in made:
        sender.close()


@pytest.fixture
def outboxes(ledger: Ledger, events: Events) -> Callable[..., Outbox]:
    """Makes outboxes from the database to a sender; the jitter of their back-off is its ceiling."""

    def make(sender: Sender, **options: Any) -> Outbox:
        defaults: dict[str, Any] = {
            "encoding": Traces(), "host": HOST, "resource": RESOURCE, "version": "1", "reader": ledger.reader, "write": ledger.write,
            "policy": everything, "observe": events, "circuit": Circuit(jitter=lambda _low, high: high),
        }  # fmt: skip
        return Outbox("test", sender, **defaults | options)

    return make
