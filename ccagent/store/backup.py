"""Online backups of a SQLite database: whole, checked and durable under their name, or not there at all.

A copy is made under a temporary name beside its target, by SQLite's own backup (never by copying the file: the
write-ahead log beside it holds the newest commits), then checked, synced and renamed. It is one file that opens
anywhere: without a write-ahead log, mode 0600.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import apsw

from ccagent.errors import StoreError
from ccagent.store.connection import Connection, scalar

PARTIAL: Final = ".partial"
"""Ends the name of a backup that is not finished; what a kill leaves of it is removed by the next one."""

PAGES_A_STEP: Final = 4_096
"""16 MiB: between two steps Python runs, so that a signal is heard within some milliseconds."""


def backup_sqlite(conn: Connection, target: Path) -> None:
    """Copy the database of `conn`, which is in no transaction, to `target`, as it stands at one moment.

    Writers go on meanwhile. StoreError, and no `target`, when it exists already, the disk is full, or the copy is not
    sound.
    """
    if target.exists():
        raise StoreError(f"{target} exists already; name another file for the backup")
    partial = target.with_name(target.name + PARTIAL)
    try:
        partial.unlink(missing_ok=True)
        # 0600 from the first byte, and nobody's link is followed
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        try:
            _copy(conn, partial)
            _sync(partial)
            partial.replace(target)
        except BaseException:
            for leftover in ("", "-journal", "-wal", "-shm"):
                Path(f"{partial}{leftover}").unlink(missing_ok=True)
            raise
        _sync(target.parent)
    except (OSError, apsw.Error) as error:
        raise StoreError(f"the backup {target} cannot be written ({error}); see that its folder has room") from error


def require_room(folder: Path, needed: int, purpose: str) -> None:
    """StoreError, with `purpose` as its subject ("the migration of …"), unless `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreError(
            f"{purpose} needs {_mebibytes(needed)} MiB, but {folder} has {_mebibytes(free)} MiB free;"
            " free some space and start again, nothing was changed"
        )


def size_of(conn: Connection) -> int:
    """Bytes of the database, those in the write-ahead log included."""
    return int(scalar(conn, "PRAGMA page_count")) * int(scalar(conn, "PRAGMA page_size"))


def _copy(conn: Connection, partial: Path) -> None:
    assert isinstance(conn, apsw.Connection)
    copy = apsw.Connection(str(partial))
    try:
        copy.execute("PRAGMA synchronous = OFF")  # synced once, when it is whole
        conn.execute("BEGIN")  # one moment: without it, a commit of somebody else would start the copy anew
        try:
            conn.execute("SELECT COUNT(*) FROM sqlite_schema").fetchall()
            with copy.backup("main", conn, "main") as backup:
                while not backup.done:
                    backup.step(PAGES_A_STEP)
        finally:
            conn.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()
        faults = [row[0] for row in copy.execute("PRAGMA quick_check(1)")]
        if faults != ["ok"]:
            raise StoreError(f"{partial} is not sound ({faults[0]}); check the database with `ccagent db check`")
    finally:
        copy.close()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f}"
