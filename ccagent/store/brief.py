"""Short writes of a verb's own, beside a daemon or without one: one transaction on a connection of its own.

It takes no lock of the host and books nothing, so it is for tables of which the daemon only reads what others wrote:
rules of alerts and their silences.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apsw

from ccagent.errors import DamagedError, NoDataError, StoreError
from ccagent.paths import stands
from ccagent.store.connection import Connection, SqliteConnection, scalar
from ccagent.store.location import Database
from ccagent.store.migrations import refuse_others, require_current

BUSY_MS: Final = 10_000
"""How long it waits for the daemon, none of whose transactions holds the lock for a second."""


@contextmanager
def brief_write(database: Database) -> Iterator[Connection]:
    """A connection within a write transaction, which ends with the block: an error rolls it back.

    NoDataError where there is no database yet, StoreError where it cannot be written.
    """
    if database.kind == "postgres":
        with _served(database) as conn:
            yield conn
        return
    with _in_file(database.target) as conn:
        yield conn


@contextmanager
def _in_file(path: str) -> Iterator[Connection]:
    if not stands(path):
        raise NoDataError(f"there is no database at {path} yet; start `ccagent run`, or name one with --db")
    try:
        conn = SqliteConnection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.Error as error:
        raise StoreError(f"cannot write {path}: {error}; check its owner and mode") from error
    try:
        conn.set_busy_timeout(BUSY_MS)
        refuse_others(conn, path)
        if scalar(conn, "PRAGMA user_version") == 0:
            raise NoDataError(f"{path} holds no facts yet; start `ccagent run`")
        require_current(conn, path)
        with _transaction(conn, "BEGIN IMMEDIATE"):
            yield conn
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise DamagedError(f"{path} is damaged ({error}); run `ccagent db check`", reason="corrupt") from error
    except apsw.BusyError as error:
        raise StoreError(f"{path} is locked by another writer; try again in a moment", reason="busy") from error
    except apsw.Error as error:
        raise StoreError(f"cannot write {path}: {error}; check its owner and mode, and the room on its disk") from error
    finally:
        conn.close()


@contextmanager
def _served(database: Database) -> Iterator[Connection]:
    from ccagent.store.migrations import read_version
    from ccagent.store.pgconnection import SCHEMA, connect
    from ccagent.store.pgerrors import explained
    from ccagent.store.postgres import PostgresStore

    with explained(database.display):
        conn = connect(database.target, application_name=f"ccagent verb {os.getpid()}", schema=SCHEMA)
        try:
            if read_version(conn) == 0:
                raise NoDataError(f"{database.display} holds no facts yet; start `ccagent run`")
            require_current(conn, database.display)
            with _transaction(conn, PostgresStore.begin):
                yield conn
        finally:
            conn.close()


@contextmanager
def _transaction(conn: Connection, begin: str) -> Iterator[None]:
    conn.execute(begin)
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
