"""The writer of a database: what both stores have in common. Every change is one transaction behind one fair lock.

A transaction holds all that belongs to it: facts, offsets, carried state, totals, marks of stale rollups and the host's
change number. A StoreError means that nothing of it was written.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar

from ccagent.clock import Clock
from ccagent.errors import StoreError
from ccagent.facts.batch import NO_FILE, Batch
from ccagent.facts.pricing import PriceTable
from ccagent.failpoints import hit
from ccagent.metrics import names as metric
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.exemplars import Exemplar, Place
from ccagent.metrics.labels import Budget
from ccagent.metrics.ledger import Exportable
from ccagent.store import closing, file_rows, totals
from ccagent.store.base import FileRow
from ccagent.store.connection import Connection, scalar
from ccagent.store.exemplars import Exemplars, examples
from ccagent.store.held import begin_held
from ccagent.store.hosts import Host
from ccagent.store.ingest import Ingest
from ccagent.store.interning import REMEMBERED_LIVE
from ccagent.store.location import Database
from ccagent.store.lock import FairLock
from ccagent.store.measures import end_catch_up
from ccagent.store.migrations import Prepared
from ccagent.store.provenance import note_beginning

_OPENED: Final = (
    "SELECT seq, commits, (SELECT value FROM meta WHERE name = 'sealed_before'),"
    " (SELECT value FROM meta WHERE name = 'payloads_before') FROM host WHERE id = ?"
)

T = TypeVar("T")


class _RefusedError(Exception):
    """Rolls the search for refused facts back, and carries them out of it."""

    def __init__(self, facts: list[tuple[int, str]]) -> None:
        super().__init__(f"{len(facts)} facts")
        self.facts = facts


def nothing_leaves(cwd: str | None, project: str | None) -> bool:
    """The default: no destination was named, so nothing is booked as exportable."""
    del cwd, project
    return False


class Writer(ABC):
    """Writes one host's facts into one database. Thread-safe: every transaction takes the fair lock. Close it when done.

    `told` is called with what the writer waits for, and with None when it goes on.
    """

    begin: ClassVar[str]
    """The statement that opens a write transaction."""

    prepared: Prepared
    """What opening found of the schema, and what became of it."""

    epoch: int = 0
    """How often the database was found to have gone on, or back, without this process."""

    def __init__(
        self,
        conn: Connection,
        database: Database,
        host: Host,
        *,
        clock: Clock,
        prices: PriceTable | None = None,
        exportable: Exportable = nothing_leaves,
        budgets: Mapping[str, int] | None = None,
    ) -> None:
        """A subclass opens the connection and enters the host."""
        self.database = database
        self.conn = conn
        self.host = host.id
        self.host_id = host.host_id
        self.instance_id = host.instance_id
        self.told: Callable[[str | None], None] = lambda text: None
        self._clock = clock
        self._lock = FairLock()
        self._held_ms: list[float] = []
        self.exemplars = Exemplars()
        self._examples: dict[Place, Exemplar] = {}
        self._seq = 0
        self._commits = 0
        self._budget = Budget(totals.load_admitted(conn, self.host), budgets or {})
        self.ingest_state = Ingest(conn, self.host, prices or PriceTable.bundled(), self._budget, exportable)
        self.ingest_state.live = host.catch_up_done is not None
        note_beginning(conn, self.host, self.ingest_state.prices.version)
        begin_held(conn, self.host, clock.now_ms())
        self.ingest_state.pruning = scalar(conn, "SELECT 1 FROM pruned LIMIT 1") is not None

    # ---- what the two stores do each in their own way --------------------------------------------------------------

    @abstractmethod
    def translated(self, error: BaseException) -> BaseException:
        """A driver's error as StoreError; any other error as it is."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection up."""

    @abstractmethod
    def optimize(self) -> None:
        """Let the database refresh the statistics that its planner uses; to be called daily."""

    @abstractmethod
    def replaced(self) -> bool:
        """Whether the database is no longer the one that was opened: writes would be lost."""

    @abstractmethod
    def settle_down(self) -> None:
        """After a catch-up: give back what only the catch-up needed. Called under the lock."""

    def prepare(self, batch: Batch) -> None:
        """Before the transaction of a batch, outside of any."""
        del batch

    def alone(self) -> None:
        """Within a transaction: wait for other hosts' to end, and keep them from beginning one until this one ends."""
        assert not self.conn.dialect.shared  # a database of one's own has one writer, which is in this transaction

    def refused(self, error: BaseException | None) -> bool:
        """Whether the database refused a value: without it the same transaction may succeed."""
        return isinstance(error, (OverflowError, UnicodeError))  # what SQLite's driver raises of a value it cannot bind

    def resume(self) -> None:
        """After an OutdatedError: take the database as it stands now. A database of one's own stands still."""
        with self._lock:
            self.ingest_state.forget()

    def leave(self) -> None:
        """Told to end: from now on wait for nothing. Thread-safe, also from a signal's handler."""
        return

    def no_host(self) -> StoreError:
        """What to raise where the host's row is gone."""
        return StoreError(f"this host is no longer entered in {self.database.display}; start ccagent again")

    def elected(self) -> bool:
        """Whether this host makes the rollups: of several hosts one does."""
        return True

    # ---- one transaction -------------------------------------------------------------------------------------------

    def run(self, work: Callable[[Ingest], T]) -> T:
        """One write transaction with all that goes with it; StoreError (and nothing written) when it fails.

        Where hosts share a database `work` is run again after a deadlock: it must leave nothing behind in memory that a
        second run would trip over.
        """
        with self._lock:
            return self.attempt(work)

    def attempt(self, work: Callable[[Ingest], T]) -> T:
        """Run `work` in one transaction, under the lock."""
        started = time.perf_counter()
        try:
            hit("before_begin")
            self.open_transaction()
            result = work(self.ingest_state)
            written = self._post()
            hit("before_commit")
            self.end_transaction(written)
        except BaseException as error:
            self.abandon()
            fault = self.translated(error)
            if fault is error:
                raise
            raise fault from error
        self._held_ms = [] if written else self._held_ms
        self._held_ms.append((time.perf_counter() - started) * 1_000)
        self._budget.settle()
        self.exemplars.keep(self._examples, METRICS)
        hit("after_commit")
        return result

    def open_transaction(self) -> None:
        """Begin, and read the host's change number."""
        self.conn.execute(self.begin)
        row = self.conn.execute(_OPENED, (self.host,)).fetchone()
        if row is None:
            raise self.no_host()
        self._seq, self._commits = int(row[0]), int(row[1])
        self.ingest_state.begin(self._seq, self._clock.now_ms())
        self.ingest_state.seal(*(None if value is None else int(value) for value in row[2:]))

    def end_transaction(self, written: bool) -> None:
        """Commit. `written` tells whether the transaction has changed anything."""
        del written
        self.conn.execute("COMMIT")

    def abandon(self) -> None:
        """Roll back what is open, and forget what was given out in it."""
        if self.conn.in_transaction:
            self.conn.execute("ROLLBACK")
        self.ingest_state.forget()
        self._budget.withdraw()

    def _post(self) -> bool:
        """Write what goes with the facts: change number, marks, totals. Whether anything was written at all."""
        state = self.ingest_state
        state.book()
        booking, dirty = state.booking, state.dirty()
        self._examples = examples(state)
        if not booking and not dirty and state.seq == self._seq and not self._budget.fresh and not state.wrote:
            return False  # nothing was written, so nothing is booked: an idle daemon writes no page
        self._commits += 1
        self.conn.execute("UPDATE host SET seq = ?, commits = ? WHERE id = ?", (state.seq, self._commits, self.host))
        mark = self._commits if self.conn.dialect.shared else 0
        self.conn.executemany(
            "INSERT INTO dirty (quarter, host, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(quarter, self.host, mark) for quarter in dirty],
        )
        for held in self._held_ms:
            booking.observe(metric.STORE_WRITE_HOLD, (), held / 1_000)
        for (name, label), amount in self._budget.overflowed.items():
            booking.count(metric.METRICS_OVERFLOW, (name, label), amount)
        totals.add(self.conn, self.host, booking.amounts, state.now_ms)
        totals.observe(self.conn, self.host, booking.observations, state.now_ms)
        totals.save_admitted(self.conn, self.host, self._budget.fresh)
        return True

    # ---- what the writer does --------------------------------------------------------------------------------------

    def files(self, *, carry: bool = True) -> list[FileRow]:
        """All files known of this host, with their carry unless nobody needs it: of 50,000 files that is 60 MiB."""
        with self._lock:
            found = self.read(file_rows.ALL if carry else file_rows.POSITIONS, (self.host,))
        return [file_rows.made(row) for row in found]

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of one question, asked on the writer's own connection. Called under the lock."""
        try:
            return self.conn.execute(sql, values).fetchall()
        except BaseException as error:
            fault = self.translated(error)
            if fault is error:
                raise
            raise fault from error

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """As `read`, under the lock: what is written at this moment by nobody else."""
        with self._lock:
            return self.read(sql, values)

    def crash_lines(self) -> list[bytes]:
        """Hashes of the lines that were put aside since they end the process, whoever met them."""
        return [bytes(row[0]) for row in self.ask("SELECT DISTINCT hash FROM quarantine WHERE reason = 'crash'")]

    def carry(self, file_id: int) -> bytes | None:
        """The carried state of a file."""
        with self._lock:
            found = self.read("SELECT carry FROM file WHERE id = ?", (file_id,))
        return None if not found or found[0][0] is None else bytes(found[0][0])

    def ingest(self, batch: Batch, files: Sequence[FileRow]) -> list[int]:
        """Take in a batch and move its files on, in one transaction; the ids of `files`.

        A fact with a value that the database refuses does not keep the others out: it is left out, and its line stands
        among the bad ones.
        """
        try:
            return self._ingest(batch, files)
        except Exception as error:
            if not self.refused(error.__cause__ if isinstance(error, StoreError) else error):
                raise
            refused = self._refused_facts(batch, files)
            if not refused:
                raise
        return self._ingest(batch.without(refused), files)

    def _refused_facts(self, batch: Batch, files: Sequence[FileRow]) -> list[tuple[int, str]]:
        """Which facts these are; nothing is written."""

        def work(state: Ingest) -> None:
            state.file_ids = {
                NO_FILE: None,
                **dict(enumerate(file_rows.numbers(self.conn, self.host, files, self.database.display))),
            }
            raise _RefusedError(state.refused(batch, self.refused))

        try:
            self.absorb(batch, work)
        except _RefusedError as found:
            return found.facts
        raise AssertionError("unreachable: the work ends with an exception")

    def _ingest(self, batch: Batch, files: Sequence[FileRow]) -> list[int]:
        def work(state: Ingest) -> list[int]:
            ids = file_rows.numbers(self.conn, self.host, files, self.database.display)
            state.file_ids = {NO_FILE: None, **dict(enumerate(ids))}
            self._write_facts(batch, ids)
            hit("after_facts")
            self._write_files(files, ids)
            hit("after_files")
            state.wrote = True
            return ids

        return self.absorb(batch, work)

    def absorb(self, batch: Batch, work: Callable[[Ingest], T]) -> T:
        """One transaction around a batch, whose texts get their numbers first."""
        with self._lock:
            self.prepare(batch)
            return self.attempt(work)

    def _write_facts(self, batch: Batch, ids: Sequence[int]) -> None:
        self.ingest_state.facts(batch)
        self.ingest_state.quarantine(
            (ids[bad.file], bad.offset, bad.length, bad.hash, bad.reason, bad.recovered) for bad in batch.bad
        )

    def _write_files(self, files: Sequence[FileRow], ids: Sequence[int]) -> None:
        file_rows.keep(self.conn, self.host, files, ids)

    def keep_files(self, files: Sequence[FileRow]) -> None:
        """Write files whose place changed without anything read. Their carry stays."""
        if files:
            self.write(lambda conn: file_rows.move(conn, files))

    def close_due(self, caught_up: Collection[int], quiet: Collection[int]) -> int:
        """Close what timers say is over; the number of facts closed in this slice."""

        def work(state: Ingest) -> int:
            linked = state.resolve_links() if self.conn.dialect.shared else 0
            state.wrote = state.wrote or bool(linked)
            return closing.close_due(state, state.now_ms, caught_up, quiet)

        return self.run(work)

    def book(self, amounts: Mapping[tuple[str, tuple[str, ...], bool], int]) -> None:
        """Add to totals outside of an ingest."""

        def work(state: Ingest) -> None:
            for (name, labels, leaves), amount in amounts.items():
                state.booking.count(name, labels, amount, leaves)

        if amounts:
            self.run(work)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work(connection)` in a write transaction of its own."""

        def wrapped(state: Ingest) -> T:
            state.wrote = True
            return work(state.conn)

        return self.run(wrapped)

    # ---- what the database knows of itself -------------------------------------------------------------------------

    def meta(self, name: str) -> str | None:
        """A value of the table `meta`, None where it is not set."""
        with self._lock:
            found = self.read("SELECT value FROM meta WHERE name = ?", (name,))
        return str(found[0][0]) if found else None

    def set_meta(self, name: str, value: str) -> None:
        """Set a value of the table `meta`."""
        self.write(lambda conn: set_meta(conn, name, value))

    def send_to(self, destinations: tuple[tuple[str, str], ...]) -> None:
        """Name where closed facts go (destination and signal), so that what changes in them afterwards is counted."""
        self.ingest_state.destinations = destinations

    def catch_up_done(self) -> None:
        """The whole history was read once: from here on facts are live, and metrics are shown."""
        if not self.ingest_state.live:
            self.run(end_catch_up)
        self.ingest_state.live = True
        with self._lock:
            for memory in (self.ingest_state.names, self.ingest_state.contexts):
                memory.forget()
                memory.limit = REMEMBERED_LIVE
            self.settle_down()


def set_meta(conn: Connection, name: str, value: str) -> None:
    """Set a value of the table `meta`, within the caller's transaction."""
    conn.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )
