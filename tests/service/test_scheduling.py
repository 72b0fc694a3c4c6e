"""The schedule thread turned by hand: rollups after the catch-up, care for the database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ccagent.clock import FakeClock
from ccagent.errors import StoreError
from ccagent.service.following import Following
from ccagent.service.live import Live, StatusFile, read_status
from ccagent.service.scheduling import LONGEST_REST, REPLACED_SECONDS, ROLLUP_SECONDS, Scheduling, keep_zone
from ccagent.store.connection import scalar
from ccagent.store.sqlite import SqliteStore
from tests.daemon.rig import small_session
from tests.service.conftest import NOW
from tests.transcripts import Tree

UTC = ZoneInfo("UTC")


@pytest.fixture
def scheduling(store: SqliteStore, live: Live, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Scheduling:
    """Rests by the clock alone: how long work takes here is the machine's business."""
    monkeypatch.setattr("ccagent.service.scheduling.ROLLUP_REST", 0.0)
    monkeypatch.setattr("ccagent.service.scheduling.POINTS_REST", 0.0)
    return Scheduling(store, UTC, live, clock, StatusFile(store.path))


def take_in(store: SqliteStore, tree: Tree, clock: FakeClock, name: str) -> None:
    """Write a session and take it in, as the follow thread would."""
    tree.write(small_session(name, start=NOW - 3_600_000))
    following = Following(store, [tree.root], Live(), clock, max_line=1 << 20, scan_seconds=60)
    following.once()
    following.follower.close()


def dirty(store: SqliteStore) -> int:
    return int(scalar(store.conn, "SELECT count(*) FROM dirty"))


def test_rollups_wait_for_the_end_of_the_first_catch_up(
    scheduling: Scheduling, store: SqliteStore, tree: Tree, live: Live, clock: FakeClock
) -> None:
    take_in(store, tree, clock, "one")
    scheduling.tick(0.0)
    waiting = dirty(store)

    live.caught_up = True
    scheduling.tick(1.0)

    assert waiting > 0
    assert dirty(store) == 0
    assert live.rollups_at == NOW


def test_long_work_that_asks_whether_it_is_to_stop_counts_as_going_on(
    store: SqliteStore, live: Live, clock: FakeClock
) -> None:
    stop = threading.Event()
    turns: list[str] = []

    class LongCare:
        def tick(self, now: float, stopping: Callable[[], bool]) -> None:
            turns.extend(["long"] * sum(not stopping() for _ in range(3)))
            stop.set()

    scheduling = Scheduling(store, UTC, live, clock, None, LongCare())
    scheduling.turned = lambda: turns.append("turn")

    scheduling.run(stop)

    assert turns == ["turn", "turn", "turn", "long", "long", "long", "turn"]


def test_points_of_sessions_rest_as_long_as_making_them_asks_for(
    scheduling: Scheduling, store: SqliteStore, tree: Tree, live: Live, clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    live.caught_up = True
    monkeypatch.setattr("ccagent.service.scheduling.POINTS_REST", 1e12)
    take_in(store, tree, clock, "one")
    scheduling.tick(0.0)
    take_in(store, tree, clock, "two")
    scheduling.changed()

    scheduling.tick(ROLLUP_SECONDS)
    waiting = int(scalar(store.conn, "SELECT count(*) FROM dirty WHERE quarter < 0")), dirty(store)
    scheduling.tick(LONGEST_REST)

    assert waiting[0] == waiting[1] > 0
    assert dirty(store) == 0


def test_rollups_rest_as_long_as_making_them_asks_for(
    scheduling: Scheduling, store: SqliteStore, tree: Tree, live: Live, clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    live.caught_up = True
    monkeypatch.setattr("ccagent.service.scheduling.ROLLUP_REST", 1e12)
    take_in(store, tree, clock, "one")
    scheduling.tick(0.0)
    take_in(store, tree, clock, "two")
    scheduling.changed()

    scheduling.tick(LONGEST_REST - 1)
    waiting = dirty(store)
    scheduling.tick(LONGEST_REST)

    assert waiting > 0
    assert dirty(store) == 0


def test_who_writes_faster_than_an_hour_is_made_anew_does_not_keep_the_thread(
    scheduling: Scheduling, store: SqliteStore, tree: Tree, live: Live, clock: FakeClock
) -> None:
    take_in(store, tree, clock, "one")
    quarter = int(scalar(store.conn, "SELECT max(quarter) FROM dirty"))
    turns = []

    def written_meanwhile() -> None:
        turns.append(None)
        assert len(turns) < 50
        store.write(
            lambda conn: conn.execute("INSERT INTO dirty VALUES (?, ?, 0) ON CONFLICT DO NOTHING", (quarter, 1))
        )

    scheduling.turned = written_meanwhile
    scheduling.refresh()
    left = store.conn.execute("SELECT quarter FROM dirty").fetchall()
    scheduling.turned = lambda: None
    scheduling.refresh()

    assert left == [(quarter,)]
    assert dirty(store) == 0


def test_rollups_are_refreshed_only_after_a_change(
    scheduling: Scheduling, store: SqliteStore, tree: Tree, live: Live, clock: FakeClock
) -> None:
    live.caught_up = True
    scheduling.tick(0.0)
    take_in(store, tree, clock, "one")
    scheduling.tick(ROLLUP_SECONDS)
    unannounced = dirty(store)

    scheduling.changed()
    scheduling.tick(ROLLUP_SECONDS + 1)

    assert unannounced > 0
    assert dirty(store) == 0


def test_a_busy_stream_of_changes_is_rolled_up_every_few_seconds(
    scheduling: Scheduling, store: SqliteStore, tree: Tree, live: Live, clock: FakeClock
) -> None:
    live.caught_up = True
    scheduling.tick(0.0)
    take_in(store, tree, clock, "one")
    scheduling.changed()

    scheduling.tick(ROLLUP_SECONDS - 0.1)
    early = dirty(store)
    scheduling.tick(ROLLUP_SECONDS)

    assert early > 0
    assert dirty(store) == 0


def test_a_database_that_was_removed_under_the_process_ends_the_thread(
    scheduling: Scheduling, store: SqliteStore
) -> None:
    Path(store.path).unlink()
    scheduling.tick(REPLACED_SECONDS - 1)

    with pytest.raises(StoreError, match="removed or replaced"):
        scheduling.tick(REPLACED_SECONDS)


def test_each_tick_shows_the_live_values(scheduling: Scheduling, store: SqliteStore, live: Live) -> None:
    live.files = 7

    scheduling.tick(0.0)

    shown = read_status(store.path)
    assert shown is not None
    assert shown["files"] == 7


def test_the_zone_of_the_first_start_is_kept(store: SqliteStore) -> None:
    first = keep_zone(store, "Europe/Berlin")

    later = keep_zone(store, "Asia/Tokyo")

    assert (first.key, later.key) == ("Europe/Berlin", "Europe/Berlin")
