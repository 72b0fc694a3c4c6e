"""Makes the schema in an empty database, and brings an older one to the present version.

A step is one transaction that ends with its own record: `PRAGMA user_version` in SQLite, `schema_version` in the table
`meta` of Postgres. Killed anywhere within, the database is what it was. Of several processes that start at once one
does the work, the others wait and find it done.

Where hosts share a database, a step waits for the write transactions that run, and whoever begins one later waits for
the step: a writer reads its row of `host` first and the version next, so an older ccagent sees that it is outdated
before it writes anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccagent.errors import ForeignError, StoreError
from ccagent.failpoints import hit
from ccagent.store import schema
from ccagent.store.connection import Connection, scalar
from ccagent.store.migrations.backups import back_up
from ccagent.store.migrations.steps import STEPS, Migration
from ccagent.store.schema import SCHEMA_VERSION

LOCK: Final = 0x63636167_656E7401
"""Advisory lock of Postgres under which a schema is made or changed ("ccagent", 1)."""

CACHE_KIB: Final = 65_536
"""SQLite's page cache during a migration: holds the index of the keys of two million facts, filled at random places."""

TABLES_SECONDS: Final = 10
"""How long a step waits for the tables of a shared database: whoever comes later waits behind it."""

VIEWS: Final = ("analytics_entity_links", "analytics_entries", "telemetry_events")

_HAS_META: Final = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = 'meta'"
"""Not by to_regclass: that asks a cache which does not hear, within a transaction, of a table just made elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a start found and did. `found`: the version before, 0 in an empty database; `backup`: the copy kept of it."""

    found: int
    backup: Path | None
    seconds: float

    @property
    def migrated(self) -> bool:
        """Whether there was an older schema."""
        return 0 < self.found < SCHEMA_VERSION


def prepare(conn: Connection, *, place: str, now_ms: int, path: Path | None = None) -> Prepared:
    """Bring the database to this version, from whatever it is. `place` is what a user knows it by.

    `path` is the file of a SQLite database, None in memory: before the first step a backup is put beside it.
    StoreError, and nothing changed, where it is newer, something else's, or the disk has no room.
    """
    started = time.perf_counter()
    found = read_version(conn)
    if found == 0:
        create(conn, now_ms, place=place)
        return Prepared(found=0, backup=None, seconds=time.perf_counter() - started)
    refuse_others(conn, place)
    backup = None
    if found < SCHEMA_VERSION:
        backup = None if path is None else back_up(conn, path, found, now_ms)
        migrate(conn, place=place)
        _tidy(conn)
    elif conn.dialect.name == "sqlite":
        _renew_views(conn)
    return Prepared(found=found, backup=backup, seconds=time.perf_counter() - started)


def read_version(conn: Connection) -> int:
    """The version of the schema; 0 where ccagent has made none."""
    if conn.dialect.name == "sqlite":
        return int(scalar(conn, "PRAGMA user_version"))
    if scalar(conn, _HAS_META) is None:
        return 0
    return stored_version(conn)


def stored_version(conn: Connection) -> int:
    """The version of a Postgres schema that is there for certain: one look at one row, for every write transaction."""
    return int(scalar(conn, "SELECT value FROM meta WHERE name = 'schema_version'") or 0)


def require_current(conn: Connection, place: str) -> None:
    """StoreError unless the schema is this version's: for whoever only reads, and cannot migrate."""
    refuse_others(conn, place)
    version = read_version(conn)
    if version < SCHEMA_VERSION:
        raise StoreError(
            f"{place} was written by an older ccagent (schema {version}, this one reads {SCHEMA_VERSION});"
            " start `ccagent run` once, or again where an older one still runs: it is brought up to date with a backup beside it"
        )


def create(conn: Connection, now_ms: int, *, place: str = "the database") -> None:
    """Make the tables and views of this version in an empty database; nothing where somebody else just did."""
    with _at_ease(conn), _transaction(conn):
        if read_version(conn):
            return
        refuse_others(conn, place)
        for statement in (*schema.statements(conn.dialect.name), *_views(conn)):
            conn.execute(statement)
        _keep(conn, "created_at", str(now_ms))
        _keep(conn, "generation", "1")
        _set_version(conn, SCHEMA_VERSION)


def migrate(
    conn: Connection,
    *,
    place: str = "the database",
    target: int = SCHEMA_VERSION,
    steps: Mapping[int, Migration] = STEPS,
) -> int:
    """Run the steps from the database's version to `target`; returns how many this call has run.

    StoreError, and nothing changed, where the database is newer than `target`.
    """
    done = 0
    refuse_others(conn, place, target)
    with _at_ease(conn):
        while read_version(conn) < target:
            with _transaction(conn):
                version = read_version(conn)
                if version >= target:
                    break  # another process was quicker
                _run(conn, steps[version], last=steps[version].to == target)
            done += 1
    return done


def _views(conn: Connection) -> Iterable[str]:
    from ccagent.store import view  # long texts, which nobody needs who only asks for the version

    return view.statements(conn.dialect.name)


def _renew_views(conn: Connection) -> None:
    """Make views anew that another ccagent with the same tables has made: the windows of models stand in their texts.

    In a served database they stay until the next step: hosts of two versions would change them at each other's starts.
    """
    wanted = list(_views(conn))
    made = {str(row[0]) for row in conn.execute("SELECT sql FROM sqlite_schema WHERE type = 'view'")}
    if made.issuperset(wanted):
        return
    with _transaction(conn):
        for name in VIEWS:
            conn.execute(f"DROP VIEW IF EXISTS {name}")
        for statement in wanted:
            conn.execute(statement)


def _run(conn: Connection, step: Migration, *, last: bool) -> None:
    """One step in the caller's transaction."""
    if conn.dialect.shared:
        conn.execute(f"SET LOCAL lock_timeout = '{TABLES_SECONDS}s'")
        conn.execute("LOCK TABLE host, meta IN ACCESS EXCLUSIVE MODE")
    for name in VIEWS:
        conn.execute(f"DROP VIEW IF EXISTS {name}")
    for statement in step.statements(conn):
        conn.execute(statement)
        hit("migration")
    if last:
        for statement in _views(conn):
            conn.execute(statement)
    _set_version(conn, step.to)
    hit("migration")


def refuse_others(conn: Connection, place: str, known: int = SCHEMA_VERSION) -> None:
    """ForeignError where a newer ccagent, or another program, has made the tables. Reads only."""
    version = read_version(conn)
    if version > known:
        raise ForeignError(
            f"{place} was written by a newer ccagent (schema {version}, this one knows {known});"
            " upgrade ccagent or name another --db"
        )
    if version == 0 and conn.dialect.name == "sqlite" and scalar(conn, "SELECT 1 FROM sqlite_schema LIMIT 1"):
        raise ForeignError(f"{place} is the SQLite database of another program; name another --db")


def _set_version(conn: Connection, version: int) -> None:
    if conn.dialect.name == "sqlite":
        conn.execute(f"PRAGMA user_version = {version}")
    else:
        _keep(conn, "schema_version", str(version))


def _keep(conn: Connection, name: str, value: str) -> None:
    conn.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


@contextmanager
def _transaction(conn: Connection) -> Iterator[None]:
    """All or nothing, one process at a time."""
    conn.execute("BEGIN" if conn.dialect.shared else "BEGIN IMMEDIATE")
    try:
        if conn.dialect.shared:
            conn.execute("SELECT pg_advisory_xact_lock(?)", (LOCK,))
        yield
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
    conn.execute("COMMIT")


@contextmanager
def _at_ease(conn: Connection) -> Iterator[None]:
    """Postgres: without limits of time. SQLite: with more memory, and renames that leave views of a user's own alone."""
    if conn.dialect.name != "sqlite":
        from ccagent.store.pgconnection import PgConnection

        assert isinstance(conn, PgConnection)
        with conn.unhurried():
            yield
        return
    cache = scalar(conn, "PRAGMA cache_size")
    conn.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    conn.execute("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        conn.execute("PRAGMA legacy_alter_table = OFF")
        conn.execute(f"PRAGMA cache_size = {cache}")


def _tidy(conn: Connection) -> None:
    """After a migration: fresh statistics for the planner."""
    if conn.dialect.name == "sqlite":
        conn.execute("PRAGMA optimize = 0x10002")
