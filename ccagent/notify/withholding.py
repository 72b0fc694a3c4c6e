"""What leaves the machine asks the projects first: one that forbids everything is not named to anybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ccagent.alerts.message import Message
from ccagent.notify.channel import WITHHELD, Channel, Outcome, Verdict


class Withholding:
    """A channel that leaves the machine, without the messages that `leaves` keeps back."""

    def __init__(self, channel: Channel, leaves: Callable[[Message], bool]) -> None:
        self.most = channel.most
        self._channel = channel
        self._leaves = leaves

    def deliver(self, messages: Sequence[Message]) -> Verdict:
        """Tell of the others, if there are any."""
        told = [message for message in messages if self._leaves(message)]
        if not told:
            return Verdict(outcome=Outcome.WITHHELD, reason=WITHHELD)
        verdict = self._channel.deliver(told)
        if verdict.outcome is not Outcome.SENT:
            return verdict
        return replace(verdict, withheld=frozenset(one.key for one in messages) - {one.key for one in told})

    def close(self) -> None:
        """Give up what is under way."""
        self._channel.close()
