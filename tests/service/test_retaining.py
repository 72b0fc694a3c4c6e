"""Retention in the daemon: when a run begins, how it goes on in slices, and what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ccagent.clock import FakeClock
from ccagent.config import RetentionConfig, load
from ccagent.service import retaining
from ccagent.service.following import Following
from ccagent.service.live import Live
from ccagent.service.retaining import AFTER_START_MS, AGAIN_MS, EVERY_MS, Retaining
from ccagent.service.scheduling import Scheduling
from ccagent.store.connection import scalar
from ccagent.store.open import open_reader
from ccagent.store.sqlite import SqliteStore
from tests.service.conftest import NOW
from tests.transcripts import Session, Tree, Usage

UTC = ZoneInfo("UTC")
DAY_MS = 24 * 3_600_000


def config(**values: Any) -> RetentionConfig:
    return RetentionConfig(
        **{"payload_days": 90, "fact_months": 13, "max_database_bytes": 0, "archive": None, **values}
    )


@pytest.fixture
def filled(store: SqliteStore, tree: Tree, clock: FakeClock) -> SqliteStore:
    """Sessions of five hundred days ago, of a hundred, and of today."""
    for number, days in enumerate((500, 100, 0)):
        session = Session(f"s{number}", seed=number, start=NOW - days * DAY_MS - 3_600_000)
        session.prompt("hello")
        session.edit("/a.py", added=1, removed=1, usage=Usage(output=9))
        tree.write(session)
    following = Following(store, [tree.root], Live(), clock, max_line=1 << 20, scan_seconds=60)
    following.once()
    following.follower.close()
    return store


def thread(store: SqliteStore, live: Live, clock: FakeClock, settings: RetentionConfig) -> tuple[Scheduling, Retaining]:
    kept = Retaining(store, lambda: open_reader(store.path), UTC, live, clock, settings)
    return Scheduling(store, UTC, live, clock, None, None, kept), kept


def facts(store: SqliteStore) -> int:
    return int(scalar(store.conn, "SELECT COUNT(*) FROM fact"))


def turn(scheduling: Scheduling, times: int = 60) -> None:
    for _ in range(times):
        scheduling.tick(0.0)


def test_a_run_begins_ten_minutes_after_the_start_and_then_daily(
    filled: SqliteStore, live: Live, clock: FakeClock
) -> None:
    live.caught_up = True
    scheduling, _ = thread(filled, live, clock, config())
    whole = facts(filled)
    clock.advance(AFTER_START_MS - 1)
    turn(scheduling)
    assert facts(filled) == whole

    clock.advance(1)
    turn(scheduling)

    assert facts(filled) < whole
    assert live.next_prune_ms == clock.now_ms() + EVERY_MS
    assert filled.meta("pruned_at") == str(clock.now_ms())


def test_it_waits_for_the_end_of_the_catch_up(filled: SqliteStore, live: Live, clock: FakeClock) -> None:
    scheduling, _ = thread(filled, live, clock, config())
    clock.advance(2 * AFTER_START_MS)

    turn(scheduling)

    assert filled.meta("pruned_at") is None


def test_by_default_old_payloads_and_old_sessions_go(filled: SqliteStore, live: Live, clock: FakeClock) -> None:
    live.caught_up = True
    scheduling, _ = thread(filled, live, clock, load({}, {"HOME": "/nowhere"}).retention)
    clock.advance(AFTER_START_MS)

    turn(scheduling)

    started = "SELECT MIN(occurred_at) FROM fact"
    assert int(scalar(filled.conn, started)) > NOW - 101 * DAY_MS
    assert int(scalar(filled.conn, f"{started} WHERE extra IS NOT NULL")) > NOW - DAY_MS


def test_a_run_goes_on_in_slices(
    filled: SqliteStore, live: Live, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retaining, "SLICE_SECONDS", 0.0)
    live.caught_up = True
    scheduling, _ = thread(filled, live, clock, config())
    clock.advance(AFTER_START_MS)
    begun = 0
    while filled.meta("pruned_at") is None:
        scheduling.tick(0.0)
        begun += 1

    assert begun > 3


def test_a_thread_that_is_to_end_stops_after_a_step(filled: SqliteStore, live: Live, clock: FakeClock) -> None:
    live.caught_up = True
    scheduling, kept = thread(filled, live, clock, config())
    clock.advance(AFTER_START_MS)

    scheduling.tick(0.0, lambda: True)

    assert filled.meta("pruned_at") is None
    kept.close()


def test_a_run_that_fails_is_told_and_tried_again_after_an_hour(
    filled: SqliteStore, live: Live, clock: FakeClock, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("no folder")
    live.caught_up = True
    scheduling, _ = thread(filled, live, clock, config(archive=blocked))
    clock.advance(AFTER_START_MS)
    turn(scheduling)
    failed = facts(filled)
    assert "nothing was removed" in live.problems["retention"]
    assert live.next_prune_ms == clock.now_ms() + AGAIN_MS

    blocked.unlink()
    clock.advance(AGAIN_MS)
    turn(scheduling)

    assert facts(filled) < failed
    assert "retention" not in live.problems
    assert list(blocked.glob("facts-*.jsonl.gz")) != []


def test_a_database_that_stays_too_large_is_told(filled: SqliteStore, live: Live, clock: FakeClock) -> None:
    live.caught_up = True
    scheduling, _ = thread(filled, live, clock, config(max_database_bytes=1))
    clock.advance(AFTER_START_MS)

    turn(scheduling)

    assert "retention.max_database_bytes is 1" in live.problems["retention"]


def test_new_rules_hold_from_the_next_run_on(filled: SqliteStore, live: Live, clock: FakeClock) -> None:
    live.caught_up = True
    scheduling, kept = thread(filled, live, clock, config(payload_days=0, fact_months=0))
    clock.advance(AFTER_START_MS)
    turn(scheduling)
    whole = facts(filled)

    kept.reload(config())
    clock.advance(EVERY_MS)
    turn(scheduling)

    assert facts(filled) < whole


def test_a_clock_that_was_set_back_does_not_put_off_the_next_run(
    filled: SqliteStore, live: Live, clock: FakeClock
) -> None:
    live.caught_up = True
    clock.advance(400 * DAY_MS)
    scheduling, _ = thread(filled, live, clock, config(fact_months=0))
    clock.jump(NOW)
    turn(scheduling, 1)

    assert (live.next_prune_ms or 0) <= NOW + EVERY_MS
