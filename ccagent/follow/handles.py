"""Open descriptors of hot files: what is appended just before a deletion can still be read through them."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Owner = TypeVar("Owner")

MAX_HANDLES: Final = 64
"""Far below the usual limit of 256 descriptors (macOS), far above the sessions that one person has live."""

SHARE: Final = 4
"""Of the descriptors that the process may have, no more than one in so many: the database, imports, the listener need
theirs."""


@dataclass(frozen=True, slots=True)
class Handle:
    """An open descriptor, and which file it is."""

    descriptor: int
    device: int
    inode: int


def most_handles() -> int:
    """How many descriptors are kept, by what the system allows this process."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_HANDLES if allowed == resource.RLIM_INFINITY else max(1, min(MAX_HANDLES, allowed // SHARE))


def open_for_reading(path: bytes) -> int:
    """Descriptor of `path`, not inherited, never following a symlink, never waiting (a pipe has no reader to wait for).

    Raises OSError as the system does.
    """
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)


class Handles(Generic[Owner]):
    """At most `limit` handles by owner (by default what the system allows); the one unused for longest is closed for a
    new one, unless it is pinned."""

    def __init__(self, pinned: Callable[[Owner], bool], limit: int | None = None) -> None:
        self._pinned = pinned
        self._limit = most_handles() if limit is None else limit
        self._open: dict[Owner, Handle] = {}

    def get(self, owner: Owner) -> Handle | None:
        """The handle kept for `owner`, which becomes the last used."""
        handle = self._open.pop(owner, None)
        if handle is not None:
            self._open[owner] = handle
        return handle

    def keep(self, owner: Owner, handle: Handle) -> bool:
        """Keeps `handle` for `owner`; False if all places are pinned, then it stays the caller's to close."""
        if owner not in self._open and len(self._open) >= self._limit:
            victim = next((other for other in self._open if not self._pinned(other)), None)
            if victim is None:
                return False
            self.close(victim)
        self._open[owner] = handle
        return True

    def close(self, owner: Owner) -> None:
        """Closes the handle kept for `owner`, if any."""
        handle = self._open.pop(owner, None)
        if handle is not None:
            os.close(handle.descriptor)

    def close_cold(self, hot: Callable[[Owner], bool]) -> None:
        """Closes the handles of owners that are no longer `hot`, unless they are pinned."""
        for owner in [owner for owner in self._open if not hot(owner) and not self._pinned(owner)]:
            self.close(owner)

    def close_all(self, *, pinned_too: bool = False) -> int:
        """Closes every handle that is not pinned, at the very end those too; their number."""
        owners = [owner for owner in self._open if pinned_too or not self._pinned(owner)]
        for owner in owners:
            self.close(owner)
        return len(owners)

    def __len__(self) -> int:
        return len(self._open)
