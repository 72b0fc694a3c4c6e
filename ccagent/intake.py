"""From bytes to facts: what the follower read, derived and taken into the store, one transaction a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from ccagent.companion import take_companion
from ccagent.crash_guard import CrashGuard
from ccagent.facts.batch import BadLine, Batch
from ccagent.follow.roots import Kinds
from ccagent.follow.state import Chunk, FileState
from ccagent.sources.base import CLAUDE, Feeder, written_by
from ccagent.sources.known import SOURCES
from ccagent.store.base import FileRow, Store

STEP_BYTES: Final = 1024 * 1024
"""Bytes of one transaction: it must not hold the write lock longer than 50 ms (measured: 10 to 25 ms a MiB)."""


def file_states(store: Store) -> list[FileState]:
    """What the store remembers of files, as the follower wants it."""
    return [
        FileState(
            file_id=row.file_id, path=row.path, device=row.device, inode=row.inode, size=row.size,
            mtime_ns=row.mtime_ns, offset=row.offset, head=row.head, head_length=row.head_length, marker=row.marker,
            generation=row.generation, lines=row.lines, state=row.state,
        )
        for row in store.files(carry=False)
    ]  # fmt: skip


class Lines(Protocol):
    """Where lines come from: a follower, or whoever reads files once more."""

    def read(self, budget: int) -> list[Chunk]:
        """Up to `budget` bytes in chunks of different files; empty if nothing is left to read."""

    def commit(self, chunks: Sequence[Chunk], ids: Mapping[bytes, int]) -> None:
        """The store has `chunks`; `ids` gives the numbers of their files by path."""

    def rollback(self, chunks: Sequence[Chunk]) -> None:
        """The store does not have `chunks`; the same bytes are read again."""

    def changed_states(self) -> list[FileState]:
        """States that changed without a line."""

    def committed_states(self) -> None:
        """The store has what `changed_states` last gave."""


class Intake:
    """Moves lines from the follower into the store. Driven by one thread.

    `kinds` says whose a file is; without it all are Claude Code's. `guard` finds lines that end the process.
    """

    def __init__(
        self, follower: Lines, store: Store, kinds: Kinds | None = None, guard: CrashGuard | None = None
    ) -> None:
        self.follower = follower
        self.store = store
        self._kinds = Kinds(()) if kinds is None else kinds
        self._guard = guard

    def step(self, budget: int = STEP_BYTES) -> int:
        """Read, derive and commit up to `budget` bytes; the bytes taken in, 0 when nothing is left to read.

        StoreError when the store refused: nothing is lost, the same bytes are read again at the next step.
        """
        self.keep_states()
        chunks = self.follower.read(budget)
        if not chunks:
            return 0
        try:
            batch, rows = self._guarded(chunks)
            ids = self.store.ingest(batch, rows)
        except BaseException:
            self.follower.rollback(chunks)
            raise
        self.follower.commit(chunks, {row.path: number for row, number in zip(rows, ids, strict=True)})
        return sum(len(chunk.data) for chunk in chunks) or 1

    def keep_states(self) -> None:
        """Persist what changed of files without a line: renamed, gone, unreadable."""
        states = self.follower.changed_states()
        if states:
            self.store.keep_files([_row(state) for state in states if state.file_id is not None])
        self.follower.committed_states()

    def _guarded(self, chunks: list[Chunk]) -> tuple[Batch, list[FileRow]]:
        """Derive, and have it known for the case that the process does not come back."""
        if self._guard is None:
            return self._derive(chunks)
        self._guard.begin()
        try:
            return self._derive(chunks)
        finally:
            self._guard.end()

    def _derive(self, chunks: list[Chunk]) -> tuple[Batch, list[FileRow]]:
        batch = Batch()
        rows = []
        for number, chunk in enumerate(chunks):
            state = chunk.state
            carried = None if chunk.fresh or state.file_id is None else self.store.carry(state.file_id)
            feeder = SOURCES[self._kind(state.path, carried)].feeder(batch, carried, file=number, path=state.path)
            for line in chunk.oversize:
                batch.bad.append(
                    BadLine(file=number, offset=line.offset, length=line.length + 1, hash=line.hash, reason="oversize",
                            recovered=0)
                )  # fmt: skip
                batch.line("bad")
                batch.count("line", "quarantined")
            if chunk.data:
                self._feed(feeder, batch, number, chunk)
                take_companion(feeder)
            row = _row(state)
            row.carry = feeder.carried()
            rows.append(row)
        return batch, rows

    def _feed(self, feeder: Feeder, batch: Batch, number: int, chunk: Chunk) -> None:
        guard = self._guard
        if guard is None or not (guard.careful or guard.left_out):
            feeder.feed(chunk.data, chunk.start)
            return
        for line, offset, left_out in guard.lines(chunk.data, chunk.start):
            if left_out is None:
                feeder.feed(line, offset)
                continue
            batch.bad.append(
                BadLine(file=number, offset=offset, length=len(line), hash=left_out, reason="crash", recovered=0)
            )
            batch.line("bad")
            batch.count("line", "quarantined")
            batch.bytes += len(line)

    def _kind(self, path: bytes, carried: bytes | None) -> str:
        """The source of a file: its root's, else (its root is named no more) whoever wrote its carried state."""
        kind = self._kinds.kind_of(path)
        if kind is None:
            self._kinds.refresh()
            kind = self._kinds.kind_of(path) or written_by(carried)
        return kind if kind is not None and kind in SOURCES else CLAUDE


def _row(state: FileState) -> FileRow:
    return FileRow(
        file_id=state.file_id, path=state.path, device=state.device, inode=state.inode, size=state.size,
        mtime_ns=state.mtime_ns, offset=state.offset, head=state.head, head_length=state.head_length,
        marker=state.marker, generation=state.generation, lines=state.lines, state=state.state,
    )  # fmt: skip
