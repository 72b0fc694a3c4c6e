"""A lock that serves in the order of asking, so that a long catch-up cannot starve the other writers."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class FairLock:
    """First come, first served; not reentrant. Used as a context manager."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[tuple[threading.Event, str]] = deque()

    @property
    def waiting(self) -> tuple[str, ...]:
        """The names of the threads that wait, the one that waits longest first."""
        with self._guard:
            return tuple(name for _, name in self._waiting)

    def acquire(self, seconds: float | None = None) -> bool:
        """Wait for one's turn, for so long at most: whether it came."""
        with self._guard:
            if not self._held and not self._waiting:
                self._held = True
                return True
            turn = threading.Event()
            entry = turn, threading.current_thread().name
            self._waiting.append(entry)
        if turn.wait(seconds):
            return True
        with self._guard:
            if turn.is_set():  # it came at the last moment
                return True
            self._waiting.remove(entry)
        return False

    def release(self) -> None:
        """Hand the lock to whoever waits longest. RuntimeError when it is not held."""
        with self._guard:
            if not self._held:
                raise RuntimeError("release of a lock that is not held")
            if self._waiting:
                self._waiting.popleft()[0].set()
            else:
                self._held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
