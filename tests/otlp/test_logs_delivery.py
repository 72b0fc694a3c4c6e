"""Logs through the outbox: beside traces, never before the answer, and given up only for their age."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ccagent import failpoints
from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.logs import MAX_AGE_MS, Logs
from ccagent.export.otlp.outbox import Outbox
from ccagent.export.otlp.sender import Sender
from ccagent.export.privacy import Policy
from ccagent.facts.model import EventType
from tests.otlp.ledger import NOW, Events, Ledger
from tests.otlp.receiver import Answer, Running, logs_of, spans_of

Senders = Callable[..., Sender]
Outboxes = Callable[..., Outbox]
HOUR = 3_600_000
DAY = 24 * HOUR


class Twofold(Logs):
    """Two records for each fact, as with native events."""

    def build(self, fact: ClosedFact, policy: Policy) -> Sequence[Any]:
        return [*super().build(fact, policy)] * 2


def calls(running: Running) -> list[str]:
    """Ids of the calls whose records were taken."""
    return [
        one.value.string_value
        for record in running.received.logs
        for one in record.attributes
        if one.key == "gen_ai.tool.call.id"
    ]


def cursors(ledger: Ledger) -> dict[str, tuple[int, int, int]]:
    """closed_seq, sent and rejected by signal."""
    rows: Any = ledger.conn.execute("SELECT signal, closed_seq, sent, rejected FROM export_cursor").fetchall()
    return {row[0]: tuple(row[1:]) for row in rows}


def aged(ledger: Ledger, count: int, at: int) -> list[str]:
    """Calls that were over at that time."""
    return ledger.tools(count, occurred_at=at - 10, ended_at=at, result_at=at)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_every_record_arrives_once_and_the_cursor_of_logs_is_its_own(
    http: Running, grpc_: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, protocol: str
) -> None:
    running = grpc_ if protocol == "grpc" else http
    natives = ledger.tools(7)
    ledger.fact(EventType.PROMPT, "prompt-1", stop="human", size=12)
    ledger.fact(EventType.FILE_UPDATE, "file-1")
    sender = senders(running, protocol)

    drain = outboxes(sender, encoding=Logs(), max_items=3).drain_once(NOW)
    logs_alone = cursors(ledger)
    outboxes(sender).drain_once(NOW)

    assert (drain.sent, drain.backlog, drain.problem) == (8, 0, "")
    assert sorted(calls(running)) == natives
    assert logs_alone["logs"][1:] == (8, 0)
    assert cursors(ledger) == {**logs_alone, "traces": (9, 7, 0)}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("point", ["after_post", "before_cursor"])
def test_a_crash_between_answer_and_cursor_sends_the_same_records_again(
    http: Running, grpc_: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, protocol: str, point: str
) -> None:
    running = grpc_ if protocol == "grpc" else http
    ledger.tools(6)
    failpoints.arm(failpoints.parse(f"{point}:raise"))
    try:
        with pytest.raises(failpoints.InjectedFaultError):
            outboxes(senders(running, protocol), encoding=Logs(), max_items=3).tick(NOW)
    finally:
        failpoints.arm(None)
    before = cursors(ledger)

    outboxes(senders(running, protocol), encoding=Logs(), max_items=3).drain_once(NOW + HOUR)

    first, again, rest = running.received.taken
    assert before == {"logs": (0, 0, 0)}
    assert first.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
    assert len(logs_of(rest)) == 3
    assert cursors(ledger) == {"logs": (6, 6, 0)}


def test_nothing_moves_while_the_receiver_does_not_take_it(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    ledger.tools(3)
    http.received.script.append(Answer(status=503))

    drain = outboxes(senders(http), encoding=Logs()).drain_once(NOW)

    assert (drain.sent, drain.backlog) == (0, 3)
    assert drain.problem
    assert cursors(ledger) == {"logs": (0, 0, 0)}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_records_that_the_receiver_rejects_are_counted(
    http: Running, grpc_: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events, protocol: str
) -> None:
    running = grpc_ if protocol == "grpc" else http
    ledger.tools(5)
    running.received.script.append(Answer(rejected=2, message="too far behind"))

    outboxes(senders(running, protocol), encoding=Logs()).drain_once(NOW)

    assert cursors(ledger) == {"logs": (5, 3, 2)}
    assert events.statuses == ["partial"]
    assert events.drops == {"rejected": 2}


def test_a_refused_record_is_set_aside_for_logs_alone(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    natives = ledger.tools(8)
    http.received.rule = lambda request: (
        Answer(status=400) if hasattr(request, "resource_logs") and natives[5] in str(request) else None
    )

    outboxes(senders(http), encoding=Logs()).drain_once(NOW)
    outboxes(senders(http)).drain_once(NOW)

    assert sorted(calls(http)) == [native for native in natives if native != natives[5]]
    assert len(http.received.spans) == 8
    assert ledger.conn.execute("SELECT signal FROM export_dead").fetchall() == [("logs",)]
    assert events.drops == {"poison": 1}


def test_what_is_older_than_six_days_is_given_up_and_counted(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    outboxes(senders(http), encoding=Logs()).drain_once(NOW - 30 * DAY)
    aged(ledger, 2, NOW - 31 * DAY)
    aged(ledger, 3, NOW - MAX_AGE_MS - 1)
    fresh = aged(ledger, 4, NOW - MAX_AGE_MS)
    outbox = outboxes(senders(http), encoding=Logs())

    waiting = outbox.backlog(NOW)
    drain = outbox.drain_once(NOW)

    assert MAX_AGE_MS == 6 * DAY
    assert (waiting, drain.sent, drain.backlog) == (4, 4, 0)
    assert sorted(calls(http)) == fresh
    assert events.drops == {"history": 2, "expired": 3}


def test_what_grows_too_old_during_an_outage_is_given_up_and_the_rest_arrives(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    http.received.rule = lambda _request: Answer(status=503)
    outbox = outboxes(senders(http), encoding=Logs(), max_items=10)
    for day in range(10):
        aged(ledger, 5, NOW + day * DAY)
        outbox.tick(NOW + day * DAY)
    http.received.rule = lambda _request: None

    drain = outbox.drain_once(NOW + 10 * DAY)

    assert (drain.sent, drain.backlog) == (6 * 5, 0)
    assert len(set(calls(http))) == 30
    assert events.drops == {"expired": 4 * 5}


def test_nothing_of_traces_grows_too_old(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    outboxes(senders(http)).drain_once(NOW - 60 * DAY)
    aged(ledger, 3, NOW - 50 * DAY)

    outboxes(senders(http)).drain_once(NOW)

    assert len(http.received.spans) == 3
    assert events.drops == {}


def test_old_records_alone_move_the_cursor_without_a_request(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    outboxes(senders(http), encoding=Logs()).drain_once(NOW - 30 * DAY)
    aged(ledger, 3, NOW - 7 * DAY)
    outbox = outboxes(senders(http), encoding=Logs())

    outbox.drain_once(NOW)
    outbox.drain_once(NOW)

    assert http.received.offered == []
    assert cursors(ledger) == {"logs": (3, 0, 0)}
    assert events.drops == {"expired": 3}


def test_projects_that_do_not_allow_it_have_no_records(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    ledger.tools(3, cwd="/secret/a")
    allowed = ledger.tools(2, cwd="/open/b")

    outboxes(
        senders(http), encoding=Logs(), policy=lambda *folders: Policy(tier=0 if "/secret/a" in folders else 1)
    ).drain_once(NOW)

    assert calls(http) == allowed
    assert events.drops == {"tier": 3}


def test_a_fact_without_any_time_is_history(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    ledger.tools(1, occurred_at=None, ended_at=None, result_at=None)

    outboxes(senders(http), encoding=Logs()).drain_once(NOW)

    assert http.received.offered == []
    assert events.drops == {"history": 1}


def test_all_records_of_a_fact_go_in_one_request_within_its_bounds(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    natives = ledger.tools(9)

    drain = outboxes(senders(http), encoding=Twofold(), max_items=5).drain_once(NOW)

    sizes = [len(logs_of(request)) for request in http.received.taken]
    assert sizes == [4, 4, 4, 4, 2]
    assert drain.sent == 18
    assert calls(http) == sorted(natives * 2)


def test_a_refused_fact_is_found_among_those_with_several_records(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    natives = ledger.tools(6)
    http.received.rule = lambda request: Answer(status=400) if natives[2] in str(request) else None

    drain = outboxes(senders(http), encoding=Twofold()).drain_once(NOW)

    assert sorted(set(calls(http))) == [native for native in natives if native != natives[2]]
    assert (drain.sent, drain.backlog) == (10, 0)
    assert events.drops == {"poison": 2}
    assert len(ledger.dead()) == 1


def test_spans_and_records_of_a_call_meet(http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes) -> None:
    ledger.tools(3)

    outboxes(senders(http)).drain_once(NOW)
    outboxes(senders(http), encoding=Logs()).drain_once(NOW)

    spans = [
        span for request in http.received.taken if hasattr(request, "resource_spans") for span in spans_of(request)
    ]
    assert [(record.trace_id, record.span_id) for record in http.received.logs] == [
        (span.trace_id, span.span_id) for span in spans
    ]
