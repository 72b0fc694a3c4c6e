"""From amounts to findings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from statistics import median, quantiles
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ccagent.alerts.condition import exceeds, judge, quantile, reading, usual
from ccagent.alerts.hours import Cell, HourlySeries
from ccagent.alerts.rule import Baseline, Operand, Operator, Rule
from ccagent.alerts.series import Amount
from ccagent.alerts.states import Finding, Verdict
from ccagent.rollups.outlook import anomaly_ratio
from tests.alerts.making import BERLIN, DAY, HOUR, LORD_HOWE, MINUTE, START, UTC_ZONE, at, hourly, operand_of, rule

NOW = START + 20 * MINUTE
"""20 minutes past noon on a Monday."""


def found(
    of: Rule, hours: dict[int, float], now: int = NOW, *, firing: bool = False, zone: ZoneInfo = UTC_ZONE
) -> Verdict | None:
    """What is said of everything, by amounts of hours counted from START."""
    series = hourly(of, {"": {START + hour * HOUR: value for hour, value in hours.items()}})
    return judge(of, series.at(now), now, zone, firing={""} if firing else ()).get("")


@pytest.mark.parametrize(
    ("operator", "value", "finding"),
    [(">", 5, Finding.CLEAR), (">", 5.01, Finding.MET), (">=", 5, Finding.MET), (">=", 4.99, Finding.CLEAR),
     ("<", 5, Finding.CLEAR), ("<", 4.99, Finding.MET), ("<=", 5, Finding.MET), ("<=", 5.01, Finding.CLEAR)],
)  # fmt: skip
def test_a_threshold_is_held_against_the_reading(operator: str, value: float, finding: Finding) -> None:
    verdict = found(rule(threshold=5, operator=operator), {0: value})

    assert verdict == Verdict(finding=finding, value=value, threshold=5, period=at("2026-03-02 00:00"))


def test_nothing_is_no_zero() -> None:
    assert found(rule(threshold=5), {}) is None
    assert found(rule(threshold=5, operator="<"), {-13: 1.0}) is None  # yesterday's


def test_a_window_holds_what_lies_in_it() -> None:
    hours = {-30: 100.0, -12: 1.0, -6: 2.0, -5: 4.0, -1: 8.0, 0: 16.0}
    values = {
        window: verdict.value
        for window in ("hourly", "daily", "weekly", "monthly", "6h", "1h", "48h")
        if (verdict := found(rule(threshold=5, window=window), hours))
    }

    assert values == {
        "hourly": 16, "1h": 16, "6h": 28, "daily": 31, "weekly": 31, "monthly": 131, "48h": 131,
    }  # fmt: skip


def test_only_calendar_windows_have_a_period() -> None:
    verdict = found(rule(threshold=5, window="6h"), {0: 1})

    assert verdict is not None
    assert verdict.period is None


def test_a_rate_is_by_hours_passed_and_at_least_one() -> None:
    rate = rule(threshold=5, aggregation="rate")

    assert found(rate, {0: 3.7, -3: 3.7}).value == pytest.approx(7.4 / (12 + 1 / 3))  # type: ignore[union-attr]
    midnight = at("2026-03-02 00:01")
    assert found(rate, {-12: 3.0}, midnight).value == 3.0  # type: ignore[union-attr]


def test_while_it_fires_the_bound_is_the_one_to_clear() -> None:
    banded = rule(threshold=10, clear=5)

    for value, idle, firing in ((11, "met", "met"), (10, "clear", "met"), (5.1, "clear", "met"), (5, "clear", "clear")):
        assert found(banded, {0: value}).finding == idle  # type: ignore[union-attr]
        assert found(banded, {0: value}, firing=True).finding == firing  # type: ignore[union-attr]


def test_below_the_floor_it_is_clear() -> None:
    floored = rule(threshold=1, floor=5, clear=0.5)

    assert found(floored, {0: 4}).finding is Finding.CLEAR  # type: ignore[union-attr]
    assert found(floored, {0: 5}).finding is Finding.MET  # type: ignore[union-attr]
    assert found(floored, {0: 4}, firing=True).finding is Finding.MET  # type: ignore[union-attr]
    assert found(rule(threshold=1, floor=5), {0: 4}, firing=True).finding is Finding.CLEAR  # type: ignore[union-attr]


# ---- shares ----------------------------------------------------------------------------------------------------------


def share(of: Rule, above: Amount | None, below: Amount | None) -> Verdict | None:
    condition = of.conditions[0]
    assert condition.per is not None
    cells = {
        operand: [Cell("", START, amount.value, amount.count)] if amount else []
        for operand, amount in ((condition.operand, above), (condition.per, below))
    }
    return judge(of, HourlySeries(cells).at(NOW), NOW, UTC_ZONE).get("")


ERRORS = {"metric": "errors", "per": "ccagent.requests", "threshold": 0.1, "least": 10}


@pytest.mark.parametrize(
    ("above", "below", "value", "finding"),
    [
        (Amount(2, 2), Amount(10, 10), 0.2, Finding.MET),
        (Amount(1, 1), Amount(10, 10), 0.1, Finding.CLEAR),
        (None, Amount(10, 10), 0.0, Finding.CLEAR),  # no error of ten requests is a share of none
        (Amount(2, 2), Amount(9, 9), None, Finding.UNKNOWN),  # too few to say
        (Amount(2, 2), None, None, Finding.UNKNOWN),
    ],
)
def test_a_share_is_of_what_there_was(
    above: Amount | None, below: Amount | None, value: float | None, finding: Finding
) -> None:
    verdict = share(rule(**ERRORS), above, below)

    assert verdict is not None
    assert (verdict.finding, verdict.value) == (finding, value)


def test_a_share_of_nothing_is_not_asked() -> None:
    assert share(rule(**ERRORS), None, None) is None
    zero = share(rule(metric="errors", per="ccagent.requests", threshold=0.1), Amount(1, 1), Amount(0, 1))
    assert zero is not None
    assert zero.finding is Finding.UNKNOWN


def test_a_mean_that_is_missing_is_no_zero_in_a_quotient() -> None:
    slow = rule(metric="tool_success_rate", aggregation="mean", per="turns", threshold=1)
    verdict = share(slow, None, Amount(3, 3))

    assert verdict is not None
    assert verdict.finding is Finding.UNKNOWN


def test_below_least_observations_a_mean_says_nothing() -> None:
    low = rule(metric="tool_success_rate", operator="<", threshold=0.7, least=20)
    cells = {
        Operand(metric="tool_success_rate", aggregation=low.conditions[0].operand.aggregation): [Cell("", START, 9, 19)]
    }

    assert judge(low, HourlySeries(cells).at(NOW), NOW, UTC_ZONE)[""].finding is Finding.UNKNOWN
    cells = {low.conditions[0].operand: [Cell("", START, 9, 20)]}
    assert judge(low, HourlySeries(cells).at(NOW), NOW, UTC_ZONE)[""].finding is Finding.MET


# ---- two conditions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turns", "cost", "finding"),
    [(250, 60, Finding.MET), (250, 40, Finding.CLEAR), (150, 60, Finding.CLEAR), (250, None, Finding.UNKNOWN),
     (150, None, Finding.CLEAR), (None, 40, Finding.CLEAR), (None, 60, Finding.UNKNOWN)],
)  # fmt: skip
def test_two_conditions_are_met_together(turns: float | None, cost: float | None, finding: Finding) -> None:
    runaway = rule(metric="turns", threshold=200, and_={"metric": "session_cost", "threshold": 50})
    cells = {
        condition.operand: [] if value is None else [Cell("", START, value)]
        for condition, value in zip(runaway.conditions, (turns, cost), strict=True)
    }
    verdict = judge(runaway, HourlySeries(cells).at(NOW), NOW, UTC_ZONE)[""]

    assert (verdict.finding, verdict.value) == (finding, turns)


# ---- baselines -------------------------------------------------------------------------------------------------------


def spiking(**keys: Any) -> Rule:
    return rule(window="daily", **{"baseline": {"factor": 3, "least": 3}, **keys})


def days(*amounts: float) -> dict[int, float]:
    """Amounts of the days before today at noon, the latest first, with one of today."""
    return {-24 * number: amount for number, amount in enumerate(amounts)}


def test_a_baseline_is_a_multiple_of_the_median() -> None:
    verdict = found(spiking(), days(6.1, 1, 2, 3))

    assert verdict == Verdict(finding=Finding.MET, value=6.1, threshold=6, period=at("2026-03-02 00:00"))
    assert found(spiking(), days(6, 1, 2, 3)).finding is Finding.CLEAR  # type: ignore[union-attr]


def test_with_too_few_windows_there_is_no_baseline() -> None:
    verdict = found(spiking(), days(100, 1, 2))

    assert verdict is not None
    assert (verdict.finding, verdict.value, verdict.threshold) == (Finding.UNKNOWN, 100, None)


def test_days_without_work_do_not_count() -> None:
    assert found(spiking(), {0: 6.1, -24: 1, -240: 2, -480: 3}).threshold == 6  # type: ignore[union-attr]


def test_only_the_latest_windows_count() -> None:
    latest = spiking(baseline={"factor": 3, "least": 3, "windows": 3})

    assert found(latest, days(10, 1, 1, 1, 100, 100, 100)).threshold == 3  # type: ignore[union-attr]


def test_a_baseline_of_cents_is_none() -> None:
    assert found(spiking(floor=5), days(4, 0.1, 0.1, 0.1)).finding is Finding.CLEAR  # type: ignore[union-attr]
    assert found(spiking(floor=5), days(5, 0.1, 0.1, 0.1)).finding is Finding.MET  # type: ignore[union-attr]


def test_with_a_baseline_clear_is_a_factor() -> None:
    banded = spiking(clear=2)

    assert found(banded, days(5, 2, 2, 2)).finding is Finding.CLEAR  # type: ignore[union-attr]
    assert found(banded, days(5, 2, 2, 2), firing=True).finding is Finding.MET  # type: ignore[union-attr]
    assert found(banded, days(4, 2, 2, 2), firing=True).finding is Finding.CLEAR  # type: ignore[union-attr]


def test_what_fires_is_held_by_clear_below_the_floor_too() -> None:
    banded = spiking(clear=2, floor=5)

    assert found(banded, days(4.9, 2, 2, 2)).finding is Finding.CLEAR  # type: ignore[union-attr]
    assert found(banded, days(4.9, 2, 2, 2), firing=True).finding is Finding.MET  # type: ignore[union-attr]


def test_the_same_weekday_is_held_against_its_like() -> None:
    weekly = {-168: 1.0, -336: 2.0, -504: 3.0}
    mondays = spiking(baseline={"factor": 3, "least": 3, "against": "same_weekday"})

    assert found(mondays, {0: 6.1, -24: 500, -48: 500, -72: 500, **weekly}).finding is Finding.MET  # type: ignore[union-attr]


@given(st.lists(st.integers(1, 10**7), min_size=7, max_size=40), st.integers(1, 10**8))
def test_the_spread_is_that_of_the_anomaly_gauge(before: list[int], today: int) -> None:
    ratio = anomaly_ratio(before, today)
    bound = usual(Baseline(kind="mad", factor=3), [float(cost) for cost in reversed(before)], Operator.ABOVE, 3)

    assert ratio is not None
    assert bound is not None
    assert today / bound == pytest.approx(ratio)


def test_below_a_spread_is_below_the_median() -> None:
    baseline = Baseline(kind="mad", factor=2, least=3)

    assert usual(baseline, [10, 10, 10], Operator.BELOW, 2) == 8
    assert usual(baseline, [10, 10, 10], Operator.ABOVE, 2) == 12


# ---- absence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "finding"),
    [
        ({-7: 1.0}, Finding.MET),
        ({-6: 1.0}, Finding.CLEAR),  # less than six whole hours ago
        ({-30: 1.0, 0: 1.0}, Finding.CLEAR),
        ({0: 1.0}, Finding.CLEAR),
        ({-30: 1.0, -1: 0.0}, Finding.MET),  # a counter that stood still
        ({-1: 0.0}, Finding.UNKNOWN),  # … since it was first seen, which is less than the window ago
    ],
)
def test_absence_is_judged_of_what_was_there_before(hours: dict[int, float], finding: Finding) -> None:
    verdict = found(rule(absent=True, window="6h"), hours)

    assert verdict is not None
    assert verdict.finding is finding


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ({"operator": "<"}, 7.0),  # at least six hours
        ({"operator": "<=", "aggregation": "rate"}, 3.0 / (5 + 1 / 3)),
        ({"operator": ">"}, 3.0),
    ],
)
def test_too_little_is_not_said_of_less_than_the_window(keys: dict[str, str], value: float) -> None:
    verdict = found(rule(threshold=5, window="6h", **keys), {-7: 8.0, -6: 4.0, -5: 2.0, 0: 1.0})

    assert verdict is not None
    assert verdict.value == pytest.approx(value)


def test_the_past_of_too_little_lies_before_its_whole_window() -> None:
    """A window of at least two hours, from ten on; those before it begin at eight, six and four."""
    low = rule(operator="<", window="2h", baseline={"factor": 0.5, "least": 3})
    verdict = found(low, {0: 1.0, -2: 1.5, -3: 10.0, -5: 10.0, -7: 10.0})

    assert verdict is not None
    assert (verdict.value, verdict.threshold, verdict.finding) == (2.5, 5, Finding.MET)


def test_what_never_was_is_not_absent() -> None:
    assert found(rule(absent=True, window="6h"), {}) is None


# ---- histograms ------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 9), min_size=4, max_size=4), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_its_rank(counts: list[int], part: float) -> None:
    bounds = (1.0, 2.0, 4.0)
    value = quantile(counts, bounds, part)
    if not sum(counts):
        assert value is None
        return
    observed = sorted(
        bound for bound, count in zip((*bounds, 9.0), counts, strict=True) for _ in range(count)
    )  # fmt: skip
    rank = part * len(observed)
    upper = observed[max(0, -(-int(rank * 1_000) // 1_000) - 1)]
    assert value is not None
    assert value <= upper
    assert value >= {1.0: 0.0, 2.0: 1.0, 4.0: 2.0, 9.0: 4.0}[upper]


def test_a_quantile_is_even_within_its_bucket() -> None:
    values = [n / 100 for n in range(1, 101)]

    assert quantile([100, 0], [1.0], 0.95) == pytest.approx(quantiles(values, n=100)[94], abs=0.02)


@pytest.mark.parametrize(
    ("text", "value"),
    [("max(context.utilization_ratio)", 0.9), ("count(context.utilization_ratio)", 4), ("sum(context.utilization_ratio)", 2.2),
     ("mean(context.utilization_ratio)", 0.55), ("p50(context.utilization_ratio)", 0.4)],
)  # fmt: skip
def test_a_histogram_is_aggregated(text: str, value: float) -> None:
    amount = Amount(2.2, 4, (0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0))

    assert reading(operand_of(text), amount, (0, HOUR)) == pytest.approx(value)


def test_what_lies_above_all_bounds_is_read_as_the_last() -> None:
    above = Amount(9.0, 1, (0,) * 10 + (1,))

    assert reading(operand_of("max(context.utilization_ratio)"), above, (0, HOUR)) == 1.0
    assert reading(operand_of("p95(context.utilization_ratio)"), above, (0, HOUR)) == 1.0


def test_what_is_no_number_is_nothing() -> None:
    assert reading(operand_of("ingest.lag"), Amount(float("inf"), 1), (0, HOUR)) is None
    assert reading(operand_of("mean(tool.duration)"), Amount(0.0, 0), (0, HOUR)) is None
    assert reading(operand_of("p95(tool.duration)"), Amount(0.0, 0, ()), (0, HOUR)) is None


# ---- against amounts added up by hand --------------------------------------------------------------------------------

ORIGIN = at("2026-03-20 00:00")
"""Nine days before clocks change in Berlin."""


def local(zone: ZoneInfo, instant: int) -> datetime:
    return datetime.fromtimestamp(instant / 1_000, UTC).astimezone(zone)


def naive_day(zone: ZoneInfo, instant: int) -> date:
    return local(zone, instant).date()


def naive_sum(hours: dict[int, float], holds: Callable[[int], bool]) -> float | None:
    values = [value for hour, value in hours.items() if holds(hour)]
    return round(sum(values), 6) if values else None


@given(
    st.dictionaries(st.integers(0, 20 * 24), st.integers(0, 1_000).map(lambda cents: cents / 100), max_size=60),
    st.integers(12 * 24 * 60, 20 * 24 * 60),
    st.sampled_from([BERLIN, UTC_ZONE]),
    st.sampled_from(["daily", "weekly", "24h"]),
    st.sampled_from(list(Operator)),
    st.integers(0, 2_000).map(lambda cents: cents / 100),
    st.booleans(),
)
def test_a_threshold_says_what_raw_amounts_say(
    raw: dict[int, float], minute: int, zone: ZoneInfo, window: str, operator: Operator, bound: float, firing: bool
) -> None:
    now = ORIGIN + minute * MINUTE
    hours = {ORIGIN + hour * HOUR: value for hour, value in raw.items()}
    today = naive_day(zone, now)

    def holds(hour: int) -> bool:
        if hour >= now:
            return False
        if window == "daily":
            return naive_day(zone, hour) == today
        if window == "weekly":
            return naive_day(zone, hour).isocalendar()[:2] == today.isocalendar()[:2]
        # too little is said of a day at least
        return hour > now - DAY - (HOUR if operator in (Operator.BELOW, Operator.AT_MOST) else 0)

    expected = naive_sum(hours, holds)
    clear = bound / 2 if operator in (Operator.ABOVE, Operator.AT_LEAST) else bound * 2
    of = rule(window=window, operator=str(operator), threshold=bound, clear=clear)
    verdict = judge(of, hourly(of, {"": hours}).at(now), now, zone, firing={""} if firing else ()).get("")

    if expected is None:
        assert verdict is None
    else:
        assert verdict is not None
        assert verdict.value == expected
        beyond = exceeds(expected, operator, clear if firing else bound)
        assert verdict.finding is (Finding.MET if beyond else Finding.CLEAR)


@given(
    st.dictionaries(st.integers(0, 30 * 24), st.integers(1, 1_000).map(lambda cents: cents / 100), max_size=120),
    st.integers(20 * 24 * 60, 30 * 24 * 60),
    st.sampled_from([BERLIN, UTC_ZONE, LORD_HOWE]),
    st.integers(1, 6),
    st.integers(1, 8),
)
def test_a_daily_baseline_is_the_median_of_the_days_before(
    raw: dict[int, float], minute: int, zone: ZoneInfo, least: int, windows: int
) -> None:
    assume(least <= windows)
    now = ORIGIN + minute * MINUTE
    # Amounts stand at the middle of whole UTC hours, which are no starts of hours on Lord Howe: only their days matter.
    hours = {ORIGIN + hour * HOUR: value for hour, value in raw.items()}
    sums: dict[date, float] = {}
    for hour, value in hours.items():
        if hour < now:
            sums[naive_day(zone, hour)] = round(sums.get(naive_day(zone, hour), 0) + value, 6)
    today = sums.pop(naive_day(zone, now), None)
    reach = [day for day in sorted(sums, reverse=True) if (naive_day(zone, now) - day).days <= 3 * windows]
    past = [sums[day] for day in reach][:windows]
    of = rule(window="daily", baseline={"factor": 2, "least": least, "windows": windows})

    verdict = judge(of, hourly(of, {"": hours}).at(now), now, zone).get("")

    if today is None:
        assert verdict is None
        return
    assert verdict is not None
    if len(past) < least:
        assert (verdict.finding, verdict.threshold) == (Finding.UNKNOWN, None)
    else:
        assert verdict.threshold == pytest.approx(2 * median(past))
        assert verdict.finding is (Finding.MET if today > 2 * median(past) else Finding.CLEAR)
