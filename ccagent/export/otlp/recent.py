"""What happened in the last hour and the last day, in memory of fixed size."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

SLOT_MS: Final = 5 * 60_000
"""How exactly the ends of an hour and a day are kept: an event leaves the sum within five minutes."""

HOUR_SLOTS: Final = 12
DAY_SLOTS: Final = 288

Happening = Literal["succeeded", "failed", "dropped"]
Period = Literal["hour", "day"]

PERIODS: Final[dict[Period, int]] = {"hour": HOUR_SLOTS, "day": DAY_SLOTS}


class Recent:
    """Requests that succeeded and failed, and items that were dropped. Times are wall-clock milliseconds, handed in."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, dict[Happening, int]]] = deque(maxlen=DAY_SLOTS + 1)

    def count(self, what: Happening, now_ms: int, amount: int = 1) -> None:
        """Add to the present slot; what happens before it (a clock that was set back) is added to it, too."""
        slot = now_ms // SLOT_MS
        if not self._slots or self._slots[-1][0] < slot:
            self._slots.append((slot, {}))
        counts = self._slots[-1][1]
        counts[what] = counts.get(what, 0) + amount

    def within(self, period: Period, now_ms: int) -> dict[Happening, int]:
        """The sums of the period before now, zeros included."""
        since = now_ms // SLOT_MS - PERIODS[period]
        found: dict[Happening, int] = {"succeeded": 0, "failed": 0, "dropped": 0}
        for slot, counts in self._slots:
            if slot > since:
                for what, amount in counts.items():
                    found[what] += amount
        return found
