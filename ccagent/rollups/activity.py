"""Active time of a session: the gaps between its records that are short enough to have been work."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from ccagent.rollups.buckets import IDLE_CUTOFF_MS

if TYPE_CHECKING:
    from collections.abc import Sequence


class Place(NamedTuple):
    """Whose a record is: name ids of project and branch (0 = none), and the number of its session type."""

    project: int
    branch: int
    session_type: int


Record = tuple[int, Place]
"""Time (ms UTC) and place of a record."""


def active_ms(records: Sequence[Record], start: int | None = None, end: int | None = None) -> dict[Place, int]:
    """Active milliseconds in [start, end) by place; without bounds, of the whole session.

    `records` are those of one session in ascending order. A gap counts when it is at most `IDLE_CUTOFF_MS`; it belongs
    to the record that ends it and is cut exactly at the bounds, so amounts of adjoining periods add up.
    """
    low = 0 if start is None else bisect_left(records, start - IDLE_CUTOFF_MS, key=_time)
    high = len(records) if end is None else bisect_right(records, end + IDLE_CUTOFF_MS, key=_time)
    active: dict[Place, int] = {}
    for index in range(low + 1, high):
        began, (ended, place) = records[index - 1][0], records[index]
        if ended - began > IDLE_CUTOFF_MS:
            continue
        first = began if start is None else max(began, start)
        last = ended if end is None else min(ended, end)
        if last > first:
            active[place] = active.get(place, 0) + last - first
    return active


def _time(record: Record) -> int:
    return record[0]
