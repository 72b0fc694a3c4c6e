"""The write-ahead log of a SQLite database: how long it is, folding it in, and who keeps it from being folded in.

The writer folds it in by itself every few MiB. It cannot go behind the oldest moment that a reader still looks at: a
reader that never ends lets the log grow for ever.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from ccagent.errors import StoreError
from ccagent.store.connection import SqliteConnection, scalar
from ccagent.store.size import file_size

WAIT_MS: Final = 50
"""How long a truncation waits for readers: the writer waits with it, and it is to wait for nobody longer than that."""

LOCKS: Final = Path("/proc/locks")

READ_LOCKS: Final = range(123, 128)
"""Bytes of the log's index whose locks stand for readers (https://www.sqlite.org/walformat.html)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What folding in has done: frames in the log, those of them that are in the database now, and whether the log
    was cut to nothing."""

    frames: int
    done: int
    truncated: bool = False

    @property
    def whole(self) -> bool:
        """Whether everything is in the database."""
        return self.done >= self.frames


def wal_bytes(database: str) -> int:
    """The length of the log of the database at that path, 0 where there is none."""
    return file_size(f"{database}-wal")


def fold_in(database: str, *, truncate: bool = False) -> Folded:
    """Bring what the log holds into the database, as far as readers allow; writers go on meanwhile.

    With `truncate` the log is then cut to nothing, if nobody reads. StoreError when the disk refuses.
    """
    try:
        # A connection of its own: the writer's would hold up the writer.
        with closing(SqliteConnection(database)) as conn:
            scalar(conn, "SELECT COUNT(*) FROM sqlite_schema")  # before it has read it knows of no log
            frames, done = conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if not truncate or done < frames:
                return Folded(frames=frames, done=done)
            conn.set_busy_timeout(WAIT_MS)
            try:
                conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            except apsw.BusyError:
                return Folded(frames=frames, done=done)
            return Folded(frames=frames, done=done, truncated=True)
    except apsw.BusyError:
        return Folded(frames=0, done=0)  # somebody else is at it
    except apsw.Error as error:
        raise StoreError(f"the write-ahead log of {database} cannot be folded in: {error}") from error


def readers(database: str, locks: Path = LOCKS) -> list[int]:
    """Pids of other processes that are reading the database at this moment, as far as the system tells (Linux)."""
    try:
        index = Path(f"{database}-shm").stat()
        lines = locks.read_text().splitlines()
    except OSError:
        return []
    place = f"{os.major(index.st_dev):02x}:{os.minor(index.st_dev):02x}:{index.st_ino}"
    found = set()
    for line in lines:
        # "7: POSIX  ADVISORY  READ 812 fe:00:1234 123 123"; one that waits has an arrow behind the number
        fields = line.split()
        if len(fields) < 8 or fields[1] != "POSIX" or fields[5] != place or not fields[4].isdecimal():
            continue
        first, last = fields[6], fields[7]
        if first.isdecimal() and int(first) < READ_LOCKS.stop and (last == "EOF" or int(last) >= READ_LOCKS.start):
            found.add(int(fields[4]))
    return sorted(found - {os.getpid()})


def named(pid: int) -> str:
    """A process for a message: its pid, and its program's name where the system tells it."""
    try:
        program = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return f"pid {pid}"
    return f"pid {pid} ({program})"
