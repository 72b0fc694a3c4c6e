"""What retention removes when, as moments before now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ccagent.rollups.buckets import DAY_MS

EARLIEST_MS: Final = -62_135_596_800_000
"""The year 1: no bound lies before, however many days somebody writes to say "for ever"; a database takes 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What goes when; 0 is never, and no limit. `archive` is the folder for facts that go, None for none."""

    payload_days: int
    fact_months: int
    max_bytes: int
    archive: Path | None = None

    def payload_bound(self, now_ms: int) -> int | None:
        """Payloads of facts that began before this instant go; None: none do."""
        return max(EARLIEST_MS, now_ms - self.payload_days * DAY_MS) if self.payload_days else None

    def fact_bound(self, now_ms: int) -> int | None:
        """Sessions whose last sign is older than this instant go; None: none do."""
        return months_before(now_ms, self.fact_months) if self.fact_months else None


def months_before(now_ms: int, months: int) -> int:
    """The same day and time (UTC) so many months earlier; the month's last day where it is shorter."""
    now = datetime.fromtimestamp(now_ms / 1_000, UTC)
    count = max(12, now.year * 12 + now.month - 1 - months)
    year, month = divmod(count, 12)
    for day in range(now.day, 0, -1):
        try:
            return int(now.replace(year=year, month=month + 1, day=day).timestamp() * 1_000)
        except ValueError:
            continue
    raise AssertionError("every month has a first day")
