"""What a recount has counted, by content key: some in memory, the rest in sorted runs of a temporary file.

Of each thing only a 16-byte hash, a few numbers and the numbers of two texts are kept, so any length of history is
recounted in the memory that `LIMIT` things need. The file has no name, holds hashes and integers, and ends with the
process.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from enum import IntEnum
from heapq import merge
from operator import itemgetter
from struct import Struct
from typing import Final

from ccagent.errors import StoreError

LIMIT: Final = 50_000
"""Things held in memory, at half a kilobyte each."""

BLOCK: Final = 2_000
"""Things of a run that are read at once."""

NEVER: Final = 1 << 62
"""Stands for an unknown time; sorts behind all known ones."""

NO_TEXT: Final = 0
"""Number of the text that is none."""


class Kind(IntEnum):
    """What a thing is."""

    SESSION = 1
    REQUEST = 2
    CALL = 3
    COMPACTION = 4


class Seen(IntEnum):
    """Bits: where a tool call was seen; and whether a thing's name is in dispute.

    Plain integers when combined: members of an `enum.Flag` cost more than reading a line.
    """

    CALLED = 1  # a tool_use block of the chain itself
    RELAYED = 2  # a tool_use block inside agent_progress
    ANSWERED = 4  # a tool_result block in a user record
    FAILED = 8  # … flagged as an error
    ANSWER_RELAYED = 16  # a tool_result block inside agent_progress
    DISPUTED = 32  # of anything: lines of one owner and one moment name it differently


KIND, SEEN, RANK, AT, SESSION, NAME, FIRST, COUNTERS = range(8)
"""Places in an entry: kind; flags `Seen`; the owner's rank and time (ms); numbers of the owner's session and of its
model or tool; the first time of all (ms). From COUNTERS on there are six token counters."""

_DISPUTED: Final = int(Seen.DISPUTED)

Entry = list[int]
Keyed = tuple[bytes, Entry]

_PACKED: Final = Struct("<16sBBBqIIq6q")
_KEY: Final = itemgetter(0)


class Texts:
    """Session ids, models and tools as numbers; `NO_TEXT` is none."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = [""]

    def number(self, text: str | None) -> int:
        """The number of a text, given now if it has none."""
        if text is None:
            return NO_TEXT
        known = self._numbers.get(text)
        if known is None:
            known = self._numbers[text] = len(self._texts)
            self._texts.append(text)
        return known

    def text(self, number: int) -> str | None:
        """The text of a number that was given."""
        return None if number == NO_TEXT else self._texts[number]


class Tally:
    """The things counted so far. Adding commutes: neither the order of files nor that of lines shows in the result."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.texts = Texts()
        self._limit = limit
        self._held: dict[bytes, Entry] = {}
        self._runs: list[tuple[int, int]] = []
        self._file = -1
        self._end = 0

    def add(self, key: bytes, entry: Entry) -> None:
        """Take in one sight of the thing `key`; `entry` is the tally's from here on. StoreError where the disk is full."""
        known = self._held.get(key)
        if known is not None:
            self._join(known, entry)
            return
        self._held[key] = entry
        if len(self._held) >= self._limit:
            self._spill()

    def sorted(self) -> Iterator[Keyed]:
        """All things in the order of their keys, each once. May be asked again; do not add meanwhile."""
        held = iter(sorted(self._held.items(), key=_KEY))
        if not self._runs:
            yield from held
            return
        last: Keyed | None = None
        for key, entry in merge(*(self._run(*run) for run in self._runs), held, key=_KEY):
            if last is not None and last[0] == key:
                self._join(last[1], entry)
                continue
            if last is not None:
                yield last
            last = key, entry.copy()
        if last is not None:
            yield last

    def close(self) -> None:
        """Give the temporary file up."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _join(self, into: Entry, other: Entry) -> None:
        disputed = self._claim(into, other)
        into[SEEN] = (into[SEEN] | other[SEEN]) & ~_DISPUTED | disputed
        if other[FIRST] < into[FIRST]:
            into[FIRST] = other[FIRST]
        for place in range(COUNTERS, COUNTERS + 6):
            if other[place] > into[place]:
                into[place] = other[place]

    def _claim(self, into: Entry, other: Entry) -> int:
        """Let the smaller owner be `into`'s; whether the name is then in dispute, as a flag."""
        one, two = (into[RANK], into[AT]), (other[RANK], other[AT])
        if one == two:
            if into[SESSION] == other[SESSION]:
                disputed = (into[SEEN] | other[SEEN]) & _DISPUTED
                if into[NAME] == other[NAME]:
                    return disputed
                if self._order(other[NAME]) < self._order(into[NAME]):
                    into[NAME] = other[NAME]
                return _DISPUTED
            smaller = self._order(other[SESSION]) < self._order(into[SESSION])
        else:
            smaller = two < one
        if not smaller:
            return into[SEEN] & _DISPUTED
        into[RANK : NAME + 1] = other[RANK : NAME + 1]
        return other[SEEN] & _DISPUTED

    def _order(self, number: int) -> tuple[bool, str]:
        """How a text sorts, none last: its number depends on the order of reading, so it decides nothing."""
        return number == NO_TEXT, self.texts.text(number) or ""

    def _spill(self) -> None:
        try:
            self._write()
        except OSError as error:
            raise StoreError(
                f"the recount needs room in the folder for temporary files ({tempfile.gettempdir()}): {error.strerror};"
                " make room there, or name another folder with TMPDIR"
            ) from error

    def _write(self) -> None:
        if self._file < 0:
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())
        pack = _PACKED.pack
        start, lines = self._end, sorted(self._held.items(), key=_KEY)
        for first in range(0, len(lines), BLOCK):
            block = memoryview(b"".join(pack(key, *entry) for key, entry in lines[first : first + BLOCK]))
            while block:
                written = os.pwrite(self._file, block, self._end)
                self._end += written
                block = block[written:]
        self._runs.append((start, self._end))
        self._held.clear()

    def _run(self, start: int, end: int) -> Iterator[Keyed]:
        size = _PACKED.size * BLOCK
        for place in range(start, end, size):
            for key, *entry in _PACKED.iter_unpack(os.pread(self._file, min(size, end - place), place)):
                yield key, entry
