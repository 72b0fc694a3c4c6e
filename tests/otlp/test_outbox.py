"""What each verdict does to the cursor and the backlog."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from ccagent import failpoints
from ccagent.export.otlp.circuit import State
from ccagent.export.otlp.outbox import STRIKES, Outbox
from ccagent.export.otlp.sender import Sender
from ccagent.export.privacy import Policy
from ccagent.facts.model import EventType
from ccagent.facts.trace_ids import span_id
from tests.otlp.ledger import NOW, Events, Ledger
from tests.otlp.receiver import Answer, Running, spans_of

Senders = Callable[..., Sender]
Outboxes = Callable[..., Outbox]
HOUR = 3_600_000


def ids(natives: list[str]) -> set[bytes]:
    return {span_id(f"tool:{native}") for native in natives}


def received(running: Running) -> list[bytes]:
    return [span.span_id for span in running.received.spans]


def refuse(*natives: str, answer: Answer) -> Callable[[Any], Answer | None]:
    """A receiver that refuses every request that holds one of these tool calls."""
    bad = ids(list(natives))
    return lambda request: answer if bad & {span.span_id for span in spans_of(request)} else None


def settle(outbox: Outbox, now: int = NOW, ticks: int = 200) -> int:
    """Turn the outbox by hand, waiting as long as it asks for, until it is idle; the time at the end."""
    for _ in range(ticks):
        step = outbox.tick(now)
        if step.outcome == "idle":
            return now
        now += step.wait_ms
    raise AssertionError("the outbox does not come to rest")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_every_closed_fact_arrives_once_and_the_cursor_stands_at_the_end(
    http: Running, grpc_: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, protocol: str
) -> None:
    running = grpc_ if protocol == "grpc" else http
    natives = ledger.tools(7)
    ledger.fact(EventType.TOOL_CALL, "toolu_open", closed=False)

    drain = outboxes(senders(running, protocol), max_items=3).drain_once(NOW)

    assert (drain.sent, drain.backlog, drain.problem) == (7, 0, "")
    assert sorted(received(running)) == sorted(ids(natives))
    assert ledger.cursor() == (7, 7, 0)


def test_a_partial_success_moves_on_and_counts_what_was_rejected(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    ledger.tools(5)
    http.received.script.append(Answer(rejected=2, message="too old"))

    outboxes(senders(http)).drain_once(NOW)

    assert ledger.cursor() == (5, 3, 2)
    assert len(http.received.offered) == 1
    assert events.statuses == ["partial"]
    assert events.drops == {"rejected": 2}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=302, headers={"Location": "/login"}),
        Answer(content_type="text/html", body=b"<html>"),
        Answer(status=429, headers={"Retry-After": "30"}),
        Answer(status=500),
        Answer(status=503),
        Answer(status=401),
        Answer(status=404),
    ],
    ids=["302", "html", "429", "500", "503", "401", "404"],
)
def test_nothing_moves_while_the_receiver_does_not_take_it(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, answer: Answer
) -> None:
    natives = ledger.tools(3)
    http.received.script.extend([answer, answer])
    outbox = outboxes(senders(http))

    drain = outbox.drain_once(NOW)
    before = ledger.cursor()
    settle(outbox)

    assert (drain.sent, drain.backlog) == (0, 3)
    assert drain.problem
    assert before == (0, 0, 0)
    assert sorted(received(http)) == sorted(ids(natives))
    assert ledger.dead() == []


def test_a_retry_after_is_waited_for(http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes) -> None:
    ledger.tools(1)
    http.received.script.append(Answer(status=429, headers={"Retry-After": "45"}))
    outbox = outboxes(senders(http))

    first = outbox.tick(NOW)
    early = outbox.tick(NOW + 44_000)
    due = outbox.tick(NOW + 45_000)

    assert [step.outcome for step in (first, early, due)] == ["failed", "waiting", "sent"]
    assert first.wait_ms == 45_000


def test_wrong_credentials_stop_the_sink_for_five_minutes_at_most(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    ledger.tools(1)
    http.received.rule = lambda _request: Answer(status=401)
    outbox = outboxes(senders(http))
    now, waits = NOW, []

    for _ in range(8):
        step = outbox.tick(now)
        waits.append(step.wait_ms)
        now += step.wait_ms

    assert max(waits) == 300_000
    assert waits == sorted(waits)
    assert outbox.circuit.state is State.DEGRADED
    assert "401" in outbox.circuit.problem
    assert set(events.statuses) == {"config"}


def test_five_failures_open_the_circuit_and_nothing_is_sent_meanwhile(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    ledger.tools(1)
    http.received.rule = lambda _request: Answer(status=503)
    outbox = outboxes(senders(http))
    now = NOW
    for _ in range(5):
        now += outbox.tick(now).wait_ms
    opened = now - 60_000

    outbox.tick(opened + 59_999)
    asked_while_open = len(http.received.offered)
    outbox.tick(opened + 60_000)

    assert asked_while_open == 5
    assert len(http.received.offered) == 6
    assert outbox.circuit.state is State.CIRCUIT_OPEN
    assert outbox.circuit.wait_ms(opened + 60_000) == 120_000


def test_a_batch_too_large_is_halved_and_the_smaller_size_kept(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    natives = ledger.tools(64)
    http.received.rule = lambda request: Answer(status=413) if len(spans_of(request)) > 20 else None

    outboxes(senders(http)).drain_once(NOW)

    sizes = [len(spans_of(request)) for request in http.received.offered]
    assert sorted(received(http)) == sorted(ids(natives))
    assert sizes[:2] == [64, 32]
    assert max(sizes[3:]) <= 20
    assert ledger.dead() == []


def test_one_fact_too_large_is_set_aside_and_the_rest_goes_on(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    natives = ledger.tools(9)
    http.received.rule = refuse(natives[4], answer=Answer(status=413))

    drain = outboxes(senders(http)).drain_once(NOW)

    assert (drain.sent, drain.backlog) == (8, 0)
    assert sorted(received(http)) == sorted(ids(natives) - ids([natives[4]]))
    assert [reason.partition(":")[0] for _, reason in ledger.dead()] == ["too_large"]
    assert events.drops == {"too_large": 1}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("bad", [[0], [8], [3, 4], [1, 15], [0, 1, 2, 14, 15]])
def test_poison_is_found_set_aside_and_everything_else_arrives_once(
    http: Running, grpc_: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events,
    protocol: str, bad: list[int],
) -> None:  # fmt: skip
    running = grpc_ if protocol == "grpc" else http
    natives = ledger.tools(16)
    poison = [natives[number] for number in bad]
    answer = Answer(status=400, code=grpc.StatusCode.INVALID_ARGUMENT if protocol == "grpc" else None)
    running.received.rule = refuse(*poison, answer=answer)

    drain = outboxes(senders(running, protocol)).drain_once(NOW)

    assert drain.sent == 16 - len(bad)
    assert sorted(received(running)) == sorted(ids(natives) - ids(poison))
    assert len(ledger.dead()) == len(bad)
    assert events.drops == {"poison": len(bad)}


def test_a_receiver_that_refuses_everything_costs_three_facts_at_most(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    natives = ledger.tools(40)
    http.received.rule = lambda _request: Answer(status=400)
    outbox = outboxes(senders(http))
    now = NOW
    for _ in range(60):
        now += outbox.tick(now).wait_ms
    http.received.rule = lambda _request: None

    settle(outbox, now)

    assert len(ledger.dead()) <= 3 + 1
    assert ids(natives[4:]) <= set(received(http))


def test_a_fact_that_breaks_the_receiver_is_set_aside_once_another_one_is_taken(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    natives = ledger.tools(6)
    http.received.rule = refuse(natives[2], answer=Answer(status=500))
    outbox = outboxes(senders(http))

    settle(outbox)

    assert set(received(http)) == ids(natives) - ids([natives[2]])
    assert len(ledger.dead()) == 1


def test_an_outage_with_internal_errors_loses_nothing(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    natives = ledger.tools(20)
    http.received.script.extend([Answer(status=500)] * (STRIKES * 4))
    outbox = outboxes(senders(http))

    settle(outbox)

    assert set(received(http)) == ids(natives)
    assert ledger.dead() == []


def test_exhausted_quota_without_a_wish_loses_nothing(
    grpc_: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    natives = ledger.tools(8)
    grpc_.received.script.extend([Answer(code=grpc.StatusCode.RESOURCE_EXHAUSTED)] * 12)
    outbox = outboxes(senders(grpc_, "grpc"))

    settle(outbox)

    assert set(received(grpc_)) == ids(natives)
    assert ledger.dead() == []


def test_a_backlog_kept_through_an_outage_arrives_in_full(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    http.received.rule = lambda _request: Answer(status=503)
    outbox = outboxes(senders(http), max_items=10)
    now, natives = NOW, []
    for _ in range(12):
        natives += ledger.tools(5)
        now += outbox.tick(now).wait_ms
    waiting = outbox.backlog(now)
    http.received.rule = lambda _request: None

    settle(outbox, now)

    assert waiting == 60
    assert sorted(received(http)) == sorted(ids(natives))


@pytest.mark.parametrize("point", ["after_post", "before_cursor"])
def test_a_crash_between_answer_and_cursor_sends_one_batch_again_span_for_span(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, point: str
) -> None:
    ledger.tools(6)
    failpoints.arm(failpoints.parse(f"{point}:raise"))
    try:
        with pytest.raises(failpoints.InjectedFaultError):
            outboxes(senders(http), max_items=3).tick(NOW)
    finally:
        failpoints.arm(None)

    outboxes(senders(http), max_items=3).drain_once(NOW)

    requests = http.received.taken
    assert len(requests) == 3
    assert requests[0].SerializeToString(deterministic=True) == requests[1].SerializeToString(deterministic=True)
    assert ledger.cursor() == (6, 6, 0)


def test_a_request_never_exceeds_the_batch_bounds(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    ledger.tools(100)

    outboxes(senders(http), max_items=40, max_bytes=4_000).drain_once(NOW)

    sizes = [(len(spans_of(request)), request.ByteSize()) for request in http.received.taken]
    assert sum(count for count, _ in sizes) == 100
    assert all(count <= 40 and size <= 4_200 for count, size in sizes)


def test_facts_of_projects_that_do_not_allow_it_stay_here_and_are_counted(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    ledger.tools(3, cwd="/secret/a")
    allowed = ledger.tools(2, cwd="/open/b")
    ledger.tools(2, cwd="/open/b", project="/secret/a")

    outbox = outboxes(senders(http), policy=lambda *folders: Policy(tier=0 if "/secret/a" in folders else 1))
    outbox.drain_once(NOW)

    assert set(received(http)) == ids(allowed)
    assert events.drops == {"tier": 5}
    assert ledger.cursor() == (7, 2, 0)


def test_what_is_left_out_beside_a_refused_fact_is_counted_once(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    ledger.tools(2, cwd="/secret/a")
    (refused,) = ledger.tools(1)
    ledger.tools(3, cwd="/secret/a")
    old = NOW - 2 * HOUR
    ledger.tools(4, occurred_at=old, ended_at=old, result_at=old)
    http.received.rule = refuse(refused, answer=Answer(status=400))

    outboxes(senders(http), policy=lambda *folders: Policy(tier=0 if "/secret/a" in folders else 1)).drain_once(NOW)

    assert events.drops == {"poison": 1, "tier": 5, "history": 4}
    assert ledger.cursor() == (10, 0, 0)


def test_a_destination_that_was_named_under_a_clock_far_ahead_gets_what_happens_now(
    http: Running, ledger: Ledger, senders: Callable[..., Sender], outboxes: Outboxes, events: Events
) -> None:
    old = ledger.tools(2, occurred_at=NOW - 3 * HOUR, ended_at=NOW - 2 * HOUR, result_at=NOW - 2 * HOUR)
    new = ledger.tools(2)
    outbox = outboxes(senders(http))
    outbox.name(NOW + 10_000 * HOUR)

    waiting = outbox.backlog(NOW)
    drain = outbox.drain_once(NOW)

    assert (waiting, drain.sent) == (2, 2)
    assert sorted(received(http)) == sorted(ids(new))
    assert events.drops == {"history": len(old)}


def test_what_ended_an_hour_before_the_destination_was_named_is_history(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes, events: Events
) -> None:
    old = NOW - HOUR - 1
    ledger.tools(4, occurred_at=old - 10, ended_at=old, result_at=old)
    fresh = ledger.tools(2, occurred_at=old, ended_at=NOW - HOUR, result_at=NOW - HOUR)

    outboxes(senders(http)).drain_once(NOW)

    assert set(received(http)) == ids(fresh)
    assert events.drops == {"history": 4}


def test_a_destination_named_long_ago_still_gets_what_closed_while_it_was_away(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    outboxes(senders(http)).drain_once(NOW - 24 * HOUR)
    late = NOW - 5 * HOUR
    natives = ledger.tools(3, occurred_at=late, ended_at=late, result_at=late)

    outboxes(senders(http)).drain_once(NOW)

    assert set(received(http)) == ids(natives)


def test_an_idle_outbox_writes_and_sends_nothing(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    ledger.tools(2)
    outbox = outboxes(senders(http))
    outbox.drain_once(NOW)
    with ledger.conn:
        for number in range(50):
            ledger.fact(EventType.PROMPT, f"prompt-{number}")
    writes, requests = ledger.writes, len(http.received.offered)

    for second in range(20):
        outbox.tick(NOW + second * 1_000)

    assert (ledger.writes, len(http.received.offered)) == (writes, requests)


def test_what_closes_anew_behind_what_was_looked_through_is_sent(
    http: Running, ledger: Ledger, senders: Senders, outboxes: Outboxes
) -> None:
    """The store lost its last commits, and gave the same numbers to other facts."""
    epoch = [0]
    outbox = outboxes(senders(http), epoch=lambda: epoch[0])
    outbox.drain_once(NOW)
    with ledger.conn:
        for number in range(20):
            ledger.fact(EventType.PROMPT, f"prompt-{number}")
    settle(outbox)
    ledger.conn.execute("DELETE FROM fact WHERE closed_seq > 5")
    ledger.go_back_to(5)
    natives = ledger.tools(3)

    settle(outbox)
    assert received(http) == []
    epoch[0] += 1
    settle(outbox)

    assert set(received(http)) == ids(natives)
