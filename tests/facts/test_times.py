"""Times of records, and durations that clients wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.times import LATEST_MS, parse_ms, whole_ms

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30))


@given(MOMENTS)
def test_the_clients_form_gives_the_exact_millisecond(moment: datetime) -> None:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1_000:03d}Z"
    text = text.rjust(24, "0")

    expected = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

    assert parse_ms(text) == expected


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_a_zone_is_honoured(moment: datetime, minutes: int) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    abroad = moment.astimezone(timezone(timedelta(minutes=minutes))) if moment.year in range(1971, 9999) else moment

    assert parse_ms(abroad.isoformat()) == parse_ms(moment.isoformat())


def test_a_time_without_a_zone_is_utc() -> None:
    assert parse_ms("2026-02-10T09:00:00") == parse_ms("2026-02-10T09:00:00.000Z") == 1_770_714_000_000


@pytest.mark.parametrize(
    "text",
    [None, "", "yesterday", "2026-13-01T00:00:00.000Z", "2026-02-10T09:00:61.000Z", "2026-02-10T09:00:0x.000Z",
     "2026-02-10T09:00:00.0٣0Z", "1969-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z", "0001-01-01T00:00:00+14:00",
     "9999-12-31T23:59:59-14:00"],
)  # fmt: skip
def test_what_is_no_time_after_1970_is_none(text: str | None) -> None:
    assert parse_ms(text) is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [(None, None), (0, 0), (1.6, 2), (-1, None), (float("nan"), None), (float("inf"), None), (LATEST_MS + 1, None)],
)
def test_a_duration_is_whole_and_possible(written: float | None, expected: int | None) -> None:
    assert whole_ms(written) == expected
