"""One writer a database: an advisory lock beside it, which the kernel frees when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from ccagent.errors import InstanceRunningError, StoreError
from ccagent.paths import create_private
from ccagent.store.location import Database

PATIENCE_SECONDS: Final = 0.5
"""How long a start waits for the lock: `status` takes it for microseconds to see whether anybody has it."""


class InstanceLock:
    """`<database>.lock`, held from `__enter__` to the end of the process or `__exit__`. The file stays; its text is
    the holder's pid."""

    def __init__(self, database: Database) -> None:
        self.path = Path(database.sidecar + ".lock")
        self._display = database.display
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock. InstanceRunningError names the holder if another process has it."""
        create_private(self.path.parent)
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(f"cannot open the lock {self.path}: {error.strerror}; name another --db") from error
        try:
            _lock(descriptor)
        except BlockingIOError as error:
            os.close(descriptor)
            pid = holder(str(self.path).removesuffix(".lock"))
            raise InstanceRunningError(
                f"another ccagent (pid {pid or 'unknown'}) holds {self._display}; stop it, or name another --db"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock up."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> InstanceLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _lock(descriptor: int) -> None:
    """Take the lock; a `status` that looks who holds it has it for a moment, so it is tried for PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(PATIENCE_SECONDS / 20)
        else:
            return


def holder(sidecar: str) -> int | None:
    """The pid of the process that holds the database's lock, None if nobody does (whatever the file says)."""
    path = Path(sidecar + ".lock")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            return int(text) if text.isdecimal() else 0
        return None
    finally:
        os.close(descriptor)
