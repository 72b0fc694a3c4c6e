"""Where subjects of alert rules stand, the history of it, and what of it is to be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ccagent.alerts.states import Reason, Standing, State, Transition
from ccagent.store import alert_queue, alert_states, alert_version
from ccagent.store.alert_queue import DeliveryState, deliveries, due, next_due, settle, stuck
from ccagent.store.alert_rules import Origin, put_rule, remove_rule, set_enabled
from ccagent.store.alert_states import Telling, add_silence, firing, history, record, remove_silences, silences
from ccagent.store.alert_summary import summary
from ccagent.store.connection import Connection
from ccagent.store.writer import Writer
from tests.sources.feed import START_MS, Feed

MINUTE_MS = 60_000
RULE = {"id": "mine", "metric": "session_cost", "threshold": 5, "scope": "session", "window": "session"}

FIRING = Standing(
    rule="mine", subject="s", state=State.FIRING, episode=1, since=START_MS, fired_at=START_MS, evaluated_at=START_MS,
    value=6.5, threshold=5.0,
)  # fmt: skip
CALM = replace(FIRING, state=State.INACTIVE, resolved_at=START_MS + 1, since=START_MS + 1)
FIRED = Transition(
    rule="mine", subject="s", before=State.INACTIVE, after=State.FIRING, at=START_MS, reason=Reason.HOLDS, episode=1,
    value=6.5, threshold=5.0,
)  # fmt: skip
RESOLVED = replace(FIRED, before=State.FIRING, after=State.RESOLVED, at=START_MS + 1, reason=Reason.CLEAR)


@pytest.fixture
def store(either_store: str) -> Iterator[Writer]:
    feed = Feed()
    yield feed.store
    feed.close()


def keep(store: Writer, standing: Standing, *transitions: Transition, channels: tuple[str, ...] = ("log",)) -> bool:
    def work(conn: Connection) -> bool:
        return record(
            conn, host=store.host, standings=[standing], transitions=transitions,
            telling=lambda _: Telling(severity="warning", channels=channels), now_ms=START_MS,
        )  # fmt: skip

    return store.write(work)


def told(store: Writer) -> list[tuple[str, str, str]]:
    """After, channel and state of every delivery."""
    found = deliveries(store.conn, [entry.id for entry in history(store.conn)])
    return [(str(one.entry.after), one.channel, str(one.state)) for one in found]


def test_a_transition_is_kept_with_its_standing_and_a_delivery_a_channel(store: Writer) -> None:
    keep(store, FIRING, FIRED, channels=("log", "desk", "log"))

    assert alert_states.standings(store.conn) == [FIRING] == firing(store.conn)
    (entry,) = history(store.conn)
    assert (entry.rule, entry.subject, entry.after, entry.value, entry.severity) == (
        "mine", "s", State.FIRING, 6.5, "warning",
    )  # fmt: skip
    assert told(store) == [("firing", "log", "waiting"), ("firing", "desk", "waiting")]
    found = summary(store.conn)
    assert (found.firing_count, [(one.rule, one.subject, one.severity) for one in found.firing]) == (
        1,
        [("mine", "s", "warning")],
    )


def test_the_resolve_is_told_where_the_firing_was_whatever_the_rule_says_by_then(store: Writer) -> None:
    keep(store, FIRING, FIRED, channels=("log", "desk"))

    keep(store, CALM, RESOLVED, channels=("other",))

    assert [one for one in told(store) if one[0] == "resolved"] == [
        ("resolved", "log", "waiting"), ("resolved", "desk", "waiting"),
    ]  # fmt: skip
    assert firing(store.conn) == []


def test_what_is_pending_is_kept_and_told_to_nobody(store: Writer) -> None:
    pending = replace(FIRED, after=State.PENDING)

    keep(store, replace(FIRING, state=State.PENDING, episode=0, fired_at=None), pending, pending)

    assert [entry.key for entry in history(store.conn)] == [None, None]
    assert told(store) == []


def test_the_key_is_a_pure_function_of_the_transition(store: Writer) -> None:
    keep(store, FIRING, FIRED)
    keep(store, CALM, RESOLVED)

    keys = [entry.key for entry in history(store.conn)]
    place = alert_states.place_of(store.conn)
    assert keys == [alert_states.key_of(place, RESOLVED), alert_states.key_of(place, FIRED)]
    assert len(set(keys)) == 2
    others = [replace(FIRED, episode=2), replace(FIRED, subject="t"), replace(FIRED, rule="m")]
    assert not {alert_states.key_of(place, one) for one in others} & set(keys)


def test_the_same_transition_a_second_time_is_refused_and_leaves_nothing(store: Writer) -> None:
    keep(store, FIRING, FIRED)

    with pytest.raises(Exception, match=r"(?i)unique"):
        keep(store, replace(FIRING, value=9.0), FIRED)

    assert alert_states.standings(store.conn) == [FIRING]
    assert len(history(store.conn)) == 1


def test_an_evaluation_by_rules_of_yesterday_is_not_kept(store: Writer) -> None:
    version = alert_version.version(store.conn)
    store.write(lambda conn: put_rule(conn, RULE, origin=Origin.CLI, now_ms=START_MS))

    def work(conn: Connection) -> bool:
        return record(
            conn, host=store.host, standings=[FIRING], transitions=[FIRED],
            telling=lambda _: Telling(severity="info", channels=()), now_ms=START_MS, version=version,
        )  # fmt: skip

    assert not store.write(work)
    assert history(store.conn) == [] == alert_states.standings(store.conn)


# ---- silences ----------------------------------------------------------------------------------------------------------


def silence(store: Writer, rule: str | None, subject: str | None = None, minutes: int = 10) -> int:
    return store.write(
        lambda conn: add_silence(
            conn, rule=rule, subject=subject, until=START_MS + minutes * MINUTE_MS, comment="noted", now_ms=START_MS
        )
    )


@pytest.mark.parametrize(("rule", "subject", "quiet"), [
    ("mine", None, True), (None, "s", True), ("mi*", None, True), ("mine", "t", False), ("yours", None, False),
])  # fmt: skip
def test_what_begins_while_it_is_silenced_is_kept_and_neither_it_nor_its_end_is_told(
    store: Writer, rule: str | None, subject: str | None, quiet: bool
) -> None:
    silence(store, rule, subject)

    keep(store, FIRING, FIRED)
    keep(store, CALM, RESOLVED)

    assert [entry.silenced for entry in history(store.conn)] == [quiet, quiet]
    assert bool(told(store)) is not quiet


def test_whoever_heard_that_it_fires_hears_that_it_ends_also_in_a_silence(store: Writer) -> None:
    keep(store, FIRING, FIRED)
    silence(store, None)

    keep(store, CALM, RESOLVED)

    assert ("resolved", "log", "waiting") in told(store)


def test_silences_end_by_themselves_or_when_they_are_ended(store: Writer) -> None:
    long, short = silence(store, "mine"), silence(store, None, minutes=1)

    assert [one.id for one in silences(store.conn, START_MS)] == [short, long]
    assert [one.id for one in silences(store.conn, START_MS + 2 * MINUTE_MS)] == [long]
    assert store.write(lambda conn: remove_silences(conn, [long, long + 99])) == 1
    assert silences(store.conn, START_MS + 2 * MINUTE_MS) == []


# ---- rules that change while something fires ----------------------------------------------------------------------------


def changed(store: Writer, work: Any) -> list[tuple[str, str]]:
    """What the history says after a change of a rule of which something fires."""
    store.write(lambda conn: put_rule(conn, RULE, origin=Origin.CLI, now_ms=START_MS))
    keep(store, FIRING, FIRED)
    store.write(work)
    return [(str(entry.after), str(entry.reason)) for entry in reversed(history(store.conn))]


@pytest.mark.parametrize("work", [
    lambda conn: put_rule(conn, {**RULE, "threshold": 7}, origin=Origin.CLI, now_ms=START_MS + 1),
    lambda conn: put_rule(conn, {**RULE, "enabled": False}, origin=Origin.CLI, now_ms=START_MS + 1),
    lambda conn: set_enabled(conn, "mine", False, START_MS + 1),
    lambda conn: remove_rule(conn, "mine", START_MS + 1),
], ids=["another bound", "put away", "switched off", "removed"])  # fmt: skip
def test_what_fires_by_a_rule_that_no_longer_says_so_is_resolved_and_told(store: Writer, work: Any) -> None:
    assert changed(store, work) == [("firing", "holds"), ("resolved", "rule")]
    assert ("resolved", "log", "waiting") in told(store)
    (standing,) = alert_states.standings(store.conn)
    assert (standing.state, standing.episode) == (State.INACTIVE, 1)


@pytest.mark.parametrize("more", [{"summary": "so {value}"}, {"severity": "critical"}, {"channels": ["desk"]}], ids=str)
def test_a_rule_in_other_words_goes_on_firing(store: Writer, more: Any) -> None:
    after = changed(store, lambda conn: put_rule(conn, {**RULE, **more}, origin=Origin.CLI, now_ms=START_MS + 1))

    assert after == [("firing", "holds")]
    assert firing(store.conn) == [FIRING]


# ---- the queue ----------------------------------------------------------------------------------------------------------


def test_the_queue_gives_what_is_due_until_it_is_settled(store: Writer) -> None:
    keep(store, FIRING, FIRED, channels=("log", "desk"))
    host = store.host
    first, second = due(store.conn, START_MS, 10, host=host)

    store.write(lambda conn: settle(conn, [first.id], DeliveryState.SENT, now_ms=START_MS + 5))
    store.write(
        lambda conn: settle(
            conn, [second.id], DeliveryState.WAITING, now_ms=START_MS, next_at=START_MS + MINUTE_MS, error="refused"
        )
    )

    assert due(store.conn, START_MS, 10, host=host) == []
    assert next_due(store.conn, host) == START_MS + MINUTE_MS
    (again,) = due(store.conn, START_MS + MINUTE_MS, 10, host=host)
    assert (again.id, again.attempts, again.error, again.entry.key) == (second.id, 1, "refused", first.entry.key)
    sent, _ = deliveries(store.conn, [first.entry.id])
    assert (sent.state, sent.sent_at, sent.next_at) == (DeliveryState.SENT, START_MS + 5, None)


def test_a_channel_that_is_at_work_takes_nobodys_room(store: Writer) -> None:
    for number in range(3):
        keep(store, FIRING, replace(FIRED, subject=f"s{number}"), channels=("slow", "log"))

    found = due(store.conn, START_MS, 3, host=store.host, without=("slow", "another"))

    assert [(one.channel, one.entry.subject) for one in found] == [("log", f"s{number}") for number in range(3)]


def test_a_delivery_that_a_wrong_clock_put_off_for_years_is_due(store: Writer) -> None:
    keep(store, FIRING, FIRED)
    (one,) = due(store.conn, START_MS, 10, host=store.host)
    far = START_MS + 400 * 24 * 60 * MINUTE_MS
    store.write(lambda conn: settle(conn, [one.id], DeliveryState.WAITING, now_ms=far, next_at=far))

    assert [found.id for found in due(store.conn, START_MS, 10, host=store.host)] == [one.id]


def test_what_another_host_left_lying_is_taken_over_when_it_is_long_overdue(store: Writer) -> None:
    keep(store, FIRING, FIRED)
    other, late = store.host + 1, START_MS + alert_queue.ABANDONED_MS

    assert due(store.conn, late, 10, host=other) == []
    assert due(store.conn, late - 1, 10, host=other, others=True) == []
    assert len(due(store.conn, late, 10, host=other, others=True)) == 1


@pytest.mark.parametrize(("state", "next_at"), [(DeliveryState.SENT, 1), (DeliveryState.WAITING, None)])
def test_a_settled_delivery_has_no_next_time_and_an_open_one_has(
    store: Writer, state: DeliveryState, next_at: int | None
) -> None:
    with pytest.raises(ValueError, match="do not go together"):
        settle(store.conn, [1], state, now_ms=0, next_at=next_at)


def test_deliveries_that_fail_again_and_again_are_stuck(store: Writer) -> None:
    keep(store, FIRING, FIRED)
    (one,) = due(store.conn, START_MS, 10, host=store.host)
    for _ in range(3):
        assert stuck(store.conn, START_MS) == []
        assert summary(store.conn).stuck == 0
        store.write(lambda conn: settle(conn, [one.id], DeliveryState.WAITING, now_ms=START_MS, next_at=START_MS))

    assert [found.id for found in stuck(store.conn, START_MS)] == [one.id]
    assert summary(store.conn).stuck == 1


# ---- the end of history --------------------------------------------------------------------------------------------------


def test_history_is_bounded_by_age_and_what_is_still_to_be_told_stays(store: Writer) -> None:
    keep(store, FIRING, FIRED)
    keep(store, CALM, RESOLVED, replace(FIRED, subject="young", at=START_MS + MINUTE_MS))
    later = START_MS + alert_states.HISTORY_MS + 2

    assert store.write(lambda conn: alert_states.prune(conn, later)) == 0
    rows = deliveries(store.conn, [entry.id for entry in history(store.conn) if entry.subject == "s"])
    store.write(lambda conn: settle(conn, [row.id for row in rows], DeliveryState.SENT, now_ms=later))

    assert store.write(lambda conn: alert_states.prune(conn, later)) == 2
    assert [entry.subject for entry in history(store.conn)] == ["young"]
    assert told(store) == [("firing", "log", "waiting")]
    assert alert_states.standings(store.conn) == []


def test_history_is_bounded_by_its_number(store: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_states, "_NEWEST_OLD", "SELECT id FROM alert_history ORDER BY id DESC LIMIT 1 OFFSET 3")
    for episode in range(1, 7):
        keep(store, replace(FIRING, episode=episode), replace(FIRED, episode=episode), channels=())

    assert store.write(lambda conn: alert_states.prune(conn, START_MS)) == 3
    assert [entry.episode for entry in history(store.conn)] == [6, 5, 4]


def test_the_history_is_told_newest_first_within_bounds(store: Writer) -> None:
    keep(store, FIRING, FIRED)
    keep(store, CALM, RESOLVED, replace(FIRED, rule="other", at=START_MS + 5))

    assert [entry.rule for entry in history(store.conn, rule="mine")] == ["mine", "mine"]
    assert [entry.at for entry in history(store.conn, since_ms=START_MS + 1)] == [START_MS + 5, START_MS + 1]
    assert [entry.at for entry in history(store.conn, until_ms=START_MS + 1)] == [START_MS]
    assert [entry.rule for entry in history(store.conn, limit=1)] == ["other"]
