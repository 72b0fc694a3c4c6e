"""The tables: one source for every dialect.

Texts that repeat (models, tools, branches, session ids …) are interned in `name` and referred to by number; where a
line stands (session, cwd, branch, version …) is interned as a whole in `context`. A fact row is therefore small
numbers, its 16-byte content key and its native id. `telemetry_events` (store/view.py) joins them back into the
columns that a user queries.

Times are integer milliseconds since the epoch, UTC. Money is integer micro-dollars.
"""

from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = 1

DIALECTS: Final[dict[str, dict[str, str]]] = {
    "sqlite": {"blob": "BLOB", "pk": "INTEGER PRIMARY KEY", "int": "INTEGER", "real": "REAL", "text": "TEXT"},
    "postgres": {
        "blob": "BYTEA",
        "pk": "BIGINT PRIMARY KEY",
        "int": "BIGINT",
        "real": "DOUBLE PRECISION",
        "text": "TEXT",
    },
}

TABLES: Final[dict[str, str]] = {
    # What the database knows of itself: schema_version, host_id, instance_id, zone, generation, seq,
    # created_at, ledger_start, catch_up_done …
    "meta": "name {text} PRIMARY KEY, value {text} NOT NULL",
    "name": "id {pk}, value {text} NOT NULL UNIQUE",
    "context": """
        id {pk}, session {int}, project {int}, cwd {int}, branch {int}, version {int}, entrypoint {int},
        permission_mode {int}, agent {int}, skill {int}, rank {int} NOT NULL""",
    # One row a transcript. `carry` is what later lines need of earlier ones; it commits with the offset.
    "file": """
        id {pk}, path {blob} NOT NULL UNIQUE, device {int} NOT NULL, inode {int} NOT NULL, size {int} NOT NULL,
        mtime_ns {int} NOT NULL, "offset" {int} NOT NULL, head {blob} NOT NULL, head_length {int} NOT NULL,
        marker {blob} NOT NULL, generation {int} NOT NULL, lines {int} NOT NULL, carry {blob}, state {int} NOT NULL""",
    # A line that could not be read whole: never its bytes, only where it is and what it hashes to.
    "quarantine": """
        file {int} NOT NULL, "offset" {int} NOT NULL, length {int} NOT NULL, hash {blob} NOT NULL,
        reason {text} NOT NULL, recovered {int} NOT NULL, seen_at {int} NOT NULL, PRIMARY KEY (file, "offset", hash)""",
    "fact": """
        id {pk},
        key {blob} NOT NULL,            -- blake2b-16 of source_key
        type {int} NOT NULL,            -- EventType
        native {text} NOT NULL,         -- source_key without its prefix
        context {int} NOT NULL,         -- the owner's
        owner_at {int},                 -- time of the owner's line, NULL = occurred_at
        turn {int},                     -- name of the prompt uuid, the owner's; a sub-agent's comes from `agent`
        name {int},                     -- model | tool | command | agent type | trigger | record type
        request {int},                  -- tool.call: fact id of the request that made it
        occurred_at {int}, ended_at {int},
        result_at {int},                -- tool.call: result; turn: last reply; api.error: last attempt; llm.request: what it answers
        error_at {int},                 -- turn: last final failure
        status {int} NOT NULL, flags {int} NOT NULL, quality {int},
        failure {int},                  -- name of the failure class
        stop {int},                     -- name of the stop reason (llm.request), prompt kind (prompt), change (file.update)
        exit_code {int}, attempts {int},
        reported_ms {int},              -- duration that the client itself wrote
        size {int},                     -- characters of a prompt, bytes of a result, visible bytes of a reply, tokens before a compaction
        added {int}, removed {int},     -- lines of a file.update
        token_input {int}, token_output {int}, token_cache_read {int}, token_cache_write {int},
        token_cache_write_1h {int}, token_thinking {int},
        cost {int}, cost_booked {int},  -- micro-dollars; cost_booked only where it differs from cost
        price {int},                    -- name of the price table's version
        extra {text},                   -- JSON: what has no column
        file {int}, "offset" {int}, length {int}, parser {int} NOT NULL,
        seq {int} NOT NULL, closed_seq {int},
        ended {int}                     -- 1: its own rule closed it, but its sub-agent is not linked yet""",
    # A sub-agent: which call launched it, and the turn that follows from it.
    "agent": "agent {int} PRIMARY KEY, tool {blob}, turn {int}, depth {int}, linked_at {int}",
    # Cumulative amounts, never falling; booked in the transaction that writes the facts.
    "total": """
        metric {text} NOT NULL, labels {text} NOT NULL, exportable {int} NOT NULL, value {int} NOT NULL,
        created_at {int} NOT NULL, PRIMARY KEY (metric, labels, exportable)""",
    "histogram": """
        metric {text} NOT NULL, labels {text} NOT NULL, exportable {int} NOT NULL, counts {text} NOT NULL,
        sum {real} NOT NULL, created_at {int} NOT NULL, PRIMARY KEY (metric, labels, exportable)""",
    # Label values that were admitted to a metric's budget.
    "label_value": "metric {text} NOT NULL, label {text} NOT NULL, value {text} NOT NULL, PRIMARY KEY (metric, label, value)",
    # Quarter hours (UTC, start in ms) in which a fact was or is: their rollups are stale. Below 0, sessions
    # (rollups/buckets.py, session_mark) that have lost a fact or have one without a time: their points are stale.
    "dirty": "quarter {int} PRIMARY KEY",
    # period: 1 hourly 2 daily 3 weekly 4 point. bucket: UTC ms of the start, or the session's name id for points.
    # family: EventType. session_type: 0 main, 1 sub-agent. name as in `fact`; family session has a row a session, with
    # its name id here and its active time in duration_ms. Dimensions that are not known are 0.
    "rollup": """
        period {int} NOT NULL, bucket {int} NOT NULL, family {int} NOT NULL, project {int} NOT NULL,
        branch {int} NOT NULL, session_type {int} NOT NULL, name {int} NOT NULL, agent {int} NOT NULL,
        skill {int} NOT NULL, count {int} NOT NULL, ok {int} NOT NULL, errors {int} NOT NULL, results {int} NOT NULL,
        relayed {int} NOT NULL, timed {int} NOT NULL, duration_ms {int} NOT NULL, token_input {int} NOT NULL,
        token_output {int} NOT NULL, token_cache_read {int} NOT NULL, token_cache_write_5m {int} NOT NULL,
        token_cache_write_1h {int} NOT NULL, cost {int} NOT NULL, unpriced {int} NOT NULL, nonfinal {int} NOT NULL,
        added {int} NOT NULL, removed {int} NOT NULL,
        PRIMARY KEY (period, bucket, family, project, branch, session_type, name, agent, skill)""",
    "export_cursor": """
        destination {text} NOT NULL, signal {text} NOT NULL, host {text} NOT NULL, named_at {int} NOT NULL,
        closed_seq {int} NOT NULL, updated_at {int} NOT NULL, sent {int} NOT NULL, rejected {int} NOT NULL,
        PRIMARY KEY (destination, signal, host)""",
    "export_dead": """
        destination {text} NOT NULL, signal {text} NOT NULL, fact {int} NOT NULL, reason {text} NOT NULL,
        dropped_at {int} NOT NULL, PRIMARY KEY (destination, signal, fact)""",
}

WITHOUT_ROWID: Final = ("quarantine", "total", "histogram", "label_value", "rollup")
"""SQLite: these are their own primary-key index."""

INDEXES: Final[dict[str, str]] = {
    # each index with the query that needs it
    "fact_key": "UNIQUE INDEX {name} ON fact(key)",  # upsert by content key
    "fact_time": "INDEX {name} ON fact(occurred_at)",  # rollups of a bucket, usage of a range
    "fact_context": "INDEX {name} ON fact(context)",  # facts of a session, a project, a sub-agent
    "fact_session_end": "INDEX {name} ON fact(ended_at) WHERE type = 1",  # sessions active since a moment
    "fact_closed": "INDEX {name} ON fact(closed_seq) WHERE closed_seq IS NOT NULL",  # the exporters' cursor
    "fact_open_turn": "INDEX {name} ON fact(turn, type) WHERE closed_seq IS NULL",  # closing a turn
    "fact_open_type": "INDEX {name} ON fact(type, ended_at) WHERE closed_seq IS NULL",  # timers
    "fact_open_context": "INDEX {name} ON fact(context) WHERE closed_seq IS NULL",  # closing a sub-agent's facts
    "agent_tool": "INDEX {name} ON agent(tool)",  # linking at the call
    "context_session": "INDEX {name} ON context(session)",  # facts of a session
    "context_agent": "INDEX {name} ON context(agent)",  # facts of a sub-agent
}


def statements(dialect: str) -> list[str]:
    """All statements that create the schema in `dialect` ("sqlite" or "postgres"), in order."""
    words = DIALECTS[dialect]
    rows = []
    for table, columns in TABLES.items():
        tail = " WITHOUT ROWID" if dialect == "sqlite" and table in WITHOUT_ROWID else ""
        rows.append(f"CREATE TABLE {table} ({columns.format(**words)}\n){tail}")
    rows += ["CREATE " + sql.format(name=name) for name, sql in INDEXES.items()]
    return rows
