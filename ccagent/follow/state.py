"""What is remembered of a file, and what reading it yields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LIVE: Final = 0
"""The file is there and can be read, as far as is known."""

GONE: Final = 1
"""Its path is gone; what was read of it stays."""

UNREADABLE: Final = 2
"""It is there but may not be opened or read; tried again at each scan."""


@dataclass(slots=True, kw_only=True)
class FileState:
    """Where reading a file stands, and by what it is recognised; one row of the table `file`.

    `size` and `mtime_ns` are those of the file when it was last read to its end. Before that, `size` is `offset`: a
    file of which more is left never looks unchanged after a restart.
    """

    file_id: int | None
    """None until the store has given a number."""
    path: bytes
    """Real path, as the system has it; not always UTF-8."""
    device: int
    inode: int
    size: int
    mtime_ns: int
    offset: int
    """All bytes before it have been delivered; it stands behind a newline (or at the end of a deleted file)."""
    head: bytes
    """SHA-256 of the first `head_length` bytes."""
    head_length: int
    """min(4096, offset): only what was delivered is signed, since an unfinished line may still change."""
    marker: bytes
    """BLAKE2b-16 of the (up to) 64 bytes before `offset`."""
    generation: int
    """How often reading began again at byte 0."""
    lines: int
    """Lines delivered or streamed past in this generation."""
    state: int
    """LIVE, GONE or UNREADABLE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversize:
    """A line longer than `max_line`, streamed past: where it is, never what it says."""

    offset: int
    length: int
    """Bytes without the newline."""
    hash: bytes
    """BLAKE2b-16 of these bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Complete lines of one file, with the state to be kept in the transaction that keeps what is made of them."""

    state: FileState
    """As it will be once this chunk is committed (a copy)."""
    start: int
    """Offset of data[0]; of the oversize line where there is one."""
    data: bytes
    """Complete lines, ending with a newline; empty where only an oversize line, a step past one, or the end is to be told.
    The last line
    of a deleted file gets the newline that it never had: there `data` is one byte longer than `offset` moved."""
    fresh: bool
    """Reading (re)started at byte 0: the carried state of earlier reads must be dropped."""
    oversize: tuple[Oversize, ...]
    """At most one, and then no data."""
    at_end: bool
    """No complete line was left behind this chunk at the moment of reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A file or folder that could not be read: told once, until it could be read again."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReport:
    """What one scan found, as counts of files."""

    files: int
    new: int
    changed: int
    renamed: int
    gone: int
    returned: int
    """Gone before, and back under the same path."""
    missed: int
    """Found by this scan though a watcher should have announced them."""
    directories: int
    roots: tuple[bytes, ...]
    """Real paths of the roots that exist."""
    problems: tuple[Problem, ...]
    """New since the last scan."""
    refused: int = 0
    """Folders that may not be looked into; what lies in them is not counted anywhere."""
    sources: dict[str, int] = field(default_factory=dict)
    """Files that are there, by the kind of their root."""
