"""A store filled by hand: facts written straight into the tables, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType, Flag, Quality, Status
from ccagent.rollups.buckets import quarter_of, quarters_around, session_mark
from ccagent.store import schema, view
from ccagent.store.connection import Connection, SqliteConnection, scalar
from ccagent.store.pgconnection import connect
from tests.pg import Server

INTERNED = ("name", "turn", "failure", "stop", "price")
TIMES = ("occurred_at", "ended_at", "result_at")
CONTEXT = ("session", "project", "cwd", "branch", "version", "entrypoint", "permission_mode", "agent", "skill")
HOST = 1


class Builder:
    """An empty store with the schema and the views: a SQLite file, or whatever a connection leads to.

    Marks what becomes stale as the ingest does. `seq` is the number that marks carry.
    """

    def __init__(self, place: Path | Connection) -> None:
        self.conn: Connection
        if isinstance(place, Path):
            self.conn = SqliteConnection(str(place))
            self.conn.execute("PRAGMA journal_mode = WAL")
            self.conn.execute("PRAGMA synchronous = OFF")
        else:
            self.conn = place
        self.seq = 0
        dialect = self.conn.dialect.name
        if self.conn.dialect.shared and scalar(self.conn, "SELECT to_regclass('fact') IS NOT NULL"):
            for table in schema.TABLES:
                self.conn.execute(f"DELETE FROM {table}")
        else:
            for statement in [*schema.statements(dialect), *view.statements(dialect)]:
                self.conn.execute(statement)
        self.conn.execute(
            "INSERT INTO host (id, host_id, instance_id, seq, commits, created_at) VALUES (?, 'h', 'i', 0, 0, 0)",
            (HOST,),
        )

    def close(self) -> None:
        self.conn.close()

    def name(self, text: str | None) -> int | None:
        """The number of an interned text."""
        if text is None:
            return None
        self.conn.execute("INSERT INTO name (value) VALUES (?) ON CONFLICT (value) DO NOTHING", (text,))
        return int(scalar(self.conn, "SELECT id FROM name WHERE value = ?", (text,)))

    def context(self, *, rank: int = 0, **texts: str | None) -> int:
        """The number of a context with these texts (session, project, cwd, branch, agent, skill …)."""
        values = [self.name(texts.get(column)) for column in CONTEXT]
        same = " AND ".join(f"{column} IS NOT DISTINCT FROM ?" for column in CONTEXT)
        known = scalar(self.conn, f"SELECT id FROM context WHERE {same} AND rank = ?", (*values, rank))
        if known is not None:
            return int(known)
        marks = ", ".join("?" * (len(CONTEXT) + 1))
        insert = f"INSERT INTO context ({', '.join(CONTEXT)}, rank) VALUES ({marks}) RETURNING id"
        return int(scalar(self.conn, insert, (*values, rank)))

    def fact(self, kind: EventType, native: str, *, context: int | None = None, **columns: Any) -> bytes:
        """Write a fact, or write it anew under its key; marks what becomes stale. Returns the key."""
        key = fact_key(kind, native)
        row: dict[str, Any] = {
            "key": key, "type": int(kind), "native": native, "status": int(Status.OK), "flags": 0, "parser": 1,
            "host": HOST, "seq": 1, "context": self.context(session="s1") if context is None else context, **columns,
        }  # fmt: skip
        for column in INTERNED:
            row[column] = self.name(row.get(column))
        self.remove(key, instead=row)
        marks = ", ".join("?" * len(row))
        self.conn.execute(f"INSERT INTO fact ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
        self._mark_fact(key)
        return key

    def remove(self, key: bytes, *, instead: dict[str, Any] | None = None) -> None:
        """Take a fact out, if it is there; `instead` is what it is written anew with."""
        old = self.conn.execute("SELECT context, request FROM fact WHERE key = ?", (key,)).fetchone()
        if old is None:
            return
        after = instead or {}
        self._mark_fact(key)
        session = self._session(int(old[0]))
        if session is not None and (not after or session != self._session(after["context"])):
            self.mark({session_mark(session)})
        if old[1] is not None and old[1] != after.get("request"):
            self.mark(self._quarters("key = ?", old[1]))
        self.conn.execute("DELETE FROM fact WHERE key = ?", (key,))

    def mark(self, marks: set[int]) -> None:
        """Leave marks of what is stale."""
        self.conn.executemany(
            "INSERT INTO dirty (quarter, host, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(mark, HOST, self.seq) for mark in sorted(marks)],
        )

    def _session(self, context: int) -> int | None:
        found = scalar(self.conn, "SELECT session FROM context WHERE id = ?", (context,))
        return None if found is None else int(found)

    def _mark_fact(self, key: bytes) -> None:
        """Mark what holds the fact as it stands: its quarters; without a time its points, and what it is tied to."""
        sql = f"SELECT context, type, request, {', '.join(TIMES)} FROM fact WHERE key = ?"
        row = self.conn.execute(sql, (key,)).fetchone()
        assert row is not None
        context, kind, request, *times = row
        marks = quarters_around(*times)
        session = self._session(int(context))
        if session is not None and times[0] is None:
            marks.add(session_mark(session))
        if kind == EventType.TOOL_CALL and times[0] is None and request is not None:
            marks |= self._quarters("key = ?", request)
        if kind == EventType.LLM_REQUEST and times[0] is None:
            marks |= self._quarters("request = ?", key)
        self.mark(marks)

    def _quarters(self, condition: str, key: bytes) -> set[int]:
        rows = self.conn.execute(f"SELECT occurred_at FROM fact WHERE {condition} AND occurred_at IS NOT NULL", (key,))
        return {quarter_of(int(row[0])) for row in rows}

    def request(self, native: str, **columns: Any) -> bytes:
        """A request with final usage."""
        return self.fact(EventType.LLM_REQUEST, native, **{"quality": int(Quality.FINAL), **columns})

    def call(self, native: str, **columns: Any) -> bytes:
        """A tool call seen in an assistant record, with a result."""
        return self.fact(EventType.TOOL_CALL, native, **{"flags": int(Flag.DIRECT | Flag.RESULT), **columns})


@contextmanager
def builders(kind: str, request: pytest.FixtureRequest) -> Iterator[Callable[[], Builder]]:
    """Gives empty stores of a kind ("sqlite", in memory, or "postgres"), one after the other."""
    if kind == "sqlite":
        yield lambda: Builder(SqliteConnection(":memory:"))
        return
    server: Server = request.getfixturevalue("pg_server")
    with server.database() as url:
        conn = connect(url, application_name="tests", create=True)
        yield lambda: Builder(conn)
        conn.close()
