"""One fair turn at a file: the complete lines behind the offset, at most `turn_bytes` of them.

A line ends with b"\\n" and nothing else: transcripts hold raw U+2028, and other tools leave b"\\r" behind. What
follows the last newline is never delivered, since its writer may still be at it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import Final, Protocol

from ccagent.follow.identity import MARKER_BYTES, advanced, head_agrees, marker_of, restarted
from ccagent.follow.state import FileState, Oversize

TURN_BYTES: Final = 1 << 20
"""1 MiB: about 10 ms of work, so that no file waits long for another."""

MAX_LINE: Final = 32 << 20
"""32 MiB: twenty times the longest line of the measured corpus (1.6 MB)."""

PIECE_BYTES: Final = 1 << 18
"""256 KiB: the memory that searching a long line costs."""

STREAM_BYTES: Final = 32 << 20
"""Of a line that is too long, so much is streamed past in one turn: about 60 ms of hashing."""


class Hasher(Protocol):
    """An incremental hash."""

    def update(self, data: bytes, /) -> None:
        """Takes in `data`."""

    def digest(self) -> bytes:
        """The hash of all that was taken in."""


@dataclass(slots=True, kw_only=True)
class LongLine:
    """A line whose end has not been found yet: how far it was searched, so that no byte is searched twice.

    Kept in memory only; after a restart the search begins again.
    """

    offset: int
    position: int
    """No newline stands in [offset, position)."""
    tail: bytes = b""
    """Marker of the bytes before `position`: a line that was rewritten meanwhile is searched anew."""
    hasher: Hasher | None = None
    """Only of lines that are too long: has taken in [offset, position)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn found. `state` is the file's after it; it equals the one before where nothing was found."""

    state: FileState
    start: int
    data: bytes = b""
    oversize: Oversize | None = None
    reset: bool = False
    """The file is not the one that was read before: reading began again at byte 0."""
    at_end: bool
    long_line: LongLine | None = None
    size: int
    """Of the file when the turn began."""
    bytes_read: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a turn may take, in bytes."""

    turn_bytes: int = TURN_BYTES
    max_line: int = MAX_LINE


def read_turn(
    descriptor: int, state: FileState, limits: Limits, *, long_line: LongLine | None = None, final: bool = False
) -> Turn:
    """The complete lines behind `state.offset`, or the next step past a line that is too long.

    `final`: the file is deleted and nobody will finish its last line; it is delivered with a newline added.
    Raises OSError as the system does.
    """
    status = os.fstat(descriptor)
    here = replace(state, device=status.st_dev, inode=status.st_ino, mtime_ns=status.st_mtime_ns)
    margin = min(MARKER_BYTES, state.offset)
    reset, block = True, b""
    if status.st_size >= state.offset and head_agrees(descriptor, state):
        # Marker and lines in one call: nothing can be rewritten between the check and the reading.
        block = os.pread(descriptor, margin + limits.turn_bytes, state.offset - margin)
        # An offset within a line is the end of a file that was deleted. It is back, and may have that line whole.
        reset = marker_of(block[:margin]) != state.marker or (margin > 0 and block[margin - 1 : margin] != b"\n")
    if reset:
        here, margin, long_line = restarted(here), 0, None
        block = os.pread(descriptor, limits.turn_bytes, 0)
    start = here.offset
    read_to = start + len(block) - margin
    found = Turn(state=here, start=start, reset=reset, at_end=True, size=status.st_size, bytes_read=read_to - start)
    exhausted = read_to >= status.st_size or read_to == start
    cut = block.rfind(b"\n", margin) + 1
    if cut:
        data = block[margin:cut]
        after = advanced(here, descriptor, start + len(data), block[max(0, cut - MARKER_BYTES) : cut])
        after.lines += data.count(b"\n")
        at_end = exhausted and not (final and cut < len(block))  # the last line is due in a turn of its own
        return _closed(replace(found, state=after, data=data, at_end=at_end))
    if not exhausted:
        if long_line is None or not _continues(descriptor, long_line, start, status.st_size):
            long_line = LongLine(offset=start, position=read_to)
        found = replace(found, long_line=long_line)
        return _closed(_long(descriptor, found, limits, final))
    if final and read_to > start:
        return _closed(_last(descriptor, found, block[margin:]))
    return _closed(found)


def last_line_end(descriptor: int) -> int:
    """Offset behind the file's last newline, 0 if it has none; reads backwards from the end."""
    position = os.fstat(descriptor).st_size
    while position > 0:
        start = max(0, position - PIECE_BYTES)
        cut = os.pread(descriptor, position - start, start).rfind(b"\n")
        if cut >= 0:
            return start + cut + 1
        position = start
    return 0


def _closed(turn: Turn) -> Turn:
    state = turn.state
    state.size = max(turn.size, state.offset) if turn.at_end else state.offset
    return turn


def _last(descriptor: int, found: Turn, rest: bytes) -> Turn:
    after = advanced(found.state, descriptor, found.start + len(rest))
    after.lines += 1
    return replace(found, state=after, data=rest + b"\n")


def _continues(descriptor: int, line: LongLine, start: int, size: int) -> bool:
    return line.offset == start and size >= line.position and _tail(descriptor, line) == line.tail


def _tail(descriptor: int, line: LongLine) -> bytes:
    length = min(MARKER_BYTES, line.position - line.offset)
    return marker_of(os.pread(descriptor, length, line.position - length))


def _long(descriptor: int, found: Turn, limits: Limits, final: bool) -> Turn:
    """The next step at a line longer than a turn: find its end, then read it whole or note that it is too long."""
    line = found.long_line
    assert line is not None
    searched_before = line.position
    end = None
    if line.hasher is None:
        end = _search(descriptor, line, line.offset + limits.max_line + 1)
    too_long = line.hasher is not None or (end is None and line.position > line.offset + limits.max_line)
    if too_long:
        end = _stream(descriptor, line)
    line.tail = _tail(descriptor, line)
    worked = replace(found, bytes_read=found.bytes_read + max(0, line.position - searched_before))
    ended_by_file = end is None and line.position >= found.size
    if end is None and not (final and ended_by_file):
        return replace(worked, at_end=ended_by_file)
    stop = line.position if end is None else end
    after_stop = stop if end is None else end + 1
    at_end = after_stop >= found.size
    if too_long:
        assert line.hasher is not None
        note = Oversize(offset=line.offset, length=stop - line.offset, hash=line.hasher.digest())
        after = advanced(found.state, descriptor, after_stop)
        after.lines += 1
        return replace(worked, state=after, oversize=note, at_end=at_end, long_line=None)
    data = os.pread(descriptor, after_stop - line.offset, line.offset)
    if end is None:
        return replace(_last(descriptor, worked, data), long_line=None)
    if not data.endswith(b"\n"):  # rewritten under our hands: the next turn will see what it is now
        return replace(worked, at_end=False, long_line=None)
    after = advanced(found.state, descriptor, after_stop, data)
    after.lines += data.count(b"\n")
    return replace(worked, state=after, data=data, at_end=at_end, long_line=None)


def _search(descriptor: int, line: LongLine, limit: int) -> int | None:
    """Offset of the line's newline if it stands before `limit`; moves `line.position` on, holding one piece."""
    while line.position < limit:
        piece = os.pread(descriptor, min(PIECE_BYTES, limit - line.position), line.position)
        if not piece:
            return None
        newline = piece.find(b"\n")
        if newline >= 0:
            return line.position + newline
        line.position += len(piece)
    return None


def _stream(descriptor: int, line: LongLine) -> int | None:
    """Offset of the newline of a line that is too long, hashing on the way; None if this turn did not reach it."""
    if line.hasher is None:
        line.hasher = hashlib.blake2b(digest_size=16)
        line.position = line.offset
    stop = line.position + STREAM_BYTES
    while line.position < stop:
        piece = os.pread(descriptor, PIECE_BYTES, line.position)
        if not piece:
            return None
        newline = piece.find(b"\n")
        line.hasher.update(piece if newline < 0 else piece[:newline])
        if newline >= 0:
            return line.position + newline
        line.position += len(piece)
    return None
