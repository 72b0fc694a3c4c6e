"""What an outbox would send next: read from the store, in the order of closing, nothing written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ccagent.export.otlp.batch import MAX_BYTES, MAX_ITEMS, Batch, collect
from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.encoding import Encoding, Policies
from ccagent.store import outbox as store
from ccagent.store.connection import Connection

SCAN_SEQS: Final = 50_000
"""Sequence numbers looked through at once: bounds a read where nothing is to be sent (history, other facts)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Facts of a stretch that ended too early: before the destination was named, or too long ago for the signal."""

    history: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """A batch, what was passed over before its end, and the newest closed number of the host."""

    batch: Batch
    past: Past
    top: int


class Picker:
    """Picks batches of one host's closed facts for one signal. `policy` tells what a folder allows."""

    def __init__(self, encoding: Encoding, policy: Policies, host: int, *, max_items: int = MAX_ITEMS) -> None:
        self._encoding = encoding
        self._policy = policy
        self._host = host
        self._max_items = max_items

    def pick(
        self,
        conn: Connection,
        cursor: store.Cursor,
        after: int,
        now_ms: int,
        *,
        limit: int | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Picked:
        """The batch behind `after`: at most `limit` facts; empty where this stretch holds nothing to send."""
        types = self._encoding.types
        wanted = limit or self._max_items
        top = store.last_closed(conn, self._host)
        upto = min(top, after + SCAN_SEQS)
        begin, fresh = _begin(cursor, now_ms), self.not_before(cursor, now_ms)
        rows = store.closed_facts(conn, self._host, after, wanted, upto_seq=upto, not_before=fresh, types=types)
        end = rows[-1][0] if len(rows) == wanted else upto
        batch = collect(rows, self._encoding, self._policy, max_bytes=max_bytes, end=end, max_items=self._max_items)
        return Picked(batch=batch, past=self._passed_over(conn, after, batch.end, begin, fresh), top=top)

    def alone(self, row: tuple[int, ClosedFact]) -> Batch:
        """A batch of one fact; empty where it has nothing to send."""
        return collect([row], self._encoding, self._policy, max_bytes=1, end=row[0], max_items=self._max_items)

    def not_before(self, cursor: store.Cursor, now_ms: int) -> int:
        """Facts that ended before this moment (ms) are not sent: history, and what is too old for the signal."""
        age = self._encoding.max_age_ms
        begin = _begin(cursor, now_ms)
        return begin if age is None else max(begin, now_ms - age)

    def _passed_over(self, conn: Connection, after: int, end: int, begin: int, fresh: int) -> Past:
        """What of this stretch ended before `fresh`, so was not read: history before `begin`, too old behind it."""
        if end <= after:
            return Past()
        types = self._encoding.types
        history = store.count_history(conn, self._host, after, end, begin, types=types)
        if fresh == begin:
            return Past(history=history)
        old = store.count_history(conn, self._host, after, end, fresh, types=types)
        return Past(history=history, expired=old - history)


def _begin(cursor: store.Cursor, now_ms: int) -> int:
    """Facts that ended before this moment (ms) are history. A destination that seems to be named in the future was named
    under a clock that was ahead: until that moment comes, everything would be history."""
    return min(cursor.named_at, now_ms) - store.HISTORY_MS
