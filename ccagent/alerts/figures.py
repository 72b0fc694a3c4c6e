"""Amounts as people write them: $12.34, 1h 05m, 83 %, 1.5 GB."""

from __future__ import annotations

import math
from typing import Final

from ccagent.alerts.metrics import known

USD: Final = "USD"
SECONDS: Final = "s"
RATIO: Final = "1"
BYTES: Final = "By"
AN_HOUR: Final = "/h"
"""Behind the unit of what is counted an hour."""

_SIZES: Final = ("B", "kB", "MB", "GB", "TB")
_KILO: Final = 1_000
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_CENT: Final = 0.01

NOTHING: Final = "no data"
"""What stands for an amount where there was nothing to read."""


def metric_unit(metric: str) -> str:
    """The unit of a metric by its canonical name: USD, s, By, 1 for a share, else what is counted in braces, or ""."""
    found = known().get(metric)
    unit = "" if found is None else found.unit
    return USD if unit == "{USD}" else unit


def worded(value: float | None, unit: str) -> str:
    """An amount in its unit for people; `NOTHING` for None."""
    if value is None:
        return NOTHING
    if unit.endswith(AN_HOUR):
        return worded(value, unit.removesuffix(AN_HOUR)) + " an hour"
    if math.isnan(value) or math.isinf(value):
        return str(value)
    if value < 0:
        return "-" + worded(-value, unit)
    if unit == USD:
        return f"${value:,.2f}" if value >= _CENT or value == 0 else f"${value:.2g}"
    if unit == SECONDS:
        return _lasting(value)
    if unit == RATIO:
        return f"{_short(100 * value)} %"
    if unit == BYTES:
        return _size(value)
    return _short(value)


def _short(value: float) -> str:
    """At most two digits behind the point, and none where they say nothing."""
    text = f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 1_000 else f"{value:,.0f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text if value == 0 or text != "0" else f"{value:.2g}"


def _lasting(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{_short(seconds)} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR:02d}h"


def _size(count: float) -> str:
    for word in _SIZES:
        if count < _KILO or word == _SIZES[-1]:
            return f"{_short(count)} {word}"
        count /= _KILO
    raise AssertionError("the last size takes everything")
