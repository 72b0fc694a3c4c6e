"""A whole daemon whose wall clock jumps: the machine slept, or its clock was wrong and is set right."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from ccagent.clock import SystemClock
from ccagent.config import load
from ccagent.daemon import Daemon
from ccagent.service.retaining import AFTER_START_MS
from tests.daemon.rig import Ground, get, now_ms, small_session, until

HOUR_MS = 3_600_000
YEARS_MS = 3 * 365 * 24 * HOUR_MS
"""Longer than facts are kept."""


class JumpingClock(SystemClock):
    """The machine's clocks, with a wall clock that is so far ahead."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now_ms(self) -> int:
        """Milliseconds since the epoch, as the wrong clock tells them."""
        return super().now_ms() + self.ahead_ms


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def daemon(ground: Ground, clock: JumpingClock) -> Iterator[Daemon]:
    """A daemon on the ground, with its threads, in this process."""
    mask = os.umask(0o077)
    ground.tree.write(small_session("before", requests=2))
    options = {"database": str(ground.database), "sources": (str(ground.root),), "listen": "127.0.0.1:0"}
    made = Daemon(load(options, {}), {"HOME": str(ground.home)}, clock)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        until(lambda: made.live.caught_up and made.live.listen, "it has caught up")
        yield made
    finally:
        made.stop.set()
        made.following.wake.set()
        thread.join(10)
        os.umask(mask)
    assert not thread.is_alive()


def test_after_every_jump_lines_are_taken_in_once_and_counters_never_fall(
    ground: Ground, clock: JumpingClock, daemon: Daemon
) -> None:
    read = [0.0]
    for number, ahead_ms in enumerate((8 * HOUR_MS, -24 * HOUR_MS, 0, YEARS_MS, 0), start=1):
        clock.ahead_ms = ahead_ms
        ground.tree.write(small_session(f"session-{number}", requests=1, start=now_ms() + ahead_ms - 60_000))
        until(lambda count=2 + number: ground.requests() == count, f"what came after jump {number} is there")
        seen = read[-1]

        def shown(before: float = seen) -> bool:
            read.append(tokens(get(f"{daemon.live.listen}/metrics")[1]))
            return read[-1] > before

        until(shown, "the page shows it")

    assert read == sorted(read)
    assert daemon.live.problems == {}
    assert ground.usage()["requests"] == 7


def test_a_clock_that_is_years_ahead_for_a_while_removes_no_facts(
    ground: Ground, clock: JumpingClock, daemon: Daemon
) -> None:
    clock.ahead_ms = YEARS_MS
    until(
        lambda: (daemon.live.next_prune_ms or 0) >= clock.now_ms() + AFTER_START_MS - 60_000,
        "the next run of retention waits",
    )
    clock.ahead_ms = 0
    until(
        lambda: (daemon.live.next_prune_ms or 0) <= now_ms() + 25 * HOUR_MS, "and is due within a day of the right time"
    )

    assert ground.requests() == 2
    assert ground.rows("SELECT count(*) FROM meta WHERE name = 'pruned_at'") == [(0,)]


def tokens(page: str) -> float:
    """All tokens on a metrics page."""
    return sum(
        float(line.split("#")[0].split()[-1]) for line in page.splitlines() if line.startswith("ccagent_tokens_total{")
    )
