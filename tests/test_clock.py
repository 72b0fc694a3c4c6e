"""The clocks: both kinds keep the same contract, and the fake one obeys."""

from __future__ import annotations

import pytest

from ccagent.clock import Clock, FakeClock, SystemClock


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock(1_700_000_000_000)], ids=["system", "fake"])
def test_a_clock_tells_milliseconds_of_this_age_and_never_runs_back(clock: Clock) -> None:
    first = clock.monotonic()

    assert isinstance(clock.now_ms(), int)
    assert 1_600_000_000_000 < clock.now_ms() < 10_000_000_000_000
    assert clock.monotonic() >= first


def test_advancing_moves_both_clocks() -> None:
    clock = FakeClock(1_000)

    clock.advance(2_500)

    assert (clock.now_ms(), clock.monotonic()) == (3_500, 2.5)


def test_a_jump_of_the_wall_clock_leaves_the_steady_one_alone() -> None:
    clock = FakeClock(1_000)

    clock.jump(500)

    assert (clock.now_ms(), clock.monotonic()) == (500, 0.0)


def test_time_does_not_pass_backwards() -> None:
    with pytest.raises(ValueError, match="jump"):
        FakeClock().advance(-1)
