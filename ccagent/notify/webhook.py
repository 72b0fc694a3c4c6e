"""Any receiver of JSON over HTTP: the generic document in one POST."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Final

from ccagent.alerts.grouping import GROUP_MESSAGES
from ccagent.alerts.message import Message
from ccagent.alerts.rendering import document
from ccagent.notify.channel import Verdict
from ccagent.notify.post import Address, Poster

KEY_BYTES: Final = 16
"""Of a group's key, as long as that of one transition."""


class WebhookChannel:
    """Posts `rendering.document`. Raises ConfigError for an address that cannot be used."""

    most = GROUP_MESSAGES

    def __init__(self, name: str, address: Address) -> None:
        self._poster = Poster(name, address)

    def deliver(self, messages: Sequence[Message]) -> Verdict:
        """One POST for all of them."""
        return self._poster.post(encoded(document(messages)), group_key(messages))

    def close(self) -> None:
        """Give up what is under way."""
        self._poster.close()


def encoded(body: object) -> bytes:
    """JSON as UTF-8; what is no text (half a pair of surrogates) becomes a question mark."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def group_key(messages: Sequence[Message]) -> str:
    """The idempotency key of one request: the transition's own, or one that follows from all of them."""
    keys = sorted(key for message in messages for key in message.keys)
    if len(keys) == 1:
        return keys[0]
    return hashlib.blake2b("\0".join(keys).encode(), digest_size=KEY_BYTES).hexdigest()
