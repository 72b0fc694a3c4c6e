"""File events as hints: what the system tells of changes makes ccagent fast, never right.

Events get lost (full queues, watch limits, sleep, network drives) without an error, so the scan stays the truth. The
handler does no I/O: it hands the path on and wakes whoever waits.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ccagent.follow.roots import Place, lies_within, resolve_roots
from ccagent.follow.scan import Walk

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver, ObservedWatch

Mode = Literal["events", "degraded", "off"]

LIMIT_FILES: Final = ("/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches")
"""The smaller one holds. Beyond it the library goes on without a word."""

WATCH_SHARE: Final = 0.9
"""Other programs of the same user take watches from the same limit."""

INOTIFY_LOGGER: Final = "watchdog.observers.inotify_c"
"""The only place where the library tells of a full queue."""

REMOTE_FILESYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "vboxsf", "drvfs", "virtiofs", "afs", "ceph"}
)
"""What others write there raises no event here."""

STOP_SECONDS: Final = 2.0
"""The observer's threads end at once or never; the process does not wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchHealth:
    """Whether events can be relied on as hints: all there, partly, or not at all, and why."""

    mode: Mode
    reason: str = ""


class Watcher:
    """Announces changed files and new folders below `roots` to `on_path`, from the observer's thread.

    `on_overflow` is called when the system lost events: scan now. `wake` is set after each call. `limit`: how many
    folders can be watched; None asks the system. No method raises: what does not work is in `health`.
    """

    def __init__(
        self,
        roots: Sequence[Place],
        on_path: Callable[[bytes], None],
        *,
        on_overflow: Callable[[], None] | None = None,
        wake: threading.Event | None = None,
        limit: int | None = None,
    ) -> None:
        self._roots = roots
        self._on_path = on_path
        self._on_overflow = on_overflow
        self._wake = wake
        self._limit = system_watch_limit() if limit is None else limit
        self._observer: BaseObserver | None = None
        self._watches: dict[bytes, tuple[tuple[int, int], ObservedWatch]] = {}
        self._failures: dict[bytes, str] = {}
        self._off = "not started"
        self._directories = 0
        self._log_handler = _OverflowHandler(self._overflowed)
        self.overflows = 0

    def start(self) -> None:
        """Begins to watch the roots that exist; without events, says so in `health`."""
        warnings.filterwarnings("ignore", category=RuntimeWarning, message="Callback with id")
        logging.getLogger(INOTIFY_LOGGER).addHandler(self._log_handler)
        try:
            self._observer = _new_observer()
            self._observer.start()
        except (ImportError, OSError, RuntimeError) as error:
            self._observer, self._off = None, f"no file events: {error}"
            return
        self._off = ""
        self.refresh()

    def refresh(self, directories: int | None = None) -> None:
        """Attaches roots that came late or were replaced. To be called after each scan, with its count of folders."""
        if self._observer is None:
            return
        found = resolve_roots(self._roots)
        if directories is None:
            directories = sum(_count_directories(root) for root in found)
        self._directories = directories
        for root in [root for root in self._watches if root not in found]:
            self._detach(root)
        self._failures = {root: reason for root, reason in self._failures.items() if root in found}
        for root in found:
            self._attach(root)

    def stop(self) -> None:
        """Ends watching; waits at most STOP_SECONDS."""
        logging.getLogger(INOTIFY_LOGGER).removeHandler(self._log_handler)
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(STOP_SECONDS)
        self._observer, self._off = None, "stopped"
        self._watches.clear()

    def health(self) -> WatchHealth:
        """How far the hints reach now."""
        if self._observer is None:
            return WatchHealth(mode="off", reason=self._off)
        if not self._observer.is_alive():
            return WatchHealth(mode="off", reason="the observer's thread ended; files are found by scanning")
        if self._failures:
            return WatchHealth(mode="degraded", reason="; ".join(self._failures.values()))
        if self._limit is not None and self._directories > self._limit * WATCH_SHARE:
            return WatchHealth(
                mode="degraded",
                reason=f"{self._directories} folders to watch, and the system allows {self._limit} watches: changes "
                "are found by scanning; raise fs.inotify.max_user_watches",
            )
        remote = sorted({kind for root in self._watches if (kind := remote_filesystem(root))})
        if remote:
            return WatchHealth(mode="degraded", reason=f"{', '.join(remote)}: others' changes are found by scanning")
        return WatchHealth(mode="events")

    def _attach(self, root: bytes) -> None:
        assert self._observer is not None
        try:
            status = os.stat(root)
            identity = (status.st_dev, status.st_ino)
            if root in self._watches and self._watches[root][0] == identity:
                return
            self._detach(root)
            handler: Any = _Handler(self._announce)  # the library's base class would have to be imported above
            watch = self._observer.schedule(handler, os.fsdecode(root), recursive=True, event_filter=_event_filter())
        except (OSError, RuntimeError) as error:
            self._failures[root] = f"cannot watch {os.fsdecode(root)!r}: {error}"
            return
        self._watches[root] = (identity, watch)
        self._failures.pop(root, None)

    def _detach(self, root: bytes) -> None:
        known = self._watches.pop(root, None)
        if known is None or self._observer is None:
            return
        try:
            self._observer.unschedule(known[1])
        except (KeyError, OSError, RuntimeError):
            pass  # the watch died with its folder

    def _announce(self, path: bytes) -> None:
        self._on_path(path)
        if self._wake is not None:
            self._wake.set()

    def _overflowed(self) -> None:
        self.overflows += 1
        if self._on_overflow is not None:
            self._on_overflow()
        if self._wake is not None:
            self._wake.set()


class _Handler:
    """What the library calls: hands on both paths of an event."""

    def __init__(self, announce: Callable[[bytes], None]) -> None:
        self._announce = announce

    def dispatch(self, event: FileSystemEvent) -> None:
        """Announces where the event happened, and where a moved file is now."""
        for path in (event.src_path, event.dest_path):
            if path:
                self._announce(os.fsencode(path))


class _OverflowHandler(logging.Handler):
    """Turns the library's log line about a full queue into a call."""

    def __init__(self, overflowed: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._call = overflowed

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage().lower():
            self._call()


def system_watch_limit() -> int | None:
    """How many folders this user may watch, None where the system has no such limit."""
    limits = []
    for name in LIMIT_FILES:
        try:
            limits.append(int(Path(name).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(limits, default=None)


def remote_filesystem(path: bytes, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """The kind of network file system that `path` lies on, None if it is local or cannot be known."""
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return None
    best, kind = b"", b""
    for line in lines:
        fields = line.split(b" ")
        if len(fields) > 2 and lies_within(path, fields[1]) and len(fields[1]) >= len(best):
            best, kind = fields[1], fields[2]
    name = kind.decode("ascii", "replace")
    return name if name in REMOTE_FILESYSTEMS else None


def _count_directories(root: bytes) -> int:
    walk = Walk(root)
    for _ in walk:
        pass
    return walk.directories


def _new_observer() -> BaseObserver:
    # Imported here: `ccagent status` must not pay for it.
    from watchdog.observers import Observer

    observer = Observer()
    kind = type(observer).__module__.rpartition(".")[2]
    if kind not in ("inotify", "fsevents", "read_directory_changes"):
        # kqueue holds a descriptor a file, polling costs a third of a core: the scan is better than both.
        raise OSError(f"only {kind} is available on {sys.platform}")
    return observer


def _event_filter() -> list[Any]:
    """Without opened and closed events: our own reading would raise two a turn."""
    from watchdog import events

    return [
        events.FileCreatedEvent, events.FileModifiedEvent, events.FileMovedEvent, events.FileDeletedEvent,
        events.DirCreatedEvent, events.DirMovedEvent, events.DirDeletedEvent,
    ]  # fmt: skip
