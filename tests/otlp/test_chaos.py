"""Each answer's effect on cursor, backlog and counters, row by row; then all of them in random sequences."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from ccagent.export.otlp.circuit import State
from ccagent.export.otlp.encoding import Encoding, Traces
from ccagent.export.otlp.logs import Logs
from ccagent.export.otlp.outbox import Outbox
from ccagent.export.otlp.sender import Sender
from ccagent.facts.trace_ids import span_id
from tests.otlp.chaos import PROTOCOLS, ROWS, Chaos, Item, Row, items_of
from tests.otlp.ledger import NOW, Events, Ledger
from tests.otlp.receiver import Running, grpc_receiver, http_receiver
from tests.otlp.test_metrics import SNAPSHOT, push

Senders = Callable[..., Sender]
Outboxes = Callable[..., Outbox]

ENCODINGS: dict[str, tuple[Callable[[], Encoding], str]] = {
    "traces": (Traces, "span"),
    "logs": (Logs, "ccagent.tool.call"),
}
FACTS = 6

SEEDS = int(os.environ.get("CCAGENT_CHAOS", "2"))
"""Sequences of answers for each protocol and signal; more in the slow stage."""


@pytest.fixture(params=list(ENCODINGS))
def signal(request: pytest.FixtureRequest) -> str:
    """Both signals that an outbox sends."""
    return str(request.param)


@pytest.fixture
def running() -> Iterator[Callable[[str], Running]]:
    """The receiver of a protocol."""
    with ExitStack() as stack:
        yield lambda protocol: stack.enter_context(grpc_receiver() if protocol == "grpc" else http_receiver())


def wanted(signal: str, natives: list[str]) -> set[Item]:
    return {(ENCODINGS[signal][1], span_id(f"tool:{native}")) for native in natives}


def here(receiver: Running) -> Counter[Item]:
    return Counter(item for request in receiver.received.taken for item, _ in items_of(request))


def settle(outbox: Outbox, now: int) -> int:
    """Turn the outbox by hand until it is idle; the time then."""
    for _ in range(5_000):
        step = outbox.tick(now)
        if step.outcome == "idle":
            return now
        now += step.wait_ms
    raise AssertionError("the outbox does not come to rest")


def counted_as_answered(events: Events, chaos: Chaos) -> None:
    """Each request is booked by its answer; one that breaks off a kept connection is sent anew without a word."""
    booked = Counter(events.statuses)
    broken = chaos.rows["reset"] + chaos.rows["reset_after_taking_it"]

    assert booked - chaos.answered == Counter()
    assert (chaos.answered - booked).keys() <= {"retry"}
    assert (chaos.answered - booked)["retry"] <= broken


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.protocol[:4]}-{row.name}" for row in ROWS])
def test_a_row_of_the_table(
    running: Callable[[str], Running], ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events,
    signal: str, row: Row,
) -> None:  # fmt: skip
    """What one answer does at once, and that everything has arrived when all is well again."""
    receiver = running(row.protocol)
    natives = ledger.tools(FACTS)
    receiver.received.script.append(row.answer)
    outbox = outboxes(senders(receiver, row.protocol), encoding=ENCODINGS[signal][0]())

    step = outbox.tick(NOW)

    assert step.outcome == ("sent" if row.moves else "narrowed" if row.waits_ms == 0 else "failed")
    assert step.sent == (FACTS - row.rejected if row.moves else 0)
    assert outbox.circuit.wait_ms(NOW) == row.waits_ms
    assert outbox.circuit.state is row.state
    assert ledger.cursor() == ((FACTS, FACTS - row.rejected, row.rejected) if row.moves else (0, 0, 0))
    assert outbox.backlog(NOW) == (0 if row.moves else FACTS)
    assert events.statuses == [row.status]
    assert events.drops == ({"rejected": row.rejected} if row.rejected else {})
    assert events.states == [row.state]
    assert len(events.durations) == 1
    assert outbox.circuit.recent.within("hour", NOW) == {
        "succeeded": int(row.moves), "failed": int(not row.moves), "dropped": row.rejected,
    }  # fmt: skip

    settle(outbox, NOW)

    assert here(receiver).keys() == wanted(signal, natives)
    assert max(here(receiver).values()) == (2 if row.answer.lost and not row.moves else 1)
    assert ledger.dead() == []
    assert outbox.circuit.state is State.ACTIVE


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.protocol[:4]}-{row.name}" for row in ROWS])
def test_a_row_of_the_table_for_a_fact_alone(
    running: Callable[[str], Running], ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events,
    signal: str, row: Row,
) -> None:  # fmt: skip
    """A single fact is set aside by an answer that is its own for ever, and by no other."""
    receiver = running(row.protocol)
    natives = ledger.tools(1)
    receiver.received.script.append(row.answer)
    outbox = outboxes(senders(receiver, row.protocol), encoding=ENCODINGS[signal][0]())

    outbox.tick(NOW)
    settle(outbox, NOW + outbox.circuit.wait_ms(NOW))

    rejected = min(row.rejected, 1)
    if row.alone:
        assert [(native, reason.partition(":")[0]) for native, reason in ledger.dead()] == [(natives[0], row.alone)]
        assert (events.drops, ledger.cursor(), here(receiver)) == ({row.alone: 1}, (1, 0, 0), Counter())
    else:
        assert ledger.dead() == []
        assert events.drops == ({"rejected": 1} if rejected else {})
        assert ledger.cursor() == (1, 1 - rejected, rejected)
        assert here(receiver).keys() == wanted(signal, natives)
    assert outbox.backlog(NOW) == 0


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_after_any_chaos_everything_has_arrived_but_what_was_counted(
    running: Callable[[str], Running], ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events,
    signal: str, protocol: str, seed: int,
) -> None:  # fmt: skip
    receiver = running(protocol)
    chaos = Chaos(protocol, seed)
    receiver.received.rule = chaos
    chance = random.Random(seed)
    outbox = outboxes(senders(receiver, protocol), encoding=ENCODINGS[signal][0](), max_items=40, max_bytes=9_000)
    now, natives = NOW, []
    for _ in range(150):
        if chance.random() < 0.3:
            natives += ledger.tools(chance.randint(1, 40))
        before = ledger.cursor() if events.statuses else (0, 0, 0)
        step = outbox.tick(now)
        after = ledger.cursor()
        assert after[0] >= before[0]
        assert after[0] == before[0] or step.outcome in ("sent", "buried", "skipped")
        now += step.wait_ms if chance.random() < 0.9 else step.wait_ms // 2
    chaos.calm = True

    settle(outbox, now)

    dead = {item for native, _ in ledger.dead() for item in wanted(signal, [native])}
    everything = wanted(signal, natives)
    assert len(natives) > 300
    assert min(chaos.rows.values()) > 0
    assert len(chaos.rows) > 20
    assert chaos.arrived.keys() | chaos.rejected | dead == everything
    assert everything - chaos.arrived.keys() <= chaos.rejected | dead
    assert [item for item, copies in chaos.arrived.items() if len(copies) != 1] == []
    counted_as_answered(events, chaos)
    lost = {"rejected": len(chaos.rejected), "poison": 0, "too_large": 0}
    lost |= Counter(reason.partition(":")[0] for _, reason in ledger.dead())
    assert events.drops == {reason: amount for reason, amount in lost.items() if amount}
    seq, sent, rejected = ledger.cursor()
    assert (seq, sent + rejected + len(dead)) == (len(natives), len(natives))
    assert rejected == lost["rejected"]
    assert outbox.backlog(now) == 0


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_after_any_chaos_the_newest_totals_are_there_and_none_ever_fell(
    running: Callable[[str], Running], senders: Senders, events: Events, protocol: str, seed: int
) -> None:
    receiver = running(protocol)
    chaos = Chaos(protocol, seed)
    receiver.received.rule = chaos
    grown = Growing()
    pushing = push(senders(receiver, protocol), events, snapshot=grown, interval_ms=1_000)
    now = NOW
    for _ in range(120):
        now += max(1, pushing.tick(now).wait_ms)
    chaos.calm = True
    now += 3_600_001  # what was refused is left out for an hour at most

    pushing.tick(now, force=True)

    seen: dict[tuple[str, str], list[float]] = {}
    for metric in receiver.received.metrics:
        for point in metric.sum.data_points:
            labels = repr([(pair.key, pair.value.string_value) for pair in point.attributes])
            seen.setdefault((metric.name, labels), []).append(point.as_int or point.as_double)
    assert len(seen) == 3
    assert [values for values in seen.values() if values != sorted(values)] == []
    assert {values[-1] for values in seen.values()} == grown.last
    counted_as_answered(events, chaos)


class Growing:
    """The snapshot of the tests of metrics, its sums larger at every look."""

    def __init__(self) -> None:
        self._looks = 0
        self.last: set[float] = set()

    def __call__(self, _now_ms: int) -> Any:
        self._looks += 1
        families = tuple(
            family if family.points[0].counts is not None or not family.points[0].created_ms
            else replace(family, points=tuple(point._replace(value=point.value + self._looks) for point in family.points))
            for family in SNAPSHOT.families
        )  # fmt: skip
        sums = [point.value for family in families[:2] for point in family.points]
        self.last = set(sums)
        return replace(SNAPSHOT, families=families)
