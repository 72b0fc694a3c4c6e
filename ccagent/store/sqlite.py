"""The SQLite store: one writer behind a fair lock, WAL, every change in one transaction.

The transcripts are the write-ahead log of what this database holds: after a power cut the last commits may be gone,
but facts and offsets go together, so the same lines are read again. Hence synchronous=NORMAL.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from ccagent.clock import Clock
from ccagent.errors import StoreError
from ccagent.facts.batch import Batch
from ccagent.facts.pricing import PriceTable
from ccagent.failpoints import hit
from ccagent.metrics import names as metric
from ccagent.metrics.booked import Booking
from ccagent.metrics.labels import Budget
from ccagent.metrics.ledger import Exportable
from ccagent.paths import create_private
from ccagent.store import closing, totals, view
from ccagent.store.base import FileRow
from ccagent.store.ingest import Ingest
from ccagent.store.lock import FairLock
from ccagent.store.memory import return_memory
from ccagent.store.scalar import scalar
from ccagent.store.schema import SCHEMA_VERSION, statements

BUSY_MS: Final = 5_000
"""How long a statement waits for another process' write (small writers of the command line)."""

CACHE_KIB: Final = 16_384
"""Page cache of the writer: holds the key index of some 400,000 facts, so that inserts at random keys stay cheap."""

CHECKPOINT_PAGES: Final = 1_000
CATCH_UP_PAGES: Final = 16_000
"""Pages of the write-ahead log (4 and 64 MiB) that start a checkpoint, which waits for the disk. In a catch-up inserts
at random keys change the same index pages again and again; folding them in less often writes each less often."""

JOURNAL_BYTES: Final = 64 * 1024 * 1024
"""The write-ahead log is cut back to this after a checkpoint."""

_FILE_COLUMNS: Final = (
    'id, path, device, inode, size, mtime_ns, "offset", head, head_length, marker, generation, lines, state, carry'
)
_KEEP_FILE: Final = (
    f"INSERT INTO file ({_FILE_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    ' ON CONFLICT (id) DO UPDATE SET path = ?2, device = ?3, inode = ?4, size = ?5, mtime_ns = ?6, "offset" = ?7,'
    " head = ?8, head_length = ?9, marker = ?10, generation = ?11, lines = ?12, state = ?13, carry = ?14"
)
_MOVE_FILE: Final = (
    'UPDATE file SET path = ?2, device = ?3, inode = ?4, size = ?5, mtime_ns = ?6, "offset" = ?7, head = ?8,'
    " head_length = ?9, marker = ?10, generation = ?11, lines = ?12, state = ?13 WHERE id = ?1"
)

T = TypeVar("T")


def nothing_leaves(cwd: str | None) -> bool:
    """The default: no destination was named, so nothing is booked as exportable."""
    del cwd
    return False


class SqliteStore:
    """The writer of one database. Thread-safe: every transaction takes the fair lock. Close it when done."""

    def __init__(
        self,
        path: Path | str,
        *,
        clock: Clock,
        prices: PriceTable | None = None,
        exportable: Exportable = nothing_leaves,
        budgets: Mapping[str, int] | None = None,
    ) -> None:
        """Open (and create) the database at `path`, or ":memory:". StoreError says what stands in the way."""
        self.path = str(path)
        self._clock = clock
        self._lock = FairLock()
        self._held_ms: list[float] = []
        self._seq = 0
        self.conn = _open(self.path)
        try:
            self._prepare()
        except apsw.Error as error:
            self.conn.close()
            raise _store_error(error, self.path) from error
        self._budget = Budget(totals.load_admitted(self.conn), budgets or {})
        self.ingest_state = Ingest(self.conn, prices or PriceTable.bundled(), self._budget, exportable)
        self.ingest_state.live = self.meta("catch_up_done") is not None
        if not self.ingest_state.live:
            self.conn.execute(f"PRAGMA wal_autocheckpoint = {CATCH_UP_PAGES}")
        self._opened_inode = Path(self.path).stat().st_ino if self.path != ":memory:" else 0

    # ---- opening ---------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        conn = self.conn
        version = scalar(conn, "PRAGMA user_version")
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} was written by a newer ccagent (schema {version}, this one knows {SCHEMA_VERSION});"
                " upgrade ccagent or name another --db"
            )
        if version == 0:
            now = self._clock.now_ms()
            with _transaction(conn):
                for statement in (*statements("sqlite"), *view.statements("sqlite")):
                    conn.execute(statement)
                for name, value in (
                    ("host_id", uuid.uuid4().hex),
                    ("instance_id", str(uuid.uuid4())),
                    ("created_at", str(now)),
                    ("generation", "1"),
                    ("seq", "0"),
                ):
                    conn.execute("INSERT INTO meta (name, value) VALUES (?, ?)", (name, value))
                conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def send_to(self, destinations: tuple[str, ...]) -> None:
        """Name where closed facts go, so that what changes in them afterwards is counted."""
        self.ingest_state.destinations = destinations

    def close(self) -> None:
        """Let SQLite tidy its statistics and close; the write-ahead log is folded in."""
        with self._lock:
            try:
                if self.path != ":memory:":
                    self.conn.execute("PRAGMA optimize")
            except apsw.Error:
                pass  # statistics can wait: on a full disk closing is what matters
            finally:
                self.conn.close()

    def optimize(self) -> None:
        """Let SQLite refresh the statistics that its planner uses; to be called daily."""
        with self.transaction():
            self.conn.execute("PRAGMA optimize")

    def replaced(self) -> bool:
        """Whether the database file was unlinked or replaced under the open connection: writes would be lost."""
        if self.path == ":memory:":
            return False
        try:
            return Path(self.path).stat().st_ino != self._opened_inode
        except FileNotFoundError:
            return True

    # ---- one transaction -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.conn.execute("BEGIN IMMEDIATE")
        self._seq = int(scalar(self.conn, "SELECT value FROM meta WHERE name = 'seq'"))
        self.ingest_state.begin(self._seq, self._clock.now_ms())

    def _commit(self) -> None:
        state = self.ingest_state
        if state.seq != self._seq:
            self.conn.execute("UPDATE meta SET value = ? WHERE name = 'seq'", (str(state.seq),))
        self.conn.executemany(
            "INSERT INTO dirty (quarter) VALUES (?) ON CONFLICT DO NOTHING", [(quarter,) for quarter in state.dirty()]
        )
        state.ledger.post()
        booking = state.booking
        if not booking and not state.dirty() and state.seq == self._seq and not self._budget.fresh:
            self.conn.execute("COMMIT")  # nothing was written, so nothing is booked: an idle daemon writes no page
            return
        for held in self._held_ms:
            booking.observe(metric.STORE_WRITE_HOLD, (), held / 1_000)
        for (name, label), amount in self._budget.overflowed.items():
            booking.count(metric.METRICS_OVERFLOW, (name, label), amount)
        self._write_booking(booking)
        totals.save_admitted(self.conn, self._budget.fresh)
        hit("before_commit")
        self.conn.execute("COMMIT")
        self._held_ms.clear()
        self._budget.settle()
        hit("after_commit")

    def _write_booking(self, booking: Booking) -> None:
        totals.add(self.conn, booking.amounts, self.ingest_state.now_ms)
        totals.observe(self.conn, booking.observations, self.ingest_state.now_ms)

    @contextmanager
    def transaction(self) -> Iterator[Ingest]:
        """A write transaction with all that goes with it; StoreError (and nothing written) when it fails."""
        with self._lock:
            started = time.perf_counter()
            try:
                hit("before_begin")
                self._begin()
                yield self.ingest_state
                self._commit()
            except BaseException as error:
                if self.conn.in_transaction:
                    self.conn.execute("ROLLBACK")
                self.ingest_state.forget()
                self._budget.withdraw()
                if isinstance(error, apsw.Error):
                    raise _store_error(error, self.path) from error
                raise
            self._held_ms.append((time.perf_counter() - started) * 1_000)

    # ---- what the writer does --------------------------------------------------------------------------------------

    def files(self) -> list[FileRow]:
        """All files known, with their carry."""
        with self._lock:
            found = list(self.conn.execute(f"SELECT {_FILE_COLUMNS} FROM file"))
        return [
            FileRow(
                file_id=row[0],
                path=row[1],
                device=row[2],
                inode=row[3],
                size=row[4],
                mtime_ns=row[5],
                offset=row[6],
                head=row[7],
                head_length=row[8],
                marker=row[9],
                generation=row[10],
                lines=row[11],
                state=row[12],
                carry=row[13],
            )
            for row in found
        ]

    def carry(self, file_id: int) -> bytes | None:
        """The carried state of a file."""
        with self._lock:
            carry = scalar(self.conn, "SELECT carry FROM file WHERE id = ?", (file_id,))
        return None if carry is None else bytes(carry)

    def ingest(self, batch: Batch, files: Sequence[FileRow]) -> list[int]:
        """Take in a batch and move its files on, in one transaction; the ids of `files`."""
        with self.transaction() as state:
            ids = self._file_ids(files)
            state.file_ids = dict(enumerate(ids))
            self._write_facts(batch, ids)
            hit("after_facts")
            self._write_files(files, ids)
            hit("after_files")
        return ids

    def _file_ids(self, files: Sequence[FileRow]) -> list[int]:
        following = 0
        ids = []
        for row in files:
            if row.file_id is not None:
                ids.append(row.file_id)
                continue
            known = self.conn.execute("SELECT id FROM file WHERE path = ?", (row.path,)).fetchone()
            if known is not None:
                ids.append(int(known[0]))
                continue
            following = following or int(scalar(self.conn, "SELECT COALESCE(MAX(id), 0) FROM file"))
            following += 1
            ids.append(following)
        return ids

    def _write_facts(self, batch: Batch, ids: Sequence[int]) -> None:
        self.ingest_state.facts(batch)
        self.ingest_state.quarantine(
            (ids[bad.file], bad.offset, bad.length, bad.hash, bad.reason, bad.recovered) for bad in batch.bad
        )

    def _write_files(self, files: Sequence[FileRow], ids: Sequence[int]) -> None:
        self.conn.executemany(_KEEP_FILE, [_file_values(row, number) for row, number in zip(files, ids, strict=True)])

    def keep_files(self, files: Sequence[FileRow]) -> None:
        """Write files whose place changed without anything read. Their carry stays."""
        if files:
            with self.transaction():
                self.conn.executemany(_MOVE_FILE, [_file_values(row, row.file_id)[:13] for row in files])

    def close_due(self, caught_up: Collection[int], quiet: Collection[int]) -> int:
        """Close what timers say is over; the number of facts closed in this slice."""
        with self.transaction() as state:
            return closing.close_due(state, state.now_ms, caught_up, quiet)

    def book(self, amounts: Mapping[tuple[str, tuple[str, ...], bool], int]) -> None:
        """Add to totals outside of an ingest."""
        if amounts:
            with self.transaction() as state:
                for (name, labels, leaves), amount in amounts.items():
                    state.booking.count(name, labels, amount, leaves)

    def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work(connection)` in a write transaction of its own."""
        with self.transaction():
            return work(self.conn)

    # ---- what the database knows of itself -------------------------------------------------------------------------

    def meta(self, name: str) -> str | None:
        """A value of the table `meta`, None where it is not set."""
        with self._lock:
            value = scalar(self.conn, "SELECT value FROM meta WHERE name = ?", (name,))
        return None if value is None else str(value)

    def set_meta(self, name: str, value: str) -> None:
        """Set a value of the table `meta`."""
        with self.transaction():
            self.conn.execute(
                "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
                (name, value),
            )

    def catch_up_done(self) -> None:
        """The whole history was read once: from here on facts are live, and metrics are shown."""
        if self.meta("catch_up_done") is None:
            now = str(self._clock.now_ms())
            with self.transaction():
                self.conn.execute(
                    "INSERT INTO meta (name, value) SELECT 'ledger_start', MIN(occurred_at) FROM fact"
                    " WHERE occurred_at IS NOT NULL HAVING COUNT(*) > 0 ON CONFLICT DO NOTHING"
                )
                self.conn.execute("INSERT INTO meta (name, value) VALUES ('catch_up_done', ?)", (now,))
        self.ingest_state.live = True
        self._settle_down()

    def _settle_down(self) -> None:
        """After a catch-up: small checkpoints again, and the memory that only the catch-up needed given back."""
        with self._lock:
            self.ingest_state.names.forget()
            self.ingest_state.contexts.forget()
            self.conn.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            if self.path != ":memory:":
                self.conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self.conn.execute("PRAGMA shrink_memory")
        return_memory()


def _file_values(row: FileRow, number: int | None) -> tuple[Any, ...]:
    return (
        number,
        row.path,
        row.device,
        row.inode,
        row.size,
        row.mtime_ns,
        row.offset,
        row.head,
        row.head_length,
        row.marker,
        row.generation,
        row.lines,
        row.state,
        row.carry,
    )


@contextmanager
def _transaction(conn: apsw.Connection) -> Iterator[None]:
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
    conn.execute("COMMIT")


def _open(path: str) -> apsw.Connection:
    if path != ":memory:":
        create_private(Path(path).parent)
        try:
            # 0600 from the first byte: -wal and -shm inherit the mode of the database
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            raise StoreError(f"cannot open the database {path}: {error.strerror}; name another with --db") from error
    try:
        conn = apsw.Connection(path)
        conn.set_busy_timeout(BUSY_MS)
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = NORMAL")
        conn.execute("PRAGMA trusted_schema = OFF")
        conn.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        conn.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        conn.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        conn.execute("PRAGMA temp_store = MEMORY")
    except apsw.Error as error:
        raise _store_error(error, path) from error
    return conn


def _store_error(error: apsw.Error, path: str) -> StoreError:
    if isinstance(error, apsw.FullError):
        return StoreError(f"the disk that holds {path} is full; free some space, following goes on by itself")
    if isinstance(error, (apsw.NotADBError, apsw.CorruptError)):
        return StoreError(f"{path} is damaged or no SQLite database ({error}); move it away, facts are read anew")
    if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError)):
        return StoreError(f"{path} cannot be written ({error}); check its owner and mode, or name another --db")
    if isinstance(error, apsw.BusyError):
        return StoreError(f"{path} is locked by another writer; it is tried again")
    return StoreError(f"{path}: {error}")
