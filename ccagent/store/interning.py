"""Texts and contexts as numbers: looked up once, remembered for the life of the writer."""

from __future__ import annotations

from typing import Final

import apsw

from ccagent.facts.model import Context
from ccagent.store.scalar import scalar

REMEMBERED: Final = 100_000
"""Texts kept in memory. Most are turn ids, which are asked for while their session is read and then no more."""


class Names:
    """The table `name`, both ways. `forget` after a rollback: numbers given in it are void."""

    def __init__(self, conn: apsw.Connection) -> None:
        self._conn = conn
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._next = 0

    def forget(self) -> None:
        """Drop what is remembered."""
        self._ids.clear()
        self._texts.clear()
        self._next = 0

    def id(self, text: str) -> int:
        """The number of `text`, given now if it has none. Needs the write transaction."""
        known = self._ids.get(text)
        if known is not None:
            return known
        clean = text.encode("utf-8", "replace").decode()
        row = self._conn.execute("SELECT id FROM name WHERE value = ?", (clean,)).fetchone()
        if row is not None:
            number = int(row[0])
        else:
            if not self._next:
                self._next = int(scalar(self._conn, "SELECT COALESCE(MAX(id), 0) + 1 FROM name"))
            number = self._next
            self._next += 1
            self._conn.execute("INSERT INTO name (id, value) VALUES (?, ?)", (number, clean))
        self._remember(number, text)
        return number

    def optional(self, text: str | None) -> int | None:
        """As `id`, None for None."""
        return None if text is None else self.id(text)

    def text(self, number: int | None) -> str | None:
        """The text of a number. KeyError for a number that was never given: the database is damaged."""
        if number is None:
            return None
        known = self._texts.get(number)
        if known is not None:
            return known
        row = self._conn.execute("SELECT value FROM name WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise KeyError(f"name {number} is not in the database; run `ccagent verify`")
        self._remember(number, str(row[0]))
        return str(row[0])

    def _remember(self, number: int, text: str) -> None:
        if len(self._ids) >= REMEMBERED:
            self._ids.clear()
            self._texts.clear()
        self._ids[text] = number
        self._texts[number] = text


class Contexts:
    """The table `context`, both ways; one row for each combination of a line's attributes that was seen."""

    def __init__(self, conn: apsw.Connection, names: Names) -> None:
        self._conn = conn
        self._names = names
        self._ids: dict[Context, int] = {}
        self._values: dict[int, Context] = {}
        self._next = 0

    def forget(self) -> None:
        """Drop what is remembered."""
        self._ids.clear()
        self._values.clear()
        self._next = 0

    def id(self, context: Context) -> int:
        """The number of `context`, given now if it has none. Needs the write transaction."""
        known = self._ids.get(context)
        if known is not None:
            return known
        numbers = [self._names.optional(text) for text in context[:9]]
        # `+agent` keeps the planner off the index of agents, where most contexts share one entry.
        row = self._conn.execute(
            "SELECT id FROM context WHERE session IS ? AND project IS ? AND cwd IS ? AND branch IS ? AND version IS ?"
            " AND entrypoint IS ? AND permission_mode IS ? AND +agent IS ? AND skill IS ? AND rank = ?",
            (*numbers, int(context.rank)),
        ).fetchone()
        if row is not None:
            number = int(row[0])
        else:
            if not self._next:
                self._next = int(scalar(self._conn, "SELECT COALESCE(MAX(id), 0) + 1 FROM context"))
            number = self._next
            self._next += 1
            self._conn.execute(
                "INSERT INTO context (id, session, project, cwd, branch, version, entrypoint, permission_mode, agent,"
                " skill, rank) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (number, *numbers, int(context.rank)),
            )
        self._remember(number, context)
        return number

    def value(self, number: int) -> Context:
        """The context of a number. KeyError for one that was never given."""
        known = self._values.get(number)
        if known is not None:
            return known
        row = self._conn.execute(
            "SELECT session, project, cwd, branch, version, entrypoint, permission_mode, agent, skill, rank"
            " FROM context WHERE id = ?",
            (number,),
        ).fetchone()
        if row is None:
            raise KeyError(f"context {number} is not in the database; run `ccagent verify`")
        context = Context._make([*(self._names.text(item) for item in row[:9]), int(row[9])])
        self._remember(number, context)
        return context

    def _remember(self, number: int, context: Context) -> None:
        if len(self._ids) >= REMEMBERED:
            self._ids.clear()
            self._values.clear()
        self._ids[context] = number
        self._values[number] = context
