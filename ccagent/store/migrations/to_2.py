"""Version 1 to 2: a fact is its content key, and whatever belongs to a writer says to which.

Version 1 was written by SQLite alone, so this step has one dialect. Its texts are those of version 2 as it was
released; schema.py goes on, they do not.

The order spares room: old indexes go first and new ones come last, so that the copy of `fact` fills the pages of the
old indexes, and the new indexes those of the old `fact`. Facts keep their order: those of one session stay neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ccagent.errors import StoreError
from ccagent.store.connection import Connection

_HOST: Final = 1
"""The one writer there was."""

_QUARTER_MS: Final = 15 * 60 * 1_000
_IDLE_CUTOFF_MS: Final = 5 * 60 * 1_000
"""Version 2 marks the quarters that lie this far around a fact."""

_OLD_INDEXES: Final = (
    "fact_key", "fact_time", "fact_context", "fact_session_end", "fact_closed", "fact_open_turn", "fact_open_type",
    "fact_open_context",
)  # fmt: skip

_ROLLUP: Final = """CREATE TABLE rollup (
    period INTEGER NOT NULL, bucket INTEGER NOT NULL, family INTEGER NOT NULL, project INTEGER NOT NULL,
    branch INTEGER NOT NULL, session_type INTEGER NOT NULL, name INTEGER NOT NULL, agent INTEGER NOT NULL,
    skill INTEGER NOT NULL, count INTEGER NOT NULL, ok INTEGER NOT NULL, errors INTEGER NOT NULL,
    results INTEGER NOT NULL, relayed INTEGER NOT NULL, timed INTEGER NOT NULL, duration_ms INTEGER NOT NULL,
    token_input INTEGER NOT NULL, token_output INTEGER NOT NULL, token_cache_read INTEGER NOT NULL,
    token_cache_write_5m INTEGER NOT NULL, token_cache_write_1h INTEGER NOT NULL, cost INTEGER NOT NULL,
    unpriced INTEGER NOT NULL, placeholder INTEGER NOT NULL, partial INTEGER NOT NULL, estimated INTEGER NOT NULL,
    added INTEGER NOT NULL, removed INTEGER NOT NULL,
    PRIMARY KEY (period, family, bucket, project, branch, session_type, name, agent, skill)) WITHOUT ROWID"""

_HOST_TABLE: Final = """CREATE TABLE host (
    id INTEGER PRIMARY KEY, host_id TEXT NOT NULL UNIQUE, instance_id TEXT NOT NULL, seq INTEGER NOT NULL,
    commits INTEGER NOT NULL, created_at INTEGER NOT NULL, ledger_start INTEGER, catch_up_done INTEGER)"""

_ENTER_HOST: Final = f"""
    INSERT INTO host (id, host_id, instance_id, seq, commits, created_at, ledger_start, catch_up_done)
    SELECT {_HOST}, (SELECT value FROM meta WHERE name = 'host_id'),
        (SELECT value FROM meta WHERE name = 'instance_id'),
        (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'seq'), 0,
        (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'created_at'),
        (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'ledger_start'),
        (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'catch_up_done')"""

_UNKNOWN_COPIES: Final = (
    "INSERT INTO meta (name, value) SELECT 'contributors_since', value FROM meta WHERE name = 'seq'"
)
"""Facts up to this change number may stand in further transcripts that nobody has written down."""

_CLEAR_META: Final = "DELETE FROM meta WHERE name IN ('host_id', 'instance_id', 'seq', 'ledger_start', 'catch_up_done')"

_FACT: Final = """CREATE TABLE fact (
    key BLOB NOT NULL PRIMARY KEY, type INTEGER NOT NULL, native TEXT NOT NULL, context INTEGER NOT NULL,
    owner_at INTEGER, turn INTEGER, name INTEGER, request BLOB, occurred_at INTEGER, ended_at INTEGER,
    result_at INTEGER, error_at INTEGER, status INTEGER NOT NULL, flags INTEGER NOT NULL, quality INTEGER,
    failure INTEGER, stop INTEGER, exit_code INTEGER, attempts INTEGER, reported_ms INTEGER, size INTEGER,
    added INTEGER, removed INTEGER, token_input INTEGER, token_output INTEGER, token_cache_read INTEGER,
    token_cache_write INTEGER, token_cache_write_1h INTEGER, token_thinking INTEGER, cost INTEGER,
    cost_booked INTEGER, price INTEGER, extra TEXT, file INTEGER, "offset" INTEGER, length INTEGER,
    parser INTEGER NOT NULL, host INTEGER NOT NULL, seq INTEGER NOT NULL, closed_host INTEGER, closed_seq INTEGER,
    ended INTEGER)"""

_KEPT: Final = (
    "type, native, context, owner_at, turn, name, occurred_at, ended_at, result_at, error_at, status, flags, quality,"
    " failure, stop, exit_code, attempts, reported_ms, size, added, removed, token_input, token_output,"
    " token_cache_read, token_cache_write, token_cache_write_1h, token_thinking, cost, cost_booked, price, extra, file,"
    ' "offset", length, parser, seq, closed_seq, ended'
)
"""Columns of `fact` that mean what they meant."""

_COPY_FACTS: Final = f"""
    INSERT INTO fact (key, request, host, closed_host, {_KEPT})
    SELECT old.key, request.key, {_HOST}, CASE WHEN old.closed_seq IS NOT NULL THEN {_HOST} END,
        {", ".join(f"old.{column.strip()}" for column in _KEPT.split(","))}
    FROM fact_1 old LEFT JOIN fact_1 request ON request.id = old.request ORDER BY old.id"""

_EXPORT_DEAD: Final = """CREATE TABLE export_dead (
    destination TEXT NOT NULL, signal TEXT NOT NULL, key BLOB NOT NULL, reason TEXT NOT NULL,
    dropped_at INTEGER NOT NULL, PRIMARY KEY (destination, signal, key))"""

_COPY_DEAD: Final = """
    INSERT INTO export_dead (destination, signal, key, reason, dropped_at)
    SELECT old.destination, old.signal, f.key, old.reason, old.dropped_at
    FROM export_dead_1 old JOIN fact_1 f ON f.id = old.fact"""

_NEW_INDEXES: Final = (
    "CREATE INDEX fact_time ON fact(occurred_at)",
    "CREATE INDEX fact_context ON fact(context)",
    "CREATE INDEX fact_session_end ON fact(ended_at) WHERE type = 1",
    "CREATE INDEX fact_closed ON fact(closed_host, closed_seq) WHERE closed_seq IS NOT NULL",
    "CREATE INDEX fact_open_turn ON fact(turn, type) WHERE closed_seq IS NULL",
    "CREATE INDEX fact_open_type ON fact(type, ended_at) WHERE closed_seq IS NULL",
    "CREATE INDEX fact_open_context ON fact(context) WHERE closed_seq IS NULL",
    "CREATE INDEX fact_request ON fact(request) WHERE request IS NOT NULL",
    "CREATE INDEX agent_waiting ON agent(agent) WHERE linked_at IS NULL",
)

_FILE: Final = """CREATE TABLE file (
    id INTEGER PRIMARY KEY, host INTEGER NOT NULL, path BLOB NOT NULL, device INTEGER NOT NULL,
    inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, "offset" INTEGER NOT NULL,
    head BLOB NOT NULL, head_length INTEGER NOT NULL, marker BLOB NOT NULL, generation INTEGER NOT NULL,
    lines INTEGER NOT NULL, carry BLOB, state INTEGER NOT NULL, UNIQUE (host, path))"""

_FILE_KEPT: Final = (
    'id, path, device, inode, size, mtime_ns, "offset", head, head_length, marker, generation, lines, carry, state'
)

_TOTAL: Final = """CREATE TABLE total (
    host INTEGER NOT NULL, metric TEXT NOT NULL, labels TEXT NOT NULL, exportable INTEGER NOT NULL,
    value INTEGER NOT NULL, base INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL,
    PRIMARY KEY (host, metric, labels, exportable)) WITHOUT ROWID"""

_HISTOGRAM: Final = """CREATE TABLE histogram (
    host INTEGER NOT NULL, metric TEXT NOT NULL, labels TEXT NOT NULL, exportable INTEGER NOT NULL,
    counts TEXT NOT NULL, sum REAL NOT NULL, base TEXT, base_sum REAL NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL, PRIMARY KEY (host, metric, labels, exportable)) WITHOUT ROWID"""

_LABEL_VALUE: Final = """CREATE TABLE label_value (
    host INTEGER NOT NULL, metric TEXT NOT NULL, label TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (host, metric, label, value)) WITHOUT ROWID"""

_DIRTY: Final = """CREATE TABLE dirty (
    quarter INTEGER NOT NULL, host INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (quarter, host, seq)) WITHOUT ROWID"""

_EXPORT_CURSOR: Final = """CREATE TABLE export_cursor (
    destination TEXT NOT NULL, signal TEXT NOT NULL, host INTEGER NOT NULL, named_at INTEGER NOT NULL,
    closed_seq INTEGER NOT NULL, updated_at INTEGER NOT NULL, sent INTEGER NOT NULL, rejected INTEGER NOT NULL,
    PRIMARY KEY (destination, signal, host))"""

_COPY_CURSORS: Final = """
    INSERT INTO export_cursor (destination, signal, host, named_at, closed_seq, updated_at, sent, rejected)
    SELECT old.destination, old.signal, host.id, old.named_at, old.closed_seq, old.updated_at, old.sent, old.rejected
    FROM export_cursor_1 old JOIN host ON host.host_id = old.host"""

_CONTRIBUTOR: Final = (
    "CREATE TABLE contributor (key BLOB NOT NULL, file INTEGER NOT NULL, PRIMARY KEY (key, file)) WITHOUT ROWID"
)
_PRUNED: Final = "CREATE TABLE pruned (key BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID"


def statements(conn: Connection) -> Iterator[str]:
    """What the step runs, in order."""
    if conn.dialect.name != "sqlite":
        raise StoreError(
            "no released ccagent wrote schema 1 into a shared database, so there is no way to read it; name another --db"
        )
    yield from (f"DROP INDEX {name}" for name in _OLD_INDEXES)
    yield "DROP TABLE rollup"  # made anew from facts: one of its columns has become three
    yield _ROLLUP
    yield _HOST_TABLE
    yield _ENTER_HOST
    yield _UNKNOWN_COPIES
    yield _CLEAR_META
    yield "ALTER TABLE fact RENAME TO fact_1"
    yield _FACT
    yield _COPY_FACTS
    yield from _anew("export_dead", _EXPORT_DEAD, _COPY_DEAD)
    yield "DROP TABLE fact_1"
    yield from _NEW_INDEXES
    yield from _anew("file", _FILE, _owned("file", _FILE_KEPT))
    yield from _anew("total", _TOTAL, _owned("total", "metric, labels, exportable, value, created_at"))
    yield from _anew(
        "histogram", _HISTOGRAM, _owned("histogram", "metric, labels, exportable, counts, sum, created_at")
    )
    yield from _anew("label_value", _LABEL_VALUE, _owned("label_value", "metric, label, value"))
    yield from _anew("dirty", _DIRTY, f"INSERT INTO dirty (quarter, host, seq) SELECT quarter, {_HOST}, 0 FROM dirty_1")
    yield from _marks()
    yield from _anew("export_cursor", _EXPORT_CURSOR, _COPY_CURSORS)
    yield _CONTRIBUTOR
    yield _PRUNED


def _anew(table: str, create: str, copy: str) -> Iterator[str]:
    """A table made anew and filled from its old self, which is called `<table>_1` meanwhile."""
    yield f"ALTER TABLE {table} RENAME TO {table}_1"
    yield create
    yield copy
    yield f"DROP TABLE {table}_1"


def _owned(table: str, columns: str) -> str:
    """Copies the columns, which stay as they are, and names the host."""
    return f"INSERT INTO {table} (host, {columns}) SELECT {_HOST}, {columns} FROM {table}_1"


def _marks() -> Iterator[str]:
    """Mark stale whatever has a rollup: quarters around facts, and sessions with facts that have no time."""
    for shift in (-_IDLE_CUTOFF_MS, _IDLE_CUTOFF_MS):
        moment = f"(occurred_at + {shift})"
        yield f"""
            INSERT INTO dirty (quarter, host, seq)
            SELECT DISTINCT {moment} - ({moment} % {_QUARTER_MS} + {_QUARTER_MS}) % {_QUARTER_MS}, {_HOST}, 0
            FROM fact WHERE occurred_at IS NOT NULL ON CONFLICT DO NOTHING"""
    yield f"""
        INSERT INTO dirty (quarter, host, seq)
        SELECT DISTINCT -(c.session * {_QUARTER_MS} + 1), {_HOST}, 0 FROM fact f JOIN context c ON c.id = f.context
        WHERE f.occurred_at IS NULL AND c.session IS NOT NULL ON CONFLICT DO NOTHING"""
