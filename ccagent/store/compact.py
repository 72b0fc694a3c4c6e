"""Giving the room of removed rows back: VACUUM, in the words of each database."""

from __future__ import annotations

from typing import Final

import apsw

from ccagent.store.connection import SqliteConnection
from ccagent.store.schema import TABLES
from ccagent.store.writer import Writer

VACUUM_ROOM: Final = 2.2
"""Free bytes that SQLite needs for it, by the size of the database: the copy, the log that carries it back, a rest."""


def compact(store: Writer) -> None:
    """Write the database anew without the room that nothing uses. StoreError where it cannot be."""
    from ccagent.store.sqlite import SqliteStore

    if isinstance(store, SqliteStore):
        store.between(_vacuum)
        return
    from ccagent.store.pgconnection import PgConnection

    conn = store.conn
    assert isinstance(conn, PgConnection)
    try:
        with conn.unhurried():
            for table in TABLES:
                conn.execute(f"VACUUM (ANALYZE) {table}")
    except Exception as error:
        raise store.translated(error) from error


def _vacuum(conn: SqliteConnection) -> None:
    conn.execute("PRAGMA temp_store = FILE")  # the copy may be larger than the memory
    try:
        conn.execute("VACUUM")
    finally:
        conn.execute("PRAGMA temp_store = MEMORY")
    conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
