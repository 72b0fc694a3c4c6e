"""Readers of a Postgres database: connections that cannot write."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ccagent.errors import NoDataError
from ccagent.store.connection import Connection
from ccagent.store.location import Database
from ccagent.store.migrations import read_version, require_current
from ccagent.store.pgconnection import SCHEMA, PgConnection, connect
from ccagent.store.pgpool import ReaderPool, open_pool


class PostgresReaders:
    """The readers of a daemon: a few connections, checked before each use."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._pool: ReaderPool | None = None

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """One of them."""
        with self._guard:
            if self._pool is None:
                self._pool = open_pool(
                    self._database.target, application_name=f"ccagent reader {os.getpid()}", schema=SCHEMA
                )
        with self._pool.reader() as conn:
            yield conn

    def close(self) -> None:
        """Give all of them up."""
        if self._pool is not None:
            self._pool.close()


def connect_postgres_reader(database: Database) -> PgConnection:
    """A connection that cannot write. NoDataError where ccagent has written nothing yet."""
    conn = connect(database.target, application_name=f"ccagent reader {os.getpid()}", schema=SCHEMA, read_only=True)
    try:
        if read_version(conn) == 0:
            raise NoDataError(f"{database.display} holds no facts yet; start `ccagent run`")
        require_current(conn, database.display)
    except BaseException:
        conn.close()
        raise
    return conn
