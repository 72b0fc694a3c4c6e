"""Read-only connections: short transactions beside the writer, also while no daemon runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from ccagent.errors import NoDataError, StoreError
from ccagent.store.connection import Connection, SqliteConnection, scalar
from ccagent.store.location import Database, parse_database
from ccagent.store.migrations import require_current

BUSY_MS: Final = 2_000
"""How long a reader waits for a checkpoint that needs the whole database."""


def connect_reader(database: Database | Path | str) -> Connection:
    """A connection that cannot write. NoDataError where there is no database yet, StoreError where it cannot be read."""
    named = database if isinstance(database, Database) else parse_database(str(database))
    if named.kind == "postgres":
        from ccagent.store.postgres import connect_postgres_reader

        return connect_postgres_reader(named)
    path = named.target
    if not Path(path).exists():
        raise NoDataError(f"there is no database at {path} yet; start `ccagent run`, or name one with --db")
    try:
        conn = SqliteConnection(path, flags=apsw.SQLITE_OPEN_READONLY)
        conn.set_busy_timeout(BUSY_MS)
    except apsw.Error as error:
        raise StoreError(f"cannot read {path}: {error}; is it a ccagent database?") from error
    try:
        if scalar(conn, "PRAGMA user_version") == 0:
            raise NoDataError(f"{path} holds no facts yet; start `ccagent run`")
        require_current(conn, path)
    except apsw.Error as error:
        conn.close()
        raise StoreError(f"cannot read {path}: {error}; is it a ccagent database?") from error
    except BaseException:
        conn.close()
        raise
    return conn


@contextmanager
def open_reader(database: Database | Path | str) -> Iterator[Connection]:
    """As `connect_reader`, closed at the end."""
    conn = connect_reader(database)
    try:
        yield conn
    finally:
        conn.close()
