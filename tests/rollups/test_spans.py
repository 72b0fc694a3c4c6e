"""Which hours and days can answer for a window: together with the facts they cover it, and nothing twice."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.rollups.buckets import CALENDAR_END, DAY_MS, HOUR_MS, bucket_end, bucket_start
from ccagent.rollups.spans import FIRST, LAST, Cover, Span, cover, gaps, merged, whole

START = 1_774_656_000_000  # 2026-03-28 00:00 UTC: the clocks of Berlin go forward on the day after
MINUTE = 60_000
UTC = ZoneInfo("UTC")
ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe")]

instants = st.integers(START - DAY_MS, START + 4 * DAY_MS)
spans = st.lists(st.tuples(instants, instants), max_size=5)


def within(instant: int, held: list[Span]) -> int:
    return sum(start <= instant < end for start, end in held)


def test_touching_and_overlapping_spans_become_one() -> None:
    assert merged([(5, 7), (1, 3), (3, 4), (6, 9), (2, 2), (8, 6)]) == [(1, 4), (5, 9)]


def test_gaps_are_what_is_between() -> None:
    assert gaps([(2, 4), (6, 8)], 0, 10) == [(0, 2), (4, 6), (8, 10)]
    assert gaps([(2, 4), (6, 8)], 3, 7) == [(4, 6)]
    assert gaps([], 3, 3) == []


def test_spans_grow_to_whole_hours() -> None:
    assert whole(UTC, "hour", [(START + 5, START + 9), (START + HOUR_MS, START + HOUR_MS + 1)]) == [
        (START, START + 2 * HOUR_MS)
    ]


def test_whole_days_are_answered_by_day_and_what_a_bound_cuts_by_facts() -> None:
    found = cover(UTC, START + 90 * MINUTE, START + 2 * DAY_MS + 30 * MINUTE, [])

    assert found == Cover(
        days=[(START + DAY_MS, START + 2 * DAY_MS)],
        hours=[(START + 2 * HOUR_MS, START + DAY_MS)],
        facts=[(START + 90 * MINUTE, START + 2 * HOUR_MS), (START + 2 * DAY_MS, START + 2 * DAY_MS + 30 * MINUTE)],
    )


def test_a_stale_hour_takes_its_day_apart() -> None:
    stale = (START + 5 * HOUR_MS, START + 6 * HOUR_MS)

    found = cover(UTC, START, START + DAY_MS, [stale])

    assert found == Cover([], [(START, stale[0]), (stale[1], START + DAY_MS)], [stale])


def test_a_window_without_bounds_leaves_to_facts_what_no_calendar_holds() -> None:
    found = cover(UTC, FIRST, LAST, [])

    assert found.facts == [(FIRST, 0), (CALENDAR_END, LAST)]
    assert found.days == [(0, bucket_start(UTC, "day", CALENDAR_END))]


def test_what_is_sealed_is_never_read_from_facts() -> None:
    sealed = START + DAY_MS

    found = cover(UTC, START + 5, sealed + 5 * MINUTE, [(START + HOUR_MS, START + 2 * HOUR_MS)], sealed=sealed)

    assert found == Cover([], [(START + 5, sealed)], [(sealed, sealed + 5 * MINUTE)])


@pytest.mark.parametrize("zone", ZONES, ids=lambda zone: zone.key)
@given(since=instants, until=instants, stale=spans, sealed=st.one_of(st.just(FIRST), instants), at=instants)
def test_every_instant_of_the_window_is_answered_for_once(
    zone: ZoneInfo, since: int, until: int, stale: list[Span], sealed: int, at: int
) -> None:
    sealed = bucket_start(zone, "hour", sealed)
    marked = whole(zone, "hour", merged(stale))

    found = cover(zone, since, until, marked, sealed=sealed)

    answers = [within(at, held) for held in found]
    assert sum(answers) == (since <= at < until)
    if sum(answers) and at >= sealed:
        hour = bucket_start(zone, "hour", at)
        cut = any(hour < bound < bucket_end(zone, "hour", hour) for bound in (since, until))
        assert answers[2] == (cut or within(at, marked))
