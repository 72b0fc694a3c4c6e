"""What a rule reads, as it is written: in a document as keys, on a command line as `p95(tool.duration{tool=Bash|Read})`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from ccagent.alerts.faults import AlertRuleError, nearest
from ccagent.alerts.metrics import AlertMetric, resolve
from ccagent.alerts.rule import Aggregation, Operand, Operator, Scope

KEYS: Final = ("metric", "where", "aggregation")
"""Keys of a document that make an operand."""

VALUE_LENGTH: Final = 1_024
"""Characters of a value in `where`: a project's path."""
LARGEST: Final = 1e300
"""Of a number: JSON has whole ones that no amount can be held against."""
_LISTED: Final = 40
"""A closed list of more values is not shown whole."""

_VALUE: Final = r'(?:"(?:[^"\\]|\\.)*"|[^\s,|{}"()/<>=]+)'
_LABEL: Final = rf"[a-z_]+\s*=\s*{_VALUE}(?:\s*\|\s*{_VALUE})*"


def _operand(number: str = "") -> str:
    """The form of an operand, its groups named with `number` behind."""
    return (
        rf"(?:(?P<aggregation{number}>[a-z0-9]+)\s*\(\s*)?(?P<metric{number}>[A-Za-z_][A-Za-z0-9_.]*)"
        rf"(?:\s*\{{\s*(?P<where{number}>{_LABEL}(?:\s*,\s*{_LABEL})*)?\s*,?\s*\}})?(?P<close{number}>\s*\))?"
    )


_EXPRESSION: Final = re.compile(
    rf"\s*{_operand()}(?:\s*/\s*{_operand('2')})?\s*(?:(?P<operator>>=|<=|>|<)\s*(?P<number>[-+0-9.eE_]+)\s*)?"
)
_PAIR: Final = re.compile(rf"([a-z_]+)\s*=\s*({_VALUE}(?:\s*\|\s*{_VALUE})*)")
_ITEM: Final = re.compile(_VALUE)
_FORM: Final = ("session_cost", "tool.failures{tool=Bash|Read}", "p95(tool.duration)", "errors / requests")


def read(document: Mapping[str, Any], scope: Scope) -> tuple[Operand, AlertMetric]:
    """The operand that the keys `metric`, `where` and `aggregation` make, and its metric.

    Raises AlertRuleError naming the key: a metric, dimension, value or aggregation that there is not, or not in `scope`.
    """
    name = document.get("metric")
    if not isinstance(name, str) or not name:
        raise AlertRuleError("metric", "is the name of a metric" + ("" if name is None else f", not {name!r}"))
    chosen = _where(document.get("where", {}))
    metric = resolve(name, chosen)
    if scope not in metric.scopes:
        what = f"{metric.name} belongs to ccagent as a whole; {scope} is no scope of it"
        raise AlertRuleError("scope", what, metric.scopes)
    where = tuple((dimension, _values(metric, dimension, values)) for dimension, values in sorted(chosen.items()))
    return Operand(metric=metric.name, where=where, aggregation=_aggregation(document, metric, scope)), metric


def dump(operand: Operand) -> dict[str, Any]:
    """The keys of a document that `read` makes this operand of."""
    found: dict[str, Any] = {"metric": operand.metric}
    if operand.where:
        found["where"] = {dimension: list(values) for dimension, values in operand.where}
    found["aggregation"] = str(operand.aggregation)
    return found


def parse_expression(text: str) -> dict[str, Any]:
    """The keys of a condition that an expression such as `errors / requests > 0.1` stands for.

    An operand, perhaps one to divide by, perhaps a bound: keys `metric`, `where`, `aggregation`, `per`, `operator`,
    `threshold`, as far as they are written. Names are not looked up. Raises AlertRuleError for anything else.
    """
    match = _EXPRESSION.fullmatch(text)
    if match is None or any(bool(match[f"aggregation{n}"]) != bool(match[f"close{n}"]) for n in ("", "2")):
        raise AlertRuleError("", f"{text!r} is no expression", (*_FORM, "session_cost > 5"))
    found = _keys(match, "")
    if match["metric2"]:
        found["per"] = _keys(match, "2")
    if match["operator"]:
        found |= {"operator": match["operator"], "threshold": _number(match["number"])}
    return found


def operator_of(text: object) -> Operator:
    """The operator that is written so. Raises AlertRuleError with the four that there are."""
    if text not in tuple(Operator):
        raise AlertRuleError("operator", f"is none of the operators: {text!r}", tuple(Operator))
    return Operator(str(text))


def _keys(match: re.Match[str], number: str) -> dict[str, Any]:
    found: dict[str, Any] = {"metric": match[f"metric{number}"]}
    if match[f"where{number}"]:
        found["where"] = {}
        for label, values in _PAIR.findall(match[f"where{number}"]):
            if label in found["where"]:
                raise AlertRuleError("where", f"{label} stands twice; several values are written {label}=one|other")
            found["where"][label] = [_unquoted(value) for value in _ITEM.findall(values)]
    if match[f"aggregation{number}"]:
        found["aggregation"] = match[f"aggregation{number}"]
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AlertRuleError("threshold", f"is a number, not {text!r}") from None


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        raise AlertRuleError("where", f"{value} is no quoted text; a backslash is written twice") from None


def _where(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise AlertRuleError("where", f'is a table such as {{ model = ["…"] }}, not {value!r}')
    found = {}
    for name, given in value.items():
        values = (given,) if isinstance(given, str) else given
        if not isinstance(values, list | tuple) or not values or not all(map(_sound, values)):
            raise AlertRuleError(f"where.{name}", f"is a text or a list of texts, none of them empty, not {given!r}")
        found[str(name)] = tuple(sorted(set(values)))
    return found


def _sound(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= VALUE_LENGTH


def _values(metric: AlertMetric, dimension: str, values: tuple[str, ...]) -> tuple[str, ...]:
    if dimension not in metric.dimensions:
        what = f"{metric.name} has no dimension {dimension!r}"
        if not metric.dimensions:
            raise AlertRuleError("where", f"{what}, nor any other")
        raise AlertRuleError("where", what, metric.dimensions)
    closed = metric.closed.get(dimension, ())
    for value in values:
        if closed and value not in closed:
            right = closed if len(closed) <= _LISTED else nearest(value, closed)
            raise AlertRuleError(f"where.{dimension}", f"never is {value!r}", right)
    return values


def _aggregation(document: Mapping[str, Any], metric: AlertMetric, scope: Scope) -> Aggregation:
    given = document.get("aggregation")
    if given is None:
        return metric.default(scope)
    if given not in metric.aggregations:
        raise AlertRuleError("aggregation", f"{given!r} cannot be made of {metric.name}", metric.aggregations)
    return Aggregation(given)


def finite(value: object) -> bool:
    """Whether a value of a document is a number that can be held against another."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
