"""A disk that fails at the worst moment: reads, writes and syncs in error, no room, and the power gone."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ccagent.clock import FakeClock
from ccagent.errors import DamagedError, StoreError
from ccagent.store.connection import SqliteConnection
from ccagent.store.migrations import migrate
from ccagent.store.schema import SCHEMA_VERSION
from ccagent.store.sqlite import SqliteStore
from ccagent.store.view import canonical_dump
from tests.conftest import NO_SKIPS_VARIABLE
from tests.sources.feed import START_MS, Feed
from tests.store.faulty import Faulty, Kind
from tests.store.releases import Release
from tests.transcripts import Session

STEPS = 2_000
"""More operations than any of these runs has."""

STRIDE = 1 if os.environ.get(NO_SKIPS_VARIABLE) else 5
"""An ordinary run lets every fifth operation fail, the full one every single one."""

CUTS = 12
"""Power cuts of one run."""

Files = dict[str, list[bytes]]


def files(seed: int, sessions: int = 4, turns: int = 8) -> Files:
    """Sessions as pieces of one turn each."""
    found: Files = {}
    for number in range(sessions):
        session = Session(f"{seed}-{number}", start=START_MS)
        done = 0
        for _ in range(turns):
            session.prompt("hello")
            session.bash("ls")
            session.request("done " * 50)
            found.setdefault(session.path, []).append(session.content[done:])
            done = len(session.content)
    return found


def read(feed: Feed, pieces: Files, *, fold_in: bool = False) -> None:
    """Read what the store has not yet, a piece a transaction; StoreError where it is refused.

    With `fold_in` the log is folded into the database after each.
    """
    offsets = {row.path.decode(): row.offset for row in feed.store.files()}
    for turn in range(max(map(len, pieces.values()))):
        for path, parts in pieces.items():
            end = sum(map(len, parts[: turn + 1]))
            if turn < len(parts) and offsets.get(path, 0) < end:
                feed.take((path, parts[turn]))
                if fold_in:
                    assert isinstance(feed.store, SqliteStore)
                    feed.store.between(lambda conn: conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE))


def fresh(pieces: Files) -> tuple[list[str], int, int]:
    feed = Feed()
    read(feed, pieces)
    try:
        return feed.dump(), feed.total("tokens"), feed.total("ingest.bytes")
    finally:
        feed.close()


def state(feed: Feed) -> tuple[list[str], int, int]:
    return feed.dump(), feed.total("tokens"), feed.total("ingest.bytes")


def consistent(feed: Feed, pieces: Files) -> bool:
    """Whether the store holds exactly what lies before its offsets."""
    offsets = {row.path.decode(): row.offset for row in feed.store.files()}
    before: Files = {}
    for path, parts in pieces.items():
        left = offsets.get(path, 0)
        for part in parts:
            if left >= len(part):
                before.setdefault(path, []).append(part)
                left -= len(part)
        assert left == 0
    if not before:
        return feed.dump() == []
    return state(feed) == fresh(before)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a fact, to be copied: to make its tables takes more writes than all that follows."""
    path = tmp_path_factory.mktemp("empty") / "ccagent.db"
    Feed(path).close()
    return path


@pytest.mark.parametrize("kind", ["write", "short", "full", "sync", "read"])
def test_whatever_fails_at_whatever_moment_nothing_is_lost_or_doubled(tmp_path: Path, empty: Path, kind: Kind) -> None:
    """The n-th operation fails, for every n until a run passes without a fault; each time the rest is read again."""
    pieces = files(1, sessions=1, turns=2)
    whole = fresh(pieces)
    path = tmp_path / "ccagent.db"
    faults = 0
    with Faulty() as disk:
        for number in range(1, STEPS, STRIDE):
            shutil.copy(empty, path)
            disk.fail_at(number, kind)
            feed = settled(path, pieces, whole)
            failed = disk.failed
            faults += failed
            disk.fail_at(None)
            assert consistent(feed, pieces)
            feed.close()
            with closing(apsw.Connection(str(path))) as conn:
                assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            if not failed:
                break

    assert not failed
    assert faults > 1


def settled(path: Path, pieces: Files, whole: tuple[list[str], int, int]) -> Feed:
    """A store that has read everything, whatever was refused on the way; read again until it is there."""
    feed, refused = None, 0
    while True:
        try:
            feed = feed or Feed(path)
            # A fault in what SQLite does unasked after a commit, and passes over, apsw would raise all the same.
            feed.store.conn.execute("PRAGMA wal_autocheckpoint = 0")
            read(feed, pieces, fold_in=True)
            if state(feed) == whole:
                return feed
        except (StoreError, apsw.Error):
            refused += 1
            assert refused < 3, "a fault that happens once keeps failing"


@pytest.mark.parametrize("kind", ["write", "short", "full", "sync"])
def test_a_migration_that_fails_at_any_moment_leaves_a_whole_database_of_some_version(
    tmp_path: Path, kind: Kind
) -> None:
    release = Release(1)
    step = 1
    faults = 0
    with Faulty() as disk:
        for number in range(1, STEPS):
            path = tmp_path / f"{number}.db"
            release.write_database(path)
            disk.fail_at(step, kind)
            try:
                with closing(SqliteConnection(str(path))) as conn:
                    migrate(conn)
            except (StoreError, apsw.Error):
                faults += 1
            failed = disk.failed
            disk.fail_at(None)
            with closing(SqliteConnection(str(path))) as conn:
                assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                assert conn.execute("PRAGMA user_version").fetchone()[0] in range(1, SCHEMA_VERSION + 1)
            store = SqliteStore(path, clock=FakeClock(START_MS))
            assert list(canonical_dump(store.conn))
            store.close()
            for leftover in tmp_path.iterdir():
                leftover.unlink()
            step += max(1, step // 2)  # a migration has thousands of writes; the last ones are those that matter
            if not failed:
                break

    assert not failed
    assert faults > 3


@pytest.mark.parametrize("seed", range(6))
def test_after_power_cuts_facts_and_offsets_belong_together_and_the_rest_is_read_again(
    tmp_path: Path, seed: int
) -> None:
    pieces = files(seed)
    choice = random.Random(seed)
    path = tmp_path / "ccagent.db"
    with Faulty(volatile=True) as disk:
        for number in range(CUTS):
            feed = Feed(path)
            feed.store.conn.execute(f"PRAGMA wal_autocheckpoint = {(1_000, 5, 20)[number % 3]}")
            assert consistent(feed, pieces)
            some = choice.randrange(1, number + 2)
            read(feed, {name: parts[:some] for name, parts in pieces.items()})
            disk.cut(choice, feed.store.conn)  # type: ignore[arg-type]  # it is SQLite's
            with closing(apsw.Connection(str(path))) as conn:
                assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        feed = Feed(path)
        read(feed, pieces)
        assert state(feed) == fresh(pieces)
        feed.close()

    assert disk.lost > 0


def test_a_store_that_does_not_sync_is_found_out(tmp_path: Path) -> None:
    """The harness must be seen to fail: with synchronous=OFF a power cut leaves ruins, or facts without their offsets."""
    ruins = 0
    for seed in range(12):
        pieces = files(seed)
        choice = random.Random(seed)
        path = tmp_path / f"{seed}.db"
        with Faulty(volatile=True) as disk:
            feed = Feed(path)
            feed.store.conn.execute("PRAGMA synchronous = OFF")
            feed.store.conn.execute("PRAGMA wal_autocheckpoint = 5")
            read(feed, pieces)
            disk.cut(choice, feed.store.conn)  # type: ignore[arg-type]  # it is SQLite's
            try:
                feed = Feed(path)
                ruins += feed.scalar("PRAGMA integrity_check(1)") != "ok" or not consistent(feed, pieces)
                feed.close()
            except (DamagedError, StoreError, apsw.Error):
                ruins += 1

    assert ruins > 0
