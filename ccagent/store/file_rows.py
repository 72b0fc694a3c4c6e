"""The rows of the table `file`: how far each transcript of a host has been taken in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ccagent.errors import StoreError
from ccagent.store.base import FileRow
from ccagent.store.connection import Connection

_COLUMNS: Final = (
    'id, path, device, inode, size, mtime_ns, "offset", head, head_length, marker, generation, lines, state, carry'
)
_KEEP: Final = (
    f"INSERT INTO file ({_COLUMNS}, host) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
    ' ON CONFLICT (id) DO UPDATE SET path = ?2, device = ?3, inode = ?4, size = ?5, mtime_ns = ?6, "offset" = ?7,'
    " head = ?8, head_length = ?9, marker = ?10, generation = ?11, lines = ?12, state = ?13, carry = ?14"
)
_MOVE: Final = (
    'UPDATE file SET path = ?2, device = ?3, inode = ?4, size = ?5, mtime_ns = ?6, "offset" = ?7, head = ?8,'
    " head_length = ?9, marker = ?10, generation = ?11, lines = ?12, state = ?13 WHERE id = ?1"
)
_NEW: Final = (
    'INSERT INTO file (host, path, device, inode, size, mtime_ns, "offset", head, head_length, marker, generation, lines,'
    " state) VALUES (?, ?, 0, 0, 0, 0, 0, ?, 0, ?, 0, 0, 0) RETURNING id"
)

ALL: Final = f"SELECT {_COLUMNS} FROM file WHERE host = ?"
"""Of one host, for `made`."""


POSITIONS: Final = ALL.replace(", carry FROM", ", NULL FROM")
"""The same without the carry, which is most of it."""


def made(row: Sequence[Any]) -> FileRow:
    """The file that a row of `ALL`, or of `POSITIONS`, tells of."""
    return FileRow(
        file_id=row[0], path=row[1], device=row[2], inode=row[3], size=row[4], mtime_ns=row[5], offset=row[6],
        head=row[7], head_length=row[8], marker=row[9], generation=row[10], lines=row[11], state=row[12], carry=row[13],
    )  # fmt: skip


def numbers(conn: Connection, host: int, files: Sequence[FileRow], database: str) -> list[int]:
    """The numbers of files, given to those that have none yet. StoreError where the database gives none."""
    ids = []
    for row in files:
        if row.file_id is not None:
            ids.append(row.file_id)
            continue
        known = conn.execute("SELECT id FROM file WHERE host = ? AND path = ?", (host, row.path)).fetchone()
        if known is None:
            known = conn.execute(_NEW, (host, row.path, b"", b"")).fetchone()
        if known is None:
            raise StoreError(f"{database} gave no number to a new file; run `ccagent db check`")
        ids.append(int(known[0]))
    return ids


def keep(conn: Connection, host: int, files: Sequence[FileRow], ids: Sequence[int]) -> None:
    """Write where reading these files stands, under their numbers, with their carry."""
    conn.executemany(_KEEP, [(*_values(row, number), host) for row, number in zip(files, ids, strict=True)])


def move(conn: Connection, files: Sequence[FileRow]) -> None:
    """Write files whose place changed without anything read. Their carry stays."""
    conn.executemany(_MOVE, [_values(row, row.file_id)[:13] for row in files])


def _values(row: FileRow, number: int | None) -> tuple[Any, ...]:
    return (
        number, row.path, row.device, row.inode, row.size, row.mtime_ns, row.offset, row.head, row.head_length, row.marker,
        row.generation, row.lines, row.state, row.carry,
    )  # fmt: skip
