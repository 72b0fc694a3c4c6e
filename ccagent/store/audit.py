"""What `verify` needs of the store beside the usage: how far each file was taken in, and what was booked.

All takes a reader; `snapshot` holds one moment still while several questions are asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import apsw

_FILES: Final = """
    SELECT id, path, device, inode, size, mtime_ns, "offset", head, head_length, marker, generation, lines, state
    FROM file ORDER BY path"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One transcript as the store knows it; all bytes before `offset` have been taken in."""

    file_id: int
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


@contextmanager
def snapshot(reader: apsw.Connection) -> Iterator[None]:
    """Everything read within sees the store at one moment; a transaction that is open already is used."""
    if reader.in_transaction:
        yield
        return
    reader.execute("BEGIN")
    try:
        yield
    finally:
        reader.execute("ROLLBACK")


def files(reader: apsw.Connection) -> list[StoredFile]:
    """All files that the store knows, in the order of their paths; gone ones too."""
    return [
        StoredFile(
            file_id=file_id, path=bytes(path), device=device, inode=inode, size=size, mtime_ns=mtime_ns, offset=offset,
            head=bytes(head), head_length=head_length, marker=bytes(marker), generation=generation, lines=lines,
            state=state,
        )
        for file_id, path, device, inode, size, mtime_ns, offset, head, head_length, marker, generation, lines, state
        in reader.execute(_FILES)
    ]  # fmt: skip
