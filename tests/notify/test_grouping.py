"""When messages leave, how many at once, and how long a receiver that is away is left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ccagent.alerts.grouping import FIRST_MS, LONGEST_MS, WISH_MS, batches, given_up, leaves_at, pause_ms
from ccagent.alerts.rule import Severity

NOW = 1_790_000_000_000


def test_a_critical_alert_leaves_at_once() -> None:
    assert leaves_at(Severity.CRITICAL, NOW, NOW, 30_000, NOW + 20_000) == NOW


def test_the_first_opens_a_group_and_others_join_it() -> None:
    first = leaves_at(Severity.WARNING, NOW, NOW, 30_000, None)

    assert first == NOW + 30_000
    assert leaves_at(Severity.INFO, NOW + 29_000, NOW + 29_500, 30_000, first) == first
    assert leaves_at(Severity.INFO, NOW + 31_000, NOW + 31_000, 30_000, first) == NOW + 61_000


def test_what_comes_late_does_not_wait_again() -> None:
    assert leaves_at(Severity.WARNING, NOW - 60_000, NOW, 30_000, None) == NOW


@given(
    at=st.integers(-(10**9), 10**9), open_until=st.none() | st.integers(-(10**9), 10**9), group=st.integers(0, 10**6)
)
def test_nothing_waits_longer_than_a_group_whatever_clocks_did(at: int, open_until: int | None, group: int) -> None:
    shifted = None if open_until is None else NOW + open_until

    assert NOW <= leaves_at(Severity.WARNING, NOW + at, NOW, group, shifted) <= NOW + group


def test_pauses_double_up_to_ten_minutes() -> None:
    assert [pause_ms(tries, 0.0) // 1_000 for tries in range(1, 10)] == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert pause_ms(1, 1.0) == FIRST_MS // 2
    assert pause_ms(10**6, 0.0) == LONGEST_MS


def test_a_receivers_wish_goes_before_within_an_hour() -> None:
    assert pause_ms(1, 0.5, 90_000) == 90_000
    assert pause_ms(1, 0.0, 10**12) == WISH_MS
    assert pause_ms(1, 0.0, 0) == FIRST_MS


def test_a_delivery_is_given_up_after_a_day() -> None:
    assert not given_up(NOW - 24 * 3_600_000 + 1, NOW)
    assert given_up(NOW - 24 * 3_600_000, NOW)
    assert not given_up(NOW + 10**9, NOW)


def test_a_crowd_is_cut_into_pieces() -> None:
    assert [len(piece) for piece in batches(list(range(45)), 20)] == [20, 20, 5]
    assert batches([], 20) == []
