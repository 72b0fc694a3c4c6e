"""A condition in one line, as people type it on the command line and read it in a list, and the document that it stands for.

    session_cost daily > 20
    turns session > 200
    tool.failures{tool=Bash} / tool.calls{tool=Bash} hourly > 15% least 20
    session_cost hourly > 4x median floor 5
    session_cost daily > 3 mad same_weekday windows 12
    max(context.utilization_ratio) session > 80% clear 70%
    requests 24h absent

A reading as `operands` has it (a metric, what of it counts in braces, `/` and a second metric for a ratio), then a window,
then the operator and its bound, or `absent`. Whether metric, window and values exist is `parsing.parse`'s to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from ccagent.alerts import operands
from ccagent.alerts.condition_document import NOW
from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.metrics import resolve
from ccagent.alerts.rule import Against, Aggregation, Operator, Scope

_PARTS: Final = re.compile(
    r"""(?P<left> (?: "(?:[^"\\]|\\.)*" | [^"<>] )*? ) \s* (?: (?P<operator> [<>]=? ) (?P<right> .* ) )?""",
    re.VERBOSE | re.DOTALL,
)
_LAST: Final = re.compile(r"(?P<rest>.*[^\s/])\s+(?P<word>[\w.%$-]+)", re.DOTALL)
_NUMBER: Final = re.compile(r"\$?(-?(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?)(%|k|M)?", re.IGNORECASE)
_TIMES: Final = re.compile(r"(.+)[xX×]")
_PLAIN: Final = re.compile(r"""[^\s,|{}"()/<>=]+""")
_SCALES: Final = {"": 1.0, "%": 0.01, "k": 1e3, "m": 1e6}
_KINDS: Final = ("median", "mad")
_NUMBERED: Final = ("clear", "least", "floor")
_ABSENT: Final = "absent"
_USUAL: Final = (("windows", "windows", 28), ("least", "past", 7))
"""Of a baseline: key, word, and what need not be said (`rule.Baseline`)."""

FORM: Final = "write METRIC WINDOW OPERATOR THRESHOLD, such as: session_cost daily > 20"


class ExpressionError(AlertRuleError):
    """Raised when a condition cannot be read; the message says where and what would be right."""

    def __init__(self, what: str) -> None:
        super().__init__("", what)


def read_expression(text: str) -> dict[str, Any]:
    """The condition as a rule's document has it: metric, where, per, aggregation, window, operator, bound."""
    match = _PARTS.fullmatch(text.strip())
    if match is None or not match["left"].strip():
        raise ExpressionError(f"{text!r} is no condition; {FORM}")
    found = _reading(text, match["left"].strip())
    if match["operator"]:
        found["operator"] = match["operator"]
        _bound(text, match["right"].split(), found)
    elif _ABSENT not in found:
        raise _wrong(text, f"an operator is missing: {', '.join(Operator)}")
    return found


def write_expression(document: Mapping[str, Any]) -> str:
    """A rule's (or second condition's) document in one line; with its second condition, if it has one, after `and`."""
    scope = str(document.get("scope") or Scope.GLOBAL)
    parts = [_operand(document, scope)]
    per = document.get("per")
    if per:
        parts += ["/", _operand({"metric": per} if isinstance(per, str) else per, scope)]
    if document.get("window") not in (None, NOW):
        parts.append(str(document["window"]))
    if document.get(_ABSENT):
        parts.append(_ABSENT)
    else:
        parts += [str(document.get("operator", Operator.ABOVE)), _written(document)]
    parts += [f"{name} {_figure(document[name])}" for name in _NUMBERED if document.get(name) is not None]
    second = document.get("and")
    return " ".join(parts) + (f" and {write_expression({'scope': scope, **second})}" if second else "")


def read_where(text: str) -> dict[str, list[str]]:
    """`model=a|b,tool=Bash` as a document has it. Other signs than those of a word stand in quotation marks."""
    try:
        where = operands.parse_expression(f"metric{{{text}}}").get("where")
    except AlertRuleError:
        where = None
    if not where:
        raise ExpressionError(f'{text!r} cannot be read; write label=value, label=value|value or label="any text"')
    return dict(where)


def read_number(text: str) -> float:
    """A number as people write it: 20, $20, 0.15, 15%, 500k, 1.5M, 1_000."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ExpressionError(f"{text!r} is no number; write such as 20, 0.15, 15%, 500k or 1.5M")
    scale = _SCALES[(match[2] or "").lower()]
    value = float(match[1].replace("_", ""))
    return value / round(1 / scale) if scale < 1 else value * scale


def _wrong(text: str, why: str) -> ExpressionError:
    return ExpressionError(f"{text!r}: {why}; {FORM}")


def _reading(text: str, left: str) -> dict[str, Any]:
    """What is read: the words behind the operands first, from the last one on."""
    words: dict[str, Any] = {}
    while (match := _LAST.fullmatch(left)) is not None:
        word = match["word"]
        if word == _ABSENT:
            words[_ABSENT] = True
        else:
            name = "aggregation" if word in set(Aggregation) else "window"
            if name in words:
                raise _wrong(text, f"{words[name]!r} is a second {name}, beside {word!r}")
            words[name] = word
        left = match["rest"]
    try:
        found = operands.parse_expression(left)
    except AlertRuleError as error:
        raise _wrong(text, f"{left!r} is no metric, nor two with / between them") from error
    if "aggregation" in found and "aggregation" in words:
        raise _wrong(text, f"{words['aggregation']!r} is a second aggregation, beside {found['aggregation']!r}")
    return found | words


def _bound(text: str, words: list[str], found: dict[str, Any]) -> None:
    """Threshold or baseline, and what may follow."""
    if not words:
        raise _wrong(text, "a threshold is missing at the end")
    first = words.pop(0)
    times = _TIMES.fullmatch(first)
    factor = _number(text, times[1] if times else first)
    if words and words[0] == "x":
        words.pop(0)
        times = _TIMES.fullmatch("1x")
    if words and words[0] in _KINDS:
        found["baseline"] = {"kind": words.pop(0), "factor": factor}
    elif times:
        raise _wrong(text, f"what {first!r} is a multiple of is missing: {' or '.join(_KINDS)}")
    else:
        found["threshold"] = factor
    while words:
        _option(text, words.pop(0), words, found)


def _option(text: str, word: str, words: list[str], found: dict[str, Any]) -> None:
    baseline = found.get("baseline")
    counted = {said: key for key, said, _ in _USUAL}
    if baseline is not None and word in set(Against):
        baseline["against"] = word
        return
    if word not in _NUMBERED and (baseline is None or word not in counted):
        after = (*_NUMBERED, *((*Against, *counted) if baseline is not None else ()))
        raise _wrong(text, f"{word!r} is not expected; after the bound there may be {', '.join(after)}")
    if not words:
        raise _wrong(text, f"the number after {word!r} is missing")
    value = _number(text, words.pop(0))
    if word in _NUMBERED:
        found[word] = value
    elif value == int(value) and baseline is not None:
        baseline[counted[word]] = int(value)
    else:
        raise _wrong(text, f"{word} takes a whole number")


def _number(text: str, word: str) -> float:
    try:
        return read_number(word)
    except ExpressionError as error:
        raise _wrong(text, error.what) from error


def _operand(document: Mapping[str, Any], scope: str) -> str:
    where = document.get("where") or {}
    pairs = (
        f"{label}={'|'.join(_quoted(each) for each in ([values] if isinstance(values, str) else values))}"
        for label, values in where.items()
    )
    metric = str(document["metric"])
    read = f"{metric}{{{','.join(pairs)}}}" if where else metric
    aggregation = document.get("aggregation")
    return read if aggregation in (None, _default(metric, where, scope)) else f"{aggregation}({read})"


def _default(metric: str, where: Mapping[str, Any], scope: str) -> str | None:
    """The aggregation that need not be said; None where that is not known."""
    try:
        return str(resolve(metric, where).default(Scope(scope)))
    except ValueError:
        return None


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def _written(document: Mapping[str, Any]) -> str:
    baseline = document.get("baseline")
    if not baseline:
        return _figure(document.get("threshold", 0))
    words = [f"{_figure(baseline['factor'])}{'x' if baseline['kind'] == 'median' else ''}", str(baseline["kind"])]
    words += [str(baseline["against"])] if baseline.get("against", Against.ANY) != Against.ANY else []
    words += [f"{word} {baseline[key]}" for key, word, usual in _USUAL if baseline.get(key, usual) != usual]
    return " ".join(words)


def _figure(value: float) -> str:
    """As short as it goes without a change: 20, 0.15, 500000."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
