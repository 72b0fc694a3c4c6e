"""Amounts hour by hour in a compact notation: `0x5 3 3 8 _ 12`.

3          an amount                      _       nothing (which is not 0)
3x5        five times the same            _x4     four times nothing
2+3x4      2 5 8 11                       9-3x3   9 6 3
18/20      a sum and what it was made of: 18 of 20 calls, 600 seconds of one session
0.9*3,0.2  observations of a histogram: three of 0.9 and one of 0.2
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.metrics import AlertMetric, Shape

MOST: Final = 20_000
"""Amounts of one series at most: more than two years of hours."""

_NUMBER: Final = r"-?(?:\d+(?:\.\d*)?|\.\d+)"
_TOKEN: Final = re.compile(rf"(?P<amount>_|[^_x+]+?)(?:(?P<step>[+-]{_NUMBER}))?(?:x(?P<times>\d+))?")
_PLAIN: Final = re.compile(_NUMBER)
_OF: Final = re.compile(rf"({_NUMBER})/({_NUMBER})")
_OBSERVED: Final = re.compile(rf"({_NUMBER})(?:\*(\d+))?")
FORMS: Final = ('"0x5 3 3 8 _ 12"', '"2+3x4"', '"18/20"', '"0.9*3,0.2"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One amount: the sum, the number of things it was made of, and of a histogram the counts by bucket."""

    value: float
    count: float = 1
    buckets: tuple[int, ...] = ()


def read_amounts(text: str, metric: AlertMetric, where: str = "values") -> list[Written | None]:
    """The amounts of a metric, None for nothing. Raises AlertRuleError, with what is right, for what cannot be read."""
    found: list[Written | None] = []
    for token in text.split():
        found += _token(token, metric, where)
        if len(found) > MOST:
            raise AlertRuleError(where, f"holds more than {MOST} amounts")
    if not found:
        raise AlertRuleError(where, "holds no amount", FORMS)
    return found


def _token(token: str, metric: AlertMetric, where: str) -> Iterator[Written | None]:
    match = _TOKEN.fullmatch(token)
    times = 0 if match is None else int(match["times"] or 1)
    if match is None or not 1 <= times <= MOST:
        raise AlertRuleError(where, f"{token!r} is no amount", FORMS)
    if match["amount"] == "_":
        if match["step"]:
            raise AlertRuleError(where, f"{token!r}: nothing does not grow", FORMS)
        yield from [None] * times
        return
    if match["step"]:
        if not match["times"] or not _PLAIN.fullmatch(match["amount"]):
            raise AlertRuleError(where, f"{token!r} is no row of amounts", ('"2+3x4"', '"9-3x3"'))
        for number in range(times):
            yield _amount(repr(round(float(match["amount"]) + number * float(match["step"]), 9)), metric, where)
        return
    yield from [_amount(match["amount"], metric, where)] * times


def _amount(text: str, metric: AlertMetric, where: str) -> Written:
    if metric.shape is Shape.HISTOGRAM:
        return _observations(text, metric, where)
    if (of := _OF.fullmatch(text)) is not None:
        if float(of[2]) < 0:
            raise AlertRuleError(where, f"{text!r} is made of less than nothing")
        return Written(value=float(of[1]), count=float(of[2]))
    if metric.shape is Shape.MEAN and metric.unit == "1":
        raise AlertRuleError(
            where, f"{metric.name} is a share: {text!r} says no number of things", ('"18/20"', '"7/10x3"')
        )
    if not _PLAIN.fullmatch(text):
        raise AlertRuleError(where, f"{text!r} is no amount of {metric.name}", FORMS[:3])
    return Written(value=float(text))


def _observations(text: str, metric: AlertMetric, where: str) -> Written:
    value, counts = 0.0, [0] * (len(metric.buckets) + 1)
    for part in text.split(","):
        match = _OBSERVED.fullmatch(part)
        if match is None:
            raise AlertRuleError(where, f"{part!r} is no observation of {metric.name}", FORMS[3:])
        observed, times = float(match[1]), int(match[2] or 1)
        counts[bisect_left(metric.buckets, observed)] += times
        value += observed * times
    return Written(value=value, count=sum(counts), buckets=tuple(counts))
