"""From a rule's document, as TOML and JSON have it, to the rule, and back.

    id, name, severity, enabled, channels, summary, reason, labels     who it is and who hears of it
    metric, where, aggregation, per, window                            what is read
    operator, threshold | baseline | absent, clear, least, floor       when that is too much
    and                                                                a second condition: the keys of the two lines above
    scope, only, for, keep_firing, cooldown, schedule                  of whom, and for how long

What is not said has the default of `rule.Rule`. A wrong key or value is refused with the right ones, and never repaired.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

from ccagent.alerts import condition_document, durations, schedules, template
from ccagent.alerts.faults import AlertRuleError as AlertRuleError
from ccagent.alerts.faults import nearest
from ccagent.alerts.rule import RULE_ID_LENGTH, Condition, Rule, Scope, Severity

RULE_KEYS: Final = (
    "id", "name", *condition_document.KEYS, "and", "scope", "only", "for", "keep_firing", "cooldown", "severity", "enabled",
    "channels", "schedule", "summary", "reason", "labels",
)  # fmt: skip
"""Every key of a rule's document."""

LINE_LENGTH: Final = 500
"""Characters of a text of one line."""
TEXT_LENGTH: Final = 4_000
"""Characters of a reason."""

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
_LABEL: Final = re.compile(r"[a-z_][a-z0-9_]*")
_BY_MS: Final = {"for": "for_ms", "keep_firing": "keep_firing_ms", "cooldown": "cooldown_ms"}
_DEFAULTS: Final = Rule(id="default", name="default", conditions=())

_Choice = TypeVar("_Choice", bound=StrEnum)


def parse(document: Mapping[str, Any]) -> Rule:
    """The rule that a document says. Raises AlertRuleError, naming the key, for one that says none."""
    known(document, RULE_KEYS)
    id = rule_id(document.get("id"))
    scope = _choice(document, "scope", Scope, _DEFAULTS.scope)
    return Rule(
        id=id,
        name=_line(document, "name") or id,
        conditions=_conditions(document, scope),
        scope=scope,
        only=_only(document, scope),
        for_ms=_length(document, "for"),
        keep_firing_ms=_length(document, "keep_firing"),
        cooldown_ms=_length(document, "cooldown"),
        severity=_choice(document, "severity", Severity, _DEFAULTS.severity),
        enabled=_flag(document, "enabled", default=_DEFAULTS.enabled),
        channels=_texts(document, "channels") if "channels" in document else _DEFAULTS.channels,
        schedule=schedules.parse(document["schedule"]) if "schedule" in document else None,
        summary=_template(document, "summary"),
        reason=_text(document, "reason"),
        labels=_labels(document),
    )


def dump(rule: Rule) -> dict[str, Any]:
    """The document of a rule: `parse` makes the same rule of it. What is a default is left out, but for what is read."""
    found: dict[str, Any] = {"id": rule.id}
    if rule.name != rule.id:
        found["name"] = rule.name
    found |= condition_document.dump(rule.conditions[0])
    if len(rule.conditions) > 1:
        found["and"] = condition_document.dump(rule.conditions[1])
    found["scope"] = str(rule.scope)
    if rule.only:
        found["only"] = list(rule.only)
    for key, name in _BY_MS.items():
        if getattr(rule, name):
            found[key] = durations.shown(getattr(rule, name))
    found |= {"severity": str(rule.severity), "enabled": rule.enabled, "channels": list(rule.channels)}
    if rule.schedule is not None:
        found["schedule"] = schedules.dump(rule.schedule)
    found |= {key: text for key, text in (("summary", rule.summary), ("reason", rule.reason)) if text}
    if rule.labels:
        found["labels"] = dict(rule.labels)
    return found


def rule_id(value: object) -> str:
    """A rule's id, checked. Raises AlertRuleError for what is none."""
    if not isinstance(value, str) or not _ID.fullmatch(value) or len(value) > RULE_ID_LENGTH:
        form = f"is made of a-z, 0-9 and dashes, beginning with none, at most {RULE_ID_LENGTH} characters"
        raise AlertRuleError("id", form + (", and has to be there" if value is None else f"; {value!r} is not"))
    return value


def known(document: object, keys: Sequence[str], where: str = "") -> None:
    """Raises AlertRuleError for what is no table, or for a key beyond `keys`, with the nearest of them."""
    if not isinstance(document, Mapping):
        raise AlertRuleError(where, f"is a table, not {document!r}")
    for key in document:
        if key not in keys:
            text = str(key)
            raise AlertRuleError(f"{where}.{text}" if where else text, "is no key of it", nearest(text, keys) or keys)


def _conditions(document: Mapping[str, Any], scope: Scope) -> tuple[Condition, ...]:
    first = condition_document.parse({key: document[key] for key in condition_document.KEYS if key in document}, scope)
    if "and" not in document:
        return (first,)
    try:
        known(document["and"], condition_document.KEYS)
        return first, condition_document.parse(document["and"], scope)
    except AlertRuleError as fault:
        raise fault.within("and") from None


def _choice(document: Mapping[str, Any], key: str, choices: type[_Choice], default: _Choice) -> _Choice:
    value = document.get(key, default)
    if value not in tuple(choices):
        raise AlertRuleError(key, f"is none of them: {value!r}", tuple(choices))
    return choices(value)


def _only(document: Mapping[str, Any], scope: Scope) -> tuple[str, ...]:
    only = _texts(document, "only")
    if only and scope is Scope.GLOBAL:
        what = (
            "names subjects, and a rule over everything has none; `where = { project = […] }` chooses what is counted"
        )
        raise AlertRuleError("only", what)
    return only


def _length(document: Mapping[str, Any], key: str) -> int:
    return durations.parse(document[key], key) if key in document else 0


def _flag(document: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = document.get(key, default)
    if not isinstance(value, bool):
        raise AlertRuleError(key, f"is true or false, not {value!r}")
    return value


def _texts(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = document.get(key, ())
    value = (value,) if isinstance(value, str) else value
    if not isinstance(value, list | tuple) or not all(_is_line(one) and one for one in value):
        raise AlertRuleError(key, f"is a list of texts, none of them empty, not {value!r}")
    return tuple(dict.fromkeys(value))


def _line(document: Mapping[str, Any], key: str) -> str:
    return _checked(document, key, _is_line, f"is a text of one line, at most {LINE_LENGTH} characters")


def _template(document: Mapping[str, Any], key: str) -> str:
    text = _line(document, key)
    try:
        template.check(text)
    except template.TemplateError as error:
        raise AlertRuleError(key, str(error)) from error
    return text


def _text(document: Mapping[str, Any], key: str) -> str:
    return _checked(document, key, _is_text, f"is a text of at most {TEXT_LENGTH} characters")


def _checked(document: Mapping[str, Any], key: str, right: Callable[[object], bool], form: str) -> str:
    value = document.get(key, "")
    if not right(value):
        raise AlertRuleError(key, form)
    return str(value)


def _is_line(value: object) -> bool:
    return (
        isinstance(value, str) and len(value) <= LINE_LENGTH and all(char >= " " and char != "\x7f" for char in value)
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= TEXT_LENGTH and "\0" not in value


def _labels(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    value = document.get("labels", {})
    if not isinstance(value, Mapping):
        raise AlertRuleError("labels", f"is a table of texts, not {value!r}")
    for name, text in value.items():
        if not isinstance(name, str) or not _LABEL.fullmatch(name):
            raise AlertRuleError("labels", f"{name!r} is no name of a label: a-z, 0-9 and underscores make one")
        if not _is_line(text):
            raise AlertRuleError(f"labels.{name}", f"is a text of one line, at most {LINE_LENGTH} characters")
    return tuple(sorted(value.items()))
