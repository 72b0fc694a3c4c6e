"""A disk under SQLite itself whose n-th write fails, or that loses what was not synced when the power goes."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import apsw

SECTOR = 512
"""Bytes that a disk writes whole or not at all."""

Kind = Literal["any", "write", "short", "full", "sync", "read"]
"""What fails: a write or sync, a write, a write in its middle, a write for want of room, a sync, a read."""

_OF_WRITES = ("any", "write", "short", "full")


class _File(apsw.VFSFile):
    """One open file of the disk."""

    def __init__(self, disk: Faulty, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._image = disk.image(name, super().xRead, super().xFileSize)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802  # SQLite's name
        if self._disk.counts("read"):
            raise apsw.IOError("injected failure of a read")
        return super().xRead(amount, offset) if self._image is None else self._image.read(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        kind = self._disk.counts(*_OF_WRITES)
        if kind == "full":
            raise apsw.FullError("injected: the disk is full")
        if kind == "short":
            self._write(data[: len(data) // 2], offset)
        if kind:
            raise apsw.IOError("injected failure of a write")
        self._write(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        if self._disk.counts("any", "sync"):
            raise apsw.IOError("injected failure of a sync")
        if self._image is not None:
            for offset, data in self._image.synced():
                self._apply(data, offset)
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:  # noqa: N802  # SQLite's name
        if self._image is None:
            super().xTruncate(size)
        else:
            self._image.write(None, size)

    def xFileSize(self) -> int:  # noqa: N802  # SQLite's name
        return super().xFileSize() if self._image is None else len(self._image.content)

    def _write(self, data: bytes, offset: int) -> None:
        if self._image is None:
            super().xWrite(data, offset)
        else:
            self._image.write(data, offset)

    def _apply(self, data: bytes | None, offset: int) -> None:
        if data is None:
            super().xTruncate(offset)
        else:
            super().xWrite(data, offset)


class _Image:
    """What processes see of a file: what is on the disk, and what is only on its way there."""

    def __init__(self, disk: Faulty, content: bytes) -> None:
        self._disk = disk
        self.content = bytearray(content)
        self.pending: list[tuple[int, bytes | None]] = []
        """(offset, data), or (size, None) where the file was cut."""

    def read(self, amount: int, offset: int) -> bytes:
        return bytes(self.content[offset : offset + amount])

    def write(self, data: bytes | None, offset: int) -> None:
        self._disk.refuse_the_dead()
        self.pending.append((offset, data))
        _put(self.content, data, offset)

    def synced(self) -> list[tuple[int, bytes | None]]:
        self._disk.refuse_the_dead()
        done, self.pending = self.pending, []
        return done


def _put(content: bytearray, data: bytes | None, offset: int) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Faulty(apsw.VFS):
    """While it is entered, every database opened lies on this disk.

    `fail_at(n)` lets the n-th write or sync from then on fail; `failed` tells whether one did. With `volatile` the disk
    keeps in memory what was not synced, until `cut`.
    """

    def __init__(self, *, volatile: bool = False) -> None:
        super().__init__("faulty", "unix")
        self.failed = False
        self.lost = 0
        """Writes that power cuts have taken."""
        self._left: int | None = None
        self._kind: Kind = "any"
        self._volatile = volatile
        self._images: dict[str, _Image] = {}
        self._dead = False

    def __enter__(self) -> Faulty:
        apsw.set_default_vfs("faulty")
        return self

    def __exit__(self, *_: object) -> None:
        apsw.set_default_vfs("unix")
        self.unregister()

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  # SQLite's name
        return _File(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802  # SQLite's name
        self.refuse_the_dead()
        self._images.pop(name, None)
        super().xDelete(name, sync)

    # ---- faults ----------------------------------------------------------------------------------------------------

    def fail_at(self, number: int | None, kind: Kind = "any") -> None:
        """Let the n-th operation of that kind from now on fail; None: none."""
        self._left, self._kind = number, kind
        if number is not None:
            self.failed = False

    def counts(self, *kinds: Kind) -> Kind | None:
        """One such operation happens; the kind of fault if it is the one to fail."""
        if self._left is None or self._kind not in kinds:
            return None
        self._left -= 1
        if self._left:
            return None
        self._left, self.failed = None, True
        return self._kind

    # ---- power -----------------------------------------------------------------------------------------------------

    def image(self, name: Any, read: Callable[[int, int], bytes], size: Callable[[], int]) -> _Image | None:
        """What all who opened the file see of it; None where the disk is an ordinary one."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if not self._volatile or path is None:
            return None
        if path not in self._images:
            length = size()
            self._images[path] = _Image(self, read(length, 0) if length else b"")
        return self._images[path]

    def refuse_the_dead(self) -> None:
        """Nobody writes while the power is off."""
        if self._dead:
            raise apsw.IOError("the power is off")

    def cut(self, choice: random.Random, *close: apsw.Connection) -> None:
        """The power goes: of what was not synced some sectors are on the disk, in any order, and the rest is lost.

        `close`: the connections of the process that died with it.
        """
        self._dead = True
        for connection in close:
            with suppress(apsw.Error):  # without power it cannot fold in its log
                connection.close()
        for name, image in self._images.items():
            path = Path(name)
            if not image.pending or not path.exists():
                continue
            content = bytearray(path.read_bytes())
            share = choice.choice((0.0, 0.5, 0.9))
            for offset, data in image.pending:
                for piece, place in _sectors(data, offset):
                    if choice.random() < share:
                        _put(content, piece, place)
                    else:
                        self.lost += 1
            path.write_bytes(content)
        for path in {Path(name.removesuffix("-wal")) for name in self._images}:
            Path(f"{path}-shm").unlink(missing_ok=True)  # memory, which no power cut leaves
        self._images.clear()
        self._dead = False


def _sectors(data: bytes | None, offset: int) -> list[tuple[bytes | None, int]]:
    if data is None:
        return [(None, offset)]
    return [(data[start : start + SECTOR], offset + start) for start in range(0, len(data), SECTOR)]
