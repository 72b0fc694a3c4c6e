"""What a receiver's answer means for the batch that was sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MESSAGE_LIMIT: Final = 300
"""Characters of a receiver's words that are kept: enough for a reason, too few for a page of a captive portal."""


class Kind(StrEnum):
    """The five things that can follow from an answer."""

    ADVANCE = "advance"  # taken (a partial success included): never send it again
    RETRY = "retry"  # nothing is known to be wrong with the batch: the same again later
    TOO_LARGE = "too_large"  # the same in smaller pieces
    CONFIG = "config"  # address or credentials are wrong: nothing will pass before somebody acts
    POISON = "poison"  # something in the batch is refused for ever: find it, set it aside


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One answer, judged.

    `rejected` counts the items of a partial success that were refused; `delay_seconds` is the receiver's own wish.
    `bounded` marks what may be an outage or may be the batch: it is retried a limited number of times, then narrowed
    down, and set aside only when the receiver takes other facts.
    """

    kind: Kind
    rejected: int = 0
    delay_seconds: float | None = None
    message: str = ""
    bounded: bool = False


def clean(text: str) -> str:
    """A receiver's words on one line, without control characters, at most `MESSAGE_LIMIT` characters."""
    words = "".join(char if char.isprintable() else " " for char in text[: MESSAGE_LIMIT * 4])
    return " ".join(words.split())[:MESSAGE_LIMIT]


def retry(message: str, *, delay_seconds: float | None = None, bounded: bool = False) -> Verdict:
    """A verdict "the same again later", its message cleaned."""
    return Verdict(kind=Kind.RETRY, delay_seconds=delay_seconds, message=clean(message), bounded=bounded)
