"""A Postgres connection as the store uses it.

Imported where a Postgres database is named, and only there: the driver takes its time to load.
"""

from __future__ import annotations

import itertools
import struct
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from ccagent.errors import StoreError
from ccagent.store.connection import Values
from ccagent.store.dialect import POSTGRES, Dialect
from ccagent.store.pgerrors import explained, lost
from ccagent.store.pgtypes import ADAPTERS
from ccagent.store.placeholders import translate

SCHEMA: Final = "ccagent"
"""Where the tables lie, so that a database may hold others' too."""

OLDEST_SERVER: Final = 14
"""Major version: older ones do not tell in a session's greeting that they are a standby, and are out of support."""

STATEMENT_SECONDS: Final = 20
"""A statement that takes longer is stopped by the server; the store's own take milliseconds."""

LOCK_SECONDS: Final = 10
"""How long a statement waits for another session's lock."""

SILENCE_SECONDS: Final = 25.0
"""A session that gives no sign for so long is dead: the server would have stopped the statement before. TCP's own
keepalives do not notice a peer whose network stack still answers: a hung server, a proxy that has lost its way."""

STREAM_ROWS: Final = 2_000
"""Rows fetched at once from a server-side cursor."""

# What a user writes into the URL wins. A laptop that wakes finds its sockets dead: 20 s for what it sends, 60 s for
# what it waits for.
_CONNECT: Final[dict[str, int | str]] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

_SESSION: Final = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "work_mem": "16MB",  # usage by tool over all time sorts more than the default of 4 MB holds
    "jit": "off",  # compiling a plan takes longer than any of ours runs
}

_SERVER_SIDE: Final = {
    # The same for the server's end: the locks of a machine that vanished are free after a minute.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20000",
}

_SET: Final = b"SELECT set_config(k.name, k.value, false) FROM unnest($1::text[], $2::text[]) AS k(name, value)"
_CONTROL: Final = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "START", "END", "ABORT", "SET")
_OPEN: Final = (TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR)

_UNFIT: Final = (OverflowError, UnicodeError, struct.error)
"""What psycopg lets through of a value that it cannot even send: beyond 64 bits, half a surrogate pair."""

T = TypeVar("T")


class PgCursor(psycopg.RawCursor[tuple[Any, ...]]):
    """The rows of one statement. One that gives no rows has none, as in SQLite; psycopg would raise."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]:  # type: ignore[override]
        return super().__iter__() if self._has_rows() else iter(())

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, None at the end."""
        return super().fetchone() if self._has_rows() else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        return super().fetchall() if self._has_rows() else []

    def _has_rows(self) -> bool:
        return self.pgresult is not None and self.pgresult.nfields > 0


class Session(psycopg.Connection[tuple[Any, ...]]):
    """psycopg's connection, which gives up a server that has fallen silent."""

    patience_seconds: float = SILENCE_SECONDS

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """Wait for the server, as long as anything moves on the socket now and then."""
        return super().wait(self._impatient(gen), *args, **options)

    def _impatient(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        ready: Any = None
        heard = time.monotonic()
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            ready = yield wanted
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > self.patience_seconds:
                self.pgconn.finish()
                raise psycopg.OperationalError(f"no answer within {self.patience_seconds:g} s")


class PgConnection:
    """A session, in autocommit: `BEGIN`, `COMMIT` and `ROLLBACK` are statements like others.

    `closed` is also true when the session was found dead. Errors are the driver's own: see pgerrors.
    """

    dialect: Final[Dialect] = POSTGRES

    def __init__(self, session: Session, *, display: str, schema: str = SCHEMA) -> None:
        """Made by `connect` and `ReaderPool`."""
        self.display = display
        self.schema = schema
        self.backend_pid: int = session.info.backend_pid
        self.advisory_keys: set[int] = set()
        """Keys of the advisory locks that this session has taken (store/advisory.py)."""
        self._session = session
        self._names = itertools.count(1)

    def __repr__(self) -> str:
        return f"PgConnection({self.display}, backend {self.backend_pid})"

    @property
    def closed(self) -> bool:
        """Whether the session is over, by `close` or otherwise. One that nobody has used since it ended seems open."""
        return self._session.closed

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, a failed one too."""
        return self._session.pgconn.transaction_status in _OPEN

    def execute(self, statements: str, bindings: Values = (), /) -> PgCursor:
        """Run one statement (without values also several); its rows are in memory when this returns."""
        query, prepare = _query(statements)
        cursor = PgCursor(self._session)
        try:
            cursor.execute(query, bindings or None, prepare=prepare)
        except _UNFIT as error:
            raise _unfit(error) from error
        return cursor

    def executemany(self, statements: str, sequenceofbindings: Iterable[Values], /) -> PgCursor:
        """Run one statement for each of the rows, sent in one go. `rowcount` of the cursor is their sum."""
        cursor = PgCursor(self._session)
        try:
            cursor.executemany(_query(statements)[0], sequenceofbindings)
        except _UNFIT as error:
            raise _unfit(error) from error
        return cursor

    def stream(self, sql: str, values: Values = (), /) -> Iterator[tuple[Any, ...]]:
        """The rows of one question, STREAM_ROWS in memory at a time.

        Without an open transaction one is opened for as long as the rows are asked for; the whole sees one moment. It
        ends with the last row or with the iterator (`close`); between two pages it may idle for 30 s.
        """
        opened = not self.in_transaction
        if opened:
            self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            with psycopg.RawServerCursor(self._session, f"ccagent_{next(self._names)}") as cursor:
                cursor.itersize = STREAM_ROWS
                cursor.execute(_query(sql)[0], values or None)
                yield from cursor
        finally:
            if opened and self.in_transaction:
                self.execute("COMMIT")  # nothing to write; after a ROLLBACK psycopg forgets all prepared statements

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """Statements within take and wait as long as they want: migrations, rebuilds, indexes.

        Around a transaction or within one, in which case the limits come back with its end.
        """
        local = self.in_transaction
        sql = "SELECT set_config('statement_timeout', ?, ?::bigint = 1), set_config('lock_timeout', ?, ?::bigint = 1)"
        self.execute(sql, ("0", local, "0", local))
        patience, self._session.patience_seconds = self._session.patience_seconds, float("inf")
        try:
            yield
        finally:
            self._session.patience_seconds = patience
            if not local and not self.closed:
                if self.in_transaction:
                    self.execute("ROLLBACK")  # nobody ended it: an error is on its way out
                self.execute(sql, (_SESSION["statement_timeout"], False, _SESSION["lock_timeout"], False))

    def close(self) -> None:
        """End the session: what is open is rolled back, its locks are freed. Never fails, may be repeated."""
        self._session.close()


def connect(
    url: str,
    *,
    application_name: str,
    schema: str = SCHEMA,
    read_only: bool = False,
    create: bool = False,
    display: str | None = None,
) -> PgConnection:
    """Open a session. With `create` the schema is made where it is missing. StoreError says why there is none.

    `display` is what messages call the database; without it the URL's parts but for the password. A writer is not
    given a standby.
    """
    parameters = parameters_of(url, application_name)
    where = display or place_of(parameters)
    with explained(where):
        session = Session.connect(make_conninfo(**parameters), autocommit=True, context=ADAPTERS)
        try:
            settle(session, where, schema, read_only)
            conn = PgConnection(session, display=where, schema=schema)
            if create:
                _create_schema(conn)
        except BaseException:
            session.close()
            raise
    return conn


def _unfit(error: Exception) -> psycopg.DataError:
    """The same as the server's own refusal of a value; without the value, which is nobody else's business."""
    return psycopg.DataError(f"a value does not fit its column ({type(error).__name__})")


@lru_cache(maxsize=1_024)
def _query(sql: str) -> tuple[bytes, bool | None]:
    """The statement for Postgres, and whether psycopg may prepare it: None for as it likes, after a few uses."""
    word = sql.split(None, 1)[0].rstrip(";").upper() if sql.strip() else ""
    return translate(sql).encode(), False if word in _CONTROL else None


def parameters_of(url: str, application_name: str) -> dict[str, Any]:
    """The connection's parameters. StoreError for a URL that cannot be read, without a word of it: it may hold a
    password in the wrong place."""
    try:
        named: dict[str, Any] = conninfo_to_dict(url)
        ports = [port for port in str(named.get("port") or "").split(",") if port]
        readable = all(port.isdecimal() for port in ports)
        make_conninfo(**named)
    except (psycopg.Error, UnicodeError, ValueError):
        readable = False
    if not readable:
        raise StoreError(
            "the database's URL cannot be read; write postgresql://USER:PASSWORD@HOST:PORT/NAME, with the characters"
            " : / ? # @ % and space in a password percent-encoded (%3A %2F %3F %23 %40 %25 %20)"
        ) from None
    return {**_CONNECT, **named, "application_name": application_name, "client_encoding": "UTF8"}


def place_of(parameters: dict[str, Any]) -> str:
    """What the parameters name, for messages."""
    user, host, port = (parameters.get(name) for name in ("user", "host", "port"))
    account = f"{user}@" if user else ""
    return f"postgresql://{account}{host or ''}{f':{port}' if port else ''}/{parameters.get('dbname') or ''}"


def settle(session: Session, where: str, schema: str, read_only: bool) -> None:
    """Refuse a server that will not do, and make the session what the store expects. Closes it when it raises."""
    try:
        version = session.info.server_version // 10_000
        if version < OLDEST_SERVER:
            raise StoreError(
                f"{where} is Postgres {version}; ccagent needs {OLDEST_SERVER} or later: upgrade the server"
            )
        encoding = session.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StoreError(
                f"{where} keeps its texts in {encoding}; transcripts need UTF8: name a database made with CREATE DATABASE"
                " … ENCODING 'UTF8' TEMPLATE template0"
            )
        if not read_only and session.info.parameter_status("in_hot_standby") == "on":
            raise StoreError(f"{where} is a standby, which takes no writes; name the primary with --db")
        settings = {**_SESSION, "search_path": '"' + schema.replace('"', '""') + '"'}
        if read_only:
            settings["default_transaction_read_only"] = "on"
        cursor = psycopg.RawCursor(session)
        cursor.execute(_SET, [list(settings), list(settings.values())])
        try:
            cursor.execute(_SET, [list(_SERVER_SIDE), list(_SERVER_SIDE.values())])
        except psycopg.Error as error:
            if lost(error):
                raise
            # A system without one of these refuses it; the session does without.
    except BaseException:
        session.close()
        raise


def _create_schema(conn: PgConnection) -> None:
    """Make the schema if it is not there. Asked first: whoever only may use it is not allowed to `CREATE … IF NOT`."""
    known = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?"
    if conn.execute(known, (conn.schema,)).fetchone():
        return
    try:
        conn.execute('CREATE SCHEMA IF NOT EXISTS "' + conn.schema.replace('"', '""') + '"')
    except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateSchema):
        pass  # another host was quicker
