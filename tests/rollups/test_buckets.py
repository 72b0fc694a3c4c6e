"""Bucket borders in zones that do what zones do."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccagent.rollups.buckets import (
    DAY_MS,
    HOUR_MS,
    QUARTER_MS,
    Unit,
    bucket_end,
    bucket_start,
    buckets_between,
    hours_of_quarter,
    label,
    marked_session,
    quarter_of,
    quarters_around,
    session_mark,
)

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/St_Johns", "Asia/Kathmandu",
    "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati", "Africa/Casablanca", "Asia/Beirut",
)  # fmt: skip
UNITS: tuple[Unit, ...] = ("hour", "day", "week", "month")
BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")

zones = st.sampled_from(ZONES).map(ZoneInfo)
instants = st.integers(315_532_800_000, 2_524_608_000_000)  # 1980 to 2050


def ms(text: str) -> int:
    """Instant of an ISO time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def hours(zone: ZoneInfo, day: str) -> list[int]:
    """Lengths in minutes of the hourly buckets of the local day in which the UTC time lies."""
    start = bucket_start(zone, "day", ms(day))
    end = bucket_end(zone, "day", start)
    return [(stop - begin) // 60_000 for begin, stop in buckets_between(zone, "hour", start, end)]


def test_a_day_has_23_hours_when_clocks_go_forward() -> None:
    assert hours(BERLIN, "2026-03-29T12:00") == [60] * 23


def test_a_repeated_local_hour_is_two_buckets() -> None:
    assert hours(BERLIN, "2026-10-25T12:00") == [60] * 25
    assert [label(BERLIN, "hour", ms(text)) for text in ("2026-10-25T00:00", "2026-10-25T01:00")] == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:00+01:00",
    ]


def test_a_change_by_half_an_hour_makes_one_short_bucket() -> None:
    assert sorted(set(hours(LORD_HOWE, "2026-10-04T00:00"))) == [30, 60]
    assert sum(hours(LORD_HOWE, "2026-10-04T00:00")) == 23 * 60 + 30
    assert sum(hours(LORD_HOWE, "2026-04-05T00:00")) == 24 * 60 + 30


def test_hours_of_kathmandu_begin_at_a_quarter() -> None:
    zone = ZoneInfo("Asia/Kathmandu")

    assert bucket_start(zone, "hour", ms("2026-01-01T12:10")) == ms("2026-01-01T11:15")
    assert bucket_start(zone, "day", ms("2026-01-01T18:14")) == ms("2025-12-31T18:15")


def test_a_day_without_midnight_begins_where_clocks_went_forward() -> None:
    zone = ZoneInfo("America/Sao_Paulo")

    assert bucket_start(zone, "day", ms("2018-11-04T12:00")) == ms("2018-11-04T03:00")
    assert hours(zone, "2018-11-04T12:00") == [60] * 23


def test_minutes_that_show_yesterday_again_stay_in_the_day_that_has_begun() -> None:
    zone = ZoneInfo("America/St_Johns")  # until 2011 clocks went back at 00:01

    start = bucket_start(zone, "day", ms("2010-11-07T12:00"))

    assert start == ms("2010-11-07T02:30")
    assert bucket_start(zone, "day", ms("2010-11-07T02:45")) == start


def test_a_day_that_the_zone_left_out_has_no_bucket() -> None:
    zone = ZoneInfo("Pacific/Apia")  # there was no 30 December 2011

    days = [label(zone, "day", start) for start, _ in buckets_between(zone, "day", ms("2011-12-29"), ms("2012-01-01"))]

    assert days == ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]


def test_weeks_begin_on_monday_and_are_named_by_iso() -> None:
    start = bucket_start(BERLIN, "week", ms("2027-01-02T12:00"))

    assert (start, label(BERLIN, "week", start)) == (ms("2026-12-27T23:00"), "2026-W53")


def test_months_begin_on_the_first() -> None:
    start = bucket_start(BERLIN, "month", ms("2026-03-31T23:00"))

    assert (start, label(BERLIN, "month", start)) == (ms("2026-03-31T22:00"), "2026-04")


@pytest.mark.parametrize("instant", [-(10**15), 10**15, -62_135_596_800_000, 253_402_300_799_999])
@pytest.mark.parametrize("unit", UNITS)
def test_absurd_instants_have_a_bucket(unit: Unit, instant: int) -> None:
    start = bucket_start(BERLIN, unit, instant)

    assert bucket_start(BERLIN, unit, start) == start < bucket_end(BERLIN, unit, start)


@given(zones, instants, st.sampled_from(UNITS))
@settings(max_examples=300)
def test_an_instant_lies_in_exactly_one_bucket(zone: ZoneInfo, instant: int, unit: Unit) -> None:
    start = bucket_start(zone, unit, instant)
    end = bucket_end(zone, unit, start)

    assert start <= instant < end
    assert bucket_start(zone, unit, start) == bucket_start(zone, unit, end - 1) == start
    assert bucket_start(zone, unit, end) == end


@given(zones, instants)
@settings(max_examples=100)
def test_hours_lie_whole_in_days_and_days_in_weeks_and_months(zone: ZoneInfo, instant: int) -> None:
    for inner, outer in (("hour", "day"), ("day", "week"), ("day", "month")):
        start = bucket_start(zone, inner, instant)  # type: ignore[arg-type]
        around = bucket_start(zone, outer, instant)  # type: ignore[arg-type]

        assert around <= start
        assert bucket_end(zone, inner, start) <= bucket_end(zone, outer, around)  # type: ignore[arg-type]


@given(zones, instants)
def test_a_quarter_lies_in_one_hour(zone: ZoneInfo, instant: int) -> None:
    assert hours_of_quarter(zone, quarter_of(instant)) == {bucket_start(zone, "hour", instant)}


@given(zones, instants, st.integers(1, 40))
@settings(max_examples=50)
def test_buckets_between_leave_no_gap(zone: ZoneInfo, since: int, count: int) -> None:
    found = list(buckets_between(zone, "hour", since, since + count * HOUR_MS))

    assert found[0][0] <= since < found[0][1]
    assert found[-1][0] < since + count * HOUR_MS <= found[-1][1]
    assert all(before[1] == after[0] for before, after in pairwise(found))


def test_an_empty_range_has_no_bucket() -> None:
    assert list(buckets_between(BERLIN, "day", DAY_MS, DAY_MS)) == []


@given(st.integers(-(10**12), 10**13))
def test_the_marks_of_a_time_hold_it_and_five_minutes_around(instant: int) -> None:
    marks = quarters_around(None, instant)

    for near in (instant - 300_000, instant, instant + 300_000):
        assert quarter_of(near) in marks


def test_a_fact_without_a_time_marks_no_quarter() -> None:
    assert quarters_around(None, None) == set()


@given(st.integers(1, 10**9), st.integers(-(10**6), 10**7))
def test_the_mark_of_a_session_is_never_a_quarter(session: int, number: int) -> None:
    assert marked_session(session_mark(session)) == session
    assert marked_session(number * QUARTER_MS) is None
