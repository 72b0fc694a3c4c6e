"""Rows out of the bytes of a damaged SQLite file: what stands on each page that can still be read.

The tree of pages is not followed, since damage breaks it first: every page is looked at for itself, those of the
write-ahead log too. So rows come back that were deleted or changed later; whoever takes them decides by the row's own
change number. The format is that of https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

MAGIC: Final = b"SQLite format 3\0"
USUAL_PAGE: Final = 4_096
"""Of every database that ccagent makes: taken where the header is gone."""

LARGEST_ROW: Final = 64 * 1024 * 1024
"""A longer one is a damaged length."""

TABLE_LEAF: Final = 0x0D
INDEX_LEAF: Final = 0x0A
INDEX_INTERIOR: Final = 0x02

_WAL_MAGIC: Final = (0x377F0682, 0x377F0683)
_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_INTEGERS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_BROKEN: Final = (IndexError, struct.error, ValueError, OverflowError)
"""What reading a damaged cell ends with."""

Value = int | float | str | bytes | None


class Record(NamedTuple):
    """One row as it stands: `rowid` is None in the trees of tables without one, and of indexes."""

    rowid: int | None
    values: tuple[Value, ...]


Shape = tuple[bool, int]
"""Whether rows have a rowid, and how many values: all rows of a page have the same."""

Source = Callable[[int], bytes]
"""Gives a page by its number: those on which a long row goes on are of the same time as its beginning."""


@dataclass(slots=True)
class Pages:
    """The pages of a database file and of the write-ahead log beside it. Use it as a context manager."""

    path: Path
    size: int = USUAL_PAGE
    usable: int = USUAL_PAGE
    count: int = 0
    """Pages in the file itself."""
    unreadable: int = 0
    """Pages, and rows on pages, that gave nothing."""
    _file: int = -1
    _log: int = -1
    _logged: dict[int, int] = field(default_factory=dict)
    """Page number → where its newest committed version begins in the log."""

    def __enter__(self) -> Pages:
        self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        header = os.pread(self._file, 100, 0)
        if header.startswith(MAGIC):
            size = int.from_bytes(header[16:18], "big")
            size = 65_536 if size == 1 else size
            if 512 <= size <= 65_536 and size & (size - 1) == 0:
                self.size = size
                self.usable = size - header[20]
        self.count = -(-os.fstat(self._file).st_size // self.size)
        self._open_log()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in (self._file, self._log):
            if descriptor >= 0:
                os.close(descriptor)

    def records(self, shapes: Collection[Shape]) -> Iterator[Record]:
        """Every row of the pages whose rows are of these shapes, the file's first and then the log's."""
        for number in range(1, self.count + 1):
            yield from self._on(number, self._in_file(number), shapes, self._in_file)
        for number, place in sorted(self._logged.items()):
            yield from self._on(number, self._read(self._log, place), shapes, self._newest)

    def _open_log(self) -> None:
        try:
            self._log = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        header = os.pread(self._log, _WAL_HEADER, 0)
        if len(header) < _WAL_HEADER:
            return
        magic, _, size, _, salt, _, _ = struct.unpack(">IIIIQII", header)
        if magic not in _WAL_MAGIC or size != self.size:
            return
        place = _WAL_HEADER
        open_ones: dict[int, int] = {}
        while len(frame := os.pread(self._log, _FRAME_HEADER, place)) == _FRAME_HEADER:
            number, pages, its_salt, _ = struct.unpack(">IIQQ", frame)
            if its_salt != salt:
                break
            open_ones[number] = place + _FRAME_HEADER
            if pages:  # the last frame of a transaction
                self._logged |= open_ones
                open_ones.clear()
            place += _FRAME_HEADER + self.size

    def _read(self, descriptor: int, place: int) -> bytes:
        try:
            return os.pread(descriptor, self.size, place)
        except OSError:  # the disk itself cannot read it
            self.unreadable += 1
            return b""

    def _in_file(self, number: int) -> bytes:
        return self._read(self._file, (number - 1) * self.size)

    def _newest(self, number: int) -> bytes:
        """A page in its newest version."""
        place = self._logged.get(number)
        return self._in_file(number) if place is None else self._read(self._log, place)

    def _on(self, number: int, page: bytes, shapes: Collection[Shape], others: Source) -> Iterator[Record]:
        start = 100 if number == 1 else 0
        if len(page) < self.size or page[start] not in (TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR):
            return
        kind = page[start]
        cells = int.from_bytes(page[start + 3 : start + 5], "big")
        pointers = start + (12 if kind == INDEX_INTERIOR else 8)
        for index in range(min(cells, self.size // 4)):
            try:
                place = int.from_bytes(page[pointers + 2 * index : pointers + 2 * index + 2], "big")
                record = self._cell(page, place, kind, others)
            except _BROKEN:
                self.unreadable += 1
                continue
            if (kind == TABLE_LEAF, len(record.values)) not in shapes:
                return
            yield record

    def _cell(self, page: bytes, place: int, kind: int, others: Source) -> Record:
        if kind == INDEX_INTERIOR:
            place += 4  # the number of the page below
        length, place = _varint(page, place)
        if length > LARGEST_ROW:
            raise ValueError("no row is so long")
        rowid = None
        most = (self.usable - 12) * 64 // 255 - 23
        if kind == TABLE_LEAF:
            rowid, place = _varint(page, place)
            most = self.usable - 35
        if length <= most:
            payload = page[place : place + length]
        else:
            least = (self.usable - 12) * 32 // 255 - 23
            here = least + (length - least) % (self.usable - 4)
            here = here if here <= most else least
            payload = page[place : place + here]
            following = int.from_bytes(page[place + here : place + here + 4], "big")
            payload += self._overflow(following, length - here, others)
        if len(payload) < length:
            raise ValueError("the row is cut off")
        return Record(rowid, _values(payload))

    def _overflow(self, number: int, length: int, others: Source) -> bytes:
        parts = []
        while length > 0:
            page = others(number) if number else b""
            if len(page) < self.usable:
                raise ValueError("a page of the row is missing")
            part = page[4 : min(self.usable, 4 + length)]
            parts.append(part)
            length -= len(part)
            number = int.from_bytes(page[:4], "big")
        return b"".join(parts)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[place + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + index + 1
    value = value << 8 | data[place + 8]
    return (value if value < 1 << 63 else value - (1 << 64)), place + 9


def _values(payload: bytes) -> tuple[Value, ...]:
    end, place = _varint(payload, 0)
    if not place <= end <= len(payload):
        raise ValueError("the head of the row is longer than the row")
    kinds = []
    while place < end:
        kind = payload[place]
        if kind < 0x80:  # one byte, as most are
            place += 1
        else:
            kind, place = _varint(payload, place)
        kinds.append(kind)
    values: list[Value] = []
    for kind in kinds:
        if not kind:
            values.append(None)
            continue
        if kind in _INTEGERS:
            length = _INTEGERS[kind]
            piece = payload[place : place + length]
            values.append(int.from_bytes(piece, "big", signed=True))
        elif kind >= 12:
            length = (kind - 12) // 2
            piece = payload[place : place + length]
            values.append(piece if kind % 2 == 0 else piece.decode("utf-8"))
        elif kind == 7:
            length = 8
            piece = payload[place : place + length]
            values.append(struct.unpack(">d", piece)[0])
        elif kind in (8, 9):
            length, piece = 0, b""
            values.append(kind - 8)
        else:
            raise ValueError("no such kind of value")
        if len(piece) != length:
            raise ValueError("a value is cut off")
        place += length
    return tuple(values)
