"""Stretches of time, and which of them whole hours and days can answer for.

A span is (start, end) in ms UTC, the end excluded. Lists of spans ascend, do not overlap and do not touch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from ccagent.rollups.buckets import CALENDAR_END, Unit, bucket_end, bucket_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

Span = tuple[int, int]

FIRST: Final = -(1 << 62)
LAST: Final = 1 << 62
"""Before and after every instant: the bounds of a window that has none."""


class Cover(NamedTuple):
    """A window of time by who answers for it: rows by day, rows by hour, the facts themselves."""

    days: list[Span]
    hours: list[Span]
    facts: list[Span]


def merged(spans: Iterable[Span]) -> list[Span]:
    """The union of spans in any order."""
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def clipped(spans: Iterable[Span], low: int, high: int) -> list[Span]:
    """The parts of the spans that lie in [low, high)."""
    return [(max(start, low), min(end, high)) for start, end in spans if max(start, low) < min(end, high)]


def gaps(spans: Sequence[Span], low: int, high: int) -> list[Span]:
    """What of [low, high) is in none of the spans."""
    found = []
    for start, end in clipped(spans, low, high):
        if low < start:
            found.append((low, start))
        low = end
    return [*found, (low, high)] if low < high else found


def whole(zone: ZoneInfo, unit: Unit, spans: Iterable[Span]) -> list[Span]:
    """The spans made longer at both ends to whole buckets."""
    return merged(
        (bucket_start(zone, unit, start), bucket_end(zone, unit, bucket_start(zone, unit, end - 1)))
        for start, end in spans
    )


def cover(
    zone: ZoneInfo, since: int, until: int, stale: Iterable[Span], *, sealed: int = FIRST, days: bool = True
) -> Cover:
    """Who answers for [since, until): rows wherever they are fresh and lie whole in it, facts for the rest.

    `stale` are spans of whole hours whose rows do not hold what the facts say. What is before `sealed` has rows alone:
    none of it counts as stale, and an hour cut by a bound belongs to where it begins. `zone` is that of the rows;
    without `days` all rows are by hour.
    """
    lowest, highest = _reach(zone)
    low, high = (min(max(bound, lowest), highest) for bound in (since, until))
    by_facts = list(stale)
    by_facts += [_hour_begun(zone, bound) for bound in (low, high) if bound > sealed]
    facts = clipped(merged(by_facts), max(low, sealed), high)
    by_rows = gaps(facts, low, high)
    whole_days = [_days_within(zone, span) for span in by_rows] if days else []
    day_spans = [span for span in whole_days if span[0] < span[1]]
    hour_spans = [rest for span in by_rows for rest in gaps(clipped(day_spans, *span), *span)]
    beyond = clipped([(FIRST, lowest), (highest, LAST)], since, until)
    return Cover(day_spans, hour_spans, merged([*beyond, *facts]))


@lru_cache(maxsize=8)
def _reach(zone: ZoneInfo) -> Span:
    """The whole hours that rows can answer for.

    Times before 1970 are errors of a clock or a parser and mark no row stale; where the calendar ends, so do buckets.
    """
    return _next_start(zone, "hour", 0), bucket_start(zone, "hour", CALENDAR_END)


def _next_start(zone: ZoneInfo, unit: Unit, instant: int) -> int:
    """The first start of a bucket at or after `instant`."""
    start = bucket_start(zone, unit, instant)
    return start if start == instant else bucket_end(zone, unit, start)


def _hour_begun(zone: ZoneInfo, instant: int) -> Span:
    """The hour that `instant` cuts; nothing where it is the start of one."""
    start = bucket_start(zone, "hour", instant)
    return start, start if start == instant else bucket_end(zone, "hour", start)


def _days_within(zone: ZoneInfo, span: Span) -> Span:
    """The whole days in a span; empty (start ≥ end) where there is none."""
    return _next_start(zone, "day", span[0]), bucket_start(zone, "day", span[1])
