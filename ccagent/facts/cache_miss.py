"""Whether a request lost what its chain had in the prompt cache, and the likely cause."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

MISSED_TOKENS: Final = 2_000
"""Smaller losses are normal: the client moves its breakpoints, and the API drops the thinking of past turns."""

MISSED_PART: Final = 20
"""A loss of no more than one part in so many (5 %) of what the chain had cached is normal for the same reasons."""

SHORT_LIFE_MS: Final = 5 * 60 * 1_000
LONG_LIFE_MS: Final = 60 * 60 * 1_000
"""How long an entry of the cache lives after its last use, by what it was written for."""

EDITED_TOKENS: Final = 2_000
"""A prompt that is shorter by more, with no record of it: the client cleared or cut what stood before."""

COMPACTED_PERCENT: Final = 15
"""A fall of the context by more than this part of the window is a compaction, where a summary stands without a record."""


class Mark(IntEnum):
    """What happened on a chain since its last request; bits. Their order says nothing: `CAUSES` does."""

    COMPACTED = 1
    MICROCOMPACTED = 2
    MODEL = 4
    FORKED = 8
    EXPIRED = 16
    TOOLS = 32
    EDITED = 64
    RETRIED = 128  # failed attempts, or a reply that came whole after streamed ones: the client's way out of a stall
    SKILL = 256  # a skill was loaded, or a prompt ends the turn of one
    INTERRUPTED = 512
    SUMMARISED = 1024  # the text that a compaction leaves stands there, but no record of the compaction


CAUSES: Final[tuple[tuple[int, str], ...]] = (
    (Mark.COMPACTED | Mark.MICROCOMPACTED | Mark.SUMMARISED, "compaction"),
    (Mark.MODEL, "model_switch"),
    (Mark.FORKED, "fork"),
    (Mark.EXPIRED, "expired_ttl"),
    (Mark.TOOLS, "tools_changed"),
    (Mark.EDITED, "context_edited"),
    (Mark.RETRIED, "retry"),
    (Mark.SKILL, "skill"),
    (Mark.INTERRUPTED, "interrupted"),
)
"""Marks and the cause that they stand for, the strongest evidence first."""

UNEXPLAINED: Final = "unexplained"

CAUSE_NAMES: Final = (*(name for _, name in CAUSES), UNEXPLAINED)

REPORTED: Final[Mapping[str, str | None]] = {
    "model_changed": "model_switch",
    "system_changed": "tools_changed",
    "tools_changed": "tools_changed",
    "messages_changed": None,
}
"""Reasons that the API itself gives to newer clients; None: it is true, and the cause behind it is still judged."""

JUDGED: Final = "judged"
"""How a miss is known where the client reports no reason."""


def missed_tokens(had: int, read: int, paid: int) -> int:
    """Tokens that a request paid anew although its chain had them cached; 0 where nothing was missed.

    Rule: the loss is what the chain's request before had read and written (`had`) less what this one read; it is a
    miss when it is more than MISSED_TOKENS and more than one part in MISSED_PART of `had`. Of it counts what this
    request `paid` (plain input and cache writes): a context that was cut is not sent again.
    Why: of 4,601 steps between requests that were looked at, 97 % lose nothing, and what is lost is either below
    4,000 tokens or above 16,000. Not seen: the first request of a chain, and entries that other chains keep alive.
    """
    lost = had - read
    if lost <= MISSED_TOKENS or lost * MISSED_PART <= had:
        return 0
    return min(lost, paid)


def has_expired(idle_ms: int | None, *, long_lived: bool) -> bool:
    """Whether the entry was unused for longer than it lives.

    Rule: from the start of one request to the start of the next, since the cache is looked up, and the entry renewed,
    when a request begins. SHORT_LIFE_MS, or LONG_LIFE_MS where most of what was written last was for an hour. Not seen:
    other requests that renewed it meanwhile, such as those of a sub-agent with the same beginning.
    """
    return idle_ms is not None and idle_ms > (LONG_LIFE_MS if long_lived else SHORT_LIFE_MS)


def was_edited(before: int, now: int) -> bool:
    """Whether the prompt (tokens of the whole) became shorter than a chain that only grows can."""
    return before - now > EDITED_TOKENS


def likely_cause(marks: int, reported: str | None = None) -> str:
    """The cause of a miss: one of CAUSE_NAMES.

    Rule: what the API reports itself; else the first of CAUSES of which a mark was seen since the chain's last request;
    else "unexplained". A cause is likely, not proven: something else may have happened at the same moment.
    """
    known = REPORTED.get(reported) if reported is not None else None
    if known is not None:
        return known
    for mask, name in CAUSES:
        if marks & mask:
            return name
    return UNEXPLAINED


def is_compaction(before: int, now: int, window: int) -> bool:
    """Whether a fall of the prompt from `before` to `now` tokens is that of a compaction without a record of its own.

    Rule: more than COMPACTED_PERCENT of the window. Asked only where the client's summary stands without a boundary:
    a fall alone is as often a rewind, or old results that were cleared.
    """
    return (before - now) * 100 > COMPACTED_PERCENT * window
