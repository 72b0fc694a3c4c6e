"""Hours in which nobody is to be disturbed: "22:00-07:00" by the clocks of a time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ccagent.alerts.message import Message, merged
from ccagent.alerts.rule import Severity
from ccagent.alerts.states import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

_SPAN: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-4]):([0-5]\d)")
_DAY_MINUTES: Final = 24 * 60
_SECOND_MS: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` to `end` (minutes of the day, the end exclusive), over midnight where the end is the smaller one.

    They last from the first instant at which clocks show the start (or have passed over it, where they are put forward) to
    the first one at which they show the end. So they begin and end once a day, also when clocks change within them.
    """

    start: int
    end: int

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in (self.start, self.end))

    def until(self, now_ms: int, zone: ZoneInfo) -> int | None:
        """When the quiet hours end in which `now_ms` lies; None outside of them."""
        today = (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(zone).date()
        for days in (-2, -1, 0, 1):
            first = today + timedelta(days=days)
            last = first if self.start < self.end else first + timedelta(days=1)
            end = _first_instant(zone, last, self.end)
            if _first_instant(zone, first, self.start) <= now_ms < end:
                return end
        return None


def parse_quiet(text: str) -> QuietHours:
    """Quiet hours from "HH:MM-HH:MM". ValueError that says what is wrong."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'{text!r} is no time of the day; write such as "22:00-07:00"')
    start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if end > _DAY_MINUTES:
        raise ValueError(f"{text!r} ends after midnight of the same day; the latest end is 24:00")
    if start == end % _DAY_MINUTES:
        raise ValueError(f"{text!r} begins when it ends; leave quiet hours out for none")
    return QuietHours(start, end % _DAY_MINUTES)


def passes(severity: Severity) -> bool:
    """Whether a message of this severity does not wait for the end of quiet hours."""
    return severity is Severity.CRITICAL


def told_once(messages: Sequence[Message]) -> list[Message]:
    """What is told at the end of quiet hours: an alert that fired and was resolved within them makes one message.

    All were held back; they are in the order of time, and so is the answer.
    """
    told: list[Message] = []
    for message in messages:
        pair = next((other for other in told if _fired(other, message)), None)
        if message.state is State.RESOLVED and pair is not None:
            told.remove(pair)
            told.append(merged(pair, message))
        else:
            told.append(message)
    return told


def _fired(one: Message, resolved: Message) -> bool:
    mine = (one.rule, one.place, one.episode) == (resolved.rule, resolved.place, resolved.episode)
    return mine and one.state is State.FIRING


def _first_instant(zone: ZoneInfo, day: date, minute: int) -> int:
    """The first instant (ms UTC) at which clocks show this minute of the day, or a later one where they pass over it."""
    shown = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)
    instant = _ms(shown.replace(tzinfo=zone))
    if _shown(zone, instant) == shown:
        return instant
    # The minute was left out. Read with the offset that holds afterwards it lies before the change, by as much.
    low, high = _ms(shown.replace(tzinfo=zone, fold=1)), instant
    while high - low > _SECOND_MS:
        middle = (low + high) // 2
        if _shown(zone, middle) < shown:
            low = middle
        else:
            high = middle
    return high - high % _SECOND_MS


def _ms(local: datetime) -> int:
    return (local.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)


def _shown(zone: ZoneInfo, instant: int) -> datetime:
    return (_EPOCH + timedelta(milliseconds=instant)).astimezone(zone).replace(tzinfo=None)
