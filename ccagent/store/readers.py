"""The readers of a daemon in a SQLite database: connections that stay open between two questions.

A new connection reads the whole schema before it answers anything, which costs twenty times what most questions of a
daemon do, and it compiles each question anew.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apsw

from ccagent.errors import StoreError
from ccagent.store.connection import AtWork, Connection, SqliteConnection, unwatched
from ccagent.store.location import Database
from ccagent.store.migrations import require_current
from ccagent.store.open import DAEMON_SECONDS, connect_reader, reading
from ccagent.store.patience import Patience

KEPT: Final = 2
"""Connections that stay open while nobody asks: questions are short, so more than two at once are rare. Each holds up to
2 MB of pages."""


class SqliteReaders:
    """Hands out one connection a question. Thread-safe; a connection is with one thread at a time.

    A connection that was given back holds no moment of the database, so the write-ahead log can be folded in behind it.
    One that met an error is not used again.
    """

    def __init__(self, database: Database, at_work: AtWork = unwatched, seconds: float = DAEMON_SECONDS) -> None:
        """`seconds`: how long a question, or a transaction, may take."""
        self._database = database
        self._at_work = at_work
        self.seconds = seconds
        self._idle: list[SqliteConnection] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """A connection for the length of a `with`; errors as those of `open_reader`."""
        conn = self._take()
        well = False
        try:
            with reading(self._database, self.seconds):
                yield conn
            well = True
        finally:
            self._give_back(conn, well=well)

    def close(self) -> None:
        """Close what is idle; what is in use now is closed when it is given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for conn in idle:
            conn.close()

    def _take(self) -> SqliteConnection:
        with self._lock:
            conn = self._idle.pop() if self._idle else None
        if conn is not None:
            try:
                require_current(conn, self._database.target)
            except (apsw.Error, StoreError):
                conn.close()  # a new one tells what is wrong
            else:
                return conn
        return self._connect()

    def _connect(self) -> SqliteConnection:
        conn = connect_reader(self._database)
        assert isinstance(conn, SqliteConnection)
        Patience(conn, self.seconds)
        conn.tell_work(self._at_work)
        return conn

    def _give_back(self, conn: SqliteConnection, *, well: bool) -> None:
        # An answer that was not read to its end still holds its moment, as does an open transaction.
        if well and conn.txn_state() == apsw.SQLITE_TXN_NONE:
            with self._lock:
                if not self._closed and len(self._idle) < KEPT:
                    self._idle.append(conn)
                    return
        conn.close()
