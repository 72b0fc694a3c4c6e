"""What span of time a window is at a moment, and which spans of the past are its like.

Spans begin and end with hours of the rollups' zone (rollups/buckets.py), so they hold whole rows whatever clocks do; only
the present one ends at the moment itself. Times in ms UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final

from ccagent.alerts.rule import Against, Schedule, Window
from ccagent.alerts.series import BEGINNING, Span
from ccagent.rollups.buckets import DAY_MS, HOUR_MS, Unit, bucket_end, bucket_start, buckets_between, local_hour

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

SESSION_END_MS: Final = 30 * 60_000
"""A session without a record for so long is over."""

MOST_SPANS: Final = 400
"""Past windows that are looked at for a baseline at most: 16 days of hours, more than a year of days."""

_LENGTHS: Final[dict[Unit, int]] = {"hour": HOUR_MS, "day": DAY_MS, "week": 7 * DAY_MS, "month": 30 * DAY_MS}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MINUTES: Final = 24 * 60


def span_of(window: Window, zone: ZoneInfo, now: int, *, whole: bool = False) -> Span:
    """The span that a window is at `now`, which is its end.

    A trailing window of n hours begins n - 1 hours before the present hour began, so it is between n - 1 and n hours long
    (where clocks change by half an hour, that much longer). `whole`: it begins an hour earlier, and is n hours long at least.
    """
    if window.unit is not None:
        return bucket_start(zone, window.unit, now), now
    if window.trailing_ms is not None:
        hour = bucket_start(zone, "hour", now)
        return bucket_start(zone, "hour", hour - window.trailing_ms + (0 if whole else HOUR_MS)), now
    return BEGINNING, now


def period_of(window: Window, zone: ZoneInfo, now: int) -> int | None:
    """The start of the calendar period that a window reads at `now`; None for one that is none."""
    return None if window.unit is None else bucket_start(zone, window.unit, now)


def length_ms(window: Window) -> int:
    """How long a window is: about, for a day may have 23 hours. Of a session how long it lives without a record, and of a
    gauge's present an hour."""
    if window.unit is not None:
        return _LENGTHS[window.unit]
    if window.trailing_ms is not None:
        return window.trailing_ms
    return SESSION_END_MS if window.session else HOUR_MS


def past_spans(
    window: Window, zone: ZoneInfo, now: int, against: Against, windows: int, *, whole: bool = False
) -> tuple[Span, ...]:
    """The past windows that a baseline of `windows` of them looks at, the latest first; none overlaps the present one.

    Windows without an amount do not count, so there are more than `windows`: of hours those of as many days, of others up
    to three times as many, of those of one hour or weekday twice; MOST_SPANS at most.
    """
    return _past(window, zone, span_of(window, zone, now, whole=whole)[0], against, windows)


@lru_cache(maxsize=512)
def _past(window: Window, zone: ZoneInfo, start: int, against: Against, windows: int) -> tuple[Span, ...]:
    if window.session or (window.unit is None and window.trailing_ms is None):
        return ()
    length = length_ms(window)
    if against is Against.SAME_HOUR and length < DAY_MS:
        return tuple(islice(_alike(window, zone, start, days=1), min(2 * windows, MOST_SPANS)))
    if against is Against.SAME_WEEKDAY and length <= DAY_MS:
        return tuple(islice(_alike(window, zone, start, days=7), min(2 * windows, MOST_SPANS)))
    many = max(3, DAY_MS // length)
    return tuple(islice(_before(window, zone, start), min(many * windows, MOST_SPANS)))


def _before(window: Window, zone: ZoneInfo, end: int) -> Iterator[Span]:
    """The windows of the same kind before `end`, without a gap."""
    length = 1 if window.unit is not None else length_ms(window)
    while True:
        start = bucket_start(zone, window.unit or "hour", end - length)
        if start >= end:
            return  # the calendar has no earlier ones
        yield start, end
        end = start


def _alike(window: Window, zone: ZoneInfo, start: int, *, days: int) -> Iterator[Span]:
    """The windows that began at the same hour of the day, each `days` earlier than the one before.

    An hour that a day does not have is left out; of one that it has twice both count.
    """
    end, day = start, bucket_start(zone, "day", start)
    hour = None if window.unit == "day" else local_hour(zone, start)
    while True:
        earlier = bucket_start(zone, "day", day - days * DAY_MS + DAY_MS // 2)
        if earlier >= day:
            return  # the calendar has no earlier ones
        day = earlier
        for begin in reversed(_begins(zone, day, hour)):
            yield begin, min(_end(window, zone, begin), end)
            end = begin


def _begins(zone: ZoneInfo, day: int, hour: int | None) -> list[int]:
    if hour is None:
        return [day]
    finish = bucket_end(zone, "day", day)
    # Clocks change by two hours at most, so the hour lies near where it would without a change.
    near = max(day, day + (hour - 2) * HOUR_MS), min(finish, day + (hour + 3) * HOUR_MS)
    return [begin for begin, _ in buckets_between(zone, "hour", *near) if local_hour(zone, begin) == hour]


def _end(window: Window, zone: ZoneInfo, begin: int) -> int:
    if window.unit is not None:
        return bucket_end(zone, window.unit, begin)
    return bucket_start(zone, "hour", begin + length_ms(window))


def is_on(schedule: Schedule | None, zone: ZoneInfo, now: int) -> bool:
    """Whether a rule with this schedule is evaluated at `now`, by what clocks of the zone show."""
    if schedule is None:
        return True
    shown = (_EPOCH + timedelta(milliseconds=now)).astimezone(zone)
    minute, day = shown.hour * 60 + shown.minute, shown.weekday()
    if schedule.start_minute < schedule.end_minute:
        return day in schedule.days and schedule.start_minute <= minute < schedule.end_minute
    if minute >= schedule.start_minute:
        return day in schedule.days
    return minute < schedule.end_minute % _DAY_MINUTES and (day - 1) % 7 in schedule.days
