"""Reads transcripts once more, up to where they have been taken in: what a rebuild derives facts from.

No line more and no line less: what is behind the offset in use is new, and is taken in by whoever follows. A file that
is no longer what was taken in is left alone, also when that shows in the middle.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ccagent.follow.handles import open_for_reading
from ccagent.follow.identity import agrees
from ccagent.follow.reader import Limits, LongLine, Turn, read_turn
from ccagent.follow.roots import lies_within
from ccagent.follow.state import GONE, Chunk, FileState
from ccagent.follow.turns import TURN_COST


@dataclass(slots=True, kw_only=True)
class _Target:
    """One file: as it was taken in, and how far it has been read once more."""

    taken: FileState
    state: FileState
    long_line: LongLine | None = None
    checked: bool = False

    @property
    def left(self) -> int:
        return max(0, self.taken.offset - self.state.offset)


class Rereading:
    """The files in turn, as `Intake` asks for their lines.

    `taken`: as the tables in use have them; `states`: as the fresh ones have them, by number. Files below none of
    `roots` (real paths) are left out.
    """

    def __init__(
        self, taken: Sequence[FileState], states: Mapping[int, FileState], roots: Collection[bytes], max_line: int
    ) -> None:
        self._max_line = max_line
        self._queue = [
            _Target(taken=each, state=states[each.file_id])
            for each in taken
            if each.file_id is not None and each.file_id in states
            if each.state != GONE and any(lies_within(each.path, root) for root in roots)
        ]
        self._queue.sort(key=lambda target: -target.taken.mtime_ns)
        self._flight: dict[bytes, _Target] = {}
        self.files = len(self._queue)
        self.total_bytes = sum(target.taken.offset for target in self._queue)
        self.done_bytes = sum(target.state.offset for target in self._queue)
        self.failed: list[bytes] = []
        """Paths of files that could not be read, or are not what was taken in."""
        self._queue = [target for target in self._queue if target.left]

    @property
    def done_files(self) -> int:
        """Files that are read up to where they were taken in."""
        return self.files - len(self._queue) - len(self.failed)

    def read(self, budget: int) -> list[Chunk]:
        """Up to `budget` bytes in chunks of different files; empty if nothing is left to read."""
        chunks: list[Chunk] = []
        place = 0
        while place < len(self._queue) and (budget > 0 or not chunks):
            target = self._queue[place]
            turn = self._turn(target, min(max(budget, TURN_COST), target.left))
            if turn is None:
                self.failed.append(target.taken.path)
                self.done_bytes += target.left
                del self._queue[place]
                continue
            if not turn.data and turn.oversize is None:
                target.long_line = turn.long_line  # the search for the line's end goes on
                continue
            target.long_line = turn.long_line
            budget -= max(turn.bytes_read, TURN_COST)
            state = replace(turn.state, size=turn.state.offset, generation=target.taken.generation)
            oversize = (turn.oversize,) if turn.oversize else ()
            fresh = turn.start == 0
            chunks.append(
                Chunk(state=state, start=turn.start, data=turn.data, fresh=fresh, oversize=oversize, at_end=False)
            )
            self._flight[state.path] = target
            place += 1
        return chunks

    def commit(self, chunks: Sequence[Chunk], ids: Mapping[bytes, int]) -> None:
        """The store has `chunks`."""
        del ids
        for chunk in chunks:
            target = self._flight.pop(chunk.state.path)
            self.done_bytes += chunk.state.offset - target.state.offset
            target.state = chunk.state
        self._queue = [target for target in self._queue if target.left]

    def rollback(self, chunks: Sequence[Chunk]) -> None:
        """The store does not have `chunks`; the same bytes are read again."""
        for chunk in chunks:
            self._flight.pop(chunk.state.path).long_line = None

    def changed_states(self) -> list[FileState]:
        """Nothing changes without a line."""
        return []

    def committed_states(self) -> None:
        """Nothing to note."""

    def _turn(self, target: _Target, most: int) -> Turn | None:
        """The next lines of a file; None where it is not to be had."""
        try:
            descriptor = open_for_reading(target.taken.path)
            try:
                if not target.checked and not agrees(descriptor, target.taken):
                    return None
                target.checked = True
                limits = Limits(turn_bytes=most, max_line=self._max_line)
                turn = read_turn(descriptor, target.state, limits, long_line=target.long_line)
            finally:
                os.close(descriptor)
        except OSError:
            return None
        stuck = not turn.data and turn.oversize is None and turn.long_line is None
        return None if turn.reset or stuck or turn.state.offset > target.taken.offset else turn
