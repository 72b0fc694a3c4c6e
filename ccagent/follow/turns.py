"""Taking turns: which file is read next, what a turn makes of it, and what commit and rollback mean for it.

Turns go round by round. Whoever becomes behind joins the round that is running, so a file of gigabytes waits for the
small ones and they for one turn of it at most. The first catch-up goes newest first; afterwards, within a round, files
with less than a turn left come before larger ones.
"""

from __future__ import annotations

import errno
import heapq
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ccagent.follow.files import Files, Tracked, state_stat
from ccagent.follow.handles import Handle, Handles
from ccagent.follow.identity import advanced
from ccagent.follow.reader import Limits, Turn, last_line_end, read_turn
from ccagent.follow.state import GONE, LIVE, UNREADABLE, Chunk, Problem

TURN_COST: Final = 4096
"""Bytes of budget that a turn costs at least: opening a file and checking who it is takes as long as reading a page."""

VANISHED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""No file at this path any more (ELOOP: a symlink took its place); the next scan decides what became of it."""

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""No descriptors left: not the file's fault."""


class Turns:
    """The queue of files that are behind, and the turns at them."""

    def __init__(self, files: Files, limits: Limits, opener: Callable[[bytes], int]) -> None:
        self._files = files
        self._limits = limits
        self._opener = opener
        self.handles: Handles[Tracked] = Handles(pinned=lambda tracked: tracked.draining or tracked.in_flight)
        self._queue: list[tuple[int, bool, int, int, Tracked]] = []
        self._serial = 0
        self._round = 0
        self._flight: dict[bytes, Tracked] = {}
        self.catching_up = True
        self.bytes_read = 0
        self.opens = 0
        self.problems: list[Problem] = []

    @property
    def in_flight(self) -> int:
        """Chunks handed out and neither committed nor rolled back."""
        return len(self._flight)

    def enqueue(self, tracked: Tracked) -> None:
        """Gives `tracked` a turn in the running round (or in its next one, if it had this round's)."""
        if tracked.queued or tracked.in_flight or not tracked.behind:
            return
        tracked.queued = True
        tracked.round = max(tracked.round, self._round)
        large = not self.catching_up and tracked.size - tracked.state.offset > self._limits.turn_bytes
        self._serial += 1
        heapq.heappush(self._queue, (tracked.round, large, -tracked.stat[1], self._serial, tracked))

    def take(self, budget: int) -> list[Chunk]:
        """Chunks of up to `budget` bytes, at most one a file; empty only if nothing is left to read."""
        chunks: list[Chunk] = []
        again: list[Tracked] = []
        while budget > 0 or not chunks:
            tracked = self._next()
            if tracked is None:
                if chunks or not again:
                    break
                for waiting in again:
                    self.enqueue(waiting)
                again.clear()
                continue
            before = self.bytes_read
            try:
                chunk = self._turn(tracked, min(self._limits.turn_bytes, max(budget, TURN_COST)))
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    self._failed(tracked, error)
                    continue
                again.append(tracked)
                if chunks or not self.handles.close_all():
                    break  # those of the chunks are free once they are committed
                continue
            budget -= max(self.bytes_read - before, TURN_COST)
            if chunk is not None:
                tracked.in_flight = True
                self._flight[chunk.state.path] = tracked
                chunks.append(chunk)
            elif tracked.behind:
                again.append(tracked)
        for tracked in again:
            self.enqueue(tracked)
        return chunks

    def commit(self, chunks: Sequence[Chunk], ids: Mapping[bytes, int]) -> None:
        """The store has these chunks; `ids` holds the numbers that it gave to new files."""
        for chunk in chunks:
            tracked = self._landed(chunk)
            state = replace(chunk.state, file_id=ids.get(chunk.state.path, chunk.state.file_id))
            tracked.state = state
            tracked.told_end = chunk.at_end
            tracked.skip_history = False
            self._files.saved(tracked, state)
            if tracked.draining and chunk.at_end:
                self.handles.close(tracked)
                tracked.draining, tracked.went = False, True
            tracked.settled = chunk.at_end and tracked.stat == state_stat(state)
            self._files.book(tracked)
            self.enqueue(tracked)

    def rollback(self, chunks: Sequence[Chunk]) -> None:
        """The store does not have these chunks: the same bytes are read again."""
        for chunk in chunks:
            tracked = self._landed(chunk)
            tracked.long_line = None
            tracked.settled = False
            tracked.round = self._round
            self._files.book(tracked)
            self.enqueue(tracked)

    def _landed(self, chunk: Chunk) -> Tracked:
        tracked = self._flight.pop(chunk.state.path)
        tracked.in_flight = False
        return tracked

    def _next(self) -> Tracked | None:
        while self._queue:
            round_, _, _, _, tracked = heapq.heappop(self._queue)
            tracked.queued = False
            if tracked.behind and not tracked.in_flight:
                self._round = round_
                tracked.round = round_ + 1
                return tracked
        return None

    def _turn(self, tracked: Tracked, turn_bytes: int) -> Chunk | None:
        """A turn at one file: a chunk, or None if there is nothing to tell the store of it."""
        limits = replace(self._limits, turn_bytes=turn_bytes)
        handle = self.handles.get(tracked)
        replaced = handle is not None and not tracked.draining and (handle.inode, handle.device) != tracked.stat[2:]
        if handle is not None and replaced:
            turn = self._rest_of_replaced(handle, tracked, limits)
            if turn is not None:
                return self._chunk(tracked, turn)
            self.handles.close(tracked)
            tracked.long_line = None
            handle = None
        if handle is None:
            if tracked.draining:  # its descriptor had to be closed for another one
                tracked.draining, tracked.went = False, True
                self._files.update(tracked, replace(tracked.state, state=GONE))
                self._files.book(tracked)
                return None
            handle = self._open(tracked)
        kept = False
        try:
            turn = self._read(handle, tracked, limits)
            kept = (tracked.draining or self._files.is_hot(tracked)) and self.handles.keep(tracked, handle)
        finally:
            if not kept and self.handles.get(tracked) is None:
                os.close(handle.descriptor)
        tracked.stat = (max(turn.size, turn.state.offset), turn.state.mtime_ns, turn.state.inode, turn.state.device)
        return self._told(tracked, turn)

    def _told(self, tracked: Tracked, turn: Turn) -> Chunk | None:
        """What the store has to learn of `turn`; a turn that found nothing is settled here."""
        turn.state.state = GONE if tracked.draining and turn.at_end else LIVE
        tracked.problem = False
        tracked.long_line = turn.long_line
        # A step past a line of gigabytes is told without a line, so that others are looked at meanwhile.
        passing = turn.long_line is not None and not turn.at_end
        found = turn.data or turn.oversize or tracked.skip_history or passing
        if found or (turn.at_end and not tracked.told_end and turn.state.file_id is not None):
            return self._chunk(tracked, turn)
        self._files.update(tracked, turn.state)
        if tracked.draining and turn.at_end:
            self.handles.close(tracked)
            tracked.draining, tracked.went = False, True
        tracked.settled = turn.at_end
        self._files.book(tracked)
        return None

    def _chunk(self, tracked: Tracked, turn: Turn) -> Chunk:
        return Chunk(
            state=turn.state,
            start=turn.start,
            data=turn.data,
            fresh=turn.start == 0,
            oversize=(turn.oversize,) if turn.oversize else (),
            at_end=turn.at_end and tracked.stat[2:] == (turn.state.inode, turn.state.device),
        )

    def _open(self, tracked: Tracked) -> Handle:
        self.opens += 1
        descriptor = self._opener(tracked.state.path)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise OSError(errno.ENOENT, "no regular file any more")
        return Handle(descriptor, status.st_dev, status.st_ino)

    def _read(self, handle: Handle, tracked: Tracked, limits: Limits) -> Turn:
        if tracked.skip_history:
            return self._past_history(handle, tracked)
        final = tracked.draining and os.fstat(handle.descriptor).st_nlink == 0
        turn = read_turn(handle.descriptor, tracked.state, limits, long_line=tracked.long_line, final=final)
        self.bytes_read += turn.bytes_read
        return turn

    def _past_history(self, handle: Handle, tracked: Tracked) -> Turn:
        status = os.fstat(handle.descriptor)
        offset = last_line_end(handle.descriptor)
        state = advanced(tracked.state, handle.descriptor, offset)
        state.size, state.mtime_ns = max(status.st_size, offset), status.st_mtime_ns
        state.device, state.inode = status.st_dev, status.st_ino
        return Turn(state=state, start=offset, at_end=True, size=status.st_size, bytes_read=0)

    def _rest_of_replaced(self, handle: Handle, tracked: Tracked, limits: Limits) -> Turn | None:
        """Lines still unread in a file whose path another one took; None if there are none, or they live elsewhere."""
        status = os.fstat(handle.descriptor)
        if status.st_nlink > 0 or status.st_size <= tracked.state.offset:
            return None
        turn = read_turn(handle.descriptor, tracked.state, limits, long_line=tracked.long_line)
        self.bytes_read += turn.bytes_read
        tracked.long_line = turn.long_line
        return turn if (turn.data or turn.oversize) and not turn.reset else None

    def _failed(self, tracked: Tracked, error: OSError) -> None:
        # One of a network drive may never be of use again (a file that somebody else has removed there).
        self.handles.close(tracked)
        if tracked.draining:
            tracked.draining, tracked.went = False, True
            self._files.update(tracked, replace(tracked.state, state=GONE))
        elif error.errno in VANISHED:
            tracked.present = False
        else:
            tracked.blocked = True
            self._files.update(tracked, replace(tracked.state, state=UNREADABLE))
            if not tracked.problem:
                tracked.problem = True
                self.problems.append(Problem(path=tracked.state.path, reason=error.strerror or str(error)))
        self._files.book(tracked)
