"""A condition as it is written in a rule's document: what is read, of what time, and when that is too much."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ccagent.alerts import operands
from ccagent.alerts.faults import AlertRuleError, nearest
from ccagent.alerts.metrics import AlertMetric, Shape, known
from ccagent.alerts.operands import finite
from ccagent.alerts.rule import Against, Aggregation, Baseline, Condition, Operand, Operator, Scope, Window
from ccagent.rollups.buckets import DAY_MS, HOUR_MS, Unit
from ccagent.rollups.outlook import BASELINE_DAYS, BASELINE_LEAST

KEYS: Final = (
    *operands.KEYS, "per", "window", "operator", "threshold", "baseline", "absent", "clear", "least", "floor",
)  # fmt: skip
"""Keys of a document that make a condition."""

CALENDAR: Final[Mapping[str, Unit]] = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"}
SESSION: Final = "session"
NOW: Final = "now"
_TRAILING: Final = re.compile(r"([1-9][0-9]{0,3})([hd])")
LONGEST_HOURS: Final = 90 * 24
"""Of a trailing window."""
WINDOWS: Final = (*CALENDAR, '"6h"', '"7d"')

_BASELINE_KEYS: Final = ("kind", "factor", "against", "windows", "least")
_BASELINE_KINDS: Final = ("median", "mad")
_MOST_WINDOWS: Final = 100
_BELOW: Final = (Operator.BELOW, Operator.AT_MOST)
_BOUNDS: Final = ("threshold", "baseline", "absent")
_GROWING: Final = (Aggregation.SUM, Aggregation.COUNT)
"""What only grows within a period."""
_BUCKETED: Final = (Aggregation.MAX, Aggregation.P50, Aggregation.P90, Aggregation.P95, Aggregation.P99)


def parse(document: Mapping[str, Any], scope: Scope) -> Condition:
    """The condition that these keys say, in a rule of this scope. Raises AlertRuleError naming the key at fault."""
    operand, metric = operands.read(document, scope)
    per, other = _per(document.get("per"), scope, metric)
    window = parse_window(document["window"]) if "window" in document else _window(scope, metric)
    _check_window(window, scope, metric, operand.aggregation)
    chosen = [key for key in _BOUNDS if key in document and document[key] is not False]
    if len(chosen) != 1:
        what = "is missing" if not chosen else f"stands beside {chosen[0]}: one of them is the bound"
        raise AlertRuleError(chosen[1] if chosen else "threshold", what, _BOUNDS)
    if chosen == ["absent"]:
        return _absence(document, operand, metric, window)
    operator = operands.operator_of(document.get("operator", Operator.ABOVE))
    threshold = baseline = None
    if "threshold" in document:
        threshold = _number(document, "threshold")
        _check_bucketed(operator, threshold, metric if per is None else None, operand.aggregation)
    else:
        baseline = _baseline(document["baseline"], window)
        _check_past(baseline, window, operator, operand.aggregation if per is None else None, (metric, other))
    condition = Condition(
        operand=operand,
        window=window,
        operator=operator,
        threshold=threshold,
        baseline=baseline,
        clear=_number(document, "clear") if "clear" in document else None,
        per=per,
        least=_positive(document, "least") if "least" in document else None,
        floor=_number(document, "floor") if "floor" in document else None,
    )
    _check_clear(condition)
    return condition


def dump(condition: Condition) -> dict[str, Any]:
    """The keys that `parse` makes this condition of."""
    found = operands.dump(condition.operand)
    if condition.per is not None:
        found["per"] = operands.dump(condition.per)
    found["window"] = condition.window.name
    if condition.absent:
        return found | {"absent": True}
    found["operator"] = str(condition.operator)
    baseline = condition.baseline
    if baseline is not None:
        found["baseline"] = {
            "kind": baseline.kind, "factor": baseline.factor, "against": str(baseline.against),
            "windows": baseline.windows, "least": baseline.least,
        }  # fmt: skip
    amounts = (("threshold", condition.threshold), ("clear", condition.clear), ("least", condition.least))
    return found | {key: value for key, value in (*amounts, ("floor", condition.floor)) if value is not None}


def parse_window(name: object, where: str = "window") -> Window:
    """The window of that name. Raises AlertRuleError for what is none."""
    if isinstance(name, str):
        if name in CALENDAR:
            return Window(name=name, unit=CALENDAR[name])
        if name == SESSION:
            return Window(name=name, session=True)
        if name == NOW:
            return Window(name=name)
        match = _TRAILING.fullmatch(name)
        if match and (hours := int(match[1]) * (24 if match[2] == "d" else 1)) <= LONGEST_HOURS:
            return Window(name=name, trailing_ms=hours * HOUR_MS)
    what = f"is a calendar period to date or a number of hours or days (at most {LONGEST_HOURS // 24}), not {name!r}"
    raise AlertRuleError(where, what, (SESSION, *WINDOWS))


def _window(scope: Scope, metric: AlertMetric) -> Window:
    """What is read where nothing is said: of a gauge the present, of a session all of it, else the day so far."""
    return parse_window(NOW if metric.is_gauge else SESSION if scope is Scope.SESSION else "daily")


def _check_window(window: Window, scope: Scope, metric: AlertMetric, aggregation: Aggregation) -> None:
    if metric.is_gauge != (window.name == NOW):
        if metric.is_gauge:
            raise AlertRuleError("window", f"{metric.name} is a gauge: only its present value is there", (NOW,))
        raise AlertRuleError(
            "window", f"only gauges have a present value, and {metric.name} is none", (SESSION, *WINDOWS)
        )
    if window.session and scope is not Scope.SESSION:
        raise AlertRuleError("window", f"{SESSION} is a window of the scope {SESSION} alone", WINDOWS)
    if window.session and aggregation is Aggregation.RATE:
        right = [one for one in metric.aggregations if one is not Aggregation.RATE]
        raise AlertRuleError("aggregation", "a session has no rate: it may have rested for days", right)


def _per(value: object, scope: Scope, metric: AlertMetric) -> tuple[Operand | None, AlertMetric | None]:
    if value is None:
        return None, None
    document = {"metric": value} if isinstance(value, str) else value
    if not isinstance(document, Mapping):
        raise AlertRuleError("per", f"is a metric or a table, not {value!r}", operands.KEYS)
    for key in document:
        if key not in operands.KEYS:
            raise AlertRuleError(f"per.{key}", "is no key of it", operands.KEYS)
    try:
        operand, other = operands.read(document, scope)
    except AlertRuleError as fault:
        raise fault.within("per") from None
    if other.is_gauge != metric.is_gauge:
        one = metric if metric.is_gauge else other
        raise AlertRuleError("per", f"{one.name} is a gauge and the other none: they are not of the same time")
    return operand, other


def _absence(document: Mapping[str, Any], operand: Operand, metric: AlertMetric, window: Window) -> Condition:
    if document["absent"] is not True:
        raise AlertRuleError("absent", f"is true or false, not {document['absent']!r}")
    for key in ("per", "operator", "clear", "least", "floor"):
        if key in document:
            raise AlertRuleError(key, "says nothing of what is absent")
    if metric.is_gauge:
        right = [one.name for one in known().values() if not one.is_gauge]
        raise AlertRuleError(
            "absent", f"{metric.name} is a gauge, which stands at something", nearest(metric.name, right)
        )
    if window.trailing_ms is None:
        what = f"of absence is a number of hours or days: {window.name!r} has only just begun at times"
        raise AlertRuleError("window", what, WINDOWS[-2:])
    return Condition(operand=operand, window=window, absent=True)


def _number(document: Mapping[str, Any], key: str) -> float:
    value = document[key]
    if not finite(value):
        raise AlertRuleError(key, f"is a number, not {value!r}")
    return float(value)


def _positive(document: Mapping[str, Any], key: str) -> float:
    if (value := _number(document, key)) <= 0:
        raise AlertRuleError(key, f"is more than 0, not {value:g}")
    return value


def _baseline(value: object, window: Window) -> Baseline:
    if not isinstance(value, Mapping):
        raise AlertRuleError("baseline", f"is a table, not {value!r}", _BASELINE_KEYS)
    for key in value:
        if key not in _BASELINE_KEYS:
            raise AlertRuleError(f"baseline.{key}", "is no key of it", _BASELINE_KEYS)
    if "factor" not in value:
        raise AlertRuleError("baseline.factor", "is missing: how many times the usual is too much")
    try:
        found = Baseline(
            kind=_one_of(value, "kind", _BASELINE_KINDS, "median"),
            factor=_positive(value, "factor"),
            against=Against(_one_of(value, "against", tuple(Against), Against.ANY)),
            windows=_whole(value, "windows", BASELINE_DAYS),
            least=_whole(value, "least", BASELINE_LEAST),
        )
    except AlertRuleError as fault:
        raise fault.within("baseline") from None
    if found.least > found.windows:
        raise AlertRuleError("baseline.least", f"is at most the number of windows, {found.windows}")
    _check_against(found.against, window)
    return found


def _one_of(document: Mapping[str, Any], key: str, choices: tuple[str, ...], default: str) -> str:
    value = document.get(key, default)
    if value not in choices:
        raise AlertRuleError(key, f"is none of them: {value!r}", choices)
    return str(value)


def _whole(document: Mapping[str, Any], key: str, default: int) -> int:
    value = document.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_WINDOWS:
        raise AlertRuleError(key, f"is a whole number from 1 to {_MOST_WINDOWS}, not {value!r}")
    return value


def _check_against(against: Against, window: Window) -> None:
    """Windows of the same hour or weekday must not overlap: then one amount would count many times."""
    length = window.trailing_ms or 0
    if against is Against.SAME_HOUR and (window.unit in ("week", "month") or length > DAY_MS):
        raise AlertRuleError("baseline.against", f"{window.name!r} is longer than a day", (Against.ANY,))
    if against is Against.SAME_WEEKDAY and (window.unit == "month" or length > DAY_MS):
        right = (Against.ANY,)
        raise AlertRuleError("baseline.against", f"{window.name!r} does not lie in one day of the week", right)


def _check_past(
    baseline: Baseline,
    window: Window,
    operator: Operator,
    aggregation: Aggregation | None,
    metrics: tuple[AlertMetric, AlertMetric | None],
) -> None:
    for metric in metrics:
        if metric is not None and not metric.has_past:
            what = f"{metric.name} is not made of facts: of its past no windows are kept"
            raise AlertRuleError("baseline", what, ("threshold",))
    if window.session:
        raise AlertRuleError("baseline", "a session has no past windows", ("threshold",))
    if operator in _BELOW and window.unit is not None and aggregation in _GROWING:
        what = f"a {window.name} amount begins at nothing, and would always be below the past's; a trailing window is whole"
        raise AlertRuleError("window", what, WINDOWS[-2:])


def _check_bucketed(operator: Operator, threshold: float, metric: AlertMetric | None, aggregation: Aggregation) -> None:
    """A histogram tells nothing of what lies above its last bound."""
    if metric is None or metric.shape is not Shape.HISTOGRAM or aggregation not in _BUCKETED or operator in _BELOW:
        return
    last = metric.buckets[-1]
    if threshold > last or (operator is Operator.ABOVE and threshold == last):
        below = [f"{bound:g}" for bound in metric.buckets]
        raise AlertRuleError("threshold", f"{aggregation} of {metric.name} is never above {last:g}", below)


def _check_clear(condition: Condition) -> None:
    clear, operator = condition.clear, condition.operator
    if clear is None:
        return
    bound = condition.threshold if condition.baseline is None else condition.baseline.factor
    assert bound is not None
    upwards = operator in _BELOW and not (condition.baseline and condition.baseline.kind == "mad")
    if clear < bound if upwards else clear > bound:
        side = "least" if upwards else "most"
        raise AlertRuleError("clear", f"is at {side} {bound:g} with the operator {operator}, not {clear:g}")
