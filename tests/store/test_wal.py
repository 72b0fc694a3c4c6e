"""The write-ahead log: folded in as far as readers allow, who they are, and how long our own may look."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ccagent.errors import DamagedError, StoreError
from ccagent.store.connection import SqliteConnection, snapshot
from ccagent.store.open import open_reader
from ccagent.store.wal import fold_in, named, readers, wal_bytes
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session

READER = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("BEGIN")
conn.execute("SELECT COUNT(*) FROM fact").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"


@contextmanager
def another_process_reads(path: Path) -> Iterator[int]:
    """Its pid, while it holds one moment of the database."""
    process = subprocess.Popen([sys.executable, "-c", READER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"reading\n"
        yield process.pid


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ccagent.db"


@pytest.fixture
def feed(path: Path) -> Iterator[Feed]:
    """A store whose writer never folds its log in by itself."""
    feed = Feed(path)
    feed.store.conn.execute("PRAGMA wal_autocheckpoint = 0")
    yield feed
    feed.close()


def write(feed: Feed, name: str) -> None:
    session = Session(name, start=START_MS)
    for _ in range(20):
        session.prompt("hello")
        session.request("done")
    feed.read(session)


def test_without_readers_all_of_it_is_folded_in_and_cut(feed: Feed, path: Path) -> None:
    write(feed, "one")
    before = wal_bytes(str(path))

    folded = fold_in(str(path), truncate=True)

    assert folded.whole
    assert folded.truncated
    assert before > 100_000
    assert wal_bytes(str(path)) == 0
    write(feed, "two")


def test_a_reader_of_another_process_keeps_it_and_is_named(feed: Feed, path: Path) -> None:
    write(feed, "one")
    with another_process_reads(path) as pid:
        write(feed, "two")

        folded = fold_in(str(path), truncate=True)

        assert not folded.whole
        assert not folded.truncated
        assert 0 < folded.done < folded.frames
        if sys.platform == "linux":
            assert readers(str(path)) == [pid]
            assert "python" in named(pid)
    assert fold_in(str(path), truncate=True).truncated
    assert readers(str(path)) == []


def test_a_reader_of_the_newest_moment_keeps_it_from_being_cut_and_nobody_waits_for_it(feed: Feed, path: Path) -> None:
    write(feed, "one")
    with another_process_reads(path):
        started = time.monotonic()

        folded = fold_in(str(path), truncate=True)

        assert time.monotonic() - started < 2.0
        assert folded.whole
        assert not folded.truncated
        write(feed, "two")


def test_a_writer_at_work_is_not_waited_for(feed: Feed, path: Path) -> None:
    write(feed, "one")
    with closing(SqliteConnection(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")

        assert not fold_in(str(path), truncate=True).truncated


def test_who_reads_is_found_among_the_locks_of_other_files(feed: Feed, path: Path, tmp_path: Path) -> None:
    write(feed, "one")
    index = Path(f"{path}-shm").stat()
    place = f"{os.major(index.st_dev):02x}:{os.minor(index.st_dev):02x}:{index.st_ino}"
    locks = tmp_path / "locks"
    locks.write_text(
        f"1: POSIX  ADVISORY  READ 11 {place} 124 124\n"
        f"2: POSIX  ADVISORY  READ 12 {place} 128 128\n"  # has it open, does not read
        f"3: POSIX  ADVISORY  WRITE 13 {place} 120 120\n"
        f"4: FLOCK  ADVISORY  WRITE 14 {place} 0 EOF\n"
        "5: POSIX  ADVISORY  READ 15 00:00:1 124 124\n"
        f"6: -> POSIX  ADVISORY  READ 16 {place} 124 124\n"
        f"7: POSIX  ADVISORY  READ {os.getpid()} {place} 123 123\n"
        f"8: POSIX  ADVISORY  READ 17 {place} 123 123\n"
        "nonsense\n"
    )

    assert readers(str(path), locks) == [11, 17]
    assert readers(str(path), tmp_path / "absent") == []


def test_a_question_that_never_ends_is_given_up_with_what_to_do(feed: Feed, path: Path) -> None:
    with pytest.raises(StoreError, match=r"took too long.*0\.05 s"), open_reader(path, 0.05) as conn:
        conn.execute(ENDLESS).fetchall()


def test_the_time_of_a_transaction_runs_from_its_begin(feed: Feed, path: Path) -> None:
    """However short each question in it is."""
    write(feed, "one")
    asked = 0

    def ask() -> None:
        nonlocal asked
        with open_reader(path, 0.1) as conn, snapshot(conn):
            while asked < 100_000:
                conn.execute("SELECT COUNT(*) FROM fact f, fact g").fetchall()
                asked += 1

    with pytest.raises(StoreError, match="took too long"):
        ask()

    assert 1 < asked < 100_000


def test_the_time_of_a_connection_does_not_run_between_its_questions(feed: Feed, path: Path) -> None:
    write(feed, "one")
    end = time.monotonic() + 0.4
    with open_reader(path, 0.2) as conn:
        while time.monotonic() < end:
            conn.execute("SELECT COUNT(*) FROM fact f, fact g").fetchall()


def test_who_may_take_as_long_as_it_takes_is_not_interrupted(feed: Feed, path: Path) -> None:
    with open_reader(path, None) as conn:
        assert isinstance(conn, SqliteConnection)
        assert conn.exec_trace is None


def test_what_shows_that_the_database_is_damaged_says_so(path: Path) -> None:
    feed = Feed(path)
    write(feed, "one")
    root = feed.store.ask("SELECT rootpage FROM sqlite_schema WHERE name = 'fact'")[0][0]
    feed.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4_096)
        file.write(b"\x55" * 4_096)

    with pytest.raises(DamagedError, match="ccagent db check"), open_reader(path) as conn:
        conn.execute("SELECT SUM(size) FROM fact").fetchall()
