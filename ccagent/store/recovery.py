"""A readable database made of what a damaged one still holds: rows are recognised by their shape, page by page.

What cannot be right is left out: a fact whose key is not that of its kind and id, amounts below zero, times before the
epoch. Of several versions of a fact the one with the highest change number stands. What hangs between rows (a name that
nobody can read any more) is found out by whoever reads the result.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import apsw

from ccagent.errors import StoreError
from ccagent.facts.keys import KEY_BYTES, fact_key
from ccagent.facts.model import KEY_PREFIXES
from ccagent.store import rows, schema
from ccagent.store.alert_rescue import TABLES as ALERTS
from ccagent.store.pages import Pages, Record, Value

TABLES: Final = (
    "meta", "host", "name", "context", "file", "quarantine", "fact", "pruned", "agent", "link", "rollup", *ALERTS,
)  # fmt: skip
"""Worth recovering; totals begin anew. `contributor` is told apart at the end, see _PAIRS."""

ROWS: Final = 10_000
"""Of one transaction into the readable database; it is made anew if interrupted."""

LATEST_MS: Final = 1 << 46
"""Times behind it (the year 4199) are damage."""

LARGEST: Final = 1 << 50
"""Amounts above it are damage."""

ENOUGH: Final = 5
"""Tables of ccagent's names in one database; another program's may have a `file` and a `host` of its own."""

_NAMES_OF_TABLES: Final = (True, 5)
"""Shape of the table in which SQLite keeps the names of tables."""

_TIMES: Final = (rows.OWNER_AT, rows.OCCURRED_AT, rows.ENDED_AT, rows.RESULT_AT, rows.ERROR_AT)
_AMOUNTS: Final = (
    rows.ATTEMPTS, rows.REPORTED_MS, rows.SIZE, rows.ADDED, rows.REMOVED, rows.TOKEN_INPUT, rows.TOKEN_OUTPUT,
    rows.TOKEN_CACHE_READ, rows.TOKEN_CACHE_WRITE, rows.TOKEN_CACHE_WRITE_1H, rows.TOKEN_THINKING, rows.COST,
)  # fmt: skip
_PAIR: Final = (False, 2)
_PAIRS: Final = (
    "CREATE TEMP TABLE row (id INTEGER PRIMARY KEY, key BLOB, request BLOB)",
    "CREATE TEMP TABLE pair (key BLOB, number INTEGER)",
)
_CONTRIBUTORS: Final = (
    "INSERT OR IGNORE INTO contributor (key, file) SELECT p.key, p.number FROM pair p"
    " JOIN fact f ON f.key = p.key JOIN file x ON x.id = p.number"
    " WHERE NOT EXISTS (SELECT 1 FROM row r WHERE r.id = p.number AND p.key IN (r.key, r.request))"
    " AND NOT EXISTS (SELECT 1 FROM agent a WHERE a.agent = p.number AND a.tool = p.key)"
)
"""Rows of `contributor` (the key of a fact, the number of a transcript) look like entries of indexes, which are a key and
the number of a row: what is no such entry is a contributor, if there are such a fact and such a transcript."""

_KINDS: Final = {"INTEGER": int, "BLOB": bytes, "TEXT": str, "REAL": float}


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: type
    required: bool


@dataclass(frozen=True, slots=True)
class _Table:
    """How rows of a table lie in the file: columns in the order of the record."""

    name: str
    columns: tuple[_Column, ...]
    rowid: bool
    alias: bool
    """Whether the first column is the rowid itself, and empty in the record."""

    @property
    def shape(self) -> tuple[bool, int]:
        return self.rowid, len(self.columns)

    @property
    def insert(self) -> str:
        names = ", ".join(f'"{column.name}"' for column in self.columns)
        sql = f"INTO {self.name} ({names}) VALUES ({', '.join('?' * len(self.columns))})"
        if self.name != "fact":
            return f"INSERT OR REPLACE {sql}" if self.name in ("meta", "host") else f"INSERT OR IGNORE {sql}"
        return f"INSERT {sql} {_NEWER}"

    def fits(self, record: Record) -> tuple[Value, ...] | None:
        """The record's values if it can be a row of this table."""
        values = record.values
        if self.alias:
            if values[0] is not None or record.rowid is None or record.rowid <= 0:
                return None
            values = (record.rowid, *values[1:])
        for value, column in zip(values, self.columns, strict=True):
            if value is None:
                if column.required:
                    return None
            elif not isinstance(value, column.kind) and not (column.kind is float and isinstance(value, int)):
                return None
        return values


_NEWER: Final = (
    "ON CONFLICT (key) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in rows.COLUMNS[1:])
    + " WHERE excluded.seq > fact.seq"
)


def recover(damaged: Path, target: Path, tables: Collection[str] = TABLES) -> None:
    """Write what can be read of these tables of `damaged` into a new database at `target`, with a whole schema.

    StoreError when `target` cannot be written, or `damaged` not even be opened.
    """
    for _ in recovering(damaged, target, tables):
        pass


def recovering(damaged: Path, target: Path, tables: Collection[str] = TABLES) -> Iterator[None]:
    """As `recover`, stopping after every ROWS rows: it goes on with the iterator."""
    try:
        target.unlink(missing_ok=True)
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        with closing(apsw.Connection(str(target))) as conn, Pages(damaged) as pages:
            conn.execute("PRAGMA journal_mode = OFF")
            conn.execute("PRAGMA synchronous = OFF")
            for statement in schema.statements("sqlite"):
                conn.execute(statement)
            for statement in _PAIRS:
                conn.execute(statement)
            wanted = {name: _table(conn, name).insert for name in TABLES if name in tables}
            wanted |= {"row": "INSERT OR IGNORE INTO row VALUES (?, ?, ?)", "pair": "INSERT INTO pair VALUES (?, ?)"}
            found = _rows(pages, [_table(conn, name) for name in TABLES if name in tables])
            while some := list(islice(found, ROWS)):
                with conn:
                    for name, insert in wanted.items():
                        conn.executemany(insert, [values for table, values in some if table == name])
                yield
            conn.execute(_CONTRIBUTORS)
            conn.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
    except (OSError, apsw.Error) as error:
        raise StoreError(f"what {damaged} still holds cannot be written to {target}: {error}") from error


def is_ours(path: Path) -> bool:
    """Whether the file at `path`, which no database opens, was a database of ccagent's: its tables are named in it, or
    facts stand in it."""
    named = set()
    try:
        with Pages(path) as pages:
            for record in pages.records({_NAMES_OF_TABLES, (True, len(rows.COLUMNS))}):
                if len(record.values) == len(rows.COLUMNS):
                    if _plausible(record.values):
                        return True
                elif record.values[0] == "table" and record.values[1] in schema.TABLES:
                    named.add(record.values[1])
                    if len(named) == ENOUGH:
                        return True
    except OSError:
        return False
    return False


def holds_tables(path: Path) -> bool:
    """Whether the SQLite database at `path` has tables of ccagent's, of whatever version; where none opens, or its log may
    hold them still, `is_ours`. Nothing is written, not even the files that SQLite makes beside a database."""
    address = f"file:{quote(os.fsencode(path))}?immutable=1"
    try:
        with closing(apsw.Connection(address, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)) as conn:
            found = {row[0] for row in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    except apsw.Error:
        return is_ours(path)
    if len(found.intersection(schema.TABLES)) >= ENOUGH:
        return True
    log = Path(f"{path}-wal")
    return log.is_file() and is_ours(path)


def _table(conn: apsw.Connection, name: str) -> _Table:
    found: list[tuple[Any, ...]] = conn.execute(f"PRAGMA table_info({name})").fetchall()
    rowid = name not in schema.WITHOUT_ROWID
    # Without a rowid the primary key lies first.
    order = found if rowid else sorted(found, key=lambda row: (row[5] == 0, row[5]))
    columns = tuple(_Column(row[1], _KINDS[row[2]], bool(row[3] or row[5])) for row in order)
    alias = rowid and any(row[5] and row[2] == "INTEGER" for row in found)
    return _Table(name, columns, rowid, alias)


def _rows(pages: Pages, tables: list[_Table]) -> Iterator[tuple[str, tuple[Value, ...]]]:
    with_facts = any(table.name == "fact" for table in tables)
    shapes = {table.shape for table in tables} | ({_PAIR} if with_facts else set())
    for record in pages.records(shapes):
        if record.rowid is None and len(record.values) == 2:
            key, number = record.values
            if isinstance(key, bytes) and len(key) == KEY_BYTES and isinstance(number, int):
                yield "pair", (key, number)
            continue
        for table in tables:
            if table.shape != (record.rowid is not None, len(record.values)):
                continue
            values = table.fits(record)
            if values is not None and (table.name != "fact" or _plausible(values)):
                yield table.name, values
                if table.name == "fact":
                    yield "row", (record.rowid, values[rows.KEY], values[rows.REQUEST])
                break


def _plausible(values: tuple[Value, ...]) -> bool:
    """Whether these values of `fact` can be true."""
    kind, native = values[rows.TYPE], values[rows.NATIVE]
    if not isinstance(kind, int) or kind not in KEY_PREFIXES or not isinstance(native, str):
        return False
    return (
        fact_key(kind, native) == values[rows.KEY]
        and all(-1 <= _number(values[column]) < LATEST_MS for column in _TIMES)
        and all(0 <= _number(values[column]) < LARGEST for column in _AMOUNTS)
    )


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0
