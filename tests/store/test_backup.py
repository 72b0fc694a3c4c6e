"""A backup is whole, sound and durable under its name, or not there."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ccagent.errors import StoreError
from ccagent.store.backup import PARTIAL, backup_sqlite, require_room, size_of
from ccagent.store.connection import SqliteConnection

ROWS = 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ccagent.db"


@pytest.fixture
def conn(path: Path) -> Iterator[SqliteConnection]:
    """A database in WAL mode of some megabytes, its newest rows in the write-ahead log alone."""
    made = SqliteConnection(str(path))
    made.execute("PRAGMA journal_mode = WAL").fetchall()
    made.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)")
    with made:
        made.executemany("INSERT INTO t (text) VALUES (?)", [("x" * 200,)] * ROWS)
    made.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    made.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    made.execute("INSERT INTO t (text) VALUES ('newest')")
    yield made
    made.close()


def rows(path: Path) -> list[tuple[int]]:
    with closing(sqlite3.connect(path)) as reader:
        return reader.execute("SELECT COUNT(*) FROM t").fetchall()


def test_a_backup_is_one_private_file_with_all_that_was_committed(conn: SqliteConnection, tmp_path: Path) -> None:
    target = tmp_path / "kept" / "copy.bak"
    target.parent.mkdir()

    backup_sqlite(conn, target)

    assert [file.name for file in target.parent.iterdir()] == ["copy.bak"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert rows(target) == [(ROWS + 1,)]
    assert target.stat().st_size == size_of(conn)
    assert not conn.in_transaction


def test_a_backup_is_of_one_moment_while_a_writer_goes_on(conn: SqliteConnection, path: Path, tmp_path: Path) -> None:
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        writer = apsw.Connection(str(path))
        writer.set_busy_timeout(5_000)
        while not stop.is_set():  # both rows or none: a torn copy would have an odd number more
            with writer:
                writer.execute("INSERT INTO t (text) VALUES ('a')")
                writer.execute("INSERT INTO t (text) VALUES ('b')")
            written.set()
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert written.wait(30)
        for number in range(5):
            backup_sqlite(conn, tmp_path / f"{number}.bak")
    finally:
        stop.set()
        thread.join()

    counts = [rows(tmp_path / f"{number}.bak")[0][0] - ROWS - 1 for number in range(5)]
    assert all(count % 2 == 0 for count in counts)
    assert counts == sorted(counts)


def test_a_name_that_is_taken_is_refused(conn: SqliteConnection, tmp_path: Path) -> None:
    target = tmp_path / "copy.bak"
    target.write_bytes(b"older")

    with pytest.raises(StoreError, match=r"copy\.bak exists already; name another"):
        backup_sqlite(conn, target)

    assert target.read_bytes() == b"older"


def test_what_a_kill_left_of_an_earlier_backup_is_no_obstacle(conn: SqliteConnection, tmp_path: Path) -> None:
    target = tmp_path / "copy.bak"
    target.with_name(target.name + PARTIAL).write_bytes(b"half")

    backup_sqlite(conn, target)

    assert rows(target) == [(ROWS + 1,)]
    assert not target.with_name(target.name + PARTIAL).exists()


def test_a_folder_that_is_not_there_is_named(conn: SqliteConnection, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere/copy\.bak cannot be written"):
        backup_sqlite(conn, tmp_path / "nowhere" / "copy.bak")


def test_a_damaged_database_leaves_no_backup(conn: SqliteConnection, path: Path, tmp_path: Path) -> None:
    conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    conn.close()
    with path.open("r+b") as file:
        file.seek(200 * 4096)
        file.write(b"\xff" * 4096)
    damaged = SqliteConnection(str(path))

    with pytest.raises(StoreError, match="is not sound"):
        backup_sqlite(damaged, tmp_path / "copy.bak")

    damaged.close()
    assert [file.name for file in tmp_path.iterdir() if "bak" in file.name] == []


def test_a_disk_without_room_is_told_before_anything_is_done(tmp_path: Path) -> None:
    require_room(tmp_path, 1, "this")
    with pytest.raises(StoreError, match=r"this needs 1,099,511,627,776 MiB, but .* MiB free; free some space"):
        require_room(tmp_path, 1 << 60, "this")
