"""All files that are followed: what is known of each, and the sums over them, kept up to date by every change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ccagent.follow.reader import LongLine
from ccagent.follow.state import GONE, UNREADABLE, FileState

HOT_SECONDS: Final = 600.0
"""A file that changed within 10 minutes belongs to a session that is likely alive."""

MAX_HOT: Final = 200
"""Files looked at every second: 200 stats cost 0.05 % of a core."""

Stat = tuple[int, int, int, int]
"""size, mtime_ns, inode, device: equal means unchanged. A rewrite that keeps all four is not seen."""


class Sums(NamedTuple):
    """What one file, or all together, amount to."""

    files: int = 0
    total_bytes: int = 0
    unread_bytes: int = 0
    pending_bytes: int = 0
    """Behind the last newline of files that were read to their end."""
    unreadable: int = 0
    lost_bytes: int = 0
    """Gone before they were read."""


NOTHING: Final = Sums()


@dataclass(slots=True, eq=False, kw_only=True)
class Tracked:
    """One file: the state last committed, what stands on disk as last looked at, and what is being done about it."""

    state: FileState
    stat: Stat
    changed_at: float
    """Monotonic seconds of the last change that was noticed."""
    present: bool = False
    """Its path was there at the last look."""
    settled: bool = False
    """Read to its end, as `stat` has it."""
    blocked: bool = False
    """Could not be read; left alone until the next scan."""
    problem: bool = False
    """That was told already."""
    draining: bool = False
    """Its path is gone, and the rest is read through the descriptor that was kept."""
    went: bool = False
    """Its path went while we watched: what was not read is lost, unless `elsewhere`."""
    elsewhere: bool = False
    """The same inode is followed under another path."""
    skip_history: bool = False
    """Begin behind its last newline instead of at byte 0."""
    told_end: bool = True
    """The last chunk said that nothing is left behind it."""
    in_flight: bool = False
    queued: bool = False
    round: int = 0
    """Turns are taken round by round."""
    long_line: LongLine | None = None
    booked: Sums = NOTHING

    @property
    def behind(self) -> bool:
        """Whether a turn at it is wanted."""
        return (self.present or self.draining) and not self.settled and not self.blocked

    @property
    def size(self) -> int:
        """Bytes on disk as last looked at."""
        return self.stat[0]


class Files:
    """The followed files by path, those that are behind, those changed lately, and sums over all."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.by_path: dict[bytes, Tracked] = {}
        self.behind: set[Tracked] = set()
        self._recent: dict[Tracked, None] = {}
        self._dirty: dict[Tracked, None] = {}
        self._settled_ids: set[int] = set()
        self.sums = NOTHING

    def add(self, tracked: Tracked) -> None:
        """Takes in a file under its path."""
        self.by_path[tracked.state.path] = tracked

    def rename(self, tracked: Tracked, path: bytes) -> None:
        """Continues a file under another path."""
        del self.by_path[tracked.state.path]
        tracked.state = replace(tracked.state, path=path)
        self.by_path[path] = tracked
        # Last in order: whoever takes over the old path is written after it.
        self._dirty.pop(tracked, None)
        self._dirty[tracked] = None

    def changed(self, tracked: Tracked) -> None:
        """Notes that a change was seen just now."""
        tracked.settled = False
        self.seen_at(tracked, self.clock())
        self.book(tracked)

    def seen_at(self, tracked: Tracked, at: float) -> None:
        """Notes a change at the monotonic time `at`; must be called in the order of these times."""
        tracked.changed_at = at
        self._recent.pop(tracked, None)
        self._recent[tracked] = None

    def update(self, tracked: Tracked, state: FileState) -> None:
        """Sets a state that the store does not have yet."""
        if state != tracked.state:
            tracked.state = state
            self._dirty[tracked] = None

    def saved(self, tracked: Tracked, state: FileState) -> None:
        """The store has `state` of this file."""
        if tracked.state == state:
            self._dirty.pop(tracked, None)

    def unsaved(self) -> Iterator[Tracked]:
        """Files whose state the store does not have, in the order in which it must be written."""
        return (tracked for tracked in self._dirty if tracked.state.file_id is not None and not tracked.in_flight)

    def hot(self) -> list[Tracked]:
        """The files changed within HOT_SECONDS, the last changed first, at most MAX_HOT; forgets the older ones."""
        limit = self.clock() - HOT_SECONDS
        while self._recent and (oldest := next(iter(self._recent))).changed_at < limit:
            del self._recent[oldest]
        return [tracked for tracked, _ in zip(reversed(self._recent), range(MAX_HOT), strict=False)]

    def is_hot(self, tracked: Tracked) -> bool:
        """Whether it changed within HOT_SECONDS."""
        return self.clock() - tracked.changed_at < HOT_SECONDS

    def quiet_ids(self, now: float, seconds: float) -> set[int]:
        """Numbers of the files read to the end and unchanged for `seconds` at the monotonic time `now`."""
        quiet = set(self._settled_ids)
        for tracked in reversed(self._recent):
            if now - tracked.changed_at >= seconds:
                break
            if tracked.state.file_id is not None:
                quiet.discard(tracked.state.file_id)
        return quiet

    def book(self, tracked: Tracked) -> None:
        """Brings the sums up to date with this file; to be called after any change to it."""
        counted = tracked.present or tracked.draining
        left = max(0, tracked.size - tracked.state.offset)
        went = tracked.state.state == GONE and tracked.went and not tracked.elsewhere
        now = Sums(
            files=int(counted),
            total_bytes=tracked.size if counted else 0,
            unread_bytes=left if counted and not tracked.settled else 0,
            pending_bytes=left if counted and tracked.settled else 0,
            unreadable=int(counted and tracked.state.state == UNREADABLE),
            lost_bytes=left if went else 0,
        )
        if now != tracked.booked:
            columns = zip(self.sums, now, tracked.booked, strict=True)
            self.sums = Sums(*(total + new - old for total, new, old in columns))
            tracked.booked = now
        if tracked.behind:
            self.behind.add(tracked)
        else:
            self.behind.discard(tracked)
        if tracked.state.file_id is not None:
            if tracked.present and tracked.settled:
                self._settled_ids.add(tracked.state.file_id)
            else:
                self._settled_ids.discard(tracked.state.file_id)


def state_stat(state: FileState) -> Stat:
    """What `lstat` said when the file of `state` was last read to its end."""
    return state.size, state.mtime_ns, state.inode, state.device
