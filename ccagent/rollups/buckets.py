"""Where periods begin and end in a time zone: hours, days, ISO weeks and months as UTC instants.

A bucket's key is the instant of its start, in ms since the epoch. Hours lie whole in days, days in weeks and months,
whatever the zone does:

- an hourly bucket ends where the local hour ends or where the zone's offset changes. A local hour that is repeated is
  two buckets, a change by half an hour makes a short one;
- a day begins at the first instant at which its date is shown, and lasts until the next day begins. So a day has 23 or
  25 hours when clocks change, and minutes that show yesterday's date once more stay in today.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

Unit = Literal["hour", "day", "week", "month"]

SECOND_MS: Final = 1_000
HOUR_MS: Final = 3_600 * SECOND_MS
DAY_MS: Final = 24 * HOUR_MS
DAYS_A_WEEK: Final = 7

QUARTER_MS: Final = 15 * 60 * SECOND_MS
"""Grain of the dirty marks: the present offset of every zone is a multiple of it, so a quarter lies in one hour."""

IDLE_CUTOFF_MS: Final = 5 * 60 * SECOND_MS
"""Longer gaps between records are not active time. Well above the p95 of a shell call, about a minute."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS: Final = -62_135_596_800_000 + 400 * DAY_MS
CALENDAR_END: Final = 253_402_300_800_000 - 400 * DAY_MS
"""Instants nearer to the ends of the calendar (years 1 and 9999) than this have no neighbours to compare with."""


def quarter_of(instant: int) -> int:
    """The quarter hour of `instant`: its start, in ms UTC."""
    return instant - instant % QUARTER_MS


def quarters_around(*instants: int | None) -> set[int]:
    """The quarters to mark dirty for a fact with the record times `instants`; none for a fact without a time.

    A record moves active time up to `IDLE_CUTOFF_MS` on either side of it, which is less than a quarter in all.
    """
    return {
        quarter_of(instant + shift)
        for instant in instants
        if instant is not None
        for shift in (-IDLE_CUTOFF_MS, IDLE_CUTOFF_MS)
    }


def session_mark(session: int) -> int:
    """The dirty mark of a session (its name id): for a fact without a first time, or that another session now owns.

    No quarter leads to the points of these. Marks are negative and no multiple of a quarter.
    """
    return -(session * QUARTER_MS + 1)


def marked_session(mark: int) -> int | None:
    """The session that `session_mark` made into `mark`; None where it is a quarter."""
    session, rest = divmod(-mark - 1, QUARTER_MS)
    return session if session >= 0 and rest == 0 else None


def _utc(instant: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=instant)


def _clamp(instant: int) -> int:
    return min(max(instant, _FIRST_MS), CALENDAR_END)


def _offset_ms(zone: ZoneInfo, instant: int) -> int:
    offset = _utc(instant).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // timedelta(milliseconds=1)


def _change_between(zone: ZoneInfo, low: int, high: int) -> int | None:
    """The first instant after `low`, at most `high`, with another offset than `low`; one change at most is assumed."""
    before = _offset_ms(zone, low)
    if _offset_ms(zone, high) == before:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_ms(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=4_096)
def _first_instant(zone: ZoneInfo, day: date) -> int:
    """The first instant at which `day` is shown (or, of a day that the zone left out, at which the next one is)."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    instant = (midnight.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
    shown = _utc(instant).astimezone(zone).replace(tzinfo=None)
    if shown == midnight.replace(tzinfo=None):
        return instant
    # Midnight was skipped: the day begins where the clocks were put forward.
    change = _change_between(zone, instant - HOUR_MS * 12, instant)
    return instant if change is None else change


def _period_date(unit: Unit, day: date) -> date:
    """The date with which the day, ISO week or month of `day` begins."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day


def _next_date(unit: Unit, first: date) -> date:
    if unit == "month":
        return (first.replace(day=1) + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=DAYS_A_WEEK if unit == "week" else 1)


def _hour_start(zone: ZoneInfo, instant: int) -> int:
    offset = _offset_ms(zone, instant)
    start = instant - (instant + offset) % HOUR_MS
    if start == instant:
        return start
    change = _change_between(zone, start, instant)
    return start if change is None else change


def bucket_start(zone: ZoneInfo, unit: Unit, instant: int) -> int:
    """The start (ms UTC) of the hour, day, ISO week or month of `zone` in which `instant` (ms UTC) lies.

    Instants in the calendar's first and last year count as if they were at its inner edge.
    """
    instant = _clamp(instant)
    if unit == "hour":
        return _hour_start(zone, instant)
    first = _period_date(unit, _utc(instant).astimezone(zone).date())
    # Clocks put back over midnight show yesterday's date again in a day that has begun.
    following = _first_instant(zone, _next_date(unit, first))
    return following if following <= instant else _first_instant(zone, first)


def bucket_end(zone: ZoneInfo, unit: Unit, start: int) -> int:
    """The end (ms UTC, exclusive) of the bucket that begins at `start`: the start of the next one."""
    if unit == "hour":
        end = start + HOUR_MS - (start + _offset_ms(zone, start)) % HOUR_MS
        change = _change_between(zone, start, end)
        return end if change is None else change
    first = _period_date(unit, _utc(start).astimezone(zone).date())
    end = start
    while end <= start:  # a day that the zone left out begins where the next one does
        first = _next_date(unit, first)
        end = _first_instant(zone, first)
    return end


def buckets_between(zone: ZoneInfo, unit: Unit, since: int, until: int) -> Iterator[tuple[int, int]]:
    """The buckets (start, end) that hold an instant of [since, until), in order; they leave no gap between them."""
    if since >= until:
        return
    start = bucket_start(zone, unit, since)
    while start < until:
        end = bucket_end(zone, unit, start)
        yield start, end
        start = end


def local_hour(zone: ZoneInfo, instant: int) -> int:
    """The hour of the day, 0 to 23, that clocks of the zone show at `instant` (ms UTC)."""
    return _utc(_clamp(instant)).astimezone(zone).hour


def hours_of_quarter(zone: ZoneInfo, quarter: int) -> set[int]:
    """The hourly buckets that the quarter hour touches: one, but for old zones with offsets in odd minutes."""
    return {_hour_start(zone, _clamp(quarter)), _hour_start(zone, _clamp(quarter + QUARTER_MS - 1))}


def label(zone: ZoneInfo, unit: Unit, start: int) -> str:
    """What a reader sees of a bucket: `2026-03-29T02:00+02:00`, `2026-03-29`, `2026-W13`, `2026-03`."""
    shown = _utc(start).astimezone(zone)
    if unit == "hour":
        return shown.isoformat(timespec="minutes")
    if unit == "week":
        year, week, _ = shown.isocalendar()
        return f"{year:04d}-W{week:02d}"
    return shown.strftime("%Y-%m") if unit == "month" else shown.date().isoformat()
