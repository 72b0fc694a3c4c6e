"""What is old enough to go: payloads by the time of their fact, facts by the last sign of their session.

A session goes as a whole, when its newest record is older than the bound. It stays as long as

- a call or request of another session shares amounts with it (usage by tool, by model) and is not older itself;
- an exporter of a destination that was named has not sent all of it, unless it is GRACE_MS older than the bound;
- one of its facts is open and its transcript is there and was written to after the bound: timers close it first.

Facts without a session go by times of their own. Facts without a first time stay: no hour holds them, so usage would lose
them. Only reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType
from ccagent.rollups.buckets import DAY_MS
from ccagent.rollups.spans import FIRST
from ccagent.store.connection import Connection, Values
from ccagent.store.work import SPAN_TYPES

GRACE_MS: Final = 7 * DAY_MS
"""How much longer facts wait for an exporter: a collector that is down for more than a week is not coming back soon."""

PAGE: Final = 200
"""Sessions that are looked at with one question."""

KEYS: Final = 5_000
"""Keys that are listed with one question."""

GONE: Final = 1
"""State of a transcript whose path is gone (follow/state.py)."""

NOBODY: Final = 0
"""Stands for the session of facts that have none; no name has this number."""

_SESSION: Final = int(EventType.SESSION)
_SPANS: Final = ", ".join(str(int(kind)) for kind in sorted(SPAN_TYPES))
_TIMES: Final = (
    "(COALESCE(f.occurred_at, 0), COALESCE(f.ended_at, 0), COALESCE(f.result_at, 0), COALESCE(f.error_at, 0))"
)


class Listed(NamedTuple):
    """A fact as it was when it was listed: who wrote it last, with that host's change number."""

    key: bytes
    host: int
    seq: int


class Expired(NamedTuple):
    """A session all of whose facts may go. `session`: its name id, NOBODY for facts without one; `key` of its own fact;
    number of facts; their first time and the last (of what shares amounts with them, too), ms UTC."""

    session: int
    key: bytes | None
    facts: int
    first: int
    last: int


def expired(conn: Connection, bound: int) -> Iterator[Expired]:
    """Sessions whose last sign is older than `bound` (ms UTC), the oldest first; then what removed sessions left or got
    later, and facts without a session. Asked page by page: what goes meanwhile is not met again."""
    seen: set[int] = set()
    after: Values = (FIRST, b"")
    while page := conn.execute(
        "SELECT f.ended_at, f.key, c.session FROM fact f JOIN context c ON c.id = f.context"
        f" WHERE f.type = {_SESSION} AND f.ended_at < ? AND f.ended_at >= ? AND (f.ended_at > ? OR f.key > ?)"
        f" ORDER BY f.ended_at, f.key LIMIT {PAGE}",
        (bound, after[0], *after),
    ).fetchall():
        after = (page[-1][0], bytes(page[-1][1]))
        keys = {int(session): bytes(key) for _, key, session in page if session is not None}
        seen |= keys.keys()
        yield from _assessed(conn, keys, bound)
    yield from _others(conn, bound, seen)


def _others(conn: Connection, bound: int, seen: set[int]) -> Iterator[Expired]:
    left = conn.execute(
        "SELECT DISTINCT c.session FROM fact f JOIN context c ON c.id = f.context WHERE f.occurred_at < ?", (bound,)
    ).fetchall()
    others = sorted(int(row[0]) for row in left if row[0] is not None and int(row[0]) not in seen)
    for first in range(0, len(others), PAGE):
        dialect = conn.dialect
        named = conn.execute(
            f"SELECT n.id, n.value FROM {dialect.numbers} JOIN name n ON n.id = k.value",
            (dialect.listed(others[first : first + PAGE]),),
        )
        keys = {int(number): fact_key(EventType.SESSION, str(text)) for number, text in named.fetchall()}
        yield from _assessed(conn, keys, bound)
    if any(row[0] is None for row in left):
        tied = (
            "(SELECT o.occurred_at FROM fact o WHERE o.key = f.request)",
            "(SELECT MAX(o.occurred_at) FROM fact o WHERE o.request = f.key)",
        )
        newest = f"{conn.dialect.greatest}({_newest(conn)}, {', '.join(f'COALESCE({one}, 0)' for one in tied)})"
        sql = f"SELECT COUNT(*), MIN(f.occurred_at), MAX({newest}) {_nobodys(conn)}"
        facts, start, last = conn.execute(sql, _nobodys_values(bound)).fetchall()[0]
        if facts:
            yield Expired(NOBODY, None, int(facts), int(start), int(last))


def _assessed(conn: Connection, keys: dict[int, bytes], bound: int) -> list[Expired]:
    """Those of the sessions (name id → key of the session's fact) that may go, the oldest first."""
    if not keys:
        return []
    dialect = conn.dialect
    listed = dialect.listed(sorted(keys))
    of_session = (
        f"FROM {dialect.numbers} JOIN context place ON place.session = k.value JOIN fact f ON f.context = place.id"
    )
    found = conn.execute(
        "SELECT k.value, COUNT(*) FILTER (WHERE f.occurred_at IS NOT NULL), MIN(f.occurred_at),"
        f" MAX({_newest(conn)}), COUNT(*) FILTER (WHERE {_waiting(conn)})"
        f" {of_session} LEFT JOIN file x ON x.id = f.file GROUP BY 1",
        (*_waiting_values(bound), listed),
    ).fetchall()
    shared = dict.fromkeys(keys, 0)
    for tied in ("o.key = f.request", f"o.request = f.key AND f.type = {int(EventType.LLM_REQUEST)}"):
        sql = f"SELECT k.value, MAX(o.occurred_at) {of_session} JOIN fact o ON {tied} GROUP BY 1"
        for session, last in conn.execute(sql, (listed,)):
            shared[session] = max(shared[session], last or 0)
    gone = [
        Expired(int(session), keys[int(session)], int(facts), int(first), max(last, shared[session]))
        for session, facts, first, last, waiting in found
        if facts and not waiting and max(last, shared[session]) < bound
    ]
    return sorted(gone, key=lambda each: (each.last, each.session))


def _newest(conn: Connection) -> str:
    return conn.dialect.greatest + _TIMES


def _waiting(conn: Connection) -> str:
    """A condition on `fact f` and its transcript `x`: it cannot go yet. Parameters: `_waiting_values`."""
    return (
        f"(f.closed_seq IS NULL AND COALESCE(x.state, {GONE}) <> {GONE} AND x.mtime_ns >= ?)"
        f" OR (f.type IN ({_SPANS}) AND {_newest(conn)} >= ? AND EXISTS"
        " (SELECT 1 FROM export_cursor e WHERE e.host = f.closed_host AND e.closed_seq < f.closed_seq))"
    )


def _waiting_values(bound: int) -> tuple[int, int]:
    return bound * 1_000_000, bound - GRACE_MS


def _nobodys(conn: Connection) -> str:
    """FROM and WHERE of the facts without a session that may go. Parameters: `_nobodys_values`."""
    return (
        "FROM fact f JOIN context place ON place.id = f.context LEFT JOIN file x ON x.id = f.file"
        f" WHERE place.session IS NULL AND f.occurred_at < ? AND {_newest(conn)} < ? AND NOT ({_waiting(conn)})"
        " AND NOT EXISTS (SELECT 1 FROM fact o WHERE o.key = f.request AND o.occurred_at >= ?)"
        " AND NOT EXISTS (SELECT 1 FROM fact o WHERE o.request = f.key AND o.occurred_at >= ?)"
    )


def _nobodys_values(bound: int) -> tuple[int, ...]:
    return bound, bound, *_waiting_values(bound), bound, bound


def facts_of(conn: Connection, session: int, bound: int) -> Iterator[Listed]:
    """The facts of an expired session, in the order of their keys; `bound` as it was given to `expired`."""
    if session == NOBODY:
        source, values = f"{_nobodys(conn)} AND f.key > ?", _nobodys_values(bound)
    else:
        source = (
            "FROM context place JOIN fact f ON f.context = place.id"
            " WHERE place.session = ? AND f.occurred_at IS NOT NULL AND f.key > ?"
        )
        values = (session,)
    after = b""
    while True:
        page: list[tuple[Any, ...]] = conn.execute(
            f"SELECT f.key, f.host, f.seq {source} ORDER BY f.key LIMIT {KEYS}", (*values, after)
        ).fetchall()
        for key, host, seq in page:
            yield Listed(bytes(key), host, seq)
        if len(page) < KEYS:
            return
        after = bytes(page[-1][0])


def payloads(conn: Connection, since: int, until: int, limit: int) -> list[tuple[bytes, int, int]]:
    """Key, time and length of the payloads of facts that begin in [since, until), the oldest first, at most `limit`."""
    rows = conn.execute(
        "SELECT f.key, f.occurred_at, LENGTH(f.extra) FROM fact f WHERE f.occurred_at >= ? AND f.occurred_at < ?"
        " AND f.extra IS NOT NULL ORDER BY f.occurred_at, f.key LIMIT ?",
        (since, until, limit),
    )
    return [(bytes(key), int(at), int(length)) for key, at, length in rows]


def payload_sums(conn: Connection, since: int, until: int) -> tuple[int, int, int | None, int | None]:
    """Of the payloads of facts that begin in [since, until): their number, bytes, first and last time."""
    row = conn.execute(
        "SELECT COUNT(*), COALESCE(SUM(LENGTH(f.extra)), 0), MIN(f.occurred_at), MAX(f.occurred_at) FROM fact f"
        " WHERE f.occurred_at >= ? AND f.occurred_at < ? AND f.extra IS NOT NULL",
        (since, until),
    ).fetchall()[0]
    return int(row[0]), int(row[1]), row[2], row[3]


def bad_lines(conn: Connection, until: int, limit: int) -> list[tuple[int, int, bytes]]:
    """Notes of bad lines in transcripts that are gone, seen before `until`: file, offset and hash; at most `limit`."""
    rows = conn.execute(
        'SELECT q.file, q."offset", q.hash FROM quarantine q JOIN file x ON x.id = q.file'
        f" WHERE q.seen_at < ? AND x.state = {GONE} LIMIT ?",
        (until, limit),
    )
    return [(int(file), int(offset), bytes(digest)) for file, offset, digest in rows]


def count(found: Collection[Expired]) -> tuple[int, int, int | None, int | None]:
    """Of some sessions together: sessions, facts, first and last time."""
    sessions = sum(each.session != NOBODY for each in found)
    first = min((each.first for each in found), default=None)
    return sessions, sum(each.facts for each in found), first, max((each.last for each in found), default=None)
