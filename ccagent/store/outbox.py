"""The exporters' side of the store: closed facts in the order of their closing, cursors, and facts set aside.

Every function takes an apsw connection; those that write belong inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from ccagent.facts.model import EventType
from ccagent.store.closed import closed_facts, last_at, listed
from ccagent.store.connection import Connection, scalar

__all__ = [
    "HISTORY_MS", "Cursor", "advance_cursor", "backlog", "bury", "closed_facts", "count_history", "create_cursor",
    "last_closed", "read_cursor", "sent_up_to",
]  # fmt: skip

HISTORY_MS: Final = 60 * 60 * 1_000
"""What ended longer than this before a destination was first named is history, sent only on request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far one destination has one signal of one host: all with a `closed_seq` up to this one is done with."""

    destination: str
    signal: str
    host: int
    named_at: int
    closed_seq: int
    sent: int
    rejected: int

    @property
    def not_before(self) -> int:
        """Facts that ended before this moment (ms) are history for the destination."""
        return self.named_at - HISTORY_MS


def last_closed(conn: Connection, host: int) -> int:
    """The newest `closed_seq` of a host, 0 when it has closed nothing."""
    sql = "SELECT MAX(closed_seq) FROM fact WHERE closed_host = ? AND closed_seq IS NOT NULL"
    return int(scalar(conn, sql, (host,)) or 0)


def backlog(conn: Connection, cursor: Cursor, limit: int, *, types: Iterable[EventType], not_before: int) -> int:
    """Facts of these kinds that wait behind the cursor, without what ended before `not_before` (ms); counting stops at
    `limit`."""
    sql = f"""SELECT COUNT(*) FROM (SELECT 1 FROM fact f WHERE f.closed_host = ? AND f.closed_seq > ?
              AND f.type IN ({listed(types)}) AND {last_at(conn)} >= ? LIMIT ?) AS waiting"""
    return int(scalar(conn, sql, (cursor.host, cursor.closed_seq, not_before, limit)))


def count_history(
    conn: Connection, host: int, after_seq: int, upto_seq: int, not_before: int, *, types: Iterable[EventType]
) -> int:
    """Facts of a stretch that would be sent but ended before `not_before` (ms)."""
    sql = f"""SELECT COUNT(*) FROM fact f WHERE f.closed_host = ? AND f.closed_seq > ? AND f.closed_seq <= ?
              AND f.type IN ({listed(types)}) AND {last_at(conn)} < ?"""
    return int(scalar(conn, sql, (host, after_seq, upto_seq, not_before)))


def read_cursor(conn: Connection, destination: str, signal: str, host: int) -> Cursor | None:
    """The cursor as it was last committed, None before the destination was first named."""
    row = conn.execute(
        "SELECT named_at, closed_seq, sent, rejected FROM export_cursor WHERE destination=? AND signal=? AND host=?",
        (destination, signal, host),
    ).fetchone()
    if row is None:
        return None
    named_at, closed_seq, sent, rejected = row
    return Cursor(
        destination=destination, signal=signal, host=host,
        named_at=named_at, closed_seq=closed_seq, sent=sent, rejected=rejected,
    )  # fmt: skip


def sent_up_to(conn: Connection, destination: str, signal: str, host: int) -> int:
    """The change number up to which a destination has what that host closed, 0 before its first."""
    found = scalar(
        conn,
        "SELECT closed_seq FROM export_cursor WHERE destination = ? AND signal = ? AND host = ?",
        (destination, signal, host),
    )
    return int(found or 0)


def create_cursor(conn: Connection, destination: str, signal: str, host: int, now_ms: int) -> None:
    """Write down that the destination was named at `now_ms`; a destination that was named before keeps its moment."""
    conn.execute(
        "INSERT INTO export_cursor (destination, signal, host, named_at, closed_seq, updated_at, sent, rejected) "
        "VALUES (?, ?, ?, ?, 0, ?, 0, 0) ON CONFLICT DO NOTHING",
        (destination, signal, host, now_ms, now_ms),
    )


def advance_cursor(
    conn: Connection, cursor: Cursor, closed_seq: int, now_ms: int, *, sent: int = 0, rejected: int = 0
) -> None:
    """Move the cursor to `closed_seq`, never back, and add to what was sent and rejected."""
    conn.execute(
        "UPDATE export_cursor SET closed_seq = CASE WHEN closed_seq < ?1 THEN ?1 ELSE closed_seq END, updated_at = ?2,"
        " sent = sent + ?3, rejected = rejected + ?4 WHERE destination = ?5 AND signal = ?6 AND host = ?7",
        (closed_seq, now_ms, sent, rejected, cursor.destination, cursor.signal, cursor.host),
    )


def bury(conn: Connection, cursor: Cursor, facts: Iterable[bytes], reason: str, now_ms: int) -> None:
    """Set facts (their keys) aside for this destination: they were refused for ever."""
    conn.executemany(
        "INSERT INTO export_dead (destination, signal, key, reason, dropped_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (destination, signal, key) DO UPDATE SET reason = excluded.reason",
        [(cursor.destination, cursor.signal, key, reason, now_ms) for key in facts],
    )


def buried(conn: Connection, cursor: Cursor, facts: Collection[bytes]) -> set[bytes]:
    """Those of the facts (their keys) that are set aside for this destination."""
    if not facts:
        return set()
    marks = ", ".join("?" * len(facts))
    sql = f"SELECT key FROM export_dead WHERE destination = ? AND signal = ? AND key IN ({marks})"
    return {bytes(row[0]) for row in conn.execute(sql, (cursor.destination, cursor.signal, *facts))}
