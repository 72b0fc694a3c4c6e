"""A real database with the project's schema and a handful of closed facts, for the tests of what leaves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from ccagent.export.otlp.circuit import State
from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType, Flag, Status
from ccagent.store.connection import SqliteConnection
from ccagent.store.schema import statements

NOW = 1_790_000_000_000
"""The tests' present, ms UTC."""

HOST = 1
NAMES = ("turn", "name", "stop", "failure", "price")
CONTEXT = ("session", "project", "cwd", "branch", "version", "entrypoint", "permission_mode", "agent", "skill")


class Ledger:
    """Inserts facts; hands out readers and one writer, as the store does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.conn = SqliteConnection(str(path))
        self.conn.pragma("journal_mode", "wal")
        with self.conn:
            for sql in statements("sqlite"):
                self.conn.execute(sql)
        self._seq = 0
        self.writes = 0

    def name(self, value: str | None) -> int | None:
        """The number of an interned text."""
        if value is None:
            return None
        self.conn.execute("INSERT INTO name (value) VALUES (?) ON CONFLICT DO NOTHING", (value,))
        return int(self.conn.execute("SELECT id FROM name WHERE value = ?", (value,)).get)

    def fact(self, kind: EventType, native: str, *, closed: bool = True, **values: Any) -> bytes:
        """One fact with sensible defaults; texts may be given for interned columns and for the context. Its key."""
        context = {key: values.pop(key, None) for key in CONTEXT} | {"rank": 0}
        context["session"] = context["session"] or "session-1"
        marks = ", ".join("?" for _ in context)
        self.conn.execute(
            f"INSERT INTO context ({', '.join(context)}) VALUES ({marks})",
            [self.name(value) if key != "rank" else value for key, value in context.items()],
        )
        self._seq += 1
        row: dict[str, Any] = {
            "key": fact_key(kind, native), "type": int(kind), "native": native,
            "context": self.conn.last_insert_rowid(), "occurred_at": NOW - 5_000 + self._seq, "ended_at": NOW,
            "status": int(Status.OK), "flags": int(Flag.DIRECT), "parser": 1, "host": HOST, "seq": self._seq,
            "closed_host": HOST if closed else None, "closed_seq": self._seq if closed else None,
        }  # fmt: skip
        row |= {key: self.name(value) if key in NAMES else value for key, value in values.items()}
        marks = ", ".join("?" for _ in row)
        self.conn.execute(f"INSERT INTO fact ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        return fact_key(kind, native)

    def go_back_to(self, seq: int) -> None:
        """Give the numbers after this one again."""
        self._seq = seq

    def tools(self, count: int, **values: Any) -> list[str]:
        """`count` closed tool calls of one turn; their ids."""
        ids = [f"toolu_{self._seq + number:04d}" for number in range(count)]
        with self.conn:
            for native in ids:
                self.fact(EventType.TOOL_CALL, native, **{"turn": "turn-1", "name": "Bash", "result_at": NOW} | values)
        return ids

    def link(self, agent: str, *, tool: str | None, turn: str | None, depth: int = 1) -> None:
        """Say which call launched a sub-agent and which turn follows from it."""
        key = None if tool is None else fact_key(EventType.TOOL_CALL, tool)
        self.conn.execute(
            "INSERT INTO agent (agent, tool, turn, depth) VALUES (?, ?, ?, ?)",
            (self.name(agent), key, self.name(turn), depth),
        )

    @contextmanager
    def reader(self) -> Iterator[SqliteConnection]:
        """A read connection for the length of a `with`."""
        conn = SqliteConnection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            yield conn
        finally:
            conn.close()

    def write(self, job: Callable[[SqliteConnection], None]) -> None:
        """Run a job inside one write transaction."""
        self.writes += 1
        self.conn.execute("BEGIN IMMEDIATE")
        try:
            job(self.conn)
        except BaseException:
            self.conn.execute("ROLLBACK")
            raise
        self.conn.execute("COMMIT")

    def cursor(self, destination: str = "test") -> tuple[int, int, int]:
        """closed_seq, sent and rejected of the destination's cursor, from the database."""
        sql = "SELECT closed_seq, sent, rejected FROM export_cursor WHERE destination = ?"
        row: Any = self.conn.execute(sql, (destination,)).fetchone()
        return row

    def dead(self) -> list[tuple[str, str]]:
        """Ids of the facts that were set aside, with the reason."""
        rows: Any = self.conn.execute(
            "SELECT f.native, d.reason FROM export_dead d JOIN fact f ON f.key = d.key ORDER BY f.closed_seq"
        ).fetchall()
        return rows


class Events:
    """Keeps what an export told of itself."""

    def __init__(self) -> None:
        self.statuses: list[str] = []
        self.drops: dict[str, int] = {}
        self.states: list[State] = []
        self.durations: list[float] = []

    def exported(self, destination: str, signal: str, status: str) -> None:
        """One request."""
        self.statuses.append(status)

    def dropped(self, destination: str, signal: str, reason: str, items: int) -> None:
        """Items that will never arrive."""
        self.drops[reason] = self.drops.get(reason, 0) + items

    def duration(self, destination: str, signal: str, seconds: float) -> None:
        """How long a request took."""
        self.durations.append(seconds)

    def state(self, destination: str, signal: str, state: State) -> None:
        """The state after a step."""
        self.states.append(state)
