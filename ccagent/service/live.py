"""What the threads tell of themselves while they run: read by the metrics page, `status` and the progress line."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from ccagent import __version__
from ccagent.errors import StoreError

SCHEMA_VERSION = 1

ROOM = 8_192
"""Bytes of a status file at least, filled with blanks: on a full disk the next status can take its place."""

TOUCH_SECONDS = 60.0
"""A status in which nothing changes is touched so often: its time tells when its writer was last seen alive."""

REST_SECONDS = 3.0
"""A status in which only amounts moved is written so often once the history is taken in: live sessions move them with
every line, and each writing takes the disk."""

_AMOUNTS = frozenset(
    {
        "files", "total_bytes", "unread_bytes", "pending_bytes", "oldest_unread_ms", "bytes_per_second", "sources",
        "rollups_at", "next_prune_ms", "exports", "project_files",
    }
)  # fmt: skip
_EXPORT_STATE = ("state", "problem", "endpoint", "protocol")
"""What of a destination is no amount."""

_PROBLEMS = threading.Lock()
"""Problems are told by several threads; reading, changing and putting back must not cross."""


@dataclass(slots=True)
class Live:
    """Values of this moment. Each field but `problems` is written by one thread; readers take what they find."""

    started_ms: int = 0
    ready: bool = False
    caught_up: bool = False
    files: int = 0
    total_bytes: int = 0
    unread_bytes: int = 0
    pending_bytes: int = 0
    lost_bytes: int = 0
    unreadable: int = 0
    refused: int = 0
    """Folders that the last scan could not look into."""
    missed: int = 0
    oldest_unread_ms: int | None = None
    bytes_per_second: float = 0.0
    watch_mode: str = "off"
    watch_reason: str = "not started"
    roots: tuple[str, ...] = ()
    sources: dict[str, int] = field(default_factory=dict)
    """Transcripts by whose they are, as the last scan found them."""
    listen: str = ""
    reload_ok: bool = True
    paused: bool = False
    """Nothing is taken in until the write-ahead log is short again."""
    rollups_at: int | None = None
    next_prune_ms: int | None = None
    notices: tuple[str, ...] = ()
    problems: dict[str, str] = field(default_factory=dict)
    exports: dict[str, dict[str, object]] = field(default_factory=dict)
    unreadable_rules: tuple[str, ...] = ()
    """Alert rules that a newer version wrote."""
    tier: dict[str, object] = field(default_factory=dict)
    """The personal tier in force: `personal`, what it was `set_by`, the owner's `identity`."""
    project_files: dict[str, int] = field(default_factory=dict)
    """Files of projects that bound what leaves or name it, with the tier that they come to."""

    def problem(self, where: str, text: str | None) -> None:
        """Say what is wrong at `where`, None when it is right again. Thread-safe."""
        with _PROBLEMS:
            problems = {key: said for key, said in self.problems.items() if key != where}
            if text is not None:
                problems[where] = text
            self.problems = problems


class StatusFile:
    """`<database>.status.json`: the live values, for `ccagent status`. Written whole (temporary name, rename), 0600.

    It is no state: who reads it checks with the database's lock that its writer lives. A writer that was killed leaves
    it behind; then it tells when that was.
    """

    def __init__(self, database: str, steady: Callable[[], float] = time.monotonic) -> None:
        self.path = status_path(database)
        self._steady = steady
        self._touched = 0.0
        self._last = b""
        self._stands: object = None
        self._lock = threading.Lock()

    def write(self, live: Live) -> None:
        """Write what changed, or that nothing did; amounts that moved may wait. StoreError when the folder refuses."""
        who = {"schema_version": SCHEMA_VERSION, "pid": os.getpid(), "version": __version__}
        with self._lock:
            now, stands = self._steady(), _stands(live)
            if self._last and live.caught_up and stands == self._stands and 0 <= now - self._touched < REST_SECONDS:
                return
            data = orjson.dumps({**who, **asdict(live)})
            if data == self._last and now - self._touched < TOUCH_SECONDS:
                return
            try:
                if data == self._last:
                    os.utime(self.path)
                else:
                    self._write(data.ljust(ROOM))
            except OSError as error:
                self._last = b""  # a file that somebody removed is written anew
                raise StoreError(f"cannot write {self.path}: {error.strerror}") from error
            self._last, self._touched, self._stands = data, now, stands

    def _write(self, data: bytes) -> None:
        from tempfile import mkstemp  # `status` reads, and loads this room for that

        name = None
        try:
            descriptor, name = mkstemp(prefix=self.path.name, dir=self.path.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(name).replace(self.path)
        except OSError as error:
            if name is not None:
                Path(name).unlink(missing_ok=True)
            if error.errno != errno.ENOSPC or not self._over(data):
                raise

    def _over(self, data: bytes) -> bool:
        """On a full disk: in the place of what stands there, whose room is taken already. Whether it fits."""
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            room = os.fstat(descriptor).st_size
            return room >= len(data) and os.pwrite(descriptor, data.ljust(room), 0) == room
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """The daemon ends; nothing is live any more."""
        self.path.unlink(missing_ok=True)


def _stands(live: Live) -> tuple[object, ...]:
    """What nobody may learn late: everything but amounts."""
    exports = {key: [values.get(name) for name in _EXPORT_STATE] for key, values in live.exports.items()}
    return (exports, *(getattr(live, field.name) for field in fields(live) if field.name not in _AMOUNTS))


def status_path(database: str) -> Path:
    """Where the live values of a database's daemon stand."""
    return Path(database + ".status.json")


def last_seen_ms(database: str) -> int | None:
    """When the live values were last written or confirmed, ms UTC; None where there are none."""
    try:
        return status_path(database).stat().st_mtime_ns // 1_000_000
    except OSError:
        return None


def read_status(database: str) -> dict[str, Any] | None:
    """The last live values that were written, None where there are none."""
    try:
        document = orjson.loads(status_path(database).read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
