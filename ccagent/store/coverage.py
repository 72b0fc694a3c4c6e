"""Who answers for a window of time: rollup rows by day or hour where they are fresh, facts for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from ccagent.rollups.buckets import HOUR_MS, Unit, bucket_end, bucket_start, buckets_between
from ccagent.rollups.metrics import Period
from ccagent.rollups.spans import FIRST, LAST, Cover, Span, cover, whole
from ccagent.rollups.usage import UsageFamily
from ccagent.store.connection import Connection, scalar
from ccagent.store.staleness import sealed_before, stale_hours

if TYPE_CHECKING:
    from collections.abc import Sequence


class Window(NamedTuple):
    """A range of time by a fact's first time, in ms UTC; without any bound, facts without a time are in it."""

    since: int | None
    until: int | None

    @property
    def bounds(self) -> Span:
        """The range with the ends of time where it has no bound."""
        return FIRST if self.since is None else self.since, LAST if self.until is None else self.until

    @property
    def open(self) -> bool:
        """Whether facts without a time belong to it."""
        return self.since is None and self.until is None


def stored_zone(conn: Connection) -> ZoneInfo:
    """The zone of the store's rollups, UTC while it has none."""
    value = scalar(conn, "SELECT value FROM meta WHERE name = 'zone'")
    return ZoneInfo("UTC" if value is None else str(value))


def coverage(
    conn: Connection, window: Window, family: UsageFamily, *, periods: tuple[ZoneInfo, Unit] | None = None
) -> Cover:
    """Who answers for rows of `family` in `window`; with `periods`, each row lies whole in one of these."""
    own = stored_zone(conn)
    stale = stale_hours(conn, own, (family,))
    days = True
    if periods is not None:
        zone, unit = periods
        days = unit != "hour" and zone.key == own.key
        if zone.key != own.key:
            stale = whole(own, "hour", [*stale, *_cut_hours(conn, window, own, zone, unit)])
    return cover(own, *window.bounds, stale, sealed=sealed_before(conn), days=days)


def _cut_hours(conn: Connection, window: Window, own: ZoneInfo, zone: ZoneInfo, unit: Unit) -> Iterator[Span]:
    """Hours of `own` in which a period of `zone` ends and another begins."""
    hours = _hours(conn, window)
    if not hours:
        return
    if unit == "hour":
        for hour in hours:
            end = bucket_end(own, "hour", hour)
            if bucket_start(zone, "hour", hour) != hour or bucket_end(zone, "hour", hour) < end:
                yield hour, end
        return
    for start, _ in buckets_between(zone, unit, hours[0], hours[-1] + HOUR_MS):
        hour = bucket_start(own, "hour", start)
        if hour != start:
            yield hour, bucket_end(own, "hour", hour)


def _hours(conn: Connection, window: Window) -> Sequence[int]:
    """The hours of the window of which there are rows, ascending."""
    rows = conn.execute(
        "SELECT DISTINCT bucket FROM rollup WHERE period = ? AND family = ? AND bucket >= ? AND bucket < ? ORDER BY 1",
        (int(Period.HOURLY), int(UsageFamily.PLACE), *window.bounds),
    )
    return [int(row[0]) for row in rows]
