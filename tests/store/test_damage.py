"""A damaged database: when it is noticed, and what stands in its place afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ccagent.clock import FakeClock
from ccagent.errors import DamagedError, StoreError
from ccagent.store import damage
from ccagent.store.aside import set_aside
from ccagent.store.connection import SqliteConnection
from ccagent.store.damage import WEEK_MS, heal, look_at, suspect
from ccagent.store.location import Database, parse_database
from ccagent.store.sqlite import SqliteStore
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session

PAGE = 4_096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with the facts of some sessions, closed cleanly."""
    path = tmp_path / "ccagent.db"
    feed = Feed(path)
    for name in range(12):
        session = Session(f"s{name}", start=START_MS)
        for _ in range(8):
            session.prompt("hello")
            session.bash("ls")
            session.request("done")
        feed.read(session)
    feed.store.set_meta("zone", "Asia/Kathmandu")
    feed.close()
    return path


def database(path: Path) -> Database:
    return parse_database(str(path))


def overwrite(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def root_page(path: Path, name: str) -> int:
    """Where the root of a table or index lies, in bytes."""
    with closing(apsw.Connection(str(path))) as conn:
        found = conn.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    assert found is not None
    return (int(found[0]) - 1) * PAGE


def header(path: Path) -> None:
    overwrite(path, 0, os.urandom(32))


def pages(path: Path) -> None:
    for place in (root_page(path, "fact"), root_page(path, "name"), root_page(path, "fact_time")):
        overwrite(path, place, b"\x55" * PAGE)


def tail(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


DAMAGES: tuple[Callable[[Path], None], ...] = (header, pages, tail)


def identity(path: Path) -> tuple[object, ...]:
    store = SqliteStore(path, clock=FakeClock(START_MS))
    try:
        return store.host_id, store.instance_id, store.meta("zone"), store.meta("created_at")
    finally:
        store.close()


@pytest.mark.parametrize("ruin", DAMAGES)
def test_what_is_damaged_is_set_aside_whole_and_the_new_one_is_the_same_host(
    path: Path, ruin: Callable[[Path], None]
) -> None:
    before = identity(path)
    ruin(path)
    suspect(database(path), "as told")
    content = path.read_bytes()

    aside = heal(database(path), FakeClock(START_MS + 5))

    assert aside is not None
    assert Path(aside.file).read_bytes() == content
    assert Path(aside.file).name == "ccagent.db.corrupt-20260210T090000.005Z"
    assert identity(path) == before
    beside = {file.name.removesuffix("-wal").removesuffix("-shm") for file in path.parent.iterdir()}
    assert beside == {"ccagent.db", Path(aside.file).name}
    with closing(SqliteConnection(str(path))) as conn:
        assert set_aside(conn) == [aside]
        assert conn.execute("SELECT COUNT(*) FROM fact").fetchone() == (0,)
        assert conn.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone() == ("2",)


def test_after_a_clean_stop_no_page_is_looked_at_but_once_a_week(path: Path) -> None:
    pages(path)

    assert look_at(path, START_MS).damage is None
    assert look_at(path, START_MS + WEEK_MS - 1).damage is None
    assert look_at(path, START_MS + WEEK_MS).damage is not None


def test_a_look_at_a_sound_database_is_remembered_for_a_week(path: Path) -> None:
    assert look_at(path, START_MS + WEEK_MS).damage is None
    pages(path)

    assert look_at(path, START_MS + 2 * WEEK_MS - 1).damage is None
    assert look_at(path, START_MS + 2 * WEEK_MS).damage is not None


def test_a_log_that_was_left_behind_makes_the_next_start_look(path: Path) -> None:
    pages(path)
    Path(f"{path}-wal").write_bytes(b"left behind")

    assert look_at(path, START_MS).damage is not None


def test_an_empty_log_is_what_a_mere_reader_leaves(path: Path) -> None:
    pages(path)
    Path(f"{path}-wal").touch()

    assert look_at(path, START_MS).damage is None


def test_a_suspect_database_is_searched_for_rows_that_lead_nowhere(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as conn:
        conn.execute("DELETE FROM name WHERE id = (SELECT name FROM fact WHERE type = 4 LIMIT 1)")

    assert look_at(path, START_MS + WEEK_MS).damage is None
    suspect(database(path), "a name is missing")
    assert look_at(path, START_MS + WEEK_MS).damage == "rows name texts that are not there"


def test_a_suspect_database_that_is_sound_stays_and_the_note_goes(path: Path) -> None:
    suspect(database(path), "somebody thought so")
    before = path.stat().st_ino

    assert heal(database(path), FakeClock(START_MS)) is None

    assert not Path(f"{path}.suspect").exists()
    assert path.stat().st_ino == before


def test_a_look_that_takes_too_long_is_given_up_and_does_not_hold_up_the_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage, "STEPS", 10)
    Path(f"{path}-wal").write_bytes(b"left behind")

    look = look_at(path, START_MS, patience=-1.0)

    assert (look.damage, look.finished) == (None, False)
    monkeypatch.setattr(damage, "LOOK_SECONDS", -1.0)
    said: list[str] = []
    Path(f"{path}-wal").write_bytes(b"left behind")
    assert heal(database(path), FakeClock(START_MS), said.append) is None
    assert "ccagent db check" in said[0]


def test_a_header_in_ruins_is_noticed_after_a_clean_stop_too(path: Path) -> None:
    header(path)

    with pytest.raises(DamagedError, match="ccagent run"):
        SqliteStore(path, clock=FakeClock(START_MS))
    assert heal(database(path), FakeClock(START_MS)) is not None


@pytest.mark.parametrize("content", [b"a letter to my aunt\n" * 400, os.urandom(50_000)])
def test_a_file_that_never_was_a_database_of_ours_is_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)

    with pytest.raises(StoreError, match=r"no database of ccagent's.*name another file"):
        heal(database(path), FakeClock(START_MS))

    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    assert path.read_bytes() == content


def test_the_damaged_database_of_another_program_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(apsw.Connection(str(path))) as conn:
        conn.execute("CREATE TABLE t (a)")
        with conn:
            conn.executemany("INSERT INTO t VALUES (?)", [(os.urandom(500),) for _ in range(100)])
    sound = path.read_bytes()
    assert heal(database(path), FakeClock(START_MS)) is None
    assert path.read_bytes() == sound
    overwrite(path, PAGE, b"\x55" * PAGE)
    Path(f"{path}-wal").write_bytes(b"left behind")

    with pytest.raises(StoreError, match="no database of ccagent's"):
        heal(database(path), FakeClock(START_MS))


def test_nothing_at_all_and_an_empty_file_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "ccagent.db"
    assert heal(database(path), FakeClock(START_MS)) is None
    path.touch()
    assert heal(database(path), FakeClock(START_MS)) is None


@pytest.mark.parametrize("kill", range(8))
def test_killed_anywhere_in_between_the_next_start_ends_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch, kill: int
) -> None:
    """Every rename, and every sync, is once the last thing that happened."""
    before = identity(path)
    reader = apsw.Connection(str(path))  # keeps the log and its index where they are
    reader.execute("SELECT 1 FROM fact").fetchone()
    pages(path)
    suspect(database(path), "as told")
    content = path.read_bytes()
    left = [kill]

    class KilledError(BaseException):
        pass

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object) -> object:
            if not left[0]:
                raise KilledError
            left[0] -= 1
            return function(*arguments)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr(damage, "sync", counted(damage.sync))
        try:
            heal(database(path), FakeClock(START_MS))
            killed = False
        except KilledError:
            killed = True

    heal(database(path), FakeClock(START_MS + 60_000))

    assert killed == (kill < 6)
    assert identity(path) == before
    with closing(SqliteConnection(str(path))) as conn:
        (aside,) = set_aside(conn)
    assert Path(aside.file).read_bytes() == content
    assert Path(f"{aside.file}-wal").exists()
    assert Path(f"{aside.file}-shm").exists()
    reader.close()


def test_a_second_damage_does_not_forget_the_first(path: Path) -> None:
    pages(path)
    suspect(database(path), "as told")
    first = heal(database(path), FakeClock(START_MS + 1))
    header(path)

    second = heal(database(path), FakeClock(START_MS + 2))

    assert first is not None
    assert second is not None
    with closing(SqliteConnection(str(path))) as conn:
        assert [aside.file for aside in set_aside(conn)] == [first.file, second.file]


def test_removed_keys_stay_removed(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as conn:
        conn.execute("INSERT INTO pruned SELECT key FROM fact WHERE type = 4")
        conn.execute("DELETE FROM fact WHERE type = 4")
        keys = conn.execute("SELECT key FROM pruned ORDER BY key").fetchall()
    header(path)

    heal(database(path), FakeClock(START_MS))

    with closing(apsw.Connection(str(path))) as conn:
        assert conn.execute("SELECT key FROM pruned ORDER BY key").fetchall() == keys != []
