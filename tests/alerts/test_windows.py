"""Windows and their past, over clocks that change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ccagent.alerts import schedules
from ccagent.alerts.condition_document import parse_window
from ccagent.alerts.rule import Against
from ccagent.alerts.series import BEGINNING
from ccagent.alerts.windows import MOST_SPANS, is_on, length_ms, past_spans, period_of, span_of
from ccagent.rollups.buckets import bucket_start
from tests.alerts.making import BERLIN, DAY, HOUR, KATHMANDU, LORD_HOWE, MINUTE, UTC_ZONE, at

QUARTER = 15 * MINUTE
ZONES = (BERLIN, LORD_HOWE, KATHMANDU, UTC_ZONE)
CAIRO = ZoneInfo("Africa/Cairo")  # where midnight is left out in April

CALENDAR = {"hourly": 2, "daily": 3, "weekly": 9, "monthly": 33}
"""Days in which each lies whole."""

NEAR_CHANGES = st.sampled_from(
    [at("2026-03-29 01:00"), at("2026-10-25 01:00"), at("2026-04-04 15:00"), at("2026-10-03 15:30"), at("2026-01-01")]
).flatmap(
    lambda change: st.integers(-3 * DAY // MINUTE, 33 * DAY // MINUTE).map(lambda minute: change + minute * MINUTE)
)


def shown(zone: ZoneInfo, instant: int) -> datetime:
    return datetime.fromtimestamp(instant / 1_000, UTC).astimezone(zone)


def naive_start(name: str, zone: ZoneInfo, now: int) -> int:
    """The start of the period, found by looking at the clock every quarter of an hour since the day before it."""
    latest, start, current = date.min, 0, None
    for instant in range(now - now % QUARTER - CALENDAR[name] * DAY, now + 1, QUARTER):
        clock = shown(zone, instant)
        latest = max(latest, clock.date())  # a date that is shown again after midnight is still the new day
        period: object
        if name == "hourly":
            period = (clock.date(), clock.hour, clock.utcoffset())
        elif name == "daily":
            period = latest
        elif name == "weekly":
            period = latest - timedelta(days=latest.weekday())
        else:
            period = latest.replace(day=1)
        if period != current:
            start, current = instant, period
    return start


@pytest.mark.parametrize("name", CALENDAR)
@pytest.mark.parametrize("zone", ZONES, ids=str)
@settings(max_examples=40)
@given(now=NEAR_CHANGES)
def test_a_calendar_window_begins_where_a_clock_on_the_wall_begins_the_period(
    name: str, zone: ZoneInfo, now: int
) -> None:
    window = parse_window(name)

    assert span_of(window, zone, now) == (naive_start(name, zone, now), now)
    assert period_of(window, zone, now) == naive_start(name, zone, now)


@pytest.mark.parametrize(
    ("name", "zone", "now", "start"),
    [
        # the day on which clocks go forward in Berlin has 23 hours, that on which they go back 25
        ("daily", BERLIN, at("2026-03-29 23:59", BERLIN), at("2026-03-28 23:00")),
        ("daily", BERLIN, at("2026-10-25 23:59", BERLIN), at("2026-10-24 22:00")),
        ("weekly", BERLIN, at("2026-03-29 23:59", BERLIN), at("2026-03-22 23:00")),
        ("monthly", BERLIN, at("2026-10-31 23:59", BERLIN), at("2026-09-30 22:00")),
        # the hour from two to three is there twice
        ("hourly", BERLIN, at("2026-10-25 02:30", BERLIN), at("2026-10-25 00:00")),
        ("hourly", BERLIN, at("2026-10-25 02:30", BERLIN, fold=1), at("2026-10-25 01:00")),
        # half an hour on Lord Howe
        ("hourly", LORD_HOWE, at("2026-04-05 01:45", LORD_HOWE, fold=1), at("2026-04-04 15:00")),
        ("daily", LORD_HOWE, at("2026-10-04 12:00", LORD_HOWE), at("2026-10-03 13:30")),
        ("daily", KATHMANDU, at("2026-03-29 12:00", KATHMANDU), at("2026-03-28 18:15")),
        ("hourly", KATHMANDU, at("2026-03-29 12:44", KATHMANDU), at("2026-03-29 06:15")),
    ],
)
def test_periods_on_days_of_change(name: str, zone: ZoneInfo, now: int, start: int) -> None:
    assert span_of(parse_window(name), zone, now) == (start, now)


@pytest.mark.parametrize("zone", ZONES, ids=str)
@given(now=NEAR_CHANGES, hours=st.integers(1, 200), whole=st.booleans())
def test_a_trailing_window_is_as_long_as_it_says_but_for_the_present_hour(
    zone: ZoneInfo, now: int, hours: int, whole: bool
) -> None:
    start, end = span_of(parse_window(f"{hours}h"), zone, now, whole=whole)

    assert end == now
    assert start == bucket_start(zone, "hour", start)
    least = (hours if whole else hours - 1) * HOUR
    assert least <= now - start < least + HOUR + 30 * MINUTE  # Lord Howe's change
    if zone is not LORD_HOWE:
        assert now - start < least + HOUR


def test_the_present_hour_is_one_of_a_trailing_window_and_none_of_a_whole_one() -> None:
    now = at("2026-03-02 12:20")

    assert span_of(parse_window("1h"), UTC_ZONE, now) == (at("2026-03-02 12:00"), now)
    assert span_of(parse_window("6h"), UTC_ZONE, now) == (at("2026-03-02 07:00"), now)
    assert span_of(parse_window("6h"), UTC_ZONE, now, whole=True) == (at("2026-03-02 06:00"), now)


def test_a_session_reaches_back_to_its_beginning_and_has_no_period() -> None:
    for name in ("session", "now"):
        assert span_of(parse_window(name), UTC_ZONE, 5) == (BEGINNING, 5)
        assert period_of(parse_window(name), UTC_ZONE, 5) is None
        assert past_spans(parse_window(name), UTC_ZONE, 5, Against.ANY, 28) == ()


@pytest.mark.parametrize(
    ("name", "length"), [("hourly", HOUR), ("daily", DAY), ("weekly", 7 * DAY), ("36h", 36 * HOUR)]
)
def test_windows_have_a_length(name: str, length: int) -> None:
    assert length_ms(parse_window(name)) == length


# ---- the past --------------------------------------------------------------------------------------------------------

WINDOWS = st.sampled_from([*CALENDAR, "1h", "6h", "24h", "7d"])


@pytest.mark.parametrize("zone", ZONES, ids=str)
@example(now=at("2026-10-27 07:30", BERLIN), name="6h", against=Against.SAME_HOUR, windows=7)  # two began at two
@given(now=NEAR_CHANGES, name=WINDOWS, against=st.sampled_from(list(Against)), windows=st.integers(1, 100))
def test_past_windows_lie_before_the_present_one_and_beside_one_another(
    zone: ZoneInfo, now: int, name: str, against: Against, windows: int
) -> None:
    window = parse_window(name)
    spans = past_spans(window, zone, now, against, windows)

    assert 2 * min(windows, MOST_SPANS // 2) <= len(spans) <= MOST_SPANS
    assert spans[0][1] <= span_of(window, zone, now)[0]
    assert all(later[0] >= earlier[1] for later, earlier in pairwise(spans))
    assert all(start < end for start, end in spans)
    assert all(bucket_start(zone, "hour", edge) == edge for span in spans for edge in span)


@pytest.mark.parametrize("zone", ZONES, ids=str)
@given(now=NEAR_CHANGES, name=st.sampled_from(list(CALENDAR)))
def test_past_periods_are_the_periods_before(zone: ZoneInfo, now: int, name: str) -> None:
    window = parse_window(name)
    spans = past_spans(window, zone, now, Against.ANY, 2)

    assert spans[0][1] == span_of(window, zone, now)[0]
    for (start, end), (_, next_end) in pairwise(spans):
        assert span_of(window, zone, end - 1) == (start, end - 1)
        assert next_end == start


def naive_alike(zone: ZoneInfo, start: int, days: int, weekday: bool) -> list[int]:
    """Hours of the `days` before that show the same hour (and weekday), the latest first, by looking at each quarter."""
    clock = shown(zone, start)
    found = []
    for instant in range(start - QUARTER, start - days * DAY, -QUARTER):
        seen = shown(zone, instant)
        if seen.hour != clock.hour or seen.date() == clock.date() or (weekday and seen.weekday() != clock.weekday()):
            continue
        if bucket_start(zone, "hour", instant) == instant:
            found.append(instant)
    return found


@pytest.mark.parametrize("zone", ZONES, ids=str)
@settings(max_examples=20)
@example(now=at("2026-10-27 02:30", BERLIN))
@example(now=at("2026-03-30 02:30", BERLIN))
@example(now=at("2026-04-07 01:45", LORD_HOWE))
@given(now=NEAR_CHANGES)
def test_the_same_hour_is_what_clocks_show(zone: ZoneInfo, now: int) -> None:
    for name in ("hourly", "1h"):
        window = parse_window(name)
        start = span_of(window, zone, now)[0]

        hours = [span[0] for span in past_spans(window, zone, now, Against.SAME_HOUR, 7)]
        assert hours == naive_alike(zone, start, 20, weekday=False)[:14]
        weeks = [span[0] for span in past_spans(window, zone, now, Against.SAME_WEEKDAY, 2)]
        assert weeks == naive_alike(zone, start, 36, weekday=True)[:4]


@pytest.mark.parametrize("zone", [*ZONES, CAIRO], ids=str)
@example(now=at("2026-05-01 12:00"))  # a week after a day that began at one o'clock in Cairo
@given(now=NEAR_CHANGES)
def test_the_same_weekday_is_a_week_of_days_earlier(zone: ZoneInfo, now: int) -> None:
    window = parse_window("daily")
    spans = past_spans(window, zone, now, Against.SAME_WEEKDAY, 4)
    today = shown(zone, span_of(window, zone, now)[0]).date()

    assert [shown(zone, start).date() for start, _ in spans] == [today - timedelta(weeks=n) for n in range(1, 9)]
    assert [shown(zone, end - 1).date() for _, end in spans] == [today - timedelta(weeks=n) for n in range(1, 9)]


def test_enough_of_the_past_is_looked_at_for_a_night_and_a_weekend() -> None:
    now = at("2026-03-02 12:20")
    reach = {name: now - past_spans(parse_window(name), UTC_ZONE, now, Against.ANY, 28)[-1][0] for name in CALENDAR}

    assert reach["hourly"] > 16 * DAY
    assert reach["daily"] >= 84 * DAY
    assert reach["weekly"] >= 84 * 7 * DAY


# ---- schedules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "moment", "on"),
    [
        ({"days": "Mon-Fri"}, "2026-03-02 00:00", True),  # a Monday
        ({"days": "Mon-Fri"}, "2026-03-01 23:59", False),
        ({"days": "Fri-Mon"}, "2026-03-01 23:59", True),
        ({"days": "Fri-Mon"}, "2026-03-03 12:00", False),
        ({"hours": "09:00-18:00"}, "2026-03-02 09:00", True),
        ({"hours": "09:00-18:00"}, "2026-03-02 08:59", False),
        ({"hours": "09:00-18:00"}, "2026-03-02 18:00", False),
        ({"hours": "00:00-24:00"}, "2026-03-02 23:59", True),
        ({"days": "Mon", "hours": "22:00-06:00"}, "2026-03-02 22:00", True),
        ({"days": "Mon", "hours": "22:00-06:00"}, "2026-03-03 05:59", True),  # the night that began on Monday
        ({"days": "Mon", "hours": "22:00-06:00"}, "2026-03-03 06:00", False),
        ({"days": "Mon", "hours": "22:00-06:00"}, "2026-03-02 05:59", False),  # the night that began on Sunday
        ({"days": "Mon", "hours": "22:00-06:00"}, "2026-03-03 22:00", False),
        ({"days": "Mon", "hours": "18:00-00:00"}, "2026-03-02 23:59", True),
        ({"days": "Mon", "hours": "18:00-00:00"}, "2026-03-03 00:00", False),
        ({"days": "Mon", "hours": "18:00-24:00"}, "2026-03-02 23:59", True),
    ],
)
def test_a_schedule_goes_by_the_clock_on_the_wall(document: dict[str, str], moment: str, on: bool) -> None:
    for zone in ZONES:
        assert is_on(schedules.parse(document), zone, at(moment, zone)) is on


def test_without_a_schedule_it_is_always_on() -> None:
    assert is_on(None, UTC_ZONE, 0)
