"""A line of ccagent's own log for each transition: the channel that is always there and sends nothing anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ccagent.alerts.budgets import BUDGET_PROJECT
from ccagent.alerts.message import Message
from ccagent.alerts.rule import Scope, Severity
from ccagent.alerts.states import State
from ccagent.logs import get_logger
from ccagent.notify.channel import SENT, Verdict
from ccagent.notify.placing import reworded

SESSION_CHARACTERS: Final = 8
"""Of a session's id that a log line above debug shows: enough to know it again, `ccagent alerts history` has it whole."""


class LogChannel:
    """Writes to the log: `alert.firing` at the level of the severity, `alert.resolved` at info."""

    most = 1

    def deliver(self, messages: Sequence[Message]) -> Verdict:
        """One line each. A log that cannot be written is nobody's concern, as everywhere."""
        log = get_logger()
        for message in messages:
            tell = {
                Severity.CRITICAL: log.error, Severity.WARNING: log.warning, Severity.INFO: log.info,
            }[message.severity]  # fmt: skip
            if message.state is State.RESOLVED:
                log.info("alert.resolved", **_fields(message))
            else:
                tell("alert.firing", **_fields(message))
        return SENT

    def close(self) -> None:
        """Nothing is open."""


def _fields(message: Message) -> dict[str, Any]:
    """Names of projects and features stand in no line above debug: what fires for them says `ccagent alerts`."""
    rule, subject, summary = message.rule, message.subject, message.summary
    if message.scope is Scope.SESSION and subject:
        subject = subject[:SESSION_CHARACTERS]
        summary = summary.replace(message.subject, subject)
    elif message.scope in (Scope.PROJECT, Scope.FEATURE):
        hidden = reworded(message, message.scope.value, (message.subject,))
        subject, summary = hidden.subject, hidden.summary
        rule = hidden.rule if hidden.rule == BUDGET_PROJECT else rule
    fields = {
        "rule": rule, "severity": message.severity.value, "summary": summary, "subject": subject or None,
        "value": message.value, "threshold": message.threshold, "unit": message.unit or None,
        "reason": message.reason.value, "key": message.key,
    }  # fmt: skip
    return {name: value for name, value in fields.items() if value is not None}
