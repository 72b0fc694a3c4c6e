"""Quiet hours by the clocks of a zone, over days on which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.alerts.quiet import QuietHours, parse_quiet, passes, told_once
from ccagent.alerts.rule import Severity
from tests.notify.made import message, resolved

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago", "UTC")


def ms(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp() * 1_000)


def local(instant: int, zone: ZoneInfo = BERLIN) -> str:
    return datetime.fromtimestamp(instant / 1_000, UTC).astimezone(zone).isoformat()


NIGHT = parse_quiet("22:00-07:00")


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-06-01T21:59", None), ("2026-06-01T22:00", "2026-06-02T07:00"), ("2026-06-02T03:00", "2026-06-02T07:00"),
        ("2026-06-02T06:59", "2026-06-02T07:00"), ("2026-06-02T07:00", None), ("2026-06-02T12:00", None),
    ],
)  # fmt: skip
def test_a_night_lasts_from_evening_to_morning(now: str, until: str | None) -> None:
    assert NIGHT.until(ms(now), BERLIN) == (None if until is None else ms(until))


@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24"])
def test_the_night_on_which_clocks_change_ends_at_the_hour_that_they_show(day: str) -> None:
    evening = ms(f"{day}T23:00")

    until = NIGHT.until(evening, BERLIN)

    assert until is not None
    assert "T07:00:00" in local(until)
    assert until - evening == (7 if day == "2026-03-28" else 9) * 3_600_000


def test_an_end_that_the_clocks_leave_out_is_where_they_jump() -> None:
    hours = parse_quiet("22:00-02:30")

    until = hours.until(ms("2026-03-28T23:00"), BERLIN)

    assert until is not None
    assert local(until) == "2026-03-29T03:00:00+02:00"
    assert hours.until(until, BERLIN) is None


def test_a_start_that_the_clocks_leave_out_is_where_they_jump() -> None:
    hours = parse_quiet("02:30-06:00")

    assert hours.until(ms("2026-03-29T01:59"), BERLIN) is None
    assert hours.until(ms("2026-03-29T03:00"), BERLIN) == ms("2026-03-29T06:00")


def test_an_hour_that_is_shown_twice_ends_quiet_once() -> None:
    hours = parse_quiet("22:00-02:30")

    assert hours.until(ms("2026-10-25T02:29"), BERLIN) == ms("2026-10-25T02:30")
    assert hours.until(ms("2026-10-25T02:45"), BERLIN) is None
    assert hours.until(ms("2026-10-25T02:10", fold=1), BERLIN) is None


def test_an_hour_that_is_shown_twice_begins_quiet_once() -> None:
    hours = parse_quiet("02:30-06:00")

    assert hours.until(ms("2026-10-25T02:10", fold=1), BERLIN) == ms("2026-10-25T06:00")


@given(
    start=st.integers(0, 1_439), length=st.integers(1, 1_439), zone=st.sampled_from(ZONES),
    now=st.integers(1_700_000_000, 1_860_000_000),
)  # fmt: skip
def test_quiet_hours_end_when_they_say_and_are_over_then(start: int, length: int, zone: str, now: int) -> None:
    """The end is no more than a day (and a change of clocks) away, and nothing is quiet at it."""
    hours, place = QuietHours(start, (start + length) % 1_440), ZoneInfo(zone)

    until = hours.until(now * 1_000, place)

    if until is not None:
        assert now * 1_000 < until <= now * 1_000 + timedelta(hours=27) // timedelta(milliseconds=1)
        assert hours.until(until - 1, place) == until
        assert hours.until(until, place) is None
    shown = datetime.fromtimestamp(now, place)
    offset = datetime.fromtimestamp(now - 100_000, place).utcoffset()
    steady = offset == datetime.fromtimestamp(now + 100_000, place).utcoffset() == shown.utcoffset()
    if steady:
        minute = shown.hour * 60 + shown.minute
        inside = (minute - start) % 1_440 < length
        assert (until is not None) == inside


@pytest.mark.parametrize(
    "text", ["", "22:00", "22-07", "25:00-07:00", "22:60-07:00", "07:00-07:00", "00:00-24:00", "09:00-24:30"]
)
def test_what_are_no_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write such as|leave quiet hours out|latest end"):
        parse_quiet(text)


def test_hours_until_midnight_end_there() -> None:
    hours = parse_quiet("18:00-24:00")

    assert hours.until(ms("2026-06-01T23:59"), BERLIN) == ms("2026-06-02T00:00")
    assert hours.until(ms("2026-06-02T00:00"), BERLIN) is None
    assert str(NIGHT) == "22:00-07:00"


def test_only_critical_alerts_pass() -> None:
    assert [passes(severity) for severity in Severity] == [False, False, True]


def test_an_alert_that_fired_and_was_resolved_meanwhile_is_told_once() -> None:
    other = message("x", subject="/p/other")

    told = told_once([message("a"), other, resolved("b"), message("c", episode=2)])

    assert [one.keys for one in told] == [("x",), ("a", "b"), ("c",)]


def test_a_resolution_alone_is_told_as_it_is() -> None:
    assert [one.keys for one in told_once([resolved("b")])] == [("b",)]
