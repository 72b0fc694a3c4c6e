"""A daemon killed between a collector's answer and its own cursor: every span arrives, none under a second name."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent import failpoints
from ccagent.export.otlp.batch import MAX_ITEMS
from tests.kill import oracle
from tests.kill.harness import Ground, run_once, settle, write_turns
from tests.otlp.receiver import Running, http_receiver


@pytest.fixture
def collector() -> Iterator[Running]:
    with http_receiver() as running:
        yield running


@pytest.mark.parametrize("point", ["after_post", "before_cursor"])
def test_a_kill_after_the_answer_resends_one_batch_at_most(tmp_path: Path, collector: Running, point: str) -> None:
    ground = Ground.below(tmp_path)
    write_turns(ground, seed=1, turns=8)
    to_collector = ("--otlp-endpoint", collector.http, "--otlp-protocol", "http/protobuf")
    killed = run_once(ground, *to_collector, **{failpoints.VARIABLE: f"{point}:kill"})
    first = [span.span_id for span in collector.received.spans]

    settle(ground, *to_collector)
    settle(ground, *to_collector)

    arrived = [span.span_id for span in collector.received.spans]
    assert killed.returncode == -signal.SIGKILL, f"the fault did not happen:\n{killed.stderr[-3000:]}"
    assert first
    assert set(arrived) == oracle.spans(ground.database)
    assert len(arrived) - len(set(arrived)) <= MAX_ITEMS


def test_a_second_run_sends_no_span_again(tmp_path: Path, collector: Running) -> None:
    ground = Ground.below(tmp_path)
    write_turns(ground, seed=1, turns=4)
    to_collector = ("--otlp-endpoint", collector.http, "--otlp-protocol", "http/protobuf")

    settle(ground, *to_collector)
    settle(ground, *to_collector)

    arrived = [span.span_id for span in collector.received.spans]
    assert arrived
    assert len(arrived) == len(set(arrived))
