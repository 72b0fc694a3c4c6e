"""The SQLite store: one writer, WAL, every change in one transaction.

The transcripts are the write-ahead log of what this database holds: after a power cut the last commits may be gone,
but facts and offsets go together, so the same lines are read again. Hence synchronous=NORMAL.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import apsw

from ccagent.clock import Clock
from ccagent.errors import DamagedError, StoreError
from ccagent.facts.pricing import PriceTable
from ccagent.metrics.ledger import Exportable
from ccagent.paths import create_private
from ccagent.store import hosts
from ccagent.store.connection import AtWork, SqliteConnection, unwatched
from ccagent.store.filesystem import refuse_network
from ccagent.store.location import Database, parse_database
from ccagent.store.memory import return_memory
from ccagent.store.migrations import prepare, refuse_others
from ccagent.store.writer import Writer, nothing_leaves

BUSY_MS: Final = 5_000
"""How long a statement waits for another process' write (small writers of the command line)."""

CACHE_KIB: Final = 16_384
"""Page cache of the writer: holds the key index of some 400,000 facts, so that inserts at random keys stay cheap."""

LIVE_CACHE_KIB: Final = 8_192
"""The same once the history has been read: a few sessions write, near one another, and a laptop has other uses for it."""

CHECKPOINT_PAGES: Final = 1_000
CATCH_UP_PAGES: Final = 16_000
"""Pages of the write-ahead log (4 and 64 MiB) that start a checkpoint, which waits for the disk. In a catch-up inserts
at random keys change the same index pages again and again; folding them in less often writes each less often."""

JOURNAL_BYTES: Final = 64 * 1024 * 1024
"""The write-ahead log is cut back to this after a checkpoint."""

MEMORY: Final = ":memory:"

T = TypeVar("T")


class SqliteStore(Writer):
    """The writer of one database file. Close it when done."""

    begin: ClassVar[str] = "BEGIN IMMEDIATE"

    def __init__(
        self,
        path: Path | str | Database,
        *,
        clock: Clock,
        prices: PriceTable | None = None,
        exportable: Exportable = nothing_leaves,
        budgets: Mapping[str, int] | None = None,
        at_work: AtWork = unwatched,
    ) -> None:
        """Open (and create) the database at `path`, or ":memory:". StoreError says what stands in the way.

        `at_work` is called while anything takes long, a migration from the first statement on.
        """
        database = path if isinstance(path, Database) else parse_database(str(path))
        self.path = database.target
        conn = _open(self.path)
        conn.tell_work(at_work)
        try:
            now = clock.now_ms()
            file = None if self.path == MEMORY else Path(self.path)
            self.prepared = prepare(conn, place=self.path, now_ms=now, path=file)
            host = hosts.enter(conn, None, now)
            super().__init__(conn, database, host, clock=clock, prices=prices, exportable=exportable, budgets=budgets)
            conn.tell_work(lambda: at_work(self._lock.waiting))
            if not self.ingest_state.live:
                conn.execute(f"PRAGMA wal_autocheckpoint = {CATCH_UP_PAGES}")
        except apsw.Error as error:
            conn.close()
            raise _store_error(error, self.path) from error
        except BaseException:
            conn.close()
            raise
        self._sqlite = conn
        self._opened_inode = Path(self.path).stat().st_ino if self.path != MEMORY else 0

    def translated(self, error: BaseException) -> BaseException:
        """apsw's errors as StoreError."""
        return _store_error(error, self.path) if isinstance(error, apsw.Error) else error

    def close(self) -> None:
        """Let SQLite tidy its statistics and close; the write-ahead log is folded in."""
        with self._lock:
            try:
                if self.path != MEMORY:
                    self._sqlite.execute("PRAGMA optimize")
            except apsw.Error:
                pass  # statistics can wait: on a full disk closing is what matters
            finally:
                self._sqlite.close()

    def between(self, work: Callable[[SqliteConnection], T]) -> T:
        """Run `work` on the writer's connection between two transactions, under the lock; StoreError when it fails."""
        with self._lock:
            try:
                return work(self._sqlite)
            except apsw.Error as error:
                raise _store_error(error, self.path) from error

    def optimize(self) -> None:
        """Let SQLite refresh the statistics that its planner uses; to be called daily."""
        self.write(lambda conn: conn.execute("PRAGMA optimize"))

    def replaced(self) -> bool:
        """Whether the database file was unlinked or replaced under the open connection: writes would be lost."""
        if self.path == MEMORY:
            return False
        try:
            return Path(self.path).stat().st_ino != self._opened_inode
        except FileNotFoundError:
            return True

    def settle_down(self) -> None:
        """Small checkpoints again, and the memory that only the catch-up needed given back."""
        self._sqlite.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        if self.path != MEMORY:
            self._sqlite.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._sqlite.execute(f"PRAGMA cache_size = -{LIVE_CACHE_KIB}")
        self._sqlite.execute("PRAGMA shrink_memory")
        return_memory()


def _open(path: str) -> SqliteConnection:
    if path != MEMORY:
        refuse_network(path)
        create_private(Path(path).parent)
        try:
            # 0600 from the first byte: -wal and -shm inherit the mode of the database
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            raise StoreError(f"cannot open the database {path}: {error.strerror}; name another with --db") from error
    try:
        conn = SqliteConnection(path)
        conn.set_busy_timeout(BUSY_MS)
        refuse_others(conn, path)  # before anything is written
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
        return StoreError(
            f"the disk that holds {path} is full; free some space, following goes on by itself", reason="full"
        )
    if isinstance(error, (apsw.NotADBError, apsw.CorruptError)):
        return DamagedError(
            f"{path} is damaged or no SQLite database ({error}); the next start of `ccagent run` sets it aside and reads"
            " the facts anew",
            reason="corrupt",
        )
    if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError)):
        return StoreError(
            f"{path} cannot be written ({error}); check its owner and mode, or name another --db", reason="readonly"
        )
    if isinstance(error, apsw.BusyError):
        return StoreError(f"{path} is locked by another writer; it is tried again", reason="busy")
    if isinstance(error, apsw.InterruptError):  # of a reader, whose answer was to be written
        return StoreError(f"{path}: reading took too long and was given up; try again when the machine is less busy")
    return StoreError(f"{path}: {error}", reason="io" if isinstance(error, apsw.IOError) else "other")
