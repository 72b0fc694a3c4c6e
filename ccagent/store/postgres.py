"""The Postgres store: the same facts for many machines in one database, one writer a host.

The writer has a connection of its own, and on it the host's advisory lock: whoever has the lock is the host. After a
COMMIT whose answer was lost the lock of the next connection proves that the earlier session has ended, and the host's
number of commits tells how; nothing is guessed, nothing is written twice.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Final, TypeVar

from ccagent.clock import Clock
from ccagent.errors import NoDataError, StoreError
from ccagent.facts.batch import Batch
from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial
from ccagent.facts.pricing import PriceTable
from ccagent.metrics.ledger import Exportable
from ccagent.store import hosts, schema
from ccagent.store.advisory import AdvisoryLock, application_name, claim_host, lock_key
from ccagent.store.connection import Connection
from ccagent.store.ingest import Ingest
from ccagent.store.location import Database
from ccagent.store.memory import return_memory
from ccagent.store.migrations import prepare, read_version, require_current, stored_version
from ccagent.store.pgconnection import PgConnection, connect
from ccagent.store.pgerrors import lost, retryable, store_error
from ccagent.store.pgpool import ReaderPool, open_pool
from ccagent.store.writer import Writer, nothing_leaves

SCHEMA: Final = "ccagent"
"""The schema that holds all tables, so that a database may hold others' too."""

TRIES: Final = 20
"""How often a transaction is run that lost against another host's; each loss means that somebody else went on."""

PAUSE_SECONDS: Final = (0.005, 0.5)
"""First and longest mean pause after such a loss."""

RECONNECT_SECONDS: Final = (0.2, 30.0)
"""First and longest pause between attempts to reach a server again whose COMMIT answer is missing."""

PATIENCE_SECONDS: Final = 10.0
"""How long a start waits for the host's lock: a session that just ended may take a moment to be noticed."""

_WRITING: Final = lock_key(SCHEMA, "writing")
"""Held shared by every write transaction, and alone by one that must not have others beside it."""

T = TypeVar("T")


class _NotCommittedError(Exception):
    """The server went away during a COMMIT, which did not take place."""


class PostgresStore(Writer):
    """The writer of one host in a Postgres database. Close it when done."""

    begin: ClassVar[str] = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock_shared({_WRITING})"

    def __init__(
        self,
        database: Database,
        *,
        host_id: str,
        clock: Clock,
        prices: PriceTable | None = None,
        exportable: Exportable = nothing_leaves,
        budgets: Mapping[str, int] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect, take the host's lock and make or check the schema. StoreError, InstanceRunningError."""
        if not host_id:
            raise StoreError("a shared database needs a name for this host; set CCAGENT_HOST_ID")
        self._target = database
        self._wanted_host = host_id
        self._sleep = sleep
        self._closing = False
        try:
            conn = self._claim()
            try:
                self.prepared = prepare(conn, place=database.display, now_ms=clock.now_ms())
                host = hosts.enter(conn, host_id, clock.now_ms())
            except BaseException:
                conn.close()
                raise
        except Exception as error:
            raise self.translated(error) from error
        self._pg = conn
        super().__init__(conn, database, host, clock=clock, prices=prices, exportable=exportable, budgets=budgets)
        self._scheduler = self._scheduler_lock()

    # ---- the connection --------------------------------------------------------------------------------------------

    def _connect(self) -> PgConnection:
        name = application_name(self._wanted_host, os.getpid())
        return connect(self._target.target, application_name=name, schema=SCHEMA, create=True)

    def _claim(self) -> PgConnection:
        return claim_host(self._connect, self._wanted_host, patience_seconds=PATIENCE_SECONDS, sleep=self._sleep)

    def _scheduler_lock(self) -> AdvisoryLock:
        return AdvisoryLock(self._pg, lock_key(SCHEMA, "scheduler"))

    def _reconnect(self) -> None:
        """Another session of the same host, the earlier one being over for certain. StoreError while there is none."""
        self._pg.close()
        try:
            conn = self._claim()
        except Exception as error:
            raise self.translated(error) from error
        self._pg = self.conn = conn
        self.ingest_state.reconnected(conn)
        self._scheduler = self._scheduler_lock()

    def translated(self, error: BaseException) -> BaseException:
        """The driver's errors as StoreError."""
        import psycopg

        if isinstance(error, _NotCommittedError):
            return StoreError(f"{self._target.display} went away in the middle of a COMMIT; it is tried again")
        if isinstance(error, psycopg.Error):
            return store_error(error, self._target.display)
        return error

    def close(self) -> None:
        """Give the connection up, and with it the host's lock."""
        self._closing = True
        with self._lock:
            self._pg.close()

    # ---- one transaction -------------------------------------------------------------------------------------------

    def attempt(self, work: Callable[[Ingest], T]) -> T:
        """Run `work` in one transaction, and again where another host was in the way."""
        pause, longest = PAUSE_SECONDS
        for left in reversed(range(TRIES)):
            if self._pg.closed:
                self._reconnect()
            try:
                return super().attempt(work)
            except StoreError as error:
                cause = error.__cause__
                if cause is not None and lost(cause):
                    self._pg.close()
                again = cause is not None and (retryable(cause) or isinstance(cause, _NotCommittedError))
                if not again or not left:
                    raise
                self._sleep(random.uniform(0, 2 * pause))
                pause = min(longest, 2 * pause)
        raise AssertionError("unreachable: the last try returns or raises")

    def open_transaction(self) -> None:
        """Begin; refuse to write into a schema that a newer ccagent has changed meanwhile."""
        super().open_transaction()
        version = stored_version(self._pg)
        if version != schema.SCHEMA_VERSION:
            raise StoreError(
                f"{self._target.display} has schema {version} by now, this ccagent knows"
                f" {schema.SCHEMA_VERSION}; upgrade ccagent on this machine, nothing is lost meanwhile"
            )

    def end_transaction(self, written: bool) -> None:
        """Commit. Where the answer is lost, the next session of this host tells whether it took place."""
        try:
            self._pg.execute("COMMIT")
        except Exception as error:
            if not lost(error):
                raise
            if not written:
                self._pg.close()
                raise
            if not self._took_place():
                raise _NotCommittedError from error

    def _took_place(self) -> bool:
        """Reach the server again, however long it takes, and see whether the commit is there."""
        expected = self._commits
        pause, longest = RECONNECT_SECONDS
        while True:
            try:
                self._reconnect()
                row = self._pg.execute("SELECT commits FROM host WHERE id = ?", (self.host,)).fetchone()
                break
            except StoreError as reason:
                if self._closing:
                    raise
                self.told(f"{reason}; the answer to a COMMIT is missing, so following waits for the server")
            except Exception as reason:
                if not lost(reason):
                    raise
            self._sleep(pause)
            pause = min(longest, 2 * pause)
        self.told(None)
        return row is not None and int(row[0]) == expected

    def abandon(self) -> None:
        """Roll back what is open, if the session still lives."""
        try:
            super().abandon()
        except Exception as error:
            if not lost(error):
                raise
            self._pg.close()
            self.ingest_state.forget()
            self._budget.withdraw()

    def read(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:  # type: ignore[override]
        """Rows of one question, on a session that lives."""
        if self._pg.closed:
            self._reconnect()
        try:
            return super().read(sql, values)
        except StoreError as error:
            if error.__cause__ is None or not lost(error.__cause__):
                raise
            self._pg.close()
            self._reconnect()
            return super().read(sql, values)

    # ---- what Postgres does in its own way -------------------------------------------------------------------------

    def prepare(self, batch: Batch) -> None:
        """Give the batch's texts and contexts their numbers, each in a transaction of its own.

        Numbers that nobody uses do no harm; but two hosts that give numbers within long transactions wait for each
        other.
        """
        state = self.ingest_state
        if self._pg.closed:
            self._reconnect()
        facts = [fact for kind in batch.facts.values() for fact in kind.values()]
        contexts = {fact.context for fact in facts}
        texts = {text for context in contexts for text in context[:9] if text is not None}
        for fact in facts:
            texts.update(_texts(fact))
        texts.update(batch.links)
        texts.update(batch.turn_closes)
        texts.add(state.prices.version)
        try:
            state.names.prepare(texts)
            state.contexts.prepare(sorted(contexts, key=repr))
        except Exception as error:
            if lost(error):
                self._pg.close()
            fault = self.translated(error)
            if fault is error:
                raise
            raise fault from error

    def alone(self) -> None:
        """Wait for the write transactions of other hosts, which are short, and keep new ones waiting."""
        self._pg.execute("SELECT pg_advisory_xact_lock(?)", (_WRITING,))

    def elected(self) -> bool:
        """Whether this host is the one that makes the rollups: the first to take the lock, as long as it lives."""
        with self._lock:
            try:
                if self._pg.closed:
                    self._reconnect()
                return self._scheduler.held or self._scheduler.try_acquire()
            except StoreError:
                return False
            except Exception as error:
                if not lost(error):
                    raise
                self._pg.close()
                return False

    def optimize(self) -> None:
        """Autovacuum looks after the statistics."""

    def replaced(self) -> bool:
        """A server's database cannot be replaced unseen: the session would end."""
        return False

    def settle_down(self) -> None:
        """Statistics of tables that have just been filled, and memory given back."""
        try:
            self._pg.execute("ANALYZE fact")
        except Exception as error:
            if not lost(error):
                raise
            self._pg.close()
        return_memory()


def _texts(fact: Partial) -> Iterator[str]:
    """The texts of a fact that get numbers, beside those of its context."""
    result = fact.result
    for text in (fact.turn, fact.name, fact.label, fact.failure, None if result is None else result.failure):
        if text:
            yield text
    if fact.type == EventType.TURN:
        yield fact.native


class PostgresReaders:
    """The readers of a daemon: a few connections, checked before each use."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pool: ReaderPool | None = None

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """One of them."""
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
    conn = connect(
        database.target, application_name=f"ccagent reader {os.getpid()}", schema=SCHEMA, read_only=True
    )
    try:
        if read_version(conn) == 0:
            raise NoDataError(f"{database.display} holds no facts yet; start `ccagent run`")
        require_current(conn, database.display)
    except BaseException:
        conn.close()
        raise
    return conn
