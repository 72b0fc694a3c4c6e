"""The sessions of a daemon that only read: a few, made at need, checked before each use."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from ccagent.errors import StoreError
from ccagent.store.pgconnection import SCHEMA, PgConnection, Session, parameters_of, place_of, settle
from ccagent.store.pgerrors import explained, store_error
from ccagent.store.pgtypes import ADAPTERS

CHECK_SECONDS: Final = 3.0
"""A pooled session that says nothing for so long when it is asked nothing is dead."""

POOL_SECONDS: Final = 5.0
"""How long a reader waits for a connection."""

CLOSE_SECONDS: Final = 0.5
"""How long the end waits for a connection that is just being made."""

RECONNECT_SECONDS: Final = 5.0
"""How long the pool goes on by itself to try for a connection, in ever longer steps. A laptop is without network for
hours: nobody may wait for the pool's next step when it is back, so a new question begins anew."""

# The pool logs every failed attempt; whoever asks for a session is told, and nobody else reads that.
logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())


class ReaderPool:
    """A few read-only sessions for the threads of one process, made at need and checked before each use."""

    def __init__(self, url: str, *, application_name: str, max_size: int = 4, schema: str = SCHEMA) -> None:
        """Nothing is connected yet. StoreError for a URL that cannot be read."""
        parameters = parameters_of(url, application_name)
        self.display = place_of(parameters)
        self._schema = schema
        self._failure: BaseException | None = None
        pool = self

        class Remembering(Session):
            """Keeps for the reader why no connection came about; psycopg's pool only logs it."""

            @classmethod
            def connect(cls, *args: Any, **options: Any) -> Any:
                try:
                    session = super().connect(*args, **options)
                    settle(session, pool.display, schema, read_only=True)
                except (psycopg.Error, StoreError) as error:
                    pool._failure = error
                    raise
                pool._failure = None
                return session

        self._pool: ConnectionPool[Remembering] = ConnectionPool(
            make_conninfo(**parameters),
            connection_class=Remembering,
            kwargs={"autocommit": True, "context": ADAPTERS},
            min_size=0,
            max_size=max_size,
            open=True,
            check=self._check,
            timeout=POOL_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            num_workers=2,
            name="ccagent-readers",
        )

    @contextmanager
    def reader(self) -> Iterator[PgConnection]:
        """A session that cannot write, for the length of the `with`. StoreError for whatever the server refuses."""
        try:
            session = self._pool.getconn()
        except PoolTimeout as error:
            if isinstance(self._failure, psycopg.Error):
                raise store_error(self._failure, self.display) from self._failure
            if self._failure is not None:
                raise StoreError(str(self._failure)) from self._failure
            raise StoreError(
                f"{self.display}: all reading sessions have been busy for {POOL_SECONDS:g} s; ask again in a moment"
            ) from error
        except PoolClosed as error:
            raise StoreError(f"{self.display} is being closed; ask again when ccagent runs") from error
        try:
            with explained(self.display):
                conn = PgConnection(session, display=self.display, schema=self._schema)
                try:
                    yield conn
                finally:
                    if conn.in_transaction:
                        _roll_back(conn)
        finally:
            self._pool.putconn(session)

    def close(self) -> None:
        """End all sessions; those in use when they come back."""
        self._pool.close(timeout=CLOSE_SECONDS)

    def _check(self, session: Session) -> None:
        """Raise for a dead session. The others in the pool have most likely died with it, so they go too."""
        patience, session.patience_seconds = session.patience_seconds, CHECK_SECONDS
        try:
            session.execute(b"")
        except psycopg.Error:
            session.close()
            self._pool.drain()
            raise
        session.patience_seconds = patience


def open_pool(url: str, *, application_name: str, max_size: int = 4, schema: str = SCHEMA) -> ReaderPool:
    """The pool of a daemon's readers; `max_size` is the largest number of sessions. StoreError for an unreadable URL."""
    return ReaderPool(url, application_name=application_name, max_size=max_size, schema=schema)


def _roll_back(conn: PgConnection) -> None:
    """End a reader's transaction; a session that cannot is replaced by the pool."""
    try:
        conn.execute("ROLLBACK")
    except psycopg.Error:
        conn.close()
