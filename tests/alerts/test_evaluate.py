"""One evaluation after the other, of all subjects of a rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccagent.alerts.engine import BY_HOUR
from ccagent.alerts.evaluate import Outcome, evaluate
from ccagent.alerts.hours import Cell, HourlySeries
from ccagent.alerts.rule import Rule, Scope, is_meant
from ccagent.alerts.states import Reason, Standing, State
from tests.alerts.making import (
    BERLIN,
    DAY,
    HOUR,
    LORD_HOWE,
    MINUTE,
    START,
    UTC_ZONE,
    Gauge,
    at,
    hourly,
    operand,
    rule,
    states,
)

NOTHING = Outcome(standings={})


def told(outcome: Outcome) -> list[tuple[str, State, Reason]]:
    return [(one.subject, one.after, one.reason) for one in outcome.transitions]


# ---- subjects --------------------------------------------------------------------------------------------------------


def test_each_project_is_judged_for_itself() -> None:
    budget = rule(scope="project", threshold=5)
    series = hourly(budget, {"/a/shop": {START: 6.0}, "/b/till": {START: 4.0}, "/b/shop": {START: 9.0}})

    outcome = evaluate(budget, series.at(START + HOUR), {}, START + HOUR, UTC_ZONE)

    assert states(outcome) == {"/a/shop": State.FIRING, "/b/shop": State.FIRING}
    assert [one.value for one in outcome.transitions] == [6, 9]
    assert sorted(one.subject for one in outcome.changed) == ["/a/shop", "/b/shop"]


@pytest.mark.parametrize(
    ("only", "firing"),
    [
        (["shop"], {"/a/shop", "/b/shop"}),
        (["/b/shop"], {"/b/shop"}),
        (["/b/shop/"], {"/b/shop"}),
        (["b"], set()),
    ],
)
def test_a_rule_may_name_its_projects_by_path_or_last_folder(only: list[str], firing: set[str]) -> None:
    budget = rule(scope="project", threshold=5, only=only)
    series = hourly(budget, {"/a/shop": {START: 6.0}, "/b/till": {START: 7.0}, "/b/shop": {START: 9.0}})

    assert set(evaluate(budget, series.at(START + HOUR), {}, START + HOUR, UTC_ZONE).standings) == firing


def test_a_path_that_ends_in_a_slash_has_a_last_folder_too() -> None:
    assert is_meant("/b/shop/", Scope.PROJECT, ["shop"])
    assert not is_meant("/b/shop/", Scope.FEATURE, ["shop"])


def test_what_is_below_leaves_nothing_to_remember() -> None:
    budget = rule(scope="project", threshold=5)
    series = hourly(budget, {f"/p/{number}": {START: 1.0} for number in range(100)})

    assert evaluate(budget, series.at(START + HOUR), {}, START + HOUR, UTC_ZONE) == NOTHING


def test_what_was_pending_and_is_no_more_is_forgotten() -> None:
    budget = rule(scope="project", threshold=5, window="hourly", for_="30m")
    series = hourly(budget, {"/a": {START: 6.0, START + HOUR: 1.0}})
    first = evaluate(budget, series.at(START + MINUTE), {}, START + MINUTE, UTC_ZONE)
    assert states(first) == {"/a": State.PENDING}

    second = evaluate(budget, series.at(START + 61 * MINUTE), first.standings, START + 61 * MINUTE, UTC_ZONE)

    assert told(second) == [("/a", State.INACTIVE, Reason.CLEAR)]
    assert (second.standings, second.forgotten) == ({}, ("/a",))


def test_what_has_fired_is_remembered_and_costs_no_writes_when_it_has_cooled() -> None:
    gauge = Gauge(cooldown="10m")
    gauge.feed(START, 20)
    gauge.feed(START + MINUTE, 1)
    for minute in range(2, 11):
        assert len(gauge.feed(START + minute * MINUTE, 1).changed) == 1  # how long it has cooled
    gauge.feed(START + 11 * MINUTE, 1)

    assert gauge.feed(START + 12 * MINUTE, 1).changed == ()
    assert gauge.outcome.standings[""].episode == 1
    assert gauge.feed(START + 13 * MINUTE, 20).standings[""].episode == 2


def test_a_standing_that_says_nothing_may_be_removed() -> None:
    budget = rule(scope="project", threshold=5)
    idle = {"/a": Standing(rule="rule", subject="/a", evaluated_at=START)}

    outcome = evaluate(budget, hourly(budget, {"/a": {START: 1.0}}).at(START + HOUR), idle, START + HOUR, UTC_ZONE)

    assert outcome == Outcome(standings={}, forgotten=("/a",))


def test_the_first_word_of_a_subject_is_that_it_fires() -> None:
    outcome = evaluate(
        rule(threshold=5), hourly(rule(threshold=5), {"": {START: 9.0}}).at(START + 1), {}, START + 1, UTC_ZONE
    )

    assert told(outcome) == [("", State.FIRING, Reason.HOLDS)]


# ---- sessions --------------------------------------------------------------------------------------------------------

SESSION = rule(scope="session", threshold=5)


def sessions(
    now: int, standings: dict[str, Standing] | Outcome, *, not_before: int = 0, **records: list[int]
) -> Outcome:
    """Evaluate at `now` over sessions of 9 USD each with these records."""
    series = hourly(SESSION, {session: {START: 9.0} for session in records}, records)
    before = standings.standings if isinstance(standings, Outcome) else standings
    return evaluate(SESSION, series.at(now), before, now, UTC_ZONE, not_before=not_before)


def test_a_session_is_judged_while_it_lives() -> None:
    now = START + HOUR

    outcome = sessions(now, {}, live=[now - 30 * MINUTE], over=[START, now - 30 * MINUTE - 1], new=[now - 1])

    assert states(outcome) == {"live": State.FIRING, "new": State.FIRING}


def test_a_session_without_a_record_after_the_first_catch_up_belongs_to_history() -> None:
    now = START + HOUR
    caught_up = now - 10 * MINUTE

    outcome = sessions(now, {}, not_before=caught_up, before=[caught_up - 1], after=[START, caught_up])

    assert states(outcome) == {"after": State.FIRING}


def test_a_session_that_is_over_resolves_and_fires_again_when_it_is_taken_up() -> None:
    records = [START + MINUTE]
    first = sessions(START + 2 * MINUTE, {}, one=records)
    quiet = sessions(START + 31 * MINUTE, first, one=records)
    assert quiet.transitions == ()

    over = sessions(START + 31 * MINUTE + 1, quiet, one=records)
    assert told(over) == [("one", State.RESOLVED, Reason.ENDED)]

    again = sessions(START + 3 * HOUR, over, one=[*records, START + 3 * HOUR - 1])
    assert told(again) == [("one", State.FIRING, Reason.HOLDS)]
    assert again.transitions[0].episode == 2


def test_a_session_that_was_removed_does_not_fire_for_ever() -> None:
    first = sessions(START + 2 * MINUTE, {}, one=[START + MINUTE])

    assert told(sessions(START + 3 * MINUTE, first)) == [("one", State.RESOLVED, Reason.ENDED)]


def test_sessions_may_be_named() -> None:
    named = replace(SESSION, only=("one",))
    now = START + HOUR
    series = hourly(named, {"one": {START: 9.0}, "two": {START: 9.0}}, {"one": [now - 1], "two": [now - 1]})

    assert states(evaluate(named, series.at(now), {}, now, UTC_ZONE)) == {"one": State.FIRING}


def test_by_the_hour_every_session_of_the_hour_is_judged_once() -> None:
    records = {"early": [START + MINUTE], "late": [START + 59 * MINUTE]}
    series = hourly(SESSION, {session: {START: 9.0} for session in records}, records)
    first = evaluate(SESSION, series.at(START + HOUR), {}, START + HOUR, UTC_ZONE, pace=BY_HOUR)
    second = evaluate(SESSION, series.at(START + 2 * HOUR), first.standings, START + 2 * HOUR, UTC_ZONE, pace=BY_HOUR)

    assert states(first) == {"early": State.FIRING, "late": State.FIRING}
    assert {one.reason for one in second.transitions} == {Reason.ENDED}
    assert len(second.transitions) == 2


# ---- data that vanishes ----------------------------------------------------------------------------------------------


def test_a_project_that_was_removed_resolves_after_a_window() -> None:
    budget = rule(scope="project", threshold=5, window="2h")
    outcome = evaluate(budget, hourly(budget, {"/a": {START: 9.0}}).at(START + 1), {}, START + 1, UTC_ZONE)
    for minute in range(1, 122):
        assert states(outcome) == {"/a": State.FIRING}
        now = START + minute * MINUTE
        outcome = evaluate(budget, hourly(budget, {}).at(now), outcome.standings, now, UTC_ZONE)

    assert told(outcome) == [("/a", State.RESOLVED, Reason.NO_DATA)]


def test_a_budget_without_a_reading_ends_with_its_day() -> None:
    budget = rule(scope="project", threshold=5)
    series = hourly(budget, {"/a": {START: 9.0}})
    first = evaluate(budget, series.at(START + 1), {}, START + 1, UTC_ZONE)
    midnight = at("2026-03-03 00:00")

    before = evaluate(budget, series.at(midnight - 1), first.standings, midnight - 1, UTC_ZONE)
    assert before.transitions == ()
    after = evaluate(budget, series.at(midnight), before.standings, midnight, UTC_ZONE)
    assert told(after) == [("/a", State.RESOLVED, Reason.PERIOD)]


def test_a_new_day_is_held_against_the_threshold_and_not_against_clear() -> None:
    """The machine slept over midnight, and the day is within the band when it wakes."""
    budget = rule(threshold=5, clear=2)
    series = hourly(budget, {"": {START: 9.0, START + DAY: 3.0}})
    first = evaluate(budget, series.at(START + 1), {}, START + 1, UTC_ZONE)

    woken = evaluate(budget, series.at(START + DAY + 1), first.standings, START + DAY + 1, UTC_ZONE)

    assert told(woken) == [("", State.RESOLVED, Reason.PERIOD)]


def test_absence_fires_for_who_was_there_and_resolves_when_something_comes() -> None:
    silent = rule(metric="requests", absent=True, window="6h")
    series = hourly(silent, {"": {START: 3.0, START + 20 * HOUR: 1.0}})
    outcome, seen = NOTHING, []
    for hour in range(-3, 24):
        now = START + hour * HOUR + 30 * MINUTE
        outcome = evaluate(silent, series.at(now), outcome.standings, now, UTC_ZONE)
        seen += [(hour, after, reason) for _, after, reason in told(outcome)]

    assert seen == [(7, State.FIRING, Reason.HOLDS), (20, State.RESOLVED, Reason.CLEAR)]


# ---- time ------------------------------------------------------------------------------------------------------------


def test_outside_of_its_schedule_a_rule_stands_still() -> None:
    gauge = Gauge(for_="10m", schedule={"days": "Mon", "hours": "12:00-13:00"})
    gauge.feed(START + 55 * MINUTE, 20)
    gauge.feed(START + 59 * MINUTE, 20)
    pending = gauge.outcome.standings

    for minute in range(60, 600, 5):
        assert gauge.feed(START + minute * MINUTE, 1) == Outcome(standings=pending)

    gauge.feed(START + 7 * DAY, 20)
    assert gauge.state is State.PENDING
    assert gauge.outcome.standings[""].held_ms == 9 * MINUTE  # four seen, and a gap
    gauge.feed(START + 7 * DAY + MINUTE, 20)
    assert gauge.state is State.FIRING


def test_after_a_night_of_sleep_nothing_is_told_that_nobody_saw() -> None:
    gauge = Gauge(for_="15m", keep_firing="10m")
    gauge.feed(START, 20)
    gauge.feed(START + 5 * MINUTE, 20)

    assert gauge.feed(START + DAY, 20).transitions == ()
    assert gauge.state is State.PENDING


def test_a_spike_of_yesterday_is_over_when_the_machine_wakes() -> None:
    spike = rule(threshold=5, window="hourly")
    series = hourly(spike, {"": {START: 9.0, START + DAY: 1.0}})
    first = evaluate(spike, series.at(START + MINUTE), {}, START + MINUTE, UTC_ZONE)
    woken = START + DAY + 2 * MINUTE

    assert told(evaluate(spike, series.at(woken), first.standings, woken, UTC_ZONE)) == [
        ("", State.RESOLVED, Reason.PERIOD)
    ]


def budget_days(budget: Rule, zone_of: str, hours: range) -> list[tuple[int, State]]:
    zone = {"Berlin": BERLIN, "Lord_Howe": LORD_HOWE}[zone_of]
    series = hourly(budget, {"": {at("2026-01-01") + hour * HOUR: 1.0 for hour in range(366 * 24)}})
    seen: list[tuple[int, State]] = []
    outcome = NOTHING
    for hour in hours:
        for half in (0, 30 * MINUTE):
            now = at("2026-01-01") + hour * HOUR + half
            outcome = evaluate(budget, series.at(now), outcome.standings, now, zone)
            seen += [(one.at, one.after) for one in outcome.transitions]
    return seen


def test_a_daily_budget_over_the_change_of_clocks_is_of_23_and_25_hours() -> None:
    """One USD an hour; the bound is reached in the hour after the 22nd."""
    budget = rule(threshold=22)
    spring = budget_days(budget, "Berlin", range((31 + 28 + 26) * 24, (31 + 28 + 30) * 24))

    fired = [now for now, after in spring if after is State.FIRING]
    resolved = [now for now, after in spring if after is State.RESOLVED]
    assert fired == [
        at("2026-03-27 22:30", BERLIN), at("2026-03-28 22:30", BERLIN), at("2026-03-29 23:30", BERLIN),
        at("2026-03-30 22:30", BERLIN),
    ]  # fmt: skip
    assert resolved[:3] == [at(f"2026-03-{day} 00:00", BERLIN) for day in (28, 29, 30)]


def test_a_daily_budget_on_lord_howe_begins_at_midnight_of_its_clocks() -> None:
    autumn = budget_days(rule(threshold=3), "Lord_Howe", range((31 + 28 + 31 + 3) * 24, (31 + 28 + 31 + 6) * 24))
    resolved = [now for now, after in autumn if after is State.RESOLVED]

    assert at("2026-04-05 00:00", LORD_HOWE) in resolved
    assert at("2026-04-06 00:00", LORD_HOWE) in resolved
    assert at("2026-04-06 00:00", LORD_HOWE) - at("2026-04-05 00:00", LORD_HOWE) == DAY + 30 * MINUTE


@pytest.mark.parametrize("jump", [-30 * 365 * DAY, -DAY, DAY, 30 * 365 * DAY])
def test_a_clock_that_jumps_fires_nothing_that_is_pending(jump: int) -> None:
    gauge = Gauge(for_="20m")
    gauge.feed(START, 20)
    gauge.feed(START + 5 * MINUTE, 20)

    gauge.feed(START + jump, 20)

    assert gauge.state is State.PENDING


def test_an_amount_that_comes_late_is_judged_when_it_comes() -> None:
    budget = rule(threshold=5)
    before = evaluate(budget, hourly(budget, {"": {START: 4.0}}).at(START + HOUR), {}, START + HOUR, UTC_ZONE)
    assert before == NOTHING

    late = hourly(budget, {"": {START: 4.0, START - 3 * HOUR: 2.0}})
    assert told(evaluate(budget, late.at(START + HOUR), {}, START + HOUR, UTC_ZONE)) == [
        ("", State.FIRING, Reason.HOLDS)
    ]


def test_two_conditions_of_a_session() -> None:
    runaway = rule(metric="turns", scope="session", threshold=200, and_={"metric": "session_cost", "threshold": 50})
    turns, cost = (condition.operand for condition in runaway.conditions)
    now = START + HOUR
    cells = {
        turns: [Cell("both", START, 300), Cell("long", START, 300), Cell("dear", START, 3)],
        cost: [Cell("both", START, 60), Cell("long", START, 6), Cell("dear", START, 60)],
    }
    records = {session: [now - 1] for session in ("both", "long", "dear")}
    series = HourlySeries(cells, scope=runaway.scope, records=records)

    assert states(evaluate(runaway, series.at(now), {}, now, UTC_ZONE)) == {"both": State.FIRING}
    assert operand(runaway) is turns


def test_what_belongs_to_no_project_is_none() -> None:
    budget = rule(scope="project", threshold=5)

    assert evaluate(budget, hourly(budget, {"": {START: 9.0}}).at(START + 1), {}, START + 1, UTC_ZONE) == NOTHING
