"""A file's lines, one by one, into a batch: what every source does with sound lines, bad ones and rules that fail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import blake2b
from typing import Generic, TypeVar

from msgspec import Struct

from ccagent.facts.batch import BadLine, Batch
from ccagent.sources.lines import Parsed

R = TypeVar("R", bound=Struct)


class Feeding(ABC, Generic[R]):
    """Feeds one file's lines into a batch. One instance a chunk; what it needs of earlier chunks is its carry's."""

    source: str
    """Name of the source whose files these are; set by the class of a source."""
    batch: Batch
    file: int
    """The caller's number of the chunk."""
    offset: int
    length: int
    raw: bytes
    """The current line: where it begins, its bytes with and without the newline."""
    parse: Callable[[bytes], R | Parsed[R]]
    """Reads a line; set by the class of a source, as a static method."""

    @abstractmethod
    def _record(self, record: R) -> None:
        """Derive one record."""

    @abstractmethod
    def _label(self, record: R) -> str:
        """What the record is counted as when a rule fails on it."""

    def feed(self, data: bytes, start: int) -> int:
        """Derive every line of `data` (complete lines, `start` = file offset of its first byte); the lines read."""
        batch, parse, position, count, sound = self.batch, self.parse, start, 0, 0
        for raw in data.split(b"\n"):
            length = len(raw) + 1
            if length > 1:
                count += 1
                self.offset, self.length, self.raw = position, length, raw
                parsed = parse(raw)
                if type(parsed) is Parsed:
                    self._bad_line(raw, parsed)
                else:
                    sound += 1
                    self._guarded(parsed)  # type: ignore[arg-type]  # what is not Parsed is a record
            elif position < start + len(data):
                batch.line("blank")
            position += length
        batch.lines["objects"] = batch.lines.get("objects", 0) + sound
        batch.bytes += len(data)
        return count

    def _bad_line(self, raw: bytes, parsed: Parsed[R]) -> None:
        batch = self.batch
        if not raw.strip():
            batch.line("blank")
            return
        reason = parsed.reason or "garbage"
        if reason in ("fallback", "nul"):
            batch.fallbacks[self.source] = batch.fallbacks.get(self.source, 0) + 1
        else:
            self._quarantine(reason, len(parsed.records))
        batch.line("objects" if parsed.records else "bad")
        for record in parsed.records:
            self._guarded(record)
        if parsed.broken:
            batch.count("line", "quarantined")

    def _guarded(self, record: R) -> None:
        """Derive one record; a rule that fails on it costs that record, never the file."""
        try:
            self._record(record)
        except Exception:
            self.batch.failures[self.source] = self.batch.failures.get(self.source, 0) + 1
            self.batch.count(self._label(record), "quarantined")
            self._quarantine("derive", 0)

    def _quarantine(self, reason: str, recovered: int) -> None:
        digest = blake2b(self.raw, digest_size=16).digest()
        self.batch.bad.append(
            BadLine(file=self.file, offset=self.offset, length=self.length, hash=digest, reason=reason,
                    recovered=recovered)
        )  # fmt: skip
