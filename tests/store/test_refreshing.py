"""Rollups computed beside the writer: what comes in meanwhile is not lost, and nothing is left half done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ccagent.clock import FakeClock
from ccagent.errors import StoreError
from ccagent.rollups.buckets import session_mark
from ccagent.store import refreshing, rollups
from ccagent.store.connection import Connection, scalar
from ccagent.store.queries import usage
from ccagent.store.refreshing import CLAIMED, claim, refresh_slice
from ccagent.store.sqlite import SqliteStore
from tests.sources.feed import START_MS, Feed
from tests.store import usage_oracle
from tests.transcripts import Session

UTC = ZoneInfo("UTC")


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    feed = Feed(tmp_path / "ccagent.db")
    yield feed
    feed.close()


def session(name: str, requests: int = 2) -> Session:
    made = Session(name)
    made.prompt("hello")
    for _ in range(requests):
        made.request()
    return made


def marks(conn: Connection, seq: int) -> int:
    return int(scalar(conn, "SELECT COUNT(*) FROM dirty WHERE seq = ?", (seq,)))


def settle(feed: Feed) -> None:
    while refresh_slice(feed.store, UTC, limit=24):
        pass


def requests(feed: Feed) -> list[int]:
    """By rollups and facts, by facts alone, and by rollups alone."""
    window = {"by": "total", "since_ms": None, "until_ms": None, "timezone": None}
    conn = feed.store.conn
    told = scalar(conn, "SELECT COALESCE(SUM(count), 0) FROM rollup WHERE period = 2 AND family = 4")
    return [usage(conn, **window)[0].requests, usage_oracle.usage(conn, **window)[0].requests, int(told)]


def test_a_refresh_ends_with_rollups_that_hold_the_facts(feed: Feed) -> None:
    feed.read(session("one"))

    settle(feed)

    assert requests(feed) == [2, 2, 2]
    assert marks(feed.store.conn, 0) + marks(feed.store.conn, CLAIMED) == 0


def test_where_nothing_is_stale_nothing_is_written(feed: Feed) -> None:
    feed.read(session("one"))
    settle(feed)
    before = feed.scalar("SELECT commits FROM host")

    assert refresh_slice(feed.store, UTC, limit=24) == 0
    assert feed.scalar("SELECT commits FROM host") == before


def test_what_comes_in_while_rows_are_computed_stays_stale(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.read(session("one"))

    def computed(*args: object, **options: object) -> rollups.Slice:
        found = prepare(*args, **options)  # type: ignore[arg-type]
        feed.read(session("two", requests=3))
        return found

    prepare = rollups.prepare
    with monkeypatch.context() as patch:
        patch.setattr(refreshing, "prepare", computed)
        refresh_slice(feed.store, UTC, limit=24)

    between = requests(feed)
    settle(feed)
    assert between == [5, 5, 2]
    assert requests(feed) == [5, 5, 5]


def test_marks_that_a_killed_refresh_had_claimed_are_served(feed: Feed) -> None:
    feed.read(session("one"))
    feed.store.write(lambda conn: claim(conn, 24))
    claimed = marks(feed.store.conn, CLAIMED)

    between = requests(feed)
    settle(feed)

    assert claimed > 0
    assert between == [2, 2, 0]
    assert requests(feed) == [2, 2, 2]


def test_points_can_wait(feed: Feed) -> None:
    feed.read(session("one"))

    while refresh_slice(feed.store, UTC, limit=24, points=False):
        pass
    waiting = feed.scalar("SELECT COUNT(*) FROM dirty"), feed.scalar("SELECT MAX(quarter) FROM dirty") < 0
    points = "SELECT COUNT(*) FROM rollup WHERE period = 4"
    before = feed.scalar(points)
    settle(feed)

    assert waiting == (1, True)
    assert requests(feed) == [2, 2, 2]
    assert (before, feed.scalar(points) > 0) == (0, True)


def test_a_change_makes_the_points_of_its_neighbours_stale_and_not_of_the_whole_hour(feed: Feed) -> None:
    hour = START_MS - START_MS % 3_600_000
    early, late = Session("early", start=hour + 60_000), Session("late", start=hour + 50 * 60_000)
    for one in (early, late):
        one.prompt("hello")
        one.request()
        feed.read(one)
    settle(feed)
    late.request()

    feed.read(late)
    refresh_slice(feed.store, UTC, limit=24, points=False)

    number = feed.scalar("SELECT MIN(c.session) FROM fact f JOIN context c ON c.id = f.context WHERE f.type = 1"
                         f" AND f.occurred_at > {hour + 30 * 60_000}")  # fmt: skip
    assert [row[0] for row in feed.store.conn.execute("SELECT quarter FROM dirty")] == [session_mark(number)]


def test_a_claim_takes_the_newest_quarters(feed: Feed) -> None:
    feed.read(session("one"))
    newest = feed.scalar("SELECT MAX(quarter) FROM dirty")

    feed.store.write(lambda conn: claim(conn, 1))

    assert feed.scalar(f"SELECT quarter FROM dirty WHERE seq = {CLAIMED}") == newest


def test_a_database_that_is_gone_is_a_store_error(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ccagent.db", clock=FakeClock(START_MS))
    store.write(lambda conn: conn.execute("INSERT INTO dirty (quarter, host, seq) VALUES (1, ?, 0)", (store.host,)))
    for path in tmp_path.glob("ccagent.db*"):
        path.unlink()

    with pytest.raises(StoreError, match="there is no database"):
        refresh_slice(store, UTC, limit=24)
    store.close()
