"""A disk whose n-th write fails, under SQLite itself."""

from __future__ import annotations

from typing import Any

import apsw


class _File(apsw.VFSFile):
    def __init__(self, disk: Faulty, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        self._disk.count()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        self._disk.count()
        super().xSync(flags)


class Faulty(apsw.VFS):
    """While it is entered, every database opened lies on this disk. `fail_at(n)` lets the n-th write or sync from then
    on fail; `failed` tells whether one did."""

    def __init__(self) -> None:
        super().__init__("faulty", "unix")
        self._left: int | None = None
        self.failed = False

    def __enter__(self) -> Faulty:
        apsw.set_default_vfs("faulty")
        return self

    def __exit__(self, *_: object) -> None:
        apsw.set_default_vfs("unix")
        self.unregister()

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  # SQLite's name
        return _File(self, name, flags)

    def fail_at(self, number: int | None) -> None:
        self._left = number
        if number is not None:
            self.failed = False

    def count(self) -> None:
        if self._left is None:
            return
        self._left -= 1
        if self._left == 0:
            self._left, self.failed = None, True
            raise apsw.IOError("injected failure")
