"""A daemon killed between a collector's answer and its cursor of logs: every record arrives, and again only the same."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from ccagent import failpoints
from ccagent.export.otlp.batch import MAX_ITEMS
from ccagent.facts.model import EVENT_NAMES, EventType
from tests.kill import oracle
from tests.kill.harness import Ground, run_once, settle, write_turns
from tests.otlp.receiver import grpc_receiver, http_receiver

WRITTEN = (EventType.PROMPT, EventType.LLM_REQUEST, EventType.TOOL_CALL)
"""Kinds of which the writer makes facts that close at once, and that become records."""


def expected(ground: Ground) -> Counter[str]:
    """Records that must have left, by event name."""
    kinds = ",".join(str(int(kind)) for kind in WRITTEN)
    with oracle.asking(ground.database) as ask:
        rows = ask(f"SELECT type FROM fact WHERE type IN ({kinds}) AND closed_seq IS NOT NULL")
    return Counter(f"ccagent.{EVENT_NAMES[kind]}" for (kind,) in rows)


def searched(records: set[bytes]) -> Counter[str]:
    """Different records of these kinds, by event name."""
    names = {f"ccagent.{EVENT_NAMES[kind]}" for kind in WRITTEN}
    return Counter(name for one in records if (name := LogRecord.FromString(one).event_name) in names)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("point", ["after_post", "before_cursor"])
def test_a_kill_after_the_answer_resends_one_batch_at_most_byte_for_byte(
    tmp_path: Path, point: str, protocol: str
) -> None:
    ground = Ground.below(tmp_path)
    write_turns(ground, seed=1, turns=8)
    with grpc_receiver() if protocol == "grpc" else http_receiver() as collector:
        to = ("--otlp-endpoint", collector.http, "--otlp-protocol", protocol)
        only = {"CCAGENT_OTLP_SIGNALS": "logs"}

        killed = run_once(ground, *to, **only, **{failpoints.VARIABLE: f"{point}:kill"})
        first = [record.SerializeToString(deterministic=True) for record in collector.received.logs]
        for _ in range(2):
            assert run_once(ground, *to, **only).returncode == 0

        arrived = [record.SerializeToString(deterministic=True) for record in collector.received.logs]

    assert killed.returncode == -signal.SIGKILL, f"the fault did not happen:\n{killed.stderr[-3000:]}"
    assert first
    assert searched(set(arrived)) == expected(ground)
    assert len(arrived) - len(set(arrived)) == min(len(first), MAX_ITEMS)


def test_one_run_sends_all_three_signals(tmp_path: Path) -> None:
    ground = Ground.below(tmp_path)
    write_turns(ground, seed=1, turns=3)

    with http_receiver() as collector:
        settle(ground, "--otlp-endpoint", collector.http, "--otlp-protocol", "http/protobuf")

    assert {path.rpartition("/")[2] for path in collector.received.paths} == {"traces", "metrics", "logs"}
    assert {span.span_id for span in collector.received.spans} == oracle.spans(ground.database)
    assert searched({record.SerializeToString() for record in collector.received.logs}) == expected(ground)
