"""How much room a database takes."""

from __future__ import annotations

from pathlib import Path

from ccagent.store.connection import Connection, scalar
from ccagent.store.location import Database


def stored_bytes(conn: Connection, database: Database) -> int:
    """Bytes of the database: the file of SQLite's, in Postgres tables and indexes of ccagent's schema."""
    if database.kind == "sqlite":
        return file_size(database.target)
    sql = (
        "SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0) FROM pg_class c"
        " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'"
    )
    return int(scalar(conn, sql))


def file_size(path: str) -> int:
    """Bytes of a file, 0 where there is none."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
