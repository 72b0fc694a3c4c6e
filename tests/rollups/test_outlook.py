"""What daily costs tell of the days to come, and of a day that is out of the ordinary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.rollups.outlook import anomaly_ratio, month_forecast

COSTS = st.lists(st.integers(0, 10**12), max_size=60)


@pytest.mark.parametrize("days", [[], [5], [5, 7]])
def test_two_days_are_no_forecast(days: list[int]) -> None:
    assert month_forecast(days, 0, 0, 10) is None


def test_a_month_of_equal_days_costs_as_many_of_them() -> None:
    assert month_forecast([10] * 7, 70, 10, 22) == pytest.approx(300)


def test_a_trend_is_followed() -> None:
    assert month_forecast([1, 2, 3, 4, 5, 6, 7], 28, 0, 2) == pytest.approx(28 + 8 + 9 + 10)


def test_only_the_last_seven_days_count() -> None:
    assert month_forecast([10**9] * 30 + [10] * 7, 0, 0, 0) == pytest.approx(10)


def test_no_day_costs_less_than_nothing() -> None:
    assert month_forecast([70, 60, 50, 40, 30, 20, 10], 280, 0, 10) == pytest.approx(280)


def test_today_counts_with_what_it_has_cost_where_that_is_more() -> None:
    assert month_forecast([10, 10, 10], 30, 500, 0) == pytest.approx(530)


@given(COSTS, st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 30))
def test_a_forecast_is_never_below_what_was_spent(days: list[int], spent: int, today: int, left: int) -> None:
    found = month_forecast(days, spent, today, left)

    assert found is None or found >= spent + today


def test_six_days_with_work_say_nothing_of_what_is_usual() -> None:
    assert anomaly_ratio([10, 0, 10, 10, 0, 10, 10, 0, 10], 50) is None


def test_a_usual_day_is_below_one_and_a_wild_one_above() -> None:
    days = [100, 120, 90, 110, 100, 95, 105, 130]

    usual, wild = anomaly_ratio(days, 110), anomaly_ratio(days, 1_000)

    assert usual is not None
    assert usual < 1
    assert wild is not None
    assert wild > 5


def test_one_wild_day_does_not_hide_the_next() -> None:
    calm = [100, 120, 90, 110, 100, 95, 105, 130]

    before, after = anomaly_ratio(calm, 1_000), anomaly_ratio([*calm, 100_000], 1_000)

    assert before is not None
    assert after is not None
    assert after > before / 2


def test_where_days_hardly_differ_a_little_more_is_nothing() -> None:
    found = anomaly_ratio([100] * 28, 120)

    assert found is not None
    assert found < 1


def test_days_without_work_are_not_usual_days() -> None:
    assert anomaly_ratio([100, 0, 0, 0] * 10, 100) == anomaly_ratio([100] * 10, 100)


def test_only_the_last_days_with_work_count() -> None:
    assert anomaly_ratio([10**9] * 40 + [100] * 28, 100) == anomaly_ratio([100] * 28, 100)


@given(COSTS, st.integers(0, 10**12))
def test_more_cost_is_a_higher_ratio(days: list[int], today: int) -> None:
    less, more = anomaly_ratio(days, today), anomaly_ratio(days, today + 1_000)

    assert (less is None) == (more is None)
    assert less is None or more is None or 0 <= less < more
