"""Whether a database is sound: what it says of itself, against what must always hold. Reads only.

Quick: the structure of the pages (SQLite) or of the indexes (Postgres), the schema, change numbers and file positions.
Full: every page and index entry, and every law between rows. Whether the amounts are those of the
transcripts is another question, which `ccagent verify` answers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Any, Final

from ccagent.errors import CcagentError, NoDataError
from ccagent.paths import display, stands
from ccagent.store.audit_references import laws
from ccagent.store.connection import Connection, SqliteConnection, scalar
from ccagent.store.location import Database
from ccagent.store.migrations import read_version, refuse_others
from ccagent.store.open import BUSY_MS, unreadable
from ccagent.store.schema import INDEXES, ONLY, SCHEMA_VERSION, TABLES

DOCUMENT_VERSION: Final = 1

SHOWN: Final = 20
"""Faults of one kind that are told; one page in ruins brings thousands."""

VIEWS: Final = ("telemetry_events", "analytics_entries", "analytics_entity_links")

Faults = Iterator[str]
Check = Callable[[Connection], Faults]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found; sound where there are no faults. `note` tells what else is to be known: what could not be
    looked at, say."""

    name: str
    faults: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What all checks found."""

    database: str
    version: int
    full: bool
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether no check found a fault."""
        return not any(finding.faults for finding in self.findings)

    @property
    def faults(self) -> list[str]:
        """All faults, each with the name of its check."""
        return [f"{finding.name}: {fault}" for finding in self.findings for fault in finding.faults]

    def document(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "schema_version": DOCUMENT_VERSION,
            "database": self.database,
            "store_version": self.version,
            "full": self.full,
            "sound": self.sound,
            "checks": [
                {
                    "name": finding.name, "sound": not finding.faults, "faults": list(finding.faults),
                    "note": finding.note or None,
                }
                for finding in self.findings
            ],
        }  # fmt: skip


class _NotLookedAtError(Exception):
    """Ends a check that this database does not allow; its text is the note."""


def check_database(database: Database, *, full: bool = False) -> Report:
    """All checks of a database, opened for reading alone. NoDataError where there is none."""
    if database.kind == "postgres":
        from ccagent.store.postgres_readers import connect_postgres_reader

        with closing(connect_postgres_reader(database)) as served:
            return check(served, database.display, full=full)
    import apsw

    if not stands(database.target):
        raise NoDataError(f"there is no database at {database.display} yet; start `ccagent run`, or name one with --db")
    try:
        with closing(SqliteConnection(database.target, flags=apsw.SQLITE_OPEN_READONLY)) as conn:
            conn.set_busy_timeout(BUSY_MS)
            return check(conn, database.display, full=full)
    except apsw.Error as error:
        raise unreadable(database.display, error) from error


def check(conn: Connection, place: str, *, full: bool = False) -> Report:
    """All checks over `conn`; `place` is what a user knows the database by. StoreError where it is newer than we are."""
    with _unhurried(conn):
        return _check(conn, place, full)


def _check(conn: Connection, place: str, full: bool) -> Report:
    sqlite = conn.dialect.name == "sqlite"
    found = [_run(conn, _Named("pages", _pages(full)) if sqlite else _Named("indexes", _pg_indexes(full)))]
    if not sqlite:
        found.insert(0, Finding(name="server", note=f"Postgres {scalar(conn, 'SHOW server_version')}"))
    version = 0
    if not any(finding.faults for finding in found):
        refuse_others(conn, place)
        version = read_version(conn)
        found.append(_run(conn, _Named("schema", _schema)))
    if version == SCHEMA_VERSION and not any(finding.faults for finding in found):
        found += [_run(conn, one) for one in (_FULL if full else _QUICK)]
    return Report(database=place, version=version, full=full, findings=tuple(found))


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    run: Check


def _run(conn: Connection, one: _Named) -> Finding:
    faults: list[str] = []
    try:
        for fault in one.run(conn):
            faults.append(fault)
            if len(faults) == SHOWN:
                faults.append("… and perhaps more")
                break
    except _NotLookedAtError as reason:
        return Finding(name=one.name, note=str(reason))
    except CcagentError:
        raise
    except Exception as error:
        if not _is_damage(error):
            raise
        faults.append(str(error))
    return Finding(name=one.name, faults=tuple(faults))


def _unhurried(conn: Connection) -> AbstractContextManager[None]:
    """Questions within may take as long as they want."""
    if conn.dialect.name == "sqlite":
        return nullcontext()
    from ccagent.store.pgconnection import PgConnection

    assert isinstance(conn, PgConnection)
    return conn.unhurried()


def _is_damage(error: Exception) -> bool:
    import apsw

    if isinstance(error, apsw.Error):
        return isinstance(error, (apsw.CorruptError, apsw.NotADBError, apsw.IOError))
    return type(error).__name__ in ("DataCorrupted", "IndexCorrupted")  # of psycopg, which is loaded at need only


# ---- quick ---------------------------------------------------------------------------------------------------------


def _pages(full: bool) -> Check:
    def run(conn: Connection) -> Faults:
        found = conn.execute(f"PRAGMA {'integrity_check' if full else 'quick_check'}({SHOWN})")
        yield from (str(text) for (text,) in found if text != "ok")

    return run


def _pg_indexes(full: bool) -> Check:
    def run(conn: Connection) -> Faults:
        invalid = conn.execute(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE c.relnamespace = current_schema()::regnamespace AND NOT i.indisvalid ORDER BY 1"
        )
        yield from (f"the index {name} is not valid; REINDEX it" for (name,) in invalid)
        if full:
            yield from _amcheck(conn)

    return run


def _amcheck(conn: Connection) -> Faults:
    """Every entry of every index against its table, where the server's owner has installed amcheck."""
    if scalar(conn, "SELECT 1 FROM pg_extension WHERE extname = 'amcheck'") is None:
        raise _NotLookedAtError("the extension amcheck is not installed, so pages of indexes were not looked at")
    indexes = conn.execute(
        "SELECT c.oid::bigint, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " JOIN pg_am a ON a.oid = c.relam AND a.amname = 'btree'"
        " WHERE c.relnamespace = current_schema()::regnamespace ORDER BY 2"
    ).fetchall()
    for number, name in indexes:
        try:
            conn.execute("SELECT bt_index_check(?::oid::regclass, true)", (number,)).fetchall()
        except Exception as error:
            if type(error).__name__ == "InsufficientPrivilege":
                raise _NotLookedAtError("this user may not run amcheck; indexes were not looked at") from error
            if not _is_damage(error):
                raise
            yield f"the index {name}: {str(error).splitlines()[0]}"


def _schema(conn: Connection) -> Faults:
    version = read_version(conn)
    if version < SCHEMA_VERSION:
        raise _NotLookedAtError(
            f"the schema is that of version {version}, this ccagent's is {SCHEMA_VERSION}: rows were not looked at;"
            " `ccagent db migrate` brings it up to date"
        )
    if conn.dialect.name == "sqlite":
        found = conn.execute("SELECT name FROM sqlite_schema")
    else:
        found = conn.execute("SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace")
    there = {str(name) for (name,) in found}
    for kind, names in (("table", TABLES), ("index", {**INDEXES, **ONLY[conn.dialect.name]}), ("view", VIEWS)):
        yield from (f"the {kind} {name} is missing" for name in names if name not in there)


def _sequence(conn: Connection) -> Faults:
    """A host's change number is the highest that it ever gave."""
    for column, owner, where in (("seq", "host", ""), ("closed_seq", "closed_host", " WHERE f.closed_seq IS NOT NULL")):
        rows = conn.execute(
            f"SELECT h.host_id, h.seq, m.highest FROM (SELECT f.{owner} AS id, MAX(f.{column}) AS highest FROM fact f"
            f"{where} GROUP BY f.{owner}) m LEFT JOIN host h ON h.id = m.id"
            " WHERE h.id IS NULL OR h.seq < m.highest"
        )
        for host, seq, highest in rows:
            if host is None:
                yield f"facts have a {owner} that is not entered in `host`"
            else:
                yield f"host {host} stands at change {seq}, a fact has {column} {highest}"
    rows = conn.execute(
        "SELECT c.destination, c.closed_seq, h.seq FROM export_cursor c JOIN host h ON h.id = c.host"
        " WHERE c.closed_seq > h.seq"
    )
    yield from (f"the cursor of {name} stands at {cursor}, behind the last change {seq}" for name, cursor, seq in rows)


def _files(conn: Connection) -> Faults:
    """No more of a transcript was read than it had."""
    rows = conn.execute('SELECT path, "offset", size FROM file WHERE "offset" > size OR "offset" < 0 ORDER BY path')
    for path, offset, size in rows:
        yield f"{display(os.fsdecode(bytes(path)))} was read to byte {offset} of {size}"


# ---- full ----------------------------------------------------------------------------------------------------------


def _laws(conn: Connection) -> Faults:
    """What holds between rows: references, change numbers, keys (store/audit_references.py)."""
    for law in laws(conn):
        if law.broken:
            yield f"{law.name}: {law.broken} of {law.checked} rows are wrong, such as {', '.join(law.examples)}"


_QUICK: Final = (_Named("change numbers", _sequence), _Named("file positions", _files))
_FULL: Final = (_Named("rows", _laws),)
