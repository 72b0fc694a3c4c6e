"""A channel in Slack, by an incoming webhook; its URL is the secret."""

from __future__ import annotations

from collections.abc import Sequence

from ccagent.alerts.grouping import GROUP_MESSAGES
from ccagent.alerts.message import Message
from ccagent.alerts.slack import payload
from ccagent.notify.channel import SENT, Verdict, retry
from ccagent.notify.post import Address, Poster
from ccagent.notify.webhook import encoded, group_key


class SlackChannel:
    """Posts blocks. Raises ConfigError for an address that cannot be used."""

    most = GROUP_MESSAGES

    def __init__(self, name: str, address: Address) -> None:
        self._poster = Poster(name, address)

    def deliver(self, messages: Sequence[Message]) -> Verdict:
        """One POST for all of them."""
        return self._poster.post(encoded(payload(messages)), group_key(messages), _taken)

    def close(self) -> None:
        """Give up what is under way."""
        self._poster.close()


def _taken(content: bytes) -> Verdict:
    """Slack says ok and nothing else."""
    return SENT if content.strip() == b"ok" else retry("it answered, but not as an incoming webhook of Slack does")
