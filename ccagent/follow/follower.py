"""The follower: every complete line of every transcript below some roots, in chunks, each committed with its position.

Its owner turns it by hand, from one thread:

    follower = Follower(roots, known=states_from_the_store)
    follower.scan()
    while chunks := follower.read(budget):
        ids = store(follower.changed_states(), chunks)   # one transaction, the states first
        follower.committed_states()
        follower.commit(chunks, ids)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ccagent.follow.discovery import Discovery, Wanted
from ccagent.follow.files import Files, Tracked, state_stat
from ccagent.follow.handles import open_for_reading
from ccagent.follow.reader import MAX_LINE, TURN_BYTES, Limits
from ccagent.follow.roots import Place
from ccagent.follow.state import Chunk, FileState, ScanReport
from ccagent.follow.turns import Turns


class Follower:
    """Finds and reads files; see the module. Only `hint` may be called from other threads.

    `known`: what the store remembers. `backfill=False`: files that the first scan finds and the store does not know
    begin at their end. `wanted`: other files are left alone, whether known or not. `turned` is called for each transcript
    that a scan comes by. `opener`, `clock` (monotonic seconds) and `wall_ns` are the system's; tests may give others.
    """

    def __init__(
        self,
        roots: Sequence[Place],
        known: Iterable[FileState],
        *,
        max_line: int = MAX_LINE,
        turn_bytes: int = TURN_BYTES,
        backfill: bool = True,
        opener: Callable[[bytes], int] = open_for_reading,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
        wanted: Wanted | None = None,
        turned: Callable[[], None] | None = None,
    ) -> None:
        self._files = Files(clock)
        self._turns = Turns(self._files, Limits(turn_bytes=turn_bytes, max_line=max_line), opener)
        self._discovery = Discovery(roots, self._files, self._turns, opener, wall_ns, backfill, wanted)
        if turned is not None:
            self._discovery.turned = turned
        self._hints: set[bytes] = set()
        self._hints_lock = threading.Lock()
        self._reported: list[tuple[Tracked, FileState]] = []
        self._missed = 0
        self.watching = False
        """Set by the owner while a watcher announces changes; only then can one be missed."""
        for state in known:
            copy = replace(state)
            self._files.add(Tracked(state=copy, stat=state_stat(copy), changed_at=clock()))

    def hint(self, path: bytes) -> None:
        """Notes that `path` (a file or a folder) may have changed; the next `poll` looks at it. Thread-safe."""
        with self._hints_lock:
            self._hints.add(path)

    def scan(self) -> ScanReport:
        """Looks at every file below the roots: new, grown, rewritten, renamed and gone ones, roots that came late.

        Raises RuntimeError while chunks are neither committed nor rolled back.
        """
        self._require_landed("scan")
        report = self._discovery.scan(self._take_hints(), self.watching)
        self._missed += report.missed
        self._end_catch_up()
        return report

    def poll(self, *, hot: bool = True) -> int:
        """Looks at the hinted files and, with `hot`, at those changed lately; the number found changed. Raises as `scan`
        does."""
        self._require_landed("poll")
        return self._discovery.poll(self._take_hints(), hot=hot)

    def read(self, budget: int) -> list[Chunk]:
        """Up to `budget` bytes in chunks of different files; empty if nothing is left to read.

        A file with a chunk that is neither committed nor rolled back is not read on.
        """
        chunks = self._turns.take(budget)
        self._end_catch_up()
        return chunks

    def commit(self, chunks: Sequence[Chunk], ids: Mapping[bytes, int]) -> None:
        """The store has `chunks`; `ids` gives the numbers of files that had none, by the path in the chunk's state."""
        self._turns.commit(chunks, ids)
        self._end_catch_up()

    def rollback(self, chunks: Sequence[Chunk]) -> None:
        """The store does not have `chunks`; the same bytes are read again."""
        self._turns.rollback(chunks)

    def changed_states(self) -> list[FileState]:
        """States that changed without a line: renamed, gone, back, unreadable, touched. Write them before any chunk
        (a new file may stand at the old path of a renamed one), in this order, then call `committed_states`."""
        self._reported = [(tracked, replace(tracked.state)) for tracked in self._files.unsaved()]
        return [state for _, state in self._reported]

    def committed_states(self) -> None:
        """The store has what `changed_states` last gave."""
        for tracked, state in self._reported:
            self._files.saved(tracked, state)
        self._reported = []

    def close(self) -> None:
        """Closes every descriptor that was kept."""
        self._turns.handles.close_all(pinned_too=True)

    @property
    def caught_up(self) -> bool:
        """Every file that can be read has been read to its last newline, as far as was looked, and committed."""
        return self._discovery.scanned and not self._files.behind and not self._turns.in_flight

    @property
    def files(self) -> int:
        """Files that are there."""
        return self._files.sums.files

    @property
    def total_bytes(self) -> int:
        """Size of all files that are there."""
        return self._files.sums.total_bytes

    @property
    def unread_bytes(self) -> int:
        """Bytes behind the offsets of files that are not read to their end."""
        return self._files.sums.unread_bytes

    @property
    def pending_bytes(self) -> int:
        """Bytes behind the last newline of files that are read to their end: lines still being written."""
        return self._files.sums.pending_bytes

    @property
    def lost_bytes(self) -> int:
        """Bytes of files that went before they were read; falls again if such a file comes back."""
        return self._files.sums.lost_bytes

    @property
    def unreadable(self) -> int:
        """Files that may not be opened or read; tried again at each scan."""
        return self._files.sums.unreadable

    @property
    def missed(self) -> int:
        """Changes that a scan found and no hint had announced while `watching`."""
        return self._missed

    @property
    def oldest_unread_mtime_ns(self) -> int | None:
        """Modification time of the file that waits longest to be read, None if none does."""
        return min((tracked.stat[1] for tracked in self._files.behind), default=None)

    @property
    def bytes_read(self) -> int:
        """Bytes read behind offsets (not those read to recognise a file) since the start."""
        return self._turns.bytes_read

    @property
    def opens(self) -> int:
        """Files opened since the start."""
        return self._turns.opens

    def quiet_ids(self, now: float, seconds: float) -> set[int]:
        """Numbers of the files read to their end and unchanged for `seconds` at the monotonic time `now`."""
        return self._files.quiet_ids(now, seconds)

    def _take_hints(self) -> set[bytes]:
        with self._hints_lock:
            hints, self._hints = self._hints, set()
        return hints

    def _require_landed(self, what: str) -> None:
        if self._turns.in_flight:
            raise RuntimeError(f"{what} with {self._turns.in_flight} chunks in flight; commit or roll them back first")

    def _end_catch_up(self) -> None:
        if self._turns.catching_up and self.caught_up:
            self._turns.catching_up = False
