"""A readable database out of a damaged one."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ccagent.demo.writer import past_week
from ccagent.errors import StoreError
from ccagent.store import schema
from ccagent.store.connection import SqliteConnection
from ccagent.store.recovery import TABLES, is_ours, recover
from ccagent.store.view import canonical_dump
from tests.sources.feed import START_MS, Feed, files_of
from tests.store.test_alert_rescue import fill

PAGE = 4_096


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed database with an invented week, copies of facts, bad lines and removed keys."""
    path = tmp_path_factory.mktemp("sound") / "ccagent.db"
    feed = Feed(path)
    for name, data in files_of(*past_week(START_MS, 5)).items():  # type: ignore[arg-type]
        feed.take((name, data))
    feed.take(("copy.jsonl", data + b"nonsense\n"))
    feed.store.write(lambda conn: conn.executemany("INSERT INTO pruned VALUES (?)", [(os.urandom(16),)] * 1))
    feed.store.set_meta("zone", "Asia/Kathmandu")
    feed.store.write(lambda conn: fill(conn, feed.store.host))
    feed.close()
    return path


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    """A copy of it to be damaged."""
    copy = tmp_path / "ccagent.db"
    shutil.copy(sound, copy)
    return copy


def table(path: Path, name: str) -> list[tuple[object, ...]]:
    with closing(apsw.Connection(str(path))) as conn:
        return sorted(conn.execute(f"SELECT * FROM {name}").fetchall(), key=repr)


def dump(path: Path) -> list[str]:
    with closing(SqliteConnection(str(path))) as conn:
        return list(canonical_dump(conn))


def ruin(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def test_of_a_sound_database_everything_comes_back(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.db"

    recover(path, target)

    assert dump(target) == dump(path)
    for name in (*TABLES, "contributor"):
        assert table(target, name) == table(path, name), name
        if name not in ("rollup", "agent"):
            assert table(target, name), name


def test_neither_header_nor_names_of_tables_nor_roots_are_needed(path: Path, tmp_path: Path) -> None:
    whole = dump(path)
    with closing(apsw.Connection(str(path))) as conn:
        interior = [
            int(row[0])
            for (row,) in [
                (conn.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone(),)
                for name in ("fact", "context_session", "fact_time")
            ]
            if row is not None
        ]
    for number in (1, *interior):
        ruin(path, (number - 1) * PAGE, os.urandom(PAGE))
    target = tmp_path / "target.db"

    recover(path, target)

    assert dump(target) == whole


def test_what_is_only_in_the_log_comes_back_and_the_newest_version_stands(tmp_path: Path) -> None:
    path, damaged, target = tmp_path / "a.db", tmp_path / "b.db", tmp_path / "c.db"
    feed = Feed(path)
    files = files_of(*past_week(START_MS, 5))  # type: ignore[arg-type]
    for name, data in files.items():
        lines = data.splitlines(keepends=True)
        feed.take((name, b"".join(lines[: len(lines) // 2])))
    feed.store.between(lambda conn: conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE))  # type: ignore[attr-defined]
    for name, data in files.items():
        lines = data.splitlines(keepends=True)
        feed.take((name, b"".join(lines[len(lines) // 2 :])))
    shutil.copy(path, damaged)
    shutil.copy(f"{path}-wal", f"{damaged}-wal")
    whole = feed.dump()
    feed.close()

    recover(damaged, target)

    assert dump(target) == whole


@pytest.mark.parametrize("seed", range(8))
def test_no_fact_comes_back_under_a_key_that_is_not_its_own(path: Path, tmp_path: Path, seed: int) -> None:
    """Whatever is written over it, byte by byte or page by page."""
    natives = {row[0]: row[2] for row in table(path, "fact")}
    choice = random.Random(seed)
    size = path.stat().st_size
    for _ in range(200):
        ruin(path, choice.randrange(size), choice.randbytes(choice.choice([1, 2, 64, PAGE])))
    target = tmp_path / "target.db"

    recover(path, target)

    found = {row[0]: row[2] for row in table(target, "fact")}
    assert found.items() <= natives.items()
    assert found


def test_a_target_that_cannot_be_written_is_told(path: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        recover(path, tmp_path / "nowhere" / "target.db")


def test_only_the_tables_that_are_asked_for_are_filled(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.db"

    recover(path, target, ("meta", "host"))

    assert table(target, "host") == table(path, "host")
    assert {name: len(table(target, name)) for name in schema.TABLES if name not in ("meta", "host")} == dict.fromkeys(
        (name for name in schema.TABLES if name not in ("meta", "host")), 0
    )


@pytest.mark.parametrize("places", [(), (0,), tuple(range(0, 60, 3))])
def test_a_database_of_ours_is_known_by_its_names_or_by_its_facts(path: Path, places: tuple[int, ...]) -> None:
    for number in places:
        ruin(path, number * PAGE, os.urandom(PAGE))

    assert is_ours(path)


def test_another_programs_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(apsw.Connection(str(path))) as conn:
        for name in ("file", "host", "name", "meta", "other"):
            conn.execute(f"CREATE TABLE {name} (a, b, c)")

    assert not is_ours(path)
