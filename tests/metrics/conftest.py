"""A store of totals on a real SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent.store.connection import SqliteConnection
from ccagent.store.schema import statements


def open_store(path: Path) -> SqliteConnection:
    """A connection to a database at `path`, made with all its tables when it is new."""
    fresh = not path.exists()
    conn = SqliteConnection(str(path))
    if fresh:
        with conn:
            for statement in statements("sqlite"):
                conn.execute(statement)
    return conn


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteConnection]:
    conn = open_store(tmp_path / "totals.db")
    yield conn
    conn.close()
