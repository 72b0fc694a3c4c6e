"""Which of the store's transcripts can still be recounted, and the recount of those.

A file is recounted up to the stored offset where it still is the file that was taken in. The recount may go on later,
up to newer offsets of the same files, so that its long part needs no snapshot of the store.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ccagent import paths
from ccagent.follow.handles import open_for_reading
from ccagent.follow.identity import MARKER_BYTES, agrees, head_agrees, marker_of
from ccagent.follow.state import FileState
from ccagent.recount import Reading, Recount
from ccagent.recount_lines import Json, transcript_files

if TYPE_CHECKING:
    from ccagent.store.audit import StoredFile

BLOCK: Final = 1 << 20
"""Bytes that are searched for newlines at once."""

Progress = Callable[[int, int], None]
"""Called with the bytes recounted so far and the bytes to recount in all."""


class Fate(StrEnum):
    """What became of a file since it was taken in."""

    RECOUNTED = "recounted"
    GONE = "gone"
    REWRITTEN = "rewritten"
    UNREADABLE = "unreadable"
    MISPLACED = "misplaced"  # it is what was taken in, but the store has a wrong offset


@dataclass(slots=True, kw_only=True)
class Counted:
    """One file of the store, with how far it has been recounted."""

    row: StoredFile
    fate: Fate
    reading: Reading
    size: int = 0

    @property
    def intact(self) -> bool:
        """Whether the recount holds everything that was ever taken in from this file."""
        return self.fate is Fate.RECOUNTED and self.row.generation == 0


@dataclass(slots=True)
class Census:
    """The files of one host."""

    max_line: int
    count: Recount = field(default_factory=Recount)
    files: dict[int, Counted] = field(default_factory=dict)
    faults: dict[bytes, str] = field(default_factory=dict)
    """What is wrong with a file's row in the store, by path."""
    unknown: int = 0
    """Transcripts below the roots that the store does not know."""
    unknown_bytes: int = 0

    def take(self, rows: Sequence[StoredFile], progress: Progress | None = None) -> None:
        """Recount these files, or go on with them, up to the offsets that `rows` have."""
        done, whole = 0, sum(row.offset for row in rows)
        self.faults.clear()
        for row in rows:
            self._take(row)
            done += row.offset
            if progress is not None:
                progress(done, whole)

    def _take(self, row: StoredFile) -> None:
        path = Path(os.fsdecode(row.path))
        known = self.files.get(row.file_id)
        if known is not None and known.fate is Fate.RECOUNTED:
            if known.row.generation != row.generation or row.offset < known.reading.offset:
                self.files[row.file_id] = Counted(row=row, fate=Fate.REWRITTEN, reading=known.reading)
                return
            if row.offset == known.reading.offset:
                known.row = row
                self._judge(known)
                return
            reading = known.reading
        else:
            reading = self.count.reading(path)
        counted = self.files[row.file_id] = Counted(row=row, fate=Fate.RECOUNTED, reading=reading)
        try:
            # As the follower does: a pipe that has taken its place is not waited for.
            with open(row.path, "rb", opener=lambda name, _: open_for_reading(os.fsencode(name))) as file:
                counted.size = os.fstat(file.fileno()).st_size
                if not agrees(file.fileno(), state_of(row)):
                    counted.fate = Fate.MISPLACED if _misplaced(file.fileno(), row) else Fate.REWRITTEN
                else:
                    file.seek(reading.offset)
                    self.count.read(reading, file, row.offset, self.max_line)
        except FileNotFoundError:
            counted.fate = Fate.GONE
        except OSError:
            counted.fate = Fate.UNREADABLE
        self._judge(counted)

    def _judge(self, counted: Counted) -> None:
        fault = _fault(counted)
        if fault is not None:
            self.faults[counted.row.path] = fault

    def look_for_unknown(self, roots: Sequence[Path]) -> None:
        """Count the transcripts below `roots` that the store does not know yet; all their bytes are unread."""
        known = {counted.row.path for counted in self.files.values()}
        for root in roots:
            for path in transcript_files(root):
                kinds = self.count.kinds
                if os.fsencode(path) in known or not (kinds is None or kinds.takes(os.fsencode(path))):
                    continue
                try:
                    self.unknown_bytes += path.stat().st_size
                except OSError:
                    continue
                self.unknown += 1

    @property
    def excused(self) -> bool:
        """Whether the store may hold more than can be recounted: something that was read is no longer there."""
        return any(not counted.intact for counted in self.files.values())

    def number(self, fate: Fate) -> int:
        """How many files had this fate."""
        return sum(counted.fate is fate for counted in self.files.values())

    def document(self) -> Json:
        """The sums, JSON-able; sizes in bytes."""
        there = [counted for counted in self.files.values() if counted.fate is Fate.RECOUNTED]
        size, offset = sum(counted.size for counted in there), sum(counted.row.offset for counted in there)
        again = sum(counted.row.generation > 0 for counted in there)
        return {
            "stored": len(self.files),
            "recounted": len(there),
            "gone": self.number(Fate.GONE),
            "rewritten": self.number(Fate.REWRITTEN) + again,
            "unreadable": self.number(Fate.UNREADABLE),
            "not_taken_in": self.unknown,
            "bytes": size + self.unknown_bytes,
            "bytes_taken_in": offset,
            "bytes_left": size - offset + self.unknown_bytes,
        }

    def paths_at_fault(self) -> list[str]:
        """The files whose rows in the store are wrong, as texts that any terminal can print."""
        return [paths.display(path) for path in sorted(self.faults)]


def state_of(row: StoredFile) -> FileState:
    """The row as the follower has it."""
    return FileState(
        file_id=row.file_id, path=row.path, device=row.device, inode=row.inode, size=row.size, mtime_ns=row.mtime_ns,
        offset=row.offset, head=row.head, head_length=row.head_length, marker=row.marker, generation=row.generation,
        lines=row.lines, state=row.state,
    )  # fmt: skip


def _fault(counted: Counted) -> str | None:
    row = counted.row
    if counted.fate is Fate.MISPLACED:
        return f"offset {row.offset} is not where its {row.lines} lines end"
    if not 0 <= row.offset <= row.size:
        return f"offset {row.offset} lies outside of its {row.size} bytes"
    if counted.fate is Fate.RECOUNTED and counted.reading.lines != row.lines:
        return f"{row.lines} lines were taken in, {counted.reading.lines} are there"
    return None


def _misplaced(descriptor: int, row: StoredFile) -> bool:
    """Whether the file still is what was taken in, and only the stored offset is wrong: where as many lines end as were
    read, its marker stands. A file that was rewritten has other bytes there."""
    if row.lines == 0 or not head_agrees(descriptor, state_of(row)):
        return False
    end = _end_of_line(descriptor, row.lines)
    if end is None:
        return False
    length = min(MARKER_BYTES, end)
    return marker_of(os.pread(descriptor, length, end - length)) == row.marker


def _end_of_line(descriptor: int, number: int) -> int | None:
    """The offset behind the newline of that line, counted from 1; None where the file has fewer."""
    place = 0
    while block := os.pread(descriptor, BLOCK, place):
        found = block.count(b"\n")
        if found >= number:
            end = 0
            for _ in range(number):
                end = block.index(b"\n", end) + 1
            return place + end
        number -= found
        place += len(block)
    return None
