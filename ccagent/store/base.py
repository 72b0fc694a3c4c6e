"""What a store is: facts, offsets, links and totals in one transaction, for one host."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ccagent.facts.batch import Batch

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class FileRow:
    """A row of the table `file` as the ingest writes it; `carry` commits with the offset."""

    file_id: int | None
    path: bytes
    device: int
    inode: int
    size: int
    mtime_ns: int
    offset: int
    head: bytes
    head_length: int
    marker: bytes
    generation: int
    lines: int
    state: int
    carry: bytes | None = None


class Store(Protocol):
    """The writer's side. Every method is one transaction; readers have connections of their own."""

    def files(self, *, carry: bool = True) -> list[FileRow]:
        """All files known, with their carry where it is wanted."""

    def carry(self, file_id: int) -> bytes | None:
        """The carried state of a file."""

    def ingest(self, batch: Batch, files: Sequence[FileRow]) -> list[int]:
        """Take in a batch and move its files on, in one transaction; the ids of `files`, which may be new.

        `batch` numbers its files by their place in `files`. StoreError when nothing was written.
        """

    def keep_files(self, files: Sequence[FileRow]) -> None:
        """Write files whose place changed without anything read: renamed, gone, unreadable. Keeps their carry."""

    def close_due(self, caught_up: Collection[int], quiet: Collection[int]) -> int:
        """Close what timers say is over; the number of facts closed in this slice."""

    def book(self, amounts: Mapping[tuple[str, tuple[str, ...], bool], int]) -> None:
        """Add to totals outside of an ingest (exports, starts)."""

    def write(self, work: Callable[[Any], T]) -> T:
        """Run `work(connection)` in a write transaction of its own."""
