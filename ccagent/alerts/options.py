"""What a command line says of a rule: options by name, and the document that they make or change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from ccagent.alerts.expression import read_expression, read_number, read_where
from ccagent.alerts.faults import AlertRuleError

PLAIN: Final = (
    "name", "metric", "aggregation", "window", "operator", "scope", "for", "keep_firing", "cooldown", "severity", "summary",
    "reason",
)  # fmt: skip
"""Options whose text is the key's value."""

NUMBERS: Final = ("threshold", "clear", "least", "floor")
LISTS: Final = {"only": "only", "channel": "channels"}
"""Options that may be repeated → keys."""

T = TypeVar("T")

_PLACEHOLDER: Final = "a"
"""Stands for a metric where only a part of a condition is read."""


def changes(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What `options` (None and empty ones were not given) say: single keys, and the first condition if `when` is given.

    Raises AlertRuleError, naming the option, for what cannot be read. Whether the values are right is `parsing.parse`'s to say.
    """
    found: dict[str, Any] = {key: options[key] for key in PLAIN if options.get(key) is not None}
    for key in NUMBERS:
        if options.get(key) is not None:
            found[key] = _within(f"--{key}", partial(read_number, options[key]))
    for option, key in LISTS.items():
        if options.get(option):
            found[key] = list(options[option])
    if options.get("where"):
        found["where"] = _within("--where", lambda: _pairs(options["where"]))
    if options.get("label"):
        found["labels"] = {
            key: values[0] for key, values in _within("--label", lambda: _pairs(options["label"])).items()
        }
    if options.get("per"):
        read = _within("--per", lambda: read_expression(f"{options['per']} > 0"))
        found["per"] = {key: read[key] for key in ("metric", "where", "aggregation") if key in read}
    if options.get("baseline"):
        read = _within("--baseline", lambda: read_expression(f"{_PLACEHOLDER} > {options['baseline']}"))
        if "baseline" not in read:
            raise AlertRuleError(
                "--baseline", f"{options['baseline']!r} is none", ('"4x median"', '"3 mad same_weekday"')
            )
        found |= {key: read[key] for key in ("baseline", "least", "floor", "clear") if key in read}
    if options.get("absent"):
        found["absent"] = True
    if options.get("and"):
        found["and"] = _within("--and", lambda: read_expression(options["and"]))
    if options.get("schedule"):
        found["schedule"] = _schedule(options["schedule"])
    if options.get("enabled") is not None:
        found["enabled"] = options["enabled"]
    when = _within("--when", lambda: read_expression(options["when"])) if options.get("when") else None
    return found, when


def _within(option: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except AlertRuleError as error:
        raise AlertRuleError(option, error.what, error.right) from error


def _pairs(texts: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        for key, values in read_where(text).items():
            found.setdefault(key, []).extend(values)
    return found


def _schedule(text: str) -> dict[str, str]:
    """`Mon-Fri 09:00-18:00`, or one of both."""
    found: dict[str, str] = {}
    for part in text.split():
        key = "hours" if ":" in part else "days"
        if key in found:
            raise AlertRuleError(
                "--schedule", f"{text!r} cannot be read", ('"Mon-Fri"', '"09:00-18:00"', '"Mon-Fri 09:00-18:00"')
            )
        found[key] = part
    return found
