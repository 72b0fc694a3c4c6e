"""The database file itself: who may read it, which versions are refused, whether it is still there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import apsw
import pytest

from ccagent.clock import FakeClock
from ccagent.errors import ConfigError, StoreError
from ccagent.store.hosts import read_host
from ccagent.store.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "facts" / "ccagent.db"


def opened(path: Path, now_ms: int = 1_000) -> SqliteStore:
    return SqliteStore(path, clock=FakeClock(now_ms))


def test_only_the_owner_may_read_the_database_and_what_lies_beside_it(path: Path) -> None:
    mask = os.umask(0)
    try:
        store = opened(path)
        store.set_meta("a", "b")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        store.close()
    finally:
        os.umask(mask)

    assert modes == {"ccagent.db": 0o600, "ccagent.db-wal": 0o600, "ccagent.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_newer_schema_is_refused_and_nothing_written(path: Path) -> None:
    opened(path).close()
    conn = apsw.Connection(str(path))
    conn.execute("PRAGMA user_version = 99")
    conn.close()
    before = path.read_bytes()

    with pytest.raises(StoreError, match=r"newer ccagent \(schema 99"):
        opened(path)

    assert path.read_bytes() == before


def test_what_is_no_database_is_told_as_such(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database, only text" * 100)

    with pytest.raises(StoreError, match="no SQLite database"):
        opened(path)


def test_a_database_behind_a_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere.db")

    with pytest.raises(StoreError, match="cannot open the database"):
        opened(path)


def test_a_folder_that_cannot_be_made_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="cannot create the folder"):
        opened(tmp_path / "file" / "ccagent.db")


@pytest.mark.parametrize("replace", [False, True])
def test_a_database_that_was_unlinked_or_replaced_is_noticed(path: Path, replace: bool) -> None:
    store = opened(path)
    assert not store.replaced()

    if replace:
        other = path.with_name("other.db")
        other.write_bytes(path.read_bytes())
        other.replace(path)
    else:
        path.unlink()

    assert store.replaced()
    store.close()


def test_identity_and_start_survive_a_restart(path: Path) -> None:
    store = opened(path, 5_000)
    first = (store.host_id, store.instance_id, store.meta("created_at"))
    store.close()

    store = opened(path, 9_000)

    assert (store.host_id, store.instance_id, store.meta("created_at")) == first
    assert first[2] == "5000"
    store.close()


def test_a_failed_transaction_leaves_the_store_usable(path: Path) -> None:
    store = opened(path)

    with pytest.raises(StoreError, match=str(path)):
        store.write(lambda conn: conn.execute("INSERT INTO nothing VALUES (1)"))

    store.set_meta("a", "b")
    assert store.meta("a") == "b"
    store.close()


def test_an_idle_timer_writes_no_page(path: Path) -> None:
    store = opened(path)
    store.close_due((), ())
    before = store.conn.total_changes()

    store.close_due((), ())

    assert store.conn.total_changes() == before
    store.close()


def test_the_end_of_the_first_catch_up_is_written_once(path: Path) -> None:
    clock = FakeClock(1_000)
    store = SqliteStore(path, clock=clock)
    store.catch_up_done()
    clock.advance(5_000)

    store.catch_up_done()

    host = read_host(store.conn)
    assert host is not None
    assert (host.catch_up_done, host.ledger_start) == (1_000, None)
    store.close()
