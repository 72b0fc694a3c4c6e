"""Which messages of one channel leave together, and when: nobody wants ten messages of one bad minute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from ccagent.alerts.rule import Severity

T = TypeVar("T")

GROUP_MESSAGES: Final = 20
"""Messages that leave as one at most: what a person reads, and what every receiver takes."""

FIRST_MS: Final = 5_000
LONGEST_MS: Final = 600_000
"""First and longest pause between two tries of a delivery."""

WISH_MS: Final = 3_600_000
"""The longest pause that a receiver's own wish (Retry-After) can ask for."""

GIVE_UP_MS: Final = 24 * 3_600_000
"""From the transition on; what a receiver has not taken by then nobody waits for. It is tried once in any case."""


def leaves_at(severity: Severity, at: int, now_ms: int, group_ms: int, open_until: int | None) -> int:
    """When a message of a transition at `at` leaves that has just been seen (all in ms UTC).

    A critical one at once. Another joins the group of its channel that is still open, else it opens one, `group_ms` long
    from the transition on: what comes late (the machine slept) does not wait again. Nothing waits longer than a group, also
    where clocks were set back.
    """
    if severity is Severity.CRITICAL or group_ms <= 0:
        return now_ms
    if open_until is not None and now_ms < open_until <= now_ms + group_ms:
        return open_until
    return max(now_ms, min(at, now_ms) + group_ms)


def batches(messages: Sequence[T], most: int = GROUP_MESSAGES) -> list[Sequence[T]]:
    """What leaves now, cut into pieces of at most so many messages."""
    return [messages[at : at + most] for at in range(0, len(messages), most)]


def pause_ms(attempts: int, chance: float, wished_ms: int | None = None) -> int:
    """How long a delivery rests that has been tried so often (from 1): 5 s, doubled with each try, up to 10 min.

    `chance` from 0 to 1 takes up to half of it away, so that many machines do not come back at once. A receiver's wish goes
    before it, up to `WISH_MS`.
    """
    if wished_ms is not None and wished_ms > 0:
        return min(wished_ms, WISH_MS)
    ceiling = min(LONGEST_MS, FIRST_MS << min(max(attempts, 1) - 1, 16))
    return round(ceiling * (1 - chance / 2))


def given_up(at: int, now_ms: int) -> bool:
    """Whether a delivery that was tried in vain is not tried again."""
    return now_ms - at >= GIVE_UP_MS
