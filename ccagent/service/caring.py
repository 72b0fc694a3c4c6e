"""What the schedule thread does for a SQLite database: its write-ahead log is kept short, and copies are made of it.

A server looks after a served one by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ccagent.clock import Clock
from ccagent.config import BackupConfig
from ccagent.errors import StoreError
from ccagent.logs import get_logger
from ccagent.paths import create_private
from ccagent.service.live import Live
from ccagent.store import wal
from ccagent.store.backup import ROOM, Backup, backups_of, clear_partial, default_target, keep_newest, require_room
from ccagent.store.size import file_size
from ccagent.store.sqlite import MEMORY, SqliteStore
from ccagent.store.writer import Writer

MIB: Final = 1024 * 1024
DAY_MS: Final = 24 * 3_600 * 1_000

LOG_SECONDS: Final = 5.0
"""Between two looks at the log: at 50 MB/s it grows by 250 MB meanwhile."""

BACKUP_SECONDS: Final = 3_600.0
"""Between two looks whether a backup is due, and between two tries after a failure."""

SLICE_SECONDS: Final = 0.2
"""Of each second in which a backup is made: it is to be noticed as little as the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """Bytes of the write-ahead log at which something is done about it."""

    passive: int = 8 * MIB
    """Twice what the writer lets it grow to: folded in while nothing is written, when it costs nobody anything."""

    truncate: int = 64 * MIB
    """What a catch-up lets it grow to; beyond it something keeps it from being used again from its start."""

    alarm: int = 256 * MIB
    """Beyond it somebody reads and reads, and is to be told."""

    pause: int = 1024 * MIB
    """Beyond it nothing is taken in until the reader is gone: the transcripts wait, and a full disk would hit others."""


class Caring:
    """Driven by `tick(now)`, as the schedule thread is."""

    def __init__(
        self, store: Writer, live: Live, clock: Clock, backup: BackupConfig, limits: LogLimits | None = None
    ) -> None:
        self._store = store if isinstance(store, SqliteStore) and store.path != MEMORY else None
        self._live = live
        self._clock = clock
        self._config = backup
        self._limits = limits or LogLimits()
        self._next_look = 0.0
        self._next_backup = 0.0
        self._folded: tuple[int, int] | None = None
        self._backup: Backup | None = None
        self._log = get_logger()

    def tick(self, now: float, stopping: Callable[[], bool] = lambda: False) -> None:
        """Whatever is due at `now` (steady seconds). What fails is told and tried again; nothing depends on it."""
        if self._store is None:
            return
        if now >= self._next_look:
            self._next_look = now + LOG_SECONDS
            self._look_at_log(self._store.path)
        if self._backup is not None:
            self._copy_on(self._backup, now, stopping)
        elif now >= self._next_backup and self._live.caught_up:
            self._next_backup = now + BACKUP_SECONDS
            self._begin_backup(self._store)

    def close(self) -> None:
        """Give up a backup that is being made; nothing of it stays."""
        if self._backup is not None:
            self._backup.abandon()
            self._backup = None

    # ---- the write-ahead log ---------------------------------------------------------------------------------------

    def _look_at_log(self, path: str) -> None:
        limits = self._limits
        size = wal.wal_bytes(path)
        idle = self._live.caught_up and not self._live.unread_bytes
        # A catch-up lets it grow; and a log that somebody else cuts makes a backup begin anew.
        patient = not self._live.caught_up or self._backup is not None
        urgent = size > (limits.alarm if patient else limits.truncate)
        if (urgent or (idle and size > limits.passive)) and self._changed(path):
            try:
                folded = wal.fold_in(path, truncate=urgent)
            except StoreError as error:
                self._log.error("wal.failed", error=str(error))
            else:
                self._folded = _version(path) if folded.whole and not urgent else None
                size = wal.wal_bytes(path)
        self._tell(path, size)

    def _changed(self, path: str) -> bool:
        """Whether the log was written to since all of it was folded in."""
        return self._folded is None or self._folded != _version(path)

    def _tell(self, path: str, size: int) -> None:
        paused = size > self._limits.pause
        if paused != self._live.paused:
            self._log.error("ingest.paused" if paused else "ingest.resumed", wal_bytes=size)
        self._live.paused = paused
        if size <= self._limits.alarm:
            self._live.problem("wal", None)
            return
        others = wal.readers(path)
        who = ", ".join(map(wal.named, others)) or "a program that reads the database"
        waiting = "; nothing is taken in until then, the transcripts wait" if paused else ""
        self._live.problem(
            "wal",
            f"the write-ahead log {path}-wal has grown to {size // MIB} MiB because a reader does not come to an end"
            f" ({who}); end it, and the log is folded in{waiting}",
        )

    # ---- backups ---------------------------------------------------------------------------------------------------

    def _begin_backup(self, store: SqliteStore) -> None:
        path = Path(store.path)
        now_ms = self._clock.now_ms()
        clear_partial(path, now_ms / 1_000)
        if (
            not self._config.interval_days
            or self._last_backup(store, now_ms) + self._config.interval_days * DAY_MS > now_ms
        ):
            return
        target = default_target(path, now_ms)
        try:
            create_private(target.parent)
            require_room(target.parent, int(file_size(store.path) * ROOM), f"the backup {target}")
        except StoreError as error:
            self._failed(error)
            return
        self._backup = Backup(store, target)

    def _last_backup(self, store: SqliteStore, now_ms: int) -> float:
        """When the newest backup was made, or the database itself: until then the transcripts are the backup. What a clock
        that went ahead says was made later than now keeps no backup from being made."""
        made = [float(store.meta("created_at") or 0), *map(_made_at, backups_of(Path(store.path)))]
        return max((at for at in made if at <= now_ms), default=0.0)

    def _copy_on(self, backup: Backup, now: float, stopping: Callable[[], bool]) -> None:
        end = time.perf_counter() + SLICE_SECONDS
        try:
            while backup.step(stopping):
                if stopping() or time.perf_counter() >= end:
                    return
        except StoreError as error:
            self._backup = None
            self._failed(error)
            return
        self._backup = None
        if not backup.target.exists():
            return  # stopped in its check
        assert self._store is not None
        removed = keep_newest(Path(self._store.path), self._config.keep, backup.target)
        self._live.problem("backup", None)
        self._log.info("backup.made", file=str(backup.target), removed=[str(path) for path in removed])

    def _failed(self, error: StoreError) -> None:
        self._live.problem("backup", str(error))
        self._log.error("backup.failed", error=str(error))


def _made_at(backup: Path) -> float:
    """Ms UTC, out of a backup's name."""
    stamp = backup.stem.rpartition("-")[2]
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1_000


def _version(path: str) -> tuple[int, int]:
    """What changes with every write to the log."""
    try:
        found = Path(f"{path}-wal").stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
