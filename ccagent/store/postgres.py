"""The Postgres store: the same facts for many machines in one database, one writer a host.

The writer has a connection of its own, and on it the host's advisory lock: whoever has the lock is the host. After a
COMMIT whose answer was lost the lock of the next connection proves that the earlier session has ended, and the host's
number of commits tells how; nothing is guessed, nothing is written twice.

The same number tells at the beginning of every transaction whether the database still stands where this process left
it. It does not after a failover to a standby that lacked the last commits, or when another process has written as this
host while the lock was lost: then what the process remembers (file positions, admitted labels) is read anew.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeVar

import psycopg

from ccagent.clock import Clock
from ccagent.errors import AwayError, OutdatedError, StoreError
from ccagent.facts.batch import Batch
from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial
from ccagent.facts.pricing import PriceTable
from ccagent.metrics.ledger import Exportable
from ccagent.store import hosts, schema, totals
from ccagent.store.advisory import AdvisoryLock, application_name, claim_host, lock_key
from ccagent.store.connection import scalar
from ccagent.store.ingest import Ingest
from ccagent.store.links import texts_of
from ccagent.store.location import Database
from ccagent.store.memory import return_memory
from ccagent.store.migrations import prepare, stored_version
from ccagent.store.pgconnection import SCHEMA, PgConnection, connect
from ccagent.store.pgerrors import lost, refused, retryable, store_error
from ccagent.store.writer import Writer, nothing_leaves

TRIES: Final = 20
"""How often a transaction is run that lost against another host's; each loss means that somebody else went on."""

PAUSE_SECONDS: Final = (0.005, 0.5)
"""First and longest mean pause after such a loss."""

RECONNECT_SECONDS: Final = (0.2, 30.0)
"""First and longest pause between attempts to reach a server again whose COMMIT answer is missing."""

PATIENCE_SECONDS: Final = 10.0
"""How long a start waits for the host's lock: a session that just ended may take a moment to be noticed."""

CLOSE_SECONDS: Final = 0.5
"""How long the end waits for another thread's transaction. One that waits for the server is left to the end of the
process, which the server notices."""

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
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """Connect, take the host's lock and make or check the schema. StoreError, InstanceRunningError."""
        if not host_id:
            raise StoreError("a shared database needs a name for this host; set CCAGENT_HOST_ID")
        self._aim(database, host_id, sleep)
        with self._explained():
            self._pg = self._claim()
            try:
                self.prepared = prepare(self._pg, place=database.display, now_ms=clock.now_ms())
                host = hosts.enter(self._pg, host_id, clock.now_ms())
                self._enter(host, clock=clock, prices=prices, exportable=exportable, budgets=budgets)
            except BaseException:
                self._pg.close()
                raise

    def _aim(self, database: Database, host_id: str, sleep: Callable[[float], object] | None = None) -> None:
        """What is needed before there is a connection. `sleep` waits for so many seconds, by default until `close`."""
        self._target = database
        self._wanted_host = host_id
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._gone = False
        self._standing = 0
        """The host's number of commits as this process last knew it."""

    def _enter(self, host: hosts.Host, **options: Any) -> None:
        """The writer over the connection `_pg`, as that host."""
        super().__init__(self._pg, self._target, host, **options)
        self._standing = self._stored_commits() or 0
        self._scheduler = self._scheduler_lock()

    # ---- the connection --------------------------------------------------------------------------------------------

    def _connect(self) -> PgConnection:
        name = application_name(self._wanted_host, os.getpid())
        return connect(self._target.target, application_name=name, schema=SCHEMA, create=True)

    def _claim(self) -> PgConnection:
        def wait(seconds: float) -> None:
            self._sleep(seconds)
            if self._closing.is_set():
                raise AwayError(f"{self._target.display} was not reached again before the end")

        return claim_host(self._connect, self._wanted_host, patience_seconds=PATIENCE_SECONDS, sleep=wait)

    def _scheduler_lock(self) -> AdvisoryLock:
        return AdvisoryLock(self._pg, lock_key(SCHEMA, "scheduler"))

    def _reconnect(self) -> None:
        """Another session of the same host, the earlier one being over for certain. StoreError while there is none."""
        self._pg.close()
        if self._closing.is_set():
            raise AwayError(f"{self._target.display} is being closed; what is not taken in yet is at the next start")
        with self._explained():
            conn = self._claim()
        self._pg = self.conn = conn
        self.ingest_state.reconnected(conn)
        # Numbers are given outside of the counted transactions: another server may not know the last of them.
        self.ingest_state.names.forget()
        self.ingest_state.contexts.forget()
        self._scheduler = self._scheduler_lock()

    def _stored_commits(self) -> int | None:
        number = scalar(self._pg, "SELECT commits FROM host WHERE id = ?", (self.host,))
        return None if number is None else int(number)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The driver's errors within as StoreError, with their cause."""
        try:
            yield
        except Exception as error:
            fault = self.translated(error)
            if fault is error:
                raise
            raise fault from error

    def translated(self, error: BaseException) -> BaseException:
        """The driver's errors as StoreError."""
        if isinstance(error, _NotCommittedError):
            return AwayError(f"{self._target.display} went away in the middle of a COMMIT; it is tried again")
        if isinstance(error, psycopg.Error):
            return store_error(error, self._target.display)
        return error

    def refused(self, error: BaseException | None) -> bool:
        """Whether a value was refused."""
        return refused(error)

    def leave(self) -> None:
        """Told to end: from now on wait for no server."""
        self._closing.set()

    def close(self) -> None:
        """Give the connection up, and with it the host's lock."""
        self._closing.set()
        if self._lock.acquire(CLOSE_SECONDS):
            try:
                self._pg.close()
            finally:
                self._lock.release()

    # ---- one transaction -------------------------------------------------------------------------------------------

    def attempt(self, work: Callable[[Ingest], T]) -> T:
        """Run `work` in one transaction, and again where another host was in the way, or the session had ended."""
        once = super().attempt
        return self._again(lambda: once(work))

    def absorb(self, batch: Batch, work: Callable[[Ingest], T]) -> T:
        """As `run`; the batch's texts get their numbers before, and before each further try."""

        once = super().attempt

        def step() -> T:
            self.prepare(batch)
            return once(work)

        with self._lock:
            return self._again(step)

    def _again(self, step: Callable[[], T]) -> T:
        """`step`, repeated after what a repetition mends.

        A session that has ended (an idle time-out, a restart) is replaced once: a statement that ends every session it
        is sent in must not do so in a loop.
        """
        pause, longest = PAUSE_SECONDS
        sessions = 1
        for left in reversed(range(TRIES)):
            if self._pg.closed:
                self._reconnect()
            try:
                return step()
            except StoreError as error:
                cause = error.__cause__
                if lost(cause):
                    self._pg.close()
                    if not sessions or not left:
                        raise
                    sessions -= 1
                    continue
                if not left or not (retryable(cause) or isinstance(cause, _NotCommittedError)):
                    raise
            self._sleep(random.uniform(0, 2 * pause))
            pause = min(longest, 2 * pause)
        raise AssertionError("unreachable: the last try returns or raises")

    def open_transaction(self) -> None:
        """Begin; refuse to write into a schema that a newer ccagent has changed meanwhile, and to go on where the
        database has not stood still."""
        super().open_transaction()
        version = stored_version(self._pg)
        if version != schema.SCHEMA_VERSION:
            raise StoreError(
                f"{self._target.display} has schema {version} by now, this ccagent knows"
                f" {schema.SCHEMA_VERSION}; upgrade ccagent on this machine, nothing is lost meanwhile"
            )
        self._require_standing(self._commits)

    def _require_standing(self, commits: int) -> None:
        """OutdatedError unless the host has just the commits that this process knows of."""
        if commits != self._standing:
            raise OutdatedError(
                f"{self._target.display} has {commits} commits of this host where ccagent left {self._standing}: the"
                " server came back with other data, or another ccagent wrote as this host; positions are read anew"
            )

    def no_host(self) -> StoreError:
        """The host's row is gone: the database was emptied or replaced, which `replaced` tells from now on."""
        self._gone = True
        return super().no_host()

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
        self._standing = self._commits

    def _took_place(self) -> bool:
        """Reach the server again, however long it takes, and see whether the commit is there. OutdatedError where
        neither can be said."""
        pause, longest = RECONNECT_SECONDS
        while True:
            try:
                with self._explained():
                    self._reconnect()
                    commits = self._stored_commits()
                break
            except StoreError as reason:
                if self._closing.is_set():
                    raise
                self.told(f"{reason}; the answer to a COMMIT is missing, so following waits for the server")
            self._sleep(pause)
            pause = min(longest, 2 * pause)
        self.told(None)
        if commits is None:
            raise self.no_host()
        if commits == self._commits:
            return True
        self._require_standing(commits)
        return False

    def resume(self) -> None:
        """Take the database as it stands now. The files are to be read anew after this, not before."""
        with self._lock, self._explained():
            if self._pg.closed:
                self._reconnect()
            commits = self._stored_commits()
            if commits is None:
                raise self.no_host()
            host = hosts.read_host(self._pg, self.host_id)
            self.ingest_state.forget()
            self._budget.renew(totals.load_admitted(self._pg, self.host))
            self.ingest_state.live = host is not None and host.catch_up_done is not None
            self._standing = commits
            self.epoch += 1

    def abandon(self) -> None:
        """Roll back what is open, if the session still lives; one that cannot is given up, which does the same."""
        try:
            super().abandon()
        except psycopg.Error:
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
        facts = [fact for kind in batch.facts.values() for fact in kind.values()]
        contexts = {fact.context for fact in facts}
        texts = {text for context in contexts for text in context[:-1] if text is not None}
        for fact in facts:
            texts.update(_texts(fact))
            texts.update(texts_of(fact))
        texts.update(batch.links)
        texts.update(batch.turn_closes)
        texts.add(state.prices.version)
        with self._explained():
            state.names.prepare(texts)
            state.contexts.prepare(sorted(contexts, key=repr))

    def alone(self) -> None:
        """Wait for the write transactions of other hosts, which are short, and keep new ones waiting."""
        self._pg.execute("SELECT pg_advisory_xact_lock(?)", (_WRITING,))

    def elected(self) -> bool:
        """Whether this host is the one that makes the rollups: the first to take the lock, as long as it lives."""
        with self._lock:
            try:
                with self._explained():
                    if self._pg.closed:
                        self._reconnect()
                    if self._scheduler.held:
                        self._pg.execute("SELECT 1")  # the session may have ended, and the lock with it
                        return True
                    return self._scheduler.try_acquire()
            except StoreError as error:
                if lost(error):
                    self._pg.close()
                return False

    def optimize(self) -> None:
        """Autovacuum looks after the statistics."""

    def replaced(self) -> bool:
        """Whether the database no longer knows this host. (One that was dropped and made again is another session's.)"""
        return self._gone

    def settle_down(self) -> None:
        """Statistics of tables that have just been filled, and memory given back."""
        try:
            self._pg.execute("ANALYZE fact")
        except psycopg.Error as error:
            # Another host does the same at this moment, or the role may not: statistics can wait for autovacuum.
            if lost(error):
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
