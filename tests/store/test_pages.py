"""Rows read straight from a file's bytes: SQLite itself is the oracle."""

from __future__ import annotations

import os
import random
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.store.pages import Pages, Record

ROWS = (True, 5)
KEYED = (False, 4)

VALUES = st.one_of(
    st.none(), st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from([0, 1, -1, 127, 128, 32_767, 1 << 23, 1 << 47]),
    st.floats(allow_nan=False), st.text(st.characters(codec="utf-8"), max_size=40), st.binary(max_size=40),
    st.integers(0, 9_000).map(lambda size: b"x" * size), st.integers(3_000, 9_000).map(lambda size: "ü" * size),
)  # fmt: skip
TABLE = st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES, VALUES), max_size=40)


def read(path: Path, shape: tuple[bool, int]) -> list[Record]:
    with Pages(path) as pages:
        found = list(pages.records({shape}))
        assert pages.unreadable == 0
    return found


def written(path: Path, rows: list[tuple[Any, ...]], *, page: int = 4_096, log: bool = False) -> apsw.Connection:
    """A database with those rows in a table `t`, open, its log not folded in where there is one."""
    conn = apsw.Connection(str(path))
    conn.execute(f"PRAGMA page_size = {page}")
    if log:
        conn.execute("PRAGMA journal_mode = WAL").fetchall()
        conn.execute("PRAGMA wal_autocheckpoint = 0")
    conn.execute("CREATE TABLE t (a, b, c, d, e)")
    with conn:
        conn.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    return conn


def same(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> bool:
    """Equal as multisets, 1 and 1.0 told apart."""
    return Counter(map(repr, found)) == Counter(map(repr, expected))


@given(rows=TABLE, page=st.sampled_from([512, 4_096, 65_536]), log=st.booleans())
def test_every_row_of_a_sound_database_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], page: int, log: bool
) -> None:
    path = tmp_path_factory.mktemp("pages") / "x.db"
    with closing(written(path, rows, page=page, log=log)) as conn:
        expected = conn.execute("SELECT rowid, * FROM t").fetchall()

        found = [(record.rowid, *record.values) for record in read(path, ROWS) if record.values[1] != "t"]

    assert same(found, expected)


@given(keys=st.sets(st.binary(min_size=1, max_size=1_500), max_size=60))
def test_every_row_of_a_table_without_rowids_is_read(
    tmp_path_factory: pytest.TempPathFactory, keys: set[bytes]
) -> None:
    """Its rows also stand on the pages that lead to others."""
    path = tmp_path_factory.mktemp("pages") / "x.db"
    with closing(apsw.Connection(str(path))) as conn:
        conn.execute("CREATE TABLE t (a, key PRIMARY KEY, b, c) WITHOUT ROWID")
        with conn:
            conn.executemany("INSERT INTO t VALUES (1, ?, 'x', NULL)", [(key,) for key in keys])

    found = [record.values for record in read(path, KEYED)]

    assert same(found, [(key, 1, "x", None) for key in keys])


def test_what_the_log_holds_of_a_committed_transaction_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    conn = written(path, [(1, 2, 3, 4, 5)], log=True)
    conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    conn.execute("INSERT INTO t VALUES (6, 7, 8, 9, ?)", ("long " * 2_000,))

    found = {record.values[0] for record in read(path, ROWS)}

    assert {1, 6} <= found
    conn.close()


def test_a_log_of_an_earlier_time_is_not_taken_for_news(tmp_path: Path) -> None:
    """After the log began anew, what follows the new frames is old."""
    path = tmp_path / "x.db"
    conn = written(path, [(1, 2, 3, 4, b"old" * 9_000)], log=True)
    conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    conn.execute("UPDATE t SET a = 'new', e = NULL")

    with Pages(path) as pages:
        versions = [record.values[0] for record in pages.records({ROWS}) if record.values[1] == 2]

    assert versions == [1, "new"]
    conn.close()


@pytest.mark.parametrize("seed", range(30))
def test_any_ruin_ends_in_fewer_rows_and_never_in_an_error(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "x.db"
    choice = random.Random(seed)
    rows = [(number, "text " * choice.randrange(300), b"\0" * 16, 1.5, None) for number in range(400)]
    written(path, rows).close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        for _ in range(choice.randrange(1, 40)):
            file.seek(choice.randrange(size))
            file.write(choice.randbytes(choice.choice([1, 8, 600, 4_096])))
        if choice.random() < 0.3:
            file.truncate(choice.randrange(size))

    with Pages(path) as pages:
        found = list(pages.records({ROWS}))

    assert len(found) <= len(rows) + 50
    assert any(record.values in set(rows) for record in found)


def test_without_a_header_the_usual_size_of_pages_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    rows = [(number, 2, 3, 4, "five") for number in range(2_000)]
    written(path, rows).close()
    with path.open("r+b") as file:
        file.write(os.urandom(100))

    assert same([record.values for record in read(path, ROWS) if record.values[1] != "t"], rows)
