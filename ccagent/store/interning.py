"""Texts and contexts as numbers: looked up once, remembered for the life of the writer."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import Final

from ccagent.errors import DamagedError
from ccagent.facts.model import Context
from ccagent.store.connection import Connection, scalar

REMEMBERED: Final = 100_000
"""Texts kept in memory. Most are turn ids, which are asked for while their session is read and then no more."""

REMEMBERED_LIVE: Final = 5_000
"""The same once the history has been read: a few sessions are at work then, and a service runs for months."""


LONGEST: Final = 2_000
"""Bytes of a text. Real ones are far shorter; Postgres' index takes no longer ones than 2,700."""


def _clean(text: str) -> str:
    """What every database can hold and index of a text. Of a longer one the beginning and a hash: still one of a kind."""
    data = text.encode("utf-8", "replace")
    if len(data) > LONGEST:
        digest = blake2b(data, digest_size=16).hexdigest()
        return f"{data[: LONGEST - 40].decode('utf-8', 'ignore')}…{digest}".replace("\0", "\ufffd")
    return data.decode().replace("\0", "\ufffd")


_PARTS: Final = (
    "session", "project", "cwd", "branch", "version", "entrypoint", "permission_mode", "agent", "skill", "provider", "rank",
)  # fmt: skip
_COLUMNS: Final = ", ".join(_PARTS)
_OF_C: Final = ", ".join(f"c.{part}" for part in _PARTS)

_FIND: Final = {
    # `+agent` keeps SQLite's planner off the index of agents, where most contexts share one entry.
    "sqlite": "SELECT id FROM context WHERE "
    + " AND ".join(f"{'+' if part == 'agent' else ''}{part} IS ?" for part in _PARTS),
    "postgres": "SELECT id FROM context WHERE "
    + " AND ".join(f"COALESCE({part}, 0) = COALESCE(?, 0)" for part in _PARTS[:-1])
    + " AND rank = ?",
}

# Postgres only: all contexts of a batch in two questions, absent parts as 0. The index `context_whole` serves both.
_TABLE: Final = f"unnest({', '.join(['?::bigint[]'] * len(_PARTS))}) k({_COLUMNS})"
_AMONG: Final = (
    f"SELECT c.id, {', '.join(f'k.{part}' for part in _PARTS)} FROM {_TABLE} JOIN context c ON "
    + " AND ".join(f"COALESCE(c.{part}, 0) = k.{part}" for part in _PARTS[:-1])
    + " AND c.rank = k.rank"
)
_ADD_ALL: Final = (
    f"INSERT INTO context ({_COLUMNS}) SELECT {', '.join(f'NULLIF(k.{part}, 0)' for part in _PARTS[:-1])}, k.rank"
    f" FROM {_TABLE} ON CONFLICT DO NOTHING"
)


class Names:
    """The table `name`, both ways. `forget` after a rollback: numbers given in it are void."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._next = 0
        self.watched: set[int] | None = None
        """While somebody looks for texts that nobody uses: the numbers asked for since they were forgotten last."""
        self.limit = REMEMBERED

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
        clean = _clean(text)
        row = self.conn.execute("SELECT id FROM name WHERE value = ?", (clean,)).fetchone()
        number = int(row[0]) if row is not None else self._give(clean)
        self._remember(number, text)
        return number

    def _give(self, text: str) -> int:
        if not self.conn.dialect.shared:
            if not self._next:
                self._next = int(scalar(self.conn, "SELECT COALESCE(MAX(id), 0) + 1 FROM name"))
            number = self._next
            self._next += 1
            self.conn.execute("INSERT INTO name (id, value) VALUES (?, ?)", (number, text))
            return number
        self.conn.execute("INSERT INTO name (value) VALUES (?) ON CONFLICT DO NOTHING", (text,))
        return int(scalar(self.conn, "SELECT id FROM name WHERE value = ?", (text,)))

    def prepare(self, texts: Iterable[str]) -> None:
        """Give all these texts numbers at once, outside of a transaction: hosts then never wait for each other's."""
        missing = sorted({text for text in texts if text not in self._ids})
        if not missing:
            return
        if len(self._ids) + len(missing) > self.limit:
            self.forget()
        clean = {text: _clean(text) for text in missing}
        found = self._among(clean.values())
        absent = sorted(set(clean.values()) - found.keys())
        if absent:
            self.conn.execute(
                f"INSERT INTO name (value) SELECT value FROM {self.conn.dialect.texts} ORDER BY value"
                " ON CONFLICT DO NOTHING",
                (self.conn.dialect.listed(absent),),
            )
            found |= self._among(absent)
        for text, value in clean.items():
            self._ids[text] = found[value]
            self._texts[found[value]] = text

    def _among(self, values: Collection[str]) -> dict[str, int]:
        listed = self.conn.dialect.listed(values)
        rows = self.conn.execute(
            f"SELECT n.value, n.id FROM {self.conn.dialect.texts} JOIN name n ON n.value = k.value", (listed,)
        )
        return {str(value): int(number) for value, number in rows}

    def learn(self, numbers: Iterable[int | None]) -> None:
        """Read the texts of these numbers with one question."""
        missing = {number for number in numbers if number is not None and number not in self._texts}
        if missing:
            dialect = self.conn.dialect
            sql = f"SELECT n.id, n.value FROM {dialect.numbers} JOIN name n ON n.id = k.value"
            for number, text in self.conn.execute(sql, (dialect.listed(missing),)).fetchall():
                self._remember(int(number), str(text))

    def optional(self, text: str | None) -> int | None:
        """As `id`, None for None."""
        return None if text is None else self.id(text)

    def text(self, number: int | None) -> str | None:
        """The text of a number. DamagedError for a number that was never given."""
        if number is None:
            return None
        known = self._texts.get(number)
        if known is not None:
            return known
        row = self.conn.execute("SELECT value FROM name WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise DamagedError(f"name {number} is not in the database; run `ccagent db check --full`")
        self._remember(number, str(row[0]))
        return str(row[0])

    def _remember(self, number: int, text: str) -> None:
        if len(self._ids) >= self.limit:
            self._ids.clear()
            self._texts.clear()
        if self.watched is not None:
            self.watched.add(number)
        self._ids[text] = number
        self._texts[number] = text


class Contexts:
    """The table `context`, both ways; one row for each combination of a line's attributes that was seen."""

    def __init__(self, conn: Connection, names: Names) -> None:
        self.conn = conn
        self._names = names
        self._ids: dict[Context, int] = {}
        self._values: dict[int, Context] = {}
        self._next = 0
        self.watched: set[int] | None = None
        """As in `Names`."""
        self.limit = REMEMBERED

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
        numbers = [self._names.optional(text) for text in context[:-1]]
        row = self.conn.execute(_FIND[self.conn.dialect.name], (*numbers, int(context.rank))).fetchone()
        number = int(row[0]) if row is not None else self._give((*numbers, int(context.rank)))
        self._remember(number, context)
        return number

    def _give(self, values: tuple[int | None, ...]) -> int:
        if not self.conn.dialect.shared:
            if not self._next:
                self._next = int(scalar(self.conn, "SELECT COALESCE(MAX(id), 0) + 1 FROM context"))
            number = self._next
            self._next += 1
            self.conn.execute(
                f"INSERT INTO context (id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (number, *values)
            )
            return number
        marks = ", ".join("?" * len(values))
        self.conn.execute(f"INSERT INTO context ({_COLUMNS}) VALUES ({marks}) ON CONFLICT DO NOTHING", values)
        return int(scalar(self.conn, _FIND["postgres"], values))

    def prepare(self, contexts: Iterable[Context]) -> None:
        """Give all these contexts numbers at once, outside of a transaction. Their texts have numbers already."""
        missing = [context for context in contexts if context not in self._ids]
        if not missing:
            return
        if len(self._ids) + len(missing) > self.limit:
            self.forget()
        names = self._names
        wanted = {
            (*(0 if text is None else names.id(text) for text in each[:-1]), int(each.rank)): each for each in missing
        }
        for _ in range(2):
            columns = [list(column) for column in zip(*sorted(wanted), strict=True)]
            for row in self.conn.execute(_AMONG, columns).fetchall():
                self._remember(int(row[0]), wanted.pop(tuple(row[1:])))
            if not wanted:
                return
            columns = [list(column) for column in zip(*sorted(wanted), strict=True)]
            self.conn.execute(_ADD_ALL, columns)
        raise DamagedError("contexts that were just written are not in the database; run `ccagent db check`")

    def learn(self, numbers: Iterable[int]) -> None:
        """Read the contexts of these numbers with one question."""
        missing = {number for number in numbers if number not in self._values}
        if not missing:
            return
        dialect = self.conn.dialect
        sql = f"SELECT c.id, {_OF_C} FROM {dialect.numbers} JOIN context c ON c.id = k.value"
        rows = self.conn.execute(sql, (dialect.listed(missing),)).fetchall()
        self._names.learn(number for row in rows for number in row[1:11])
        for row in rows:
            texts = [self._names.text(number) for number in row[1:11]]
            self._remember(int(row[0]), Context._make([*texts, int(row[11])]))

    def value(self, number: int) -> Context:
        """The context of a number. DamagedError for one that was never given."""
        known = self._values.get(number)
        if known is not None:
            return known
        row = self.conn.execute(f"SELECT {_COLUMNS} FROM context WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise DamagedError(f"context {number} is not in the database; run `ccagent db check --full`")
        context = Context._make([*(self._names.text(item) for item in row[:10]), int(row[10])])
        self._remember(number, context)
        return context

    def _remember(self, number: int, context: Context) -> None:
        if len(self._ids) >= self.limit:
            self._ids.clear()
            self._values.clear()
        if self.watched is not None:
            self.watched.add(number)
        self._ids[context] = number
        self._values[number] = context


def names_of(conn: Connection, wanted: Iterable[int | None]) -> dict[int, str]:
    """The texts behind numbers."""
    numbers = sorted({number for number in wanted if number is not None})
    if not numbers:
        return {}
    dialect = conn.dialect
    sql = f"SELECT n.id, n.value FROM {dialect.numbers} JOIN name n ON n.id = k.value"
    return dict(conn.execute(sql, (dialect.listed(numbers),)).fetchall())
