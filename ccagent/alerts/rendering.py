"""A message as text and as JSON. What leaves stands in these fields and in no others (docs/alerts.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from ccagent.alerts.figures import worded
from ccagent.alerts.message import Message, instant, reason_words
from ccagent.alerts.states import State

SCHEMA_VERSION: Final = 1
"""Of the JSON document: fields are added, never changed or taken away; unknown ones are to be ignored."""


def one_line(message: Message) -> str:
    """`[warning] firing: …`: for a title, a log line, a phone."""
    if message.state is State.RESOLVED:
        return f"[{message.severity.value}] resolved: {message.summary}"
    return f"[{message.severity.value}] {message.state.value}: {message.summary}"


def title(messages: Sequence[Message]) -> str:
    """One line for all of them."""
    if len(messages) == 1:
        return one_line(messages[0])
    firing = sum(message.state is State.FIRING for message in messages)
    parts = [f"{firing} firing"] * bool(firing) + [f"{len(messages) - firing} resolved"] * (firing < len(messages))
    return f"ccagent: {', '.join(parts)}"


def plain(messages: Sequence[Message]) -> str:
    """Some lines for each, an empty one between two."""
    return "\n\n".join("\n".join(_lines(message)) for message in messages)


def _lines(message: Message) -> list[str]:
    lines = [one_line(message)]
    if message.subject:
        lines.append(f"{message.scope.value}: {message.subject}")
    if message.operator:
        bound = f" ({message.operator} {worded(message.threshold, message.unit)})"
        lines.append(f"{message.metric}, {message.window}: {worded(message.value, message.unit)}{bound}")
    lines.append(f"{instant(message.at)}: {reason_words(message)}")
    if message.why:
        lines.append(message.why)
    return lines


def document(messages: Sequence[Message]) -> dict[str, Any]:
    """The generic JSON document: `schema_version`, `source`, `title`, and `alerts`, one a message in the order of time."""
    return {
        "schema_version": SCHEMA_VERSION,
        "source": "ccagent",
        "title": title(messages),
        "alerts": [_fields(message) for message in messages],
    }


def _fields(message: Message) -> dict[str, Any]:
    return {
        "key": message.key,
        "covers": list(message.covers),
        "rule": message.rule,
        "name": message.name,
        "severity": message.severity.value,
        "state": message.state.value,
        "reason": message.reason.value,
        "scope": message.scope.value,
        "subject": message.subject,
        "metric": message.metric,
        "window": message.window,
        "operator": message.operator,
        "value": _finite(message.value),
        "threshold": _finite(message.threshold),
        "unit": message.unit,
        "at": instant(message.at),
        "fired_at": None if message.fired_at is None else instant(message.fired_at),
        "episode": message.episode,
        "summary": message.summary,
        "description": message.why,
        "labels": dict(message.labels),
    }


def _finite(value: float | None) -> float | None:
    """JSON has no word for infinity."""
    return value if value is not None and math.isfinite(value) else None
