"""What a source of transcripts is: how its files become partial facts, and what a file carries from line to line.

Carried state lies in the database as bytes, marked with the source that wrote them: those of another source are never
decoded, they count as none.
"""

from __future__ import annotations

from typing import Final, Protocol

from ccagent.facts.batch import Batch

CLAUDE: Final = "claude"
CODEX: Final = "codex"

_MARK: Final = 0xC1
"""A byte with which no msgpack value begins: what has no mark is Claude Code's, as before there was a second source."""


class Feeder(Protocol):
    """Derives the lines of one chunk of one file."""

    def feed(self, data: bytes, start: int) -> int:
        """Derive every line of `data` (complete lines, `start` = file offset of its first byte); the lines read."""

    def beside(self) -> bytes | None:
        """Path of a small file that says more of this one and has not been read yet, None for none."""

    def companion(self, data: bytes) -> None:
        """Take in what that file holds."""

    def carried(self) -> bytes:
        """What later chunks of the file need of this one and those before, marked."""


class Source(Protocol):
    """One kind of transcripts. `name` is how roots and the command line call it (`codex:DIR`)."""

    @property
    def name(self) -> str:
        """The source's name."""

    def feeder(self, batch: Batch, carried: bytes | None, *, file: int, path: bytes) -> Feeder:
        """Whoever derives a chunk into `batch`. `carried`: what the chunk before left, None at the file's beginning;
        `file`: the caller's number of the chunk; `path`: of the file, of which only the name is looked at."""


def marked(source: str, carried: bytes) -> bytes:
    """Carried state with its source's mark."""
    if source == CLAUDE:
        return carried
    name = source.encode("ascii")
    return bytes((_MARK, len(name))) + name + carried


def written_by(carried: bytes | None) -> str | None:
    """The source that wrote this state; None for no state."""
    if not carried:
        return None
    if carried[0] != _MARK:
        return CLAUDE
    return carried[2 : 2 + carried[1]].decode("ascii", "replace")


def unmarked(source: str, carried: bytes | None) -> bytes | None:
    """The state itself; None where there is none or another source wrote it."""
    if not carried or written_by(carried) != source:
        return None
    return carried[2 + carried[1] :] if carried[0] == _MARK else carried
