"""How much room a database takes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ccagent.store.connection import Connection, scalar
from ccagent.store.location import Database

TELLING: Final = 1_000
"""Facts below which their room says nothing: indexes begin with whole pages."""


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


def used_bytes(conn: Connection, database: Database, density: float | None = None) -> int:
    """Bytes that facts and the rest take, without the room that removed ones left behind and new ones will fill.

    Postgres does not tell that room: there it is reckoned with `density`, the bytes of a fact at their fewest.
    """
    if not conn.dialect.shared:
        pages, free, page = (
            int(scalar(conn, f"SELECT {name} FROM pragma_{name}"))
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * page
    whole, facts, number = stored_bytes(conn, database), *_facts(conn)
    return whole if density is None else whole - facts + min(facts, int(number * density))


def fact_density(conn: Connection) -> float | None:
    """Bytes of a fact with its indexes in Postgres; None where they are too few to tell."""
    facts, number = _facts(conn)
    return facts / number if number >= TELLING else None


def _facts(conn: Connection) -> tuple[int, int]:
    size = int(scalar(conn, "SELECT pg_total_relation_size('fact'::regclass)"))
    return size, int(scalar(conn, "SELECT COUNT(*) FROM fact"))
