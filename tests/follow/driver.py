"""A follower with the smallest store there can be: states by number, and the lines that were delivered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ccagent.follow.follower import Follower
from ccagent.follow.state import Chunk, FileState, Oversize, ScanReport


@dataclass(frozen=True)
class Line:
    """A delivered line, and where it was."""

    file_id: int
    generation: int
    offset: int
    data: bytes


@dataclass
class Ledger:
    """What a store would keep."""

    states: dict[int, FileState] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    oversize: list[Oversize] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)

    def write(self, changed: Sequence[FileState], chunks: Sequence[Chunk]) -> dict[bytes, int]:
        """One transaction: the states first, as the follower asks."""
        ids: dict[bytes, int] = {}
        for state in changed:
            assert state.file_id is not None
            self._put(state.file_id, state)
        for chunk in chunks:
            number = chunk.state.file_id
            if number is None:
                number = ids[chunk.state.path] = len(self.states) + 1
            self._put(number, chunk.state)
            self._take(number, chunk)
        return ids

    def _put(self, number: int, state: FileState) -> None:
        taken = [other for other, row in self.states.items() if row.path == state.path and other != number]
        assert not taken, "two rows with one path"
        self.states[number] = replace(state, file_id=number)

    def _take(self, number: int, chunk: Chunk) -> None:
        assert chunk.data == b"" or chunk.data.endswith(b"\n")
        position = chunk.start
        for line in chunk.data.split(b"\n")[:-1]:
            self.lines.append(Line(number, chunk.state.generation, position, line))
            position += len(line) + 1
        self.oversize += chunk.oversize
        self.chunks.append(chunk)

    def texts(self) -> list[bytes]:
        """Delivered lines in order of delivery."""
        return [line.data for line in self.lines]


class Session:
    """A follower and its ledger; `restart` makes a new follower from what the ledger has."""

    def __init__(self, *roots: Path, ledger: Ledger | None = None, **options: Any) -> None:
        self.roots = roots
        self.options = options
        self.ledger = ledger or Ledger()
        self.follower = Follower(roots, self.ledger.states.values(), **options)

    def restart(self) -> Session:
        """The same store, a new process."""
        self.follower.close()
        return Session(*self.roots, ledger=self.ledger, **self.options)

    def turn(self, budget: int = 1 << 20) -> list[Chunk]:
        """Reads once and commits."""
        chunks = self.follower.read(budget)
        ids = self.ledger.write(self.follower.changed_states(), chunks)
        self.follower.committed_states()
        self.follower.commit(chunks, ids)
        return chunks

    def scan_and_save(self) -> None:
        """A scan whose findings are kept, without reading."""
        self.follower.scan()
        self.ledger.write(self.follower.changed_states(), [])
        self.follower.committed_states()

    def drain(self, budget: int = 1 << 20) -> None:
        """Reads until nothing is left."""
        for _ in range(3_000):
            if not self.turn(budget):
                return
        raise AssertionError("reading does not come to an end")

    def catch_up(self, budget: int = 1 << 20) -> ScanReport:
        """A scan, and reading to the end."""
        report = self.follower.scan()
        self.drain(budget)
        return report

    def texts(self) -> list[bytes]:
        """Delivered lines in order of delivery."""
        return self.ledger.texts()


def append(path: Path, data: bytes) -> None:
    """Appends `data` as a transcript's writer does."""
    with path.open("ab") as stream:
        stream.write(data)


def write_new(path: Path, data: bytes) -> Path:
    """A file with `data`, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def age(path: Path, seconds: float) -> None:
    """Makes the file look `seconds` older than now."""
    status = path.stat()
    os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))
