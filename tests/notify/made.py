"""Rules, transitions and messages for the tests of channels."""

from __future__ import annotations

from typing import Any

from ccagent.alerts.message import Message, compose
from ccagent.alerts.rule import Condition, Operand, Rule, Scope, Severity, Window
from ccagent.alerts.states import Reason, State, Transition

NOON = 1_790_078_400_000
"""2026-09-22 12:00:00 UTC."""

PROJECT = "/home/nobody/secret-client/shop"


def rule(**more: Any) -> Rule:
    """A daily budget of $5 for each project."""
    condition = Condition(
        operand=Operand(metric="session_cost"), window=Window(name="daily", unit="day"), threshold=5.0
    )
    return Rule(**{"id": "budget", "name": "Daily budget", "conditions": (condition,), "scope": Scope.PROJECT} | more)


def transition(**more: Any) -> Transition:
    """The project's day has cost $5.40."""
    given: dict[str, Any] = {
        "rule": "budget", "subject": PROJECT, "before": State.PENDING, "after": State.FIRING, "at": NOON,
        "reason": Reason.HELD, "episode": 1, "value": 5.4, "threshold": 5.0,
    }  # fmt: skip
    return Transition(**given | more)


def message(key: str = "k1", *, of: Rule | None = None, severity: Severity = Severity.WARNING, **more: Any) -> Message:
    """The message of such a transition."""
    return compose(transition(**more), key, of or rule(), severity=severity)


def resolved(key: str = "k2", **more: Any) -> Message:
    """It is over."""
    return message(
        key, **{"before": State.FIRING, "after": State.RESOLVED, "reason": Reason.PERIOD, "value": 0.0} | more
    )
