"""A store filled by hand: facts written straight into the tables, for tests of what reads them."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any

import apsw

from ccagent.facts.model import KEY_PREFIXES, EventType, Flag, Quality, Status
from ccagent.rollups.buckets import quarters_around, session_mark
from ccagent.store import schema, view

INTERNED = ("name", "turn", "failure", "stop", "price")
TIMES = ("occurred_at", "ended_at", "result_at")


class Builder:
    """A new SQLite store at `path` with the schema and the views."""

    def __init__(self, path: Path) -> None:
        self.conn = apsw.Connection(str(path))
        self.conn.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")
        for statement in [*schema.statements("sqlite"), *view.statements("sqlite")]:
            self.conn.execute(statement)

    def close(self) -> None:
        self.conn.close()

    def name(self, text: str | None) -> int | None:
        """The number of an interned text."""
        if text is None:
            return None
        self.conn.execute("INSERT OR IGNORE INTO name(value) VALUES (?)", (text,))
        return self.conn.execute("SELECT id FROM name WHERE value = ?", (text,)).fetchone()[0]

    def context(self, *, rank: int = 0, **texts: str | None) -> int:
        """The number of a context with these texts (session, project, cwd, branch, agent, skill …)."""
        columns = ("session", "project", "cwd", "branch", "version", "entrypoint", "permission_mode", "agent", "skill")
        values = [self.name(texts.get(column)) for column in columns]
        same = " AND ".join(f"{column} IS ?" for column in columns)
        row = self.conn.execute(f"SELECT id FROM context WHERE {same} AND rank = ?", (*values, rank)).fetchone()
        if row is not None:
            return row[0]
        marks = ", ".join("?" * (len(columns) + 1))
        self.conn.execute(f"INSERT INTO context({', '.join(columns)}, rank) VALUES ({marks})", (*values, rank))
        return self.conn.last_insert_rowid()

    def fact(self, kind: EventType, native: str, *, context: int | None = None, **columns: Any) -> int:
        """Write a fact, or write it anew under its number; marks what becomes stale. Returns the number."""
        key = blake2b((KEY_PREFIXES[kind] + native).encode(), digest_size=16).digest()
        row: dict[str, Any] = {
            "key": key, "type": int(kind), "native": native, "status": int(Status.OK), "flags": 0,
            "parser": 1, "seq": 1, "context": self.context(session="s1") if context is None else context,
            **columns,
        }  # fmt: skip
        for column in INTERNED:
            row[column] = self.name(row.get(column))
        old = self.conn.execute("SELECT id, context, occurred_at, ended_at, result_at FROM fact WHERE key = ?", (key,))
        before = old.fetchone()
        if before is not None:
            row["id"] = before[0]
            self._mark(before[2:], before[1], moved=self._session(before[1]) != self._session(row["context"]))
        marks = ", ".join(f":{column}" for column in row)
        self.conn.execute(f"INSERT OR REPLACE INTO fact({', '.join(row)}) VALUES ({marks})", row)
        number = self.conn.last_insert_rowid()
        self._mark([row.get(time) for time in TIMES], row["context"])
        return number

    def _session(self, context: int) -> int | None:
        return self.conn.execute("SELECT session FROM context WHERE id = ?", (context,)).fetchone()[0]

    def _mark(self, times: Any, context: int, *, moved: bool = False) -> None:
        quarters = quarters_around(*times)
        session = self._session(context)
        if session is not None and (moved or times[0] is None):
            quarters.add(session_mark(session))
        self.conn.executemany("INSERT OR IGNORE INTO dirty VALUES (?)", [(quarter,) for quarter in quarters])

    def request(self, native: str, **columns: Any) -> int:
        """A request with final usage."""
        return self.fact(EventType.LLM_REQUEST, native, **{"quality": int(Quality.FINAL), **columns})

    def call(self, native: str, **columns: Any) -> int:
        """A tool call seen in an assistant record, with a result."""
        return self.fact(EventType.TOOL_CALL, native, **{"flags": int(Flag.DIRECT | Flag.RESULT), **columns})
