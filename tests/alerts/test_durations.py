"""Lengths of time as rules write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.alerts import durations
from ccagent.alerts.faults import AlertRuleError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("10m", 600), ("1h30m", 5_400), ("2d", 172_800), ("1w", 604_800), ("1d1h1m1s", 90_061)],
)
def test_a_length_is_read(text: str, seconds: int) -> None:
    assert durations.parse(text) == 1_000 * seconds


@pytest.mark.parametrize(
    "wrong", ["", "10", 10, "m", "10 m", "1m1h", "5m5m", "-1m", "1.5h", "10M", None, True, "٣m", "400d"]
)
def test_what_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(AlertRuleError, match=r"for: is .*|for: has .*"):
        durations.parse(wrong, "for")


@given(st.integers(0, durations.LONGEST_MS // 1_000))
def test_what_is_shown_is_read_again(seconds: int) -> None:
    assert durations.parse(durations.shown(1_000 * seconds)) == 1_000 * seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (60, "1m"), (86_400, "1d"), (604_800, "7d"), (5_400, "1h30m")]
)
def test_a_length_is_shown_as_people_write_it(seconds: int, text: str) -> None:
    assert durations.shown(1_000 * seconds) == text
