"""A connection as the store uses it: apsw's own for SQLite, a thin cloak over psycopg's for Postgres."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import apsw

from ccagent.store.dialect import SQLITE, Dialect

Values = Sequence[Any]

AT_WORK_STEPS: Final = 1_000_000
"""Instructions of SQLite's machine between two calls: some ten milliseconds."""


class AtWork(Protocol):
    """Called again and again while something takes its time, so that whoever watches knows that it goes on."""

    def __call__(self, waiting: Collection[str] = ()) -> None:
        """Work goes on in this thread; those of these names wait for its end."""


def unwatched(waiting: Collection[str] = ()) -> None:
    """Nobody is to be told."""
    del waiting


class Cursor(Protocol):
    """The rows of one statement, as tuples: bytes, str, int, float or None."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]: ...

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, None at the end."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""


class Connection(Protocol):
    """What the functions of the store take. Without an open transaction every statement commits by itself."""

    @property
    def dialect(self) -> Dialect:
        """The words of this database."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def execute(self, statements: str, bindings: Values = (), /) -> Cursor:
        """Run one statement."""

    def executemany(self, statements: str, sequenceofbindings: Iterable[Values], /) -> Any:
        """Run one statement for each of the rows."""

    def stream(self, sql: str, values: Values = (), /) -> Iterable[tuple[Any, ...]]:
        """The rows of one question, few in memory at a time."""

    def close(self) -> None:
        """Give the connection up."""


class SqliteConnection(apsw.Connection):
    """apsw's connection with its dialect."""

    dialect: Final = SQLITE
    at_work: Callable[[], None] = staticmethod(unwatched)

    def tell_work(self, at_work: Callable[[], None]) -> None:
        """Have `at_work` called, by the thread whose statement runs, while statements take long."""

        def going_on() -> bool:
            at_work()
            return False  # not to be interrupted

        self.at_work = at_work  # for what takes long outside of statements
        self.set_progress_handler(going_on, AT_WORK_STEPS, id=AT_WORK_STEPS)

    def stream(self, sql: str, values: Values = (), /) -> Iterable[tuple[Any, ...]]:
        """SQLite makes rows as they are asked for."""
        return self.execute(sql, tuple(values))


@contextmanager
def snapshot(conn: Connection) -> Iterator[None]:
    """Everything read within sees the store at one moment; a transaction that is open already is used."""
    if conn.in_transaction:
        yield
        return
    conn.execute("BEGIN" if conn.dialect is SQLITE else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        if _open(conn):
            conn.execute("COMMIT")  # nothing to write; after a ROLLBACK psycopg forgets its prepared statements


def _open(conn: Connection) -> bool:
    return conn.in_transaction  # asked anew: an error may have ended the transaction


def scalar(conn: Connection, sql: str, values: Values = ()) -> Any:
    """The first column of the first row; None where there is no row."""
    row = conn.execute(sql, values).fetchone()
    return None if row is None else row[0]
