"""Online backups of a SQLite database: whole, checked and durable under their name, or not there at all.

A copy is made under a temporary name beside its target, by SQLite's own backup (never by copying the file: the
write-ahead log beside it holds the newest commits), then checked, synced and renamed. It is one file that opens
anywhere: without a write-ahead log, mode 0600.

`backup_sqlite` makes one at a go, from a connection of its own, which sees one moment and holds nobody up. `Backup` makes
one in steps on the writer's connection, so that a daemon neither stops for it nor keeps the log from being folded in:
what is written between two steps goes into the copy too.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final, Protocol

import apsw

from ccagent.errors import DamagedError, StoreError
from ccagent.paths import create_private
from ccagent.store.connection import Connection, SqliteConnection, scalar

PARTIAL: Final = ".partial"
"""Ends the name of a backup that is not finished; what a kill leaves of it is removed by the next one."""

PAGES_A_STEP: Final = 4_096
"""16 MiB: between two steps Python runs, so that a signal is heard within some milliseconds."""

SYNC_PAGES: Final = 32_768
"""128 MiB, after which a copy goes to the disk: what is left for the end is short, also where the disk is slow."""

PAGES_BETWEEN_WRITES: Final = 512
"""2 MiB: some milliseconds in which no other transaction of the writer begins."""

FOLDER: Final = "backups"
"""Beside the database; where backups lie unless another place is named."""

ROOM: Final = 1.1
"""Free bytes that a backup needs, by the size of the database: it may grow meanwhile."""

AT_WORK_SECONDS: Final = 600.0
"""A copy that was not written to for so long was given up: the check at its end is the longest pause."""

CHECK_STEPS: Final = 100_000
"""Instructions of SQLite's machine between two questions whether to go on: some milliseconds."""


def backup_sqlite(conn: Connection, target: Path) -> None:
    """Copy the database of `conn`, which is in no transaction, to `target`, as it stands at one moment.

    Writers go on meanwhile. StoreError, and no `target`, when it exists already, the disk is full, or the copy is not
    sound.
    """
    if target.exists():
        raise StoreError(f"{target} exists already; name another file for the backup")
    partial = target.with_name(target.name + PARTIAL)
    try:
        _create(partial)
        try:
            _copy(conn, partial)
            sync(partial)
            partial.replace(target)
        except BaseException:
            _remove(partial)
            raise
        sync(target.parent)
    except (OSError, apsw.Error) as error:
        raise StoreError(f"the backup {target} cannot be written ({error}); see that its folder has room") from error


def require_room(folder: Path, needed: int, purpose: str) -> None:
    """StoreError, with `purpose` as its subject ("the migration of …"), unless `folder` has `needed` bytes free."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise StoreError(
            f"{purpose} has no place in {folder} ({error.strerror}); make the folder, or name another"
        ) from error
    if free < needed:
        raise StoreError(
            f"{purpose} needs {_mebibytes(needed)} MiB, but {folder} has {_mebibytes(free)} MiB free;"
            " free some space and start again, nothing was changed"
        )


def size_of(conn: Connection) -> int:
    """Bytes of the database, those in the write-ahead log included."""
    return int(scalar(conn, "PRAGMA page_count")) * int(scalar(conn, "PRAGMA page_size"))


def default_target(database: Path, now_ms: int) -> Path:
    """Where the next backup of `database` lies: `backups/<name>-<UTC>.db` beside it. Of two in one second the later one
    is named for the next."""
    moment = datetime.fromtimestamp(now_ms / 1_000, UTC)
    while True:
        target = database.parent / FOLDER / f"{database.stem}-{moment:%Y%m%dT%H%M%SZ}.db"
        if not target.exists():
            return target
        moment += timedelta(seconds=1)


def backups_of(database: Path) -> list[Path]:
    """The backups of `database` in their usual place, the newest first."""
    name = re.compile(re.escape(database.stem) + r"-\d{8}T\d{6}Z\.db")
    try:
        found = [path for path in (database.parent / FOLDER).iterdir() if name.fullmatch(path.name)]
    except OSError:
        return []
    return sorted(found, key=lambda path: path.name, reverse=True)


def keep_newest(database: Path, keep: int, made: Path | None = None) -> list[Path]:
    """Remove all but the `keep` newest backups in the usual place, and what kills left of others; what was removed.

    `made` is the one just made, which stays though a clock that went ahead has named another for a later time.
    """
    removed = []
    for path in backups_of(database)[max(1, keep) :]:
        if path == made:
            continue
        path.unlink(missing_ok=True)
        removed.append(path)
    return removed


def clear_partial(database: Path, now: float) -> None:
    """Remove what a kill has left of unfinished backups in the usual place; one that somebody is at work on stays.

    `now` in seconds since the epoch.
    """
    name = re.compile(re.escape(database.stem) + r"-\d{8}T\d{6}Z\.db" + re.escape(PARTIAL) + r"(-\w+)?")
    try:
        for path in (database.parent / FOLDER).iterdir():
            if name.fullmatch(path.name) and path.stat().st_mtime < now - AT_WORK_SECONDS:
                path.unlink(missing_ok=True)
    except OSError:
        return  # the folder is not there yet, or its disk has worse troubles


class Source(Protocol):
    """A writer whose connection can be borrowed between two of its transactions."""

    def between(self, work: Callable[[SqliteConnection], bool]) -> bool:
        """Run `work` on the connection, outside of any transaction, under the lock."""


class Backup:
    """A backup in steps. `step` until it returns False, or `abandon`; StoreError ends it, and leaves no target."""

    def __init__(self, source: Source, target: Path) -> None:
        """Nothing is touched before the first step."""
        self.target = target
        self.done = 0.0
        """Share of the pages that is copied."""
        self._unsynced = 0
        self._source = source
        self._partial = target.with_name(target.name + PARTIAL)
        self._copy: SqliteConnection | None = None
        self._backup: apsw.Backup | None = None

    def step(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Copy some pages; after the last ones check, sync and rename. Whether there is more to do.

        The check of a large copy takes seconds and ends at once when `stopping`: the backup is then abandoned.
        """
        try:
            if self._copy is None:
                self._begin()
            if self._source.between(self._some):
                self._unsynced += PAGES_BETWEEN_WRITES
                if self._unsynced >= SYNC_PAGES:
                    self._unsynced = 0
                    sync(self._partial)
                return True
            assert self._copy is not None
            _seal(self._copy, self._partial, stopping)
            self._close()
            sync(self._partial)
            self._partial.replace(self.target)
            sync(self.target.parent)
        except apsw.InterruptError:
            self.abandon()
        except (OSError, apsw.Error) as error:
            self.abandon()
            raise StoreError(
                f"the backup {self.target} cannot be written ({error}); see that its folder has room"
            ) from error
        except BaseException:
            self.abandon()
            raise
        return False

    def abandon(self) -> None:
        """Give it up; nothing of it stays."""
        self._close()
        _remove(self._partial)

    def _begin(self) -> None:
        if self.target.exists():
            raise StoreError(f"{self.target} exists already; name another file for the backup")
        create_private(self.target.parent)
        _create(self._partial)
        self._copy = SqliteConnection(str(self._partial))
        self._copy.execute("PRAGMA synchronous = OFF")  # synced once, when it is whole

    def _some(self, conn: SqliteConnection) -> bool:
        """Copy PAGES_BETWEEN_WRITES pages; whether more are left."""
        assert self._copy is not None
        if self._backup is None:
            self._backup = self._copy.backup("main", conn, "main")
        self._backup.step(PAGES_BETWEEN_WRITES)
        whole = self._backup.page_count
        self.done = 1.0 - self._backup.remaining / whole if whole else 1.0
        if self._backup.done:
            self._backup.close()
            self._backup = None
            return False
        return True

    def _close(self) -> None:
        if self._backup is not None:
            self._backup.close(True)  # an error of its last step was told already
            self._backup = None
        if self._copy is not None:
            self._copy.close()
            self._copy = None


def _create(partial: Path) -> None:
    """An empty file: 0600 from the first byte, and nobody's link is followed."""
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def _remove(partial: Path) -> None:
    for leftover in ("", "-journal", "-wal", "-shm"):
        Path(f"{partial}{leftover}").unlink(missing_ok=True)


def _seal(copy: SqliteConnection, partial: Path, stopping: Callable[[], bool] = lambda: False) -> None:
    """Make one file of the copy, see that it is sound, and give its alerts an era.

    DamagedError if it is not sound; apsw.InterruptError when `stopping`.
    """
    copy.execute("PRAGMA journal_mode = DELETE").fetchall()
    copy.set_progress_handler(stopping, CHECK_STEPS)
    try:
        faults = [row[0] for row in copy.execute("PRAGMA quick_check(1)")]
    except (apsw.CorruptError, apsw.NotADBError) as error:
        faults = [str(error)]
    if faults != ["ok"]:
        raise DamagedError(f"{partial} is not sound ({faults[0]}); check the database with `ccagent db check`")
    _begin_era(copy)


def _begin_era(copy: SqliteConnection) -> None:
    """Alerts to come of whoever puts the copy in place have other keys than those that were told since it was made."""
    from ccagent.store.alert_states import ERA
    from ccagent.store.writer import set_meta

    if scalar(copy, "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'alert_history'"):
        set_meta(copy, ERA, str(int.from_bytes(os.urandom(6))))


def _copy(conn: Connection, partial: Path) -> None:
    assert isinstance(conn, SqliteConnection)

    def going_on() -> bool:
        conn.at_work()
        return False

    with closing(SqliteConnection(str(partial))) as copy:
        copy.execute("PRAGMA synchronous = OFF")  # synced once, when it is whole
        conn.execute("BEGIN")  # one moment: without it, a commit of somebody else would start the copy anew
        try:
            conn.execute("SELECT COUNT(*) FROM sqlite_schema").fetchall()
            with copy.backup("main", conn, "main") as backup:
                for copied in count(PAGES_A_STEP, PAGES_A_STEP):
                    backup.step(PAGES_A_STEP)
                    conn.at_work()
                    if backup.done:
                        break
                    if copied % SYNC_PAGES == 0:
                        sync(partial)
        finally:
            conn.execute("ROLLBACK")
        _seal(copy, partial, going_on)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f}"
