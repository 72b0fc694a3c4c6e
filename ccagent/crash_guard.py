"""Lines that end the process: found out by a mark that outlives it, and left out once they have done it three times.

A rule that fails on a line costs a record (`sources/feeding.py`). Here the process is gone without a word, by a fault in
machine code, or ended since it hung, and the same line would wait for the next one: a service would begin again for ever
and take in nothing that comes later.

`<database>.deriving` says that lines are being derived. A process that finds it said so by one that died is careful: it
feeds line by line and names each by its hash first. A line under which three such processes died is put aside, like one
that cannot be read, and so is each copy of it in other files.

The file holds hashes, no text. It is written with one call and never synced: what a process wrote stays when it dies, and
when the machine does no line was to blame. Where it cannot be written there is no guard, and reading goes on.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

import orjson

DEATHS: Final = 3
"""Of careful processes under one line. Deaths that the line has no part in (a kill, memory) meet the same line, which takes
some microseconds, hardly twice."""

REMEMBERED: Final = 16
"""Lines whose deaths are counted at once; the oldest go."""

ROOM: Final = 1_024
"""Bytes of the file, more than it ever needs: what is written over has no rest behind it."""

SUFFIX: Final = ".deriving"
"""Behind the name of the database."""

_LINES: Final = "lines"


class CrashGuard:
    """The mark of one database. `left_out` are the hashes of lines that are not to be derived, `fresh` those of them that
    nobody knew before this start."""

    def __init__(self, sidecar: str, known: Collection[bytes] = ()) -> None:
        """`known`: what was left out before, as the store has it."""
        self._path = Path(sidecar + SUFFIX)
        at, self._deaths = self._read()
        for digest in known:
            self._deaths.pop(digest.hex(), None)
        if at not in (None, _LINES):
            self._deaths[at] = self._deaths.pop(at, 0) + 1
        for line in list(self._deaths)[:-REMEMBERED]:
            del self._deaths[line]
        condemned = {bytes.fromhex(line) for line, deaths in self._deaths.items() if deaths >= DEATHS}
        self.fresh = frozenset(condemned.difference(known))
        self.left_out = frozenset((*known, *condemned))
        self.careful = at is not None or bool(self._deaths)
        self._descriptor: int | None = None

    def forgive(self) -> None:
        """Derive again what was left out, as a newer version may; a line that still ends the process is found anew."""
        for digest in self.left_out:
            self._deaths.pop(digest.hex(), None)
        self.left_out = frozenset()

    def begin(self) -> None:
        """Lines are going to be derived."""
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return
        self._write(_LINES)

    def end(self) -> None:
        """They are derived."""
        self._write(None)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def close(self) -> None:
        """The process ends as it should: nothing is to be remembered but deaths."""
        if not self._deaths:
            try:
                self._path.unlink(missing_ok=True)
            except OSError:
                return  # the next start finds that nothing was being derived

    def lines(self, data: bytes, start: int) -> Iterator[tuple[bytes, int, bytes | None]]:
        """The lines of `data` (complete ones, `start` = file offset of the first) with their offsets, each named in the
        file before it is given; with its hash where it is to be left out."""
        position = start
        for raw in data.split(b"\n")[:-1]:
            digest = blake2b(raw, digest_size=16).digest()
            if digest in self.left_out:
                yield raw + b"\n", position, digest
            else:
                yield from self._named(raw + b"\n", position, digest.hex())
            position += len(raw) + 1
        if self.careful:
            self._write(_LINES)  # what follows the last line, a database or a drive that hangs, is no fault of it

    def _named(self, line: bytes, position: int, name: str) -> Iterator[tuple[bytes, int, None]]:
        if self.careful:
            self._write(name)
        yield line, position, None
        self._deaths.pop(name, None)

    def _read(self) -> tuple[str | None, dict[str, int]]:
        try:
            document = orjson.loads(self._path.read_bytes())
            deaths = {bytes.fromhex(line).hex(): int(count) for line, count in document["deaths"].items()}
            at = document["at"]
            return (at if at in (None, _LINES) else bytes.fromhex(at).hex()), deaths
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None, {}  # none, or torn by a machine that went down

    def _write(self, at: str | None) -> None:
        if self._descriptor is None:
            return
        try:
            os.pwrite(self._descriptor, orjson.dumps({"at": at, "deaths": self._deaths}).ljust(ROOM), 0)
        except OSError:
            return
