"""Counts of the last hour and day, in memory that does not grow."""

from __future__ import annotations

from ccagent.export.otlp.recent import DAY_SLOTS, SLOT_MS, Recent

HOUR = 3_600_000
NOTHING = {"succeeded": 0, "failed": 0, "dropped": 0}


def test_an_event_counts_for_an_hour_and_for_a_day() -> None:
    recent, now = Recent(), 1_000 * HOUR
    recent.count("succeeded", now)
    recent.count("failed", now + SLOT_MS)
    recent.count("dropped", now + SLOT_MS, 5)

    assert recent.within("hour", now + SLOT_MS) == {"succeeded": 1, "failed": 1, "dropped": 5}
    assert recent.within("hour", now + HOUR) == {"succeeded": 0, "failed": 1, "dropped": 5}
    assert recent.within("hour", now + HOUR + SLOT_MS) == NOTHING
    assert recent.within("day", now + 23 * HOUR) == {"succeeded": 1, "failed": 1, "dropped": 5}
    assert recent.within("day", now + 24 * HOUR + SLOT_MS) == NOTHING


def test_years_of_events_take_no_more_memory_than_a_day_of_them() -> None:
    recent = Recent()
    for slot in range(20 * DAY_SLOTS):
        recent.count("failed", slot * SLOT_MS)

    assert len(recent._slots) == DAY_SLOTS + 1
    assert recent.within("day", 20 * DAY_SLOTS * SLOT_MS - 1)["failed"] == DAY_SLOTS


def test_a_clock_that_is_set_back_loses_no_count() -> None:
    recent = Recent()
    recent.count("failed", 100 * HOUR)
    recent.count("failed", 90 * HOUR)

    assert recent.within("hour", 100 * HOUR)["failed"] == 2
