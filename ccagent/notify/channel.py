"""What every channel answers to, and what it says of a delivery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from ccagent.alerts.message import Message

REASON_LIMIT: Final = 300
"""Characters of a reason that are kept: enough to act on, too few for a page of a captive portal."""


WITHHELD: Final = "nothing of it may leave the machine"
"""Why a message was not sent that is kept back by the tiers."""


class Outcome(StrEnum):
    """What became of a delivery; the word that the metric of notifications has for it."""

    SENT = "sent"
    WITHHELD = "withheld"  # nothing of it may leave the machine: done, and nobody was told
    RETRY = "retry"  # nothing is known to be wrong with it: the same again later
    REFUSED = "refused"  # it would be refused again


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one delivery. `after_ms`: how long the receiver wishes to be left alone, None where it says nothing.
    `reason` has no secret and no line end. `withheld`: keys of messages of a delivery that was sent without them."""

    outcome: Outcome
    after_ms: int | None = None
    reason: str = ""
    withheld: frozenset[str] = frozenset()


SENT: Final = Verdict(outcome=Outcome.SENT)


def retry(reason: str, after_ms: int | None = None) -> Verdict:
    """The same again later."""
    return Verdict(outcome=Outcome.RETRY, after_ms=after_ms, reason=clean(reason))


def refused(reason: str) -> Verdict:
    """Never the same again."""
    return Verdict(outcome=Outcome.REFUSED, reason=clean(reason))


class Channel(Protocol):
    """Tells people. Used by one thread at a time, but for `close`, which any may call to end what waits."""

    most: int
    """Messages that one delivery takes."""

    def deliver(self, messages: Sequence[Message]) -> Verdict:
        """Tell of these transitions. Raises nothing for what a receiver, a network or a program does."""

    def close(self) -> None:
        """Give up what is under way, and connections."""


def clean(text: str) -> str:
    """Words on one line, without control characters, at most `REASON_LIMIT` characters."""
    words = "".join(char if char.isprintable() else " " for char in text[: REASON_LIMIT * 4])
    return " ".join(words.split())[:REASON_LIMIT]
