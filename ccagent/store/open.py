"""Read-only connections: short transactions beside the writer, also while no daemon runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from ccagent.errors import NoDataError, StoreError
from ccagent.store.scalar import scalar

Connection = apsw.Connection
"""What readers hand to the queries; nobody outside the store names the driver."""

BUSY_MS: Final = 2_000
"""How long a reader waits for a checkpoint that needs the whole database."""


def connect_reader(path: Path | str) -> apsw.Connection:
    """A connection that cannot write. NoDataError where there is no database yet, StoreError where it cannot be read."""
    if not Path(path).exists():
        raise NoDataError(f"there is no database at {path} yet; start `ccagent run`, or name one with --db")
    try:
        conn = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        conn.set_busy_timeout(BUSY_MS)
        if scalar(conn, "PRAGMA user_version") == 0:
            conn.close()
            raise NoDataError(f"{path} holds no facts yet; start `ccagent run`")
    except apsw.Error as error:
        raise StoreError(f"cannot read {path}: {error}; is it a ccagent database?") from error
    return conn


@contextmanager
def open_reader(path: Path | str) -> Iterator[apsw.Connection]:
    """As `connect_reader`, closed at the end."""
    conn = connect_reader(path)
    try:
        yield conn
    finally:
        conn.close()
