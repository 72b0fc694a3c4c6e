"""Sealed rollups: hours before `sealed_before`, and points of sessions whose own fact was removed.

Their facts may be gone, so they are never computed again. What comes in late, or changes, moves them by the difference:
what the facts concerned amounted to before is taken away, what they amount to now is added, in the transaction that
writes them. Calls and requests share amounts (usage by tool, by model), so whoever is tied to a changed fact is held
against itself too.

Not followed: active time, which is no sum over facts; and of a request that was removed its model, so that a call that
comes later stands under none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Final

from ccagent.facts.model import EventType
from ccagent.rollups.buckets import bucket_end, bucket_start
from ccagent.store.connection import Connection
from ccagent.store.coverage import stored_zone
from ccagent.store.rollup_rows import DIMENSIONS, Rows, add_rows, event_rows, session_counts, session_rows, usage_rows
from ccagent.store.sources import Facts

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

HOURS: Final = 400
"""Hours of one question: each is an arm of a CASE, of which SQLite takes 1,000."""

_CALL: Final = f"f.type = {int(EventType.TOOL_CALL)}"
_HEAD: Final = len(DIMENSIONS)


@contextmanager
def following(conn: Connection, keys: Collection[bytes], before: int, sessions: Collection[int]) -> Iterator[None]:
    """Let sealed rows follow what is done within to the facts with these keys (at least one; those to come too).

    `before`: the end of what is sealed, ms UTC; `sessions`: name ids of those among the facts' whose points are sealed.
    In the caller's transaction.
    """
    zone = stored_zone(conn)
    concerned = _with_tied(conn, keys)
    old_hours, old_points = _hour_rows(conn, concerned, zone, before), _point_rows(conn, concerned, sessions)
    yield
    hours = _difference(old_hours, _hour_rows(conn, concerned, zone, before))
    points = _difference(old_points, _point_rows(conn, concerned, sessions))
    add_rows(conn, zone, hours, points)


def _with_tied(conn: Connection, keys: Collection[bytes]) -> list[bytes]:
    """These keys, those of the requests of calls among them, and of the calls of requests."""
    dialect = conn.dialect
    listed = dialect.listed(sorted(keys))
    requests = conn.execute(
        f"SELECT f.request FROM {dialect.blobs} JOIN fact f ON f.key = k.value WHERE f.request IS NOT NULL AND {_CALL}",
        (listed,),
    ).fetchall()
    calls = conn.execute(
        f"SELECT f.key FROM {dialect.blobs} JOIN fact f ON f.request = k.value WHERE {_CALL}", (listed,)
    ).fetchall()
    return sorted({*keys, *(bytes(row[0]) for row in requests), *(bytes(row[0]) for row in calls)})


def _hour_rows(conn: Connection, keys: Collection[bytes], zone: ZoneInfo, before: int) -> Rows:
    """What those of the facts that begin in sealed hours amount to, by hour."""
    dialect = conn.dialect
    begun = conn.execute(
        f"SELECT f.key, f.occurred_at FROM {dialect.blobs} JOIN fact f ON f.key = k.value"
        " WHERE f.occurred_at >= 0 AND f.occurred_at < ?",
        (dialect.listed(keys), before),
    )
    placed = sorted((bucket_start(zone, "hour", at), bytes(key)) for key, at in begun)
    hours = [(hour, [key for _, key in held]) for hour, held in groupby(placed, key=_bucket)]
    rows: Rows = {}
    for first in range(0, len(hours), HOURS):
        part = hours[first : first + HOURS]
        arms = " ".join(f"WHEN f.occurred_at < {bucket_end(zone, 'hour', hour)} THEN {hour}" for hour, _ in part)
        listed = dialect.listed([key for _, held in part for key in held])
        facts = Facts(f"{dialect.blobs} JOIN fact f ON f.key = k.value", "1 = 1", f"CASE {arms} END", (listed,))
        for found in (event_rows(conn, facts), usage_rows(conn, facts), _session_rows(conn, facts)):
            for hour, held in found.items():
                rows.setdefault(hour, []).extend(held)
    return rows


def _point_rows(conn: Connection, keys: Collection[bytes], sessions: Collection[int]) -> Rows:
    """What those of the facts that belong to sealed sessions amount to, by session."""
    if not sessions:
        return {}
    dialect = conn.dialect
    facts = Facts(
        f"{dialect.blobs} JOIN fact f ON f.key = k.value JOIN context place ON place.id = f.context",
        f"place.session IN ({', '.join(map(str, sorted(sessions)))})",
        "place.session",
        (dialect.listed(keys),),
    )
    rows: Rows = {}
    for found in (event_rows(conn, facts), _session_rows(conn, facts)):
        for session, held in found.items():
            rows.setdefault(session, []).extend(held)
    return rows


def _session_rows(conn: Connection, facts: Facts) -> Rows:
    """Rows of the family `session`, without active time."""
    return {
        bucket: [row for session, counts in sessions.items() for row in session_rows(session, counts, {})]
        for bucket, sessions in session_counts(conn, facts).items()
    }


def _difference(old: Rows, new: Rows) -> Rows:
    """The rows to add so that `old` becomes `new`; a row that is new is there even with nothing in it."""
    found: Rows = {}
    for bucket in sorted(old.keys() | new.keys()):
        before = {row[:_HEAD]: row[_HEAD:] for row in old.get(bucket, ())}
        after = {row[:_HEAD]: row[_HEAD:] for row in new.get(bucket, ())}
        for place in before.keys() | after.keys():
            was, is_now = before.get(place), after.get(place)
            if was == is_now:
                continue
            zeros = (0,) * len(was or is_now or ())
            values = tuple(b - a for a, b in zip(was or zeros, is_now or zeros, strict=True))
            if was is None or any(values):
                found.setdefault(bucket, []).append((*place, *values))
    return found


def _bucket(pair: tuple[int, bytes]) -> int:
    return pair[0]
