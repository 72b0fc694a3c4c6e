"""Time as an argument: what tells the time is handed in, so that a test can turn it by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the edges ask for the time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC; may jump when the system's clock is set."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds of the machine's steady clock."""
        return time.monotonic()


class FakeClock:
    """A clock that stands still until told otherwise."""

    __slots__ = ("_elapsed_ms", "_now_ms")

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms
        self._elapsed_ms = 0.0

    def now_ms(self) -> int:
        """The time that was set, in milliseconds since the epoch."""
        return self._now_ms

    def monotonic(self) -> float:
        """Seconds advanced since the clock was made."""
        return self._elapsed_ms / 1_000

    def advance(self, milliseconds: int) -> None:
        """Let time pass, on both clocks. Raises ValueError for a negative step: use `jump` for that."""
        if milliseconds < 0:
            raise ValueError(f"time cannot pass backwards ({milliseconds} ms); use jump() for a clock that is set back")
        self._now_ms += milliseconds
        self._elapsed_ms += milliseconds

    def jump(self, now_ms: int) -> None:
        """Set the wall clock, as an administrator would; the steady clock does not notice."""
        self._now_ms = now_ms
