"""What a batch books."""

from __future__ import annotations

import pytest

from ccagent.metrics import names
from ccagent.metrics.booked import Booking, faults
from ccagent.metrics.catalogue import AGENT_BUCKETS


def test_amounts_of_one_series_add_up() -> None:
    booking = Booking()
    booking.count(names.TOKENS, ("m", "input", "p"), 3)
    booking.count(names.TOKENS, ("m", "input", "p"), 4)

    assert booking.amounts == {(names.TOKENS, ("m", "input", "p"), True): 7}


def test_amounts_that_may_not_leave_stand_apart() -> None:
    booking = Booking()
    booking.count(names.TURNS, ("ok", "p"))
    booking.count(names.TURNS, ("ok", "p"), exportable=False)

    assert len(booking.amounts) == 2


def test_nothing_is_booked_for_0() -> None:
    booking = Booking()
    booking.count(names.INGEST_BYTES, (), 0)

    assert not booking


def test_a_negative_amount_is_refused() -> None:
    with pytest.raises(ValueError, match="book growth only"):
        Booking().count(names.INGEST_BYTES, (), -1)


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0, 0), (0.05, 0), (0.050001, 1), (3_600, len(AGENT_BUCKETS) - 1), (3_601, len(AGENT_BUCKETS))],
)
def test_an_observation_counts_in_the_first_bucket_that_reaches_it(seconds: float, bucket: int) -> None:
    booking = Booking()
    booking.observe(names.REQUEST_DURATION, ("m",), seconds)

    counts, total = booking.observations[names.REQUEST_DURATION, ("m",), True]
    assert counts.index(1) == bucket
    assert total == seconds


@pytest.mark.parametrize("value", [-5.0, float("nan")])
def test_an_impossible_duration_counts_as_0(value: float) -> None:
    booking = Booking()
    booking.observe(names.REQUEST_DURATION, ("m",), value)

    counts, total = booking.observations[names.REQUEST_DURATION, ("m",), True]
    assert counts[0] == 1
    assert total == 0


def test_clearing_forgets_everything() -> None:
    booking = Booking()
    booking.count(names.WATCH_MISSED)
    booking.observe(names.PROMPT_LENGTH, (), 12)

    booking.clear()

    assert not booking


def test_a_sound_booking_has_no_faults() -> None:
    booking = Booking()
    booking.count(names.TOOL_CALLS, ("Bash", "ok", "p"))
    booking.observe(names.TOOL_DURATION, ("Bash", "ok"), 1.5)

    assert faults(booking) == []


@pytest.mark.parametrize(
    ("metric", "labels", "fault"),
    [
        ("no.such", (), "not in the catalogue"),
        (names.TURN_DURATION, ("ok",), "declared as a histogram"),
        (names.TURNS, ("ok",), "do not match"),
        (names.TURNS, ("fine", "p"), "closed list"),
    ],
)
def test_a_booking_against_the_catalogue_is_a_fault(metric: str, labels: tuple[str, ...], fault: str) -> None:
    booking = Booking()
    booking.count(metric, labels)

    assert fault in faults(booking)[0]
