"""Log records through a real collector: what we send to rotel, it hands on to our receiver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ccagent.export.otlp.logs import Logs
from ccagent.export.otlp.outbox import Outbox
from ccagent.export.otlp.sender import Sender
from tests.otlp.ledger import NOW, Ledger
from tests.otlp.receiver import grpc_receiver
from tests.otlp.test_rotel import rotel, until

pytestmark = pytest.mark.rotel


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_all_records_arrive_through_a_real_collector_as_they_were_sent(
    tmp_path: Path, ledger: Ledger, senders: Callable[..., Sender], outboxes: Callable[..., Outbox], protocol: str
) -> None:
    ledger.tools(700)
    with grpc_receiver() as straight:
        outboxes(senders(straight, "grpc"), encoding=Logs()).drain_once(NOW)
        sent = sorted(record.SerializeToString(deterministic=True) for record in straight.received.logs)
    ledger.conn.execute("DELETE FROM export_cursor")
    with grpc_receiver() as target, rotel(tmp_path, target) as collector:
        drain = outboxes(senders(collector[protocol], protocol), encoding=Logs()).drain_once(NOW)
        until(lambda: len(target.received.logs) >= 700)

        assert (drain.sent, drain.problem) == (700, "")
        assert sorted(record.SerializeToString(deterministic=True) for record in target.received.logs) == sent
