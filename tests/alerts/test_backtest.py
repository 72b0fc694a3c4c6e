"""What a rule would have done: the evaluation turned over hours of the past."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.alerts.backtest import Backtest, needs, operands_of, pastless, run, what_if
from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.hours import Cell, HourlySeries
from ccagent.alerts.parsing import parse
from ccagent.alerts.rule import Rule
from ccagent.alerts.series import BEGINNING
from ccagent.alerts.states import Reason, State
from ccagent.rollups.buckets import DAY_MS, HOUR_MS

UTC = ZoneInfo("UTC")
MONDAY = 1_772_409_600_000
"""2026-03-02T00:00 UTC."""


def rule(**keys: Any) -> Rule:
    document = {"id": "r", "metric": "session_cost", "window": "daily", "operator": ">", "threshold": 10} | keys
    return parse({key: value for key, value in document.items() if value is not None})


def tried(one: Rule, amounts: dict[str, list[float | None]], hours: int | None = None, **keys: Any) -> Backtest:
    """The rule over hours from Monday on; `amounts` by subject."""
    cells = [
        Cell(subject=subject, hour=MONDAY + place * HOUR_MS, value=amount)
        for subject, row in amounts.items()
        for place, amount in enumerate(row)
        if amount is not None
    ]
    records = {
        subject: [MONDAY + place * HOUR_MS for place, amount in enumerate(row) if amount is not None]
        for subject, row in amounts.items()
    }
    series = HourlySeries(dict.fromkeys(operands_of(one), cells), scope=one.scope, records=records)
    until = MONDAY + (hours or max(map(len, amounts.values()))) * HOUR_MS
    return run(one, series, since=MONDAY, until=until, zone=UTC, **keys)


def test_it_fires_in_the_hour_in_which_the_threshold_was_passed_and_ends_with_the_day() -> None:
    done = tried(rule(), {"": [4, 4, 4, 4]}, hours=30)

    (firing,) = done.firings
    assert firing.fired_at == MONDAY + 3 * HOUR_MS - 1
    assert (firing.value, firing.worst, firing.threshold) == (12, 16, 10)
    assert (firing.ended_at, firing.reason) == (MONDAY + 25 * HOUR_MS - 1, Reason.PERIOD)
    assert (done.hours, done.read, done.subjects) == (30, 24, 1)


def test_what_still_fires_at_the_end_has_no_end() -> None:
    (firing,) = tried(rule(), {"": [12]}).firings

    assert (firing.ended_at, firing.reason) == (None, None)


def test_nothing_of_what_came_later_is_known() -> None:
    late = tried(rule(), {"": [None] * 5 + [50]})

    assert [point.value for point in late.points] == [None] * 5 + [50]
    assert [one.at for one in late.transitions] == [MONDAY + 6 * HOUR_MS - 1]


def test_points_show_the_subject_that_was_nearest() -> None:
    amounts = {"a": [1.0, 2.0], "b": [3.0, 1.0]}

    above = tried(rule(scope="project"), amounts)
    below = tried(rule(scope="project", operator="<", threshold=0.5), amounts)

    assert [point.value for point in above.points] == [3, 4]
    assert [point.value for point in below.points] == [1, 3]
    assert {point.threshold for point in above.points} == {10}


def test_sessions_are_judged_in_hours_in_which_they_had_a_record() -> None:
    one = rule(scope="session", window="session", cooldown="7d")

    done = tried(one, {"s": [6, 6, None, None, 1], "t": [1, 1, 1, 1, 1]})

    assert [(firing.subject, firing.reason) for firing in done.firings] == [("s", Reason.ENDED)]
    assert [one.after for one in done.transitions][:2] == [State.FIRING, State.RESOLVED]


def test_another_threshold_may_be_tried() -> None:
    spike = rule(threshold=None, baseline={"kind": "median", "factor": 3}, clear=2)
    steeper = what_if(spike, 5)

    assert what_if(rule(clear=8), 20).conditions[0].threshold == 20
    assert what_if(rule(clear=8), 20).conditions[0].clear is None
    assert steeper.conditions[0].baseline is not None
    assert steeper.conditions[0].baseline.factor == 5
    with pytest.raises(AlertRuleError, match="absence"):
        what_if(rule(threshold=None, operator=None, absent=True, window="24h"), 3)


def test_a_rule_about_ccagent_itself_has_no_past() -> None:
    lag = parse({"id": "r", "metric": "ingest.lag", "operator": ">", "threshold": 300})

    assert pastless(lag) == "ingest.lag"
    assert pastless(rule()) is None
    with pytest.raises(AlertRuleError, match="not kept"):
        run(lag, HourlySeries({}), since=MONDAY, until=MONDAY + DAY_MS, zone=UTC)


def test_amounts_are_needed_from_the_beginning_of_the_window_or_of_its_past_on() -> None:
    assert needs(rule(), MONDAY + 5 * HOUR_MS, UTC) == MONDAY
    assert needs(rule(window="7d"), MONDAY, UTC) == MONDAY - 7 * DAY_MS + HOUR_MS
    assert needs(rule(threshold=None, baseline={"kind": "mad", "factor": 3}), MONDAY, UTC) <= MONDAY - 28 * DAY_MS
    assert needs(rule(scope="session", window="session"), MONDAY, UTC) == BEGINNING


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []

    tried(rule(), {"": [1]}, hours=250, progress=lambda done, whole: told.append((done, whole)))

    assert told == [(0, 250), (100, 250), (200, 250)]


@given(st.lists(st.one_of(st.none(), st.integers(0, 8)), min_size=1, max_size=80), st.integers(1, 40))
def test_a_daily_threshold_fires_once_on_each_day_that_passes_it(row: list[int | None], threshold: int) -> None:
    done = tried(rule(threshold=threshold), {"": list(row)})

    days = [row[start : start + 24] for start in range(0, len(row), 24)]
    passed = [sum(amount or 0 for amount in day) > threshold for day in days]
    assert len({(firing.fired_at - MONDAY) // DAY_MS for firing in done.firings}) == len(done.firings)
    fired = {(firing.fired_at - MONDAY) // DAY_MS for firing in done.firings}
    # A day whose first hour passes it goes on firing from the day before.
    assert fired <= {place for place, over in enumerate(passed) if over}
    assert bool(fired) is any(passed)
