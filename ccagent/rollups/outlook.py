"""What daily costs tell of the days to come, and of a day that is out of the ordinary. Amounts in micro-dollars."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

FORECAST_DAYS: Final = 7
"""Whole days that a forecast's line goes through: a week holds each day of the week once."""
FORECAST_LEAST: Final = 3
"""Through two days any line fits."""

BASELINE_DAYS: Final = 28
"""Days with work that say what is usual."""
BASELINE_LEAST: Final = 7
"""With fewer the median says little."""

DEVIATIONS: Final = 3.0
"""How far above the median is still usual, in standard deviations."""
NORMAL_MAD: Final = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation."""
SPREAD_FLOOR: Final = 0.1
"""Least spread, as a share of the median: where days hardly differ, a little more is no anomaly."""


def month_forecast(before: Sequence[int], spent: int, today: int, days_left: int) -> float | None:
    """What a month will have cost: `spent` on its days before today, then today and the `days_left` after it.

    `before`: the costs of the whole days before today, the oldest first, days without cost as 0; the last
    FORECAST_DAYS of them count. None below FORECAST_LEAST. Today counts with the line's value, or with what it has cost
    already where that is more.

    Rule: least squares through these days, no day below zero. Reason: a day's cost times the days of a month follows
    whatever the last day was. Not seen: weekends, beyond being one of the seven days.
    """
    days = before[-FORECAST_DAYS:]
    number = len(days)
    if number < FORECAST_LEAST:
        return None
    middle, mean = (number - 1) / 2, sum(days) / number
    slope = sum((place - middle) * (cost - mean) for place, cost in enumerate(days)) / sum(
        (place - middle) ** 2 for place in range(number)
    )
    coming = [max(0.0, mean + slope * (number + place - middle)) for place in range(days_left + 1)]
    return spent + max(float(today), coming[0]) + sum(coming[1:])


def anomaly_ratio(before: Sequence[int], today: int) -> float | None:
    """Cost of today as a share of the most that is usual; above 1 is out of the ordinary.

    `before`: costs of the days before today, the oldest first; those without cost count for nothing, and of the rest
    the last BASELINE_DAYS. None below BASELINE_LEAST of them.

    Rule: the most that is usual is the median and DEVIATIONS of the spread, which is the median absolute deviation,
    at least SPREAD_FLOOR of the median. Reason: one wild day must neither hide the next one nor make it usual. Not
    seen: a day that is unusually cheap, and a level that rises slowly.
    """
    active = [cost for cost in before if cost > 0][-BASELINE_DAYS:]
    if len(active) < BASELINE_LEAST:
        return None
    usual = median(active)
    spread = max(NORMAL_MAD * median(abs(cost - usual) for cost in active), SPREAD_FLOOR * usual)
    return today / (usual + DEVIATIONS * spread)
