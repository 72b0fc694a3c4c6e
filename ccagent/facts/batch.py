"""What one transaction takes in: partial facts of several files, merged in memory before the store sees them."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from dataclasses import dataclass
from typing import Final

from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial

RECORD_STATUSES: Final = ("new", "merged", "ignored", "unknown", "quarantined")
"""Every object of every line is counted once, by its best outcome."""


NO_FILE: Final = -1
"""Number of no file: for facts that no single transcript tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that broke, or held more than one object. Never its bytes."""

    file: int
    offset: int
    length: int
    hash: bytes
    reason: str
    recovered: int


class Batch:
    """Accumulator of one transaction. `file` numbers are the caller's, one a chunk; the store maps them to rows."""

    def __init__(self) -> None:
        self.facts: dict[int, dict[str, Partial]] = {kind: {} for kind in EventType}
        self.births: list[tuple[str, tuple[Partial, ...]]] = []
        self.records: dict[tuple[str, str], int] = {}
        self.lines: dict[str, int] = {}
        self.fallbacks: dict[str, int] = {}
        """Source → records read by a second-best rule."""
        self.bad: list[BadLine] = []
        self.closes: dict[tuple[int, str], None] = {}
        self.turn_closes: dict[str, None] = {}
        self.links: dict[str, bytes] = {}
        self.copies: set[tuple[int, str, int]] = set()
        """Kind, native id and file of facts that stand in a further file of this batch."""
        self.turn_sessions: dict[str, set[str]] = {}
        """Turn → sessions that hold its prompt: more than one where a session was copied."""
        self.failures: dict[str, int] = {}
        """Source → records on which a rule failed: a defect of this version; they are quarantined."""
        self.nameless_calls = 0
        """Tool calls that are no facts, since nothing tells them from others."""
        self.bytes = 0

    def get(self, event_type: int, native: str, file: int, offset: int, length: int) -> tuple[Partial, bool]:
        """The partial fact of that key and whether this call made it."""
        kind = self.facts[event_type]
        partial = kind.get(native)
        if partial is not None:
            if partial.file != file:
                self.copies.add((event_type, native, file))
            return partial, False
        partial = kind[native] = Partial(event_type, native)
        # the first claim must win over the defaults
        partial.rank = 1_000
        partial.file, partial.offset, partial.length = file, offset, length
        return partial, True

    def count(self, record_type: str, status: str) -> None:
        """One object of that type, with that outcome."""
        key = (record_type, status)
        self.records[key] = self.records.get(key, 0) + 1

    def line(self, kind: str) -> None:
        """One line: `objects`, `blank` or `bad`."""
        self.lines[kind] = self.lines.get(kind, 0) + 1

    def link(self, agent: str, tool: str) -> None:
        """That call launched that sub-agent; of several calls the smallest key stands."""
        key = fact_key(EventType.TOOL_CALL, tool)
        known = self.links.get(agent)
        if known is None or key < known:
            self.links[agent] = key

    def without(self, refused: Collection[tuple[int, str]]) -> Batch:
        """This batch less these facts (kind, native id), which the database refuses to hold.

        Their lines are bad lines, with the fact's key for a hash; a record of which nothing is left was quarantined.
        """
        kept = copy(self)
        kept.facts = {
            kind: {native: fact for native, fact in facts.items() if (kind, native) not in refused}
            for kind, facts in self.facts.items()
        }
        kept.copies = {each for each in self.copies if each[:2] not in refused}
        kept.records, kept.births, kept.bad = dict(self.records), [], list(self.bad)
        for record, born in self.births:
            left = tuple(fact for fact in born if (fact.type, fact.native) not in refused)
            if left:
                kept.births.append((record, left))
            else:
                kept.count(record, "quarantined")
        for kind, native in refused:
            fact = self.facts[kind][native]
            kept.bad.append(
                BadLine(file=fact.file, offset=fact.offset, length=fact.length, hash=fact_key(kind, native),
                        reason="refused", recovered=0)
            )  # fmt: skip
        return kept

    def size(self) -> int:
        """Number of partial facts."""
        return sum(map(len, self.facts.values()))
