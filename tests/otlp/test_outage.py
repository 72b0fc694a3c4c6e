"""A destination that is away for a week while facts close, and its return: what waits, what leaves, what is given up."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from ccagent.export.otlp.batch import MAX_BYTES, MAX_ITEMS
from ccagent.export.otlp.circuit import COOLDOWNS_MS, Circuit, State
from ccagent.export.otlp.configured import Configured
from ccagent.export.otlp.encoding import Encoding, Traces
from ccagent.export.otlp.logs import Logs
from ccagent.export.otlp.outbox import Outbox
from ccagent.export.otlp.sender import Sender
from ccagent.facts.trace_ids import span_id
from tests.otlp.chaos import items_of
from tests.otlp.conftest import everything
from tests.otlp.ledger import NOW, Events, Ledger
from tests.otlp.receiver import Answer, Running

Senders = Callable[..., Sender]
Outboxes = Callable[..., Outbox]

HOUR = 3_600_000
DAY = 24 * HOUR
AWAY = 7 * DAY
HOURS = AWAY // HOUR

FACTS = max(1, int(os.environ.get("CCAGENT_OUTAGE_FACTS", "8400")) // 168) * 168
"""Closed during the week; more in the slow stage."""

GONE = Answer(status=503)
SLACK = 1_000
"""Bytes of a request around its items: the resource and the scope."""


def week(ledger: Ledger) -> dict[int, list[str]]:
    """Facts of each hour of a week that ends now, by the hour's end in ms."""
    found = {}
    for hour in range(HOURS):
        at = NOW - AWAY + (hour + 1) * HOUR
        found[at] = ledger.tools(FACTS // HOURS, occurred_at=at - 2_000, ended_at=at - 1_000, result_at=at - 1_000)
    return found


def spans(natives: list[str]) -> set[bytes]:
    return {span_id(f"tool:{native}") for native in natives}


def arrived(running: Running) -> Counter[bytes]:
    return Counter(key for request in running.received.taken for (_, key), _ in items_of(request))


def test_a_week_of_facts_waits_at_the_cost_of_a_trial_every_ten_minutes_and_then_leaves_in_bounded_batches(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    outbox = outboxes(senders(http), max_items=20)
    outbox.name(NOW - AWAY)
    hours = week(ledger)
    natives = [native for some in hours.values() for native in some]
    http.received.rule = lambda _request: GONE
    now, writes = NOW - AWAY + HOUR, ledger.writes
    while now < NOW:
        now += max(1, outbox.tick(now).wait_ms)

    trials = len(http.received.offered)
    assert trials <= AWAY // COOLDOWNS_MS[-1] + 10
    assert len({len(items_of(request)) for request in http.received.offered}) == 1
    assert ledger.writes == writes  # an outage writes nothing
    assert (outbox.backlog(now), outbox.circuit.state) == (FACTS, State.CIRCUIT_OPEN)
    assert events.drops == {}

    outbox = outboxes(senders(http))  # started anew, so that the next trial is at once and of full size
    http.received.rule = lambda _request: None
    chance, late, sizes = random.Random(1), [], []
    while (step := outbox.tick(now)).outcome != "idle":
        now += step.wait_ms
        sizes.append(step.sent)
        if len(late) < 500:
            late += ledger.tools(chance.randint(0, 60))  # what is written while the backlog leaves

    taken = http.received.taken
    whole = spans(natives + late)
    assert arrived(http) == Counter(dict.fromkeys(whole, 1))
    assert max(sizes) <= MAX_ITEMS
    assert max(request.ByteSize() for request in taken) <= MAX_BYTES + SLACK
    assert len(taken) <= len(whole) // MAX_ITEMS + 20
    assert ledger.writes - writes == len(taken)  # one short transaction a batch
    assert outbox.backlog(now) == 0
    assert events.drops == {}
    assert set(outbox.circuit.recent.within("day", now)) == {"succeeded", "failed", "dropped"}


@pytest.mark.parametrize(
    ("encoding", "days"),
    [(Logs(), 6), (Configured(Traces(), max_age_ms=3 * DAY), 3), (Configured(Logs(), max_age_ms=9 * DAY), 6),
     (Configured(Logs(), max_age_ms=2 * DAY), 2), (Traces(), 7)],
    ids=["logs", "traces-three-days", "logs-nine-days", "logs-two-days", "traces"],
)  # fmt: skip
def test_only_what_is_too_old_is_given_up_and_each_of_it_is_counted(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events, encoding: Encoding, days: int
) -> None:
    outbox = outboxes(senders(http), encoding=encoding)
    outbox.name(NOW - AWAY)
    hours = week(ledger)
    fresh = [native for at, some in hours.items() if at - 1_000 >= NOW - days * DAY for native in some]
    old = FACTS - len(fresh)

    waiting = outbox.backlog(NOW)
    drain = outbox.drain_once(NOW)

    assert old == FACTS // 7 * (7 - days)
    assert waiting == len(fresh)
    assert arrived(http) == Counter(dict.fromkeys(spans(fresh), 1))
    assert (drain.sent, drain.backlog) == (len(fresh), 0)
    assert events.drops == ({"expired": old} if old else {})
    assert outbox.circuit.recent.within("hour", NOW)["dropped"] == old


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_a_destination_that_never_takes_half_of_what_it_is_sent_gets_it_in_smaller_pieces(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events, signal: str
) -> None:
    natives = ledger.tools(3_000)
    http.received.rule = lambda request: Answer(status=413) if request.ByteSize() > 40_000 else None
    outbox = outboxes(senders(http), encoding=Traces() if signal == "traces" else Logs())

    drain = outbox.drain_once(NOW)

    refused = [request for request in http.received.offered if request.ByteSize() > 40_000]
    assert (drain.sent, drain.backlog) == (3_000, 0)
    assert arrived(http) == Counter(dict.fromkeys(spans(natives), 1))
    assert len(refused) <= 8  # halved a few times, then the size is kept
    assert events.drops == {}


def test_a_restart_in_the_middle_of_a_drain_goes_on_where_the_cursor_stands(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    natives = ledger.tools(2_000)
    first = outboxes(senders(http))
    for _ in range(2):
        first.tick(NOW)

    outboxes(senders(http)).drain_once(NOW)

    assert arrived(http) == Counter(dict.fromkeys(spans(natives), 1))


def test_many_destinations_wait_for_none_of_the_others(
    http: Running, grpc_: Running, ledger: Ledger, senders: Senders, events: Events
) -> None:
    """Each has its own cursor, circuit and connection: what one answers changes nothing for the next."""
    natives = ledger.tools(1_200)
    dead = senders(Running(received=http.received, port=9))
    made: dict[str, Any] = {"healthy": senders(grpc_, "grpc"), "dead": dead, "locked": senders(http)}
    http.received.rule = lambda _request: Answer(status=401)
    all_of_them = {
        name: Outbox(
            name, sender, encoding=Traces(), host=1, resource={}, version="1", reader=ledger.reader,
            write=ledger.write, policy=everything, observe=events, circuit=Circuit(),
        )
        for name, sender in made.items()
    }  # fmt: skip

    drained = {name: outbox.drain_once(NOW) for name, outbox in reversed(all_of_them.items())}

    assert arrived(grpc_) == Counter(dict.fromkeys(spans(natives), 1))
    assert {name: (found.sent, found.backlog) for name, found in drained.items()} == {
        "healthy": (1_200, 0), "dead": (0, 1_200), "locked": (0, 1_200),
    }  # fmt: skip
    states = {name: outbox.circuit.state for name, outbox in all_of_them.items()}
    assert states == {"healthy": State.ACTIVE, "dead": State.DEGRADED, "locked": State.DEGRADED}
    assert ledger.cursor("healthy") == (1_200, 1_200, 0)
    assert ledger.cursor("dead") == ledger.cursor("locked") == (0, 0, 0)
