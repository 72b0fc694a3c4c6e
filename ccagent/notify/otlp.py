"""A log record for each transition, to every OTLP destination that gets logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ccagent.alerts.grouping import GROUP_MESSAGES
from ccagent.alerts.message import Message
from ccagent.alerts.rendering import one_line
from ccagent.alerts.rule import Scope
from ccagent.alerts.rule import Severity as Importance
from ccagent.alerts.states import State
from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.log_record import Entry, Severity, encode, log_request
from ccagent.export.otlp.sender import Destination, Sender, make_sender
from ccagent.export.otlp.verdict import Kind
from ccagent.export.privacy import ALERT_ATTRIBUTES, permit
from ccagent.notify.channel import SENT, WITHHELD, Outcome, Verdict, refused, retry
from ccagent.notify.placing import Placed

EVENT: Final = "ccagent.alert"
"""Event name of the record."""

_SEVERITY: Final = {
    Importance.CRITICAL: Severity.ERROR, Importance.WARNING: Severity.WARN, Importance.INFO: Severity.INFO,
}  # fmt: skip

_AGAIN: Final = (Kind.RETRY, Kind.CONFIG)
"""What is wrong with an address or its credentials its owner may mend."""


class OtlpChannel:
    """Sends records under the resource that all of ccagent's telemetry has. `placed` decides what may leave of a message,
    None for nothing. Raises ConfigError for a destination that cannot be used."""

    most = GROUP_MESSAGES

    def __init__(
        self,
        destinations: Sequence[Destination],
        resource: Mapping[str, AttributeValue],
        version: str,
        placed: Callable[[Message], Placed | None],
    ) -> None:
        self._senders: dict[str, tuple[Destination, Sender]] = {
            one.key: (one, make_sender(one)) for one in destinations
        }
        self._resource = resource
        self._version = version
        self._placed = placed
        self._taken: set[tuple[str, str]] = set()

    def deliver(self, messages: Sequence[Message]) -> Verdict:
        """One request to each destination. One that has taken it is not asked again because of another one."""
        if not self._senders:
            return refused("no OTLP destination gets logs; name one, or take otlp out of alerts' channels")
        told = [placed for message in messages if (placed := self._placed(message)) is not None]
        if not told:
            return Verdict(outcome=Outcome.WITHHELD, reason=WITHHELD)
        withheld = frozenset(message.key for message in messages) - {one.message.key for one in told}
        problems = [self._send(destination, sender, told) for destination, sender in self._senders.values()]
        verdict = _worst([one for one in problems if one is not None])
        # Who refused several is asked for each alone, and whoever has taken them is not.
        asked_again = verdict.outcome is Outcome.RETRY or (verdict.outcome is Outcome.REFUSED and len(messages) > 1)
        if not asked_again:
            self._taken -= {(key, one.message.key) for key in self._senders for one in told}
        return replace(verdict, withheld=withheld) if verdict.outcome is Outcome.SENT else verdict

    def close(self) -> None:
        """Give up connections."""
        for _, sender in self._senders.values():
            sender.close()

    def _send(self, destination: Destination, sender: Sender, told: Sequence[Placed]) -> Verdict | None:
        """What is wrong at one destination, None when nothing is."""
        due = [one for one in told if (destination.key, one.message.key) not in self._taken]
        if not due:
            return None
        request = log_request([encode(entry_of(one)) for one in due], self._resource, self._version)
        answer = sender.send("logs", request)
        said = f"{destination.name}: {answer.message}"
        if answer.kind is Kind.ADVANCE and not answer.rejected:
            self._taken |= {(destination.key, one.message.key) for one in due}
            return None
        if answer.kind in _AGAIN:
            return retry(said, None if answer.delay_seconds is None else round(answer.delay_seconds * 1_000))
        return refused(said)


def entry_of(placed: Placed) -> Entry:
    """The record of one message."""
    message = placed.message
    attributes: dict[str, AttributeValue | None] = {
        "ccagent.alert.key": message.key,
        "ccagent.alert.rule": message.rule,
        "ccagent.alert.name": message.name,
        "ccagent.alert.severity": message.severity.value,
        "ccagent.alert.state": message.state.value,
        "ccagent.alert.reason": message.reason.value,
        "ccagent.alert.scope": message.scope.value,
        "ccagent.alert.metric": message.metric or None,
        "ccagent.alert.window": message.window or None,
        "ccagent.alert.value": message.value,
        "ccagent.alert.threshold": message.threshold,
        "ccagent.alert.unit": message.unit or None,
        "ccagent.alert.episode": message.episode,
        "ccagent.alert.feature": message.subject if message.scope is Scope.FEATURE else None,
        "session.id": message.subject if message.scope is Scope.SESSION else None,
        "ccagent.project": placed.project,
        "ccagent.team": placed.team,
        "enduser.id": placed.identity,
    }
    resolved = message.state is State.RESOLVED
    return Entry(
        body=one_line(message),
        at_ms=message.at,
        attributes=permit(attributes, ALERT_ATTRIBUTES),
        severity=Severity.INFO if resolved else _SEVERITY[message.severity],
        event_name=EVENT,
    )


def _worst(problems: Sequence[Verdict]) -> Verdict:
    """What several destinations come to: again where one may take it yet, else refused where one refused it."""
    again = [one for one in problems if one.outcome is Outcome.RETRY]
    if again:
        longest = max((one.after_ms for one in again if one.after_ms is not None), default=None)
        return Verdict(outcome=Outcome.RETRY, after_ms=longest, reason=again[0].reason)
    return problems[0] if problems else SENT
