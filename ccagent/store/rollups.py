"""The rollups: amounts by hour, day, ISO week and session, recomputed from facts where facts have changed.

The ingest marks the quarters (15 min, UTC) around the records it has touched. A refresh takes some of them, and for
the hours they lie in recomputes every row from facts; days are sums of their hours, weeks of their days. The sessions
that had or have something there get their points anew. A bucket that became empty loses its rows.

A fact belongs to the bucket of its first time. Facts without a time are in no bucket, only in the points of their
sessions. The active time of an hour is that of sessions in which a fact begins in it or within five minutes of it;
not seen: a session of which an hour holds nothing but the ends of work that began long before.

What is before `sealed_before` is not recomputed, since its facts may be gone: hours that begin before it, and points of
sessions whose own fact was removed. The hour in which it lies, if it cuts one, begins there.

Reading and computing (`prepare`) is one thing, writing (`apply`) another: a mark is taken away only by who has read it
before computing, so what comes in between leaves the hour stale. In SQLite that lets the long part be done without the
write lock, see store/refreshing.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType
from ccagent.rollups.activity import Place, Record, active_ms
from ccagent.rollups.buckets import (
    IDLE_CUTOFF_MS,
    QUARTER_MS,
    bucket_end,
    hours_of_quarter,
    marked_session,
    session_mark,
)
from ccagent.rollups.metrics import Period
from ccagent.rollups.spans import FIRST
from ccagent.rollups.usage import UsageFamily
from ccagent.store.connection import Connection
from ccagent.store.rollup_rows import (
    PLACE_SQL,
    Rows,
    event_rows,
    replace_rows,
    session_counts,
    session_rows,
    sum_days,
    usage_rows,
)
from ccagent.store.sources import in_spans, of_sessions
from ccagent.store.staleness import quarters, sealed_before, tied

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

SLICE_QUARTERS: Final = 200
"""Dirty quarters taken at once."""

SLICE_RECORDS: Final = 5_000
"""Records of the sessions concerned after which a slice takes no further quarter."""

_TIED: Final = (UsageFamily.TOOL, UsageFamily.MODEL)
"""Families in which a fact counts in the hour of another, too."""

_MARKS: Final = (
    "SELECT quarter, host, seq FROM dirty WHERE quarter IN (SELECT DISTINCT quarter FROM dirty WHERE {which}"
    " ORDER BY quarter DESC LIMIT ?) AND {which} ORDER BY quarter DESC"
)
_UNMARK: Final = "DELETE FROM dirty WHERE quarter = ? AND host = ? AND seq = ?"

Mark = tuple[int, int, int]
"""Quarter, host and sequence number of a row of `dirty`."""

Sessions = dict[int, list[Record]]
"""The records of sessions, ascending."""


@dataclass(slots=True)
class Slice:
    """What some marks have made stale, computed anew: buckets without rows are in it with none."""

    quarters: int = 0
    marks: list[Mark] = field(default_factory=list)
    hours: Rows = field(default_factory=dict)
    tied: Rows = field(default_factory=dict)
    """Further hours, of which only the families of `_TIED` are stale."""
    points: Rows = field(default_factory=dict)


def refresh(conn: Connection, zone: ZoneInfo, *, limit: int = SLICE_QUARTERS) -> int:
    """Recompute what at most `limit` dirty quarters have made stale; returns how many it served, 0 = all done.

    Runs in the caller's transaction and may be repeated. The newest quarters come first.
    """
    return apply(conn, zone, prepare(conn, zone, limit=limit))


def prepare(conn: Connection, zone: ZoneInfo, *, limit: int = SLICE_QUARTERS, seq: int | None = None) -> Slice:
    """Read at most `limit` of the newest dirty quarters (those with marks of `seq`, if given) and compute their rows."""
    sql = _MARKS.format(which="1 = 1" if seq is None else f"seq = {seq}")
    marks: list[Mark] = [(int(row[0]), int(row[1]), int(row[2])) for row in conn.execute(sql, (limit,))]
    sealed = sealed_before(conn)
    served: list[int] = []
    timelines: Sessions = {}
    near: dict[int, set[int]] = {}
    for quarter in dict.fromkeys(mark[0] for mark in marks):
        if sum(map(len, timelines.values())) > SLICE_RECORDS:
            break
        served.append(quarter)
        marked = marked_session(quarter)
        touched = set() if marked is None else {marked}
        for hour in _hours(zone, quarter, sealed) - near.keys() if marked is None else ():
            near[hour] = _sessions_near(conn, zone, hour)
            touched |= near[hour]
        for session in sorted(touched - timelines.keys()):
            timelines[session] = _timeline(conn, session)
    found = Slice(len(served), [mark for mark in marks if mark[0] in set(served)])
    found.hours = _hour_rows(conn, zone, {hour: {one: timelines[one] for one in held} for hour, held in near.items()})
    found.points = _point_rows(conn, timelines, sealed)
    others = {
        hour
        for family in _TIED
        for start, end in tied(conn, quarters(served), family)
        for quarter in range(start, end, QUARTER_MS)
        for hour in _hours(zone, quarter, sealed)
    }
    found.tied = {hour: [] for hour in others - near.keys()}
    if found.tied:
        found.tied |= usage_rows(conn, in_spans([(hour, bucket_end(zone, "hour", hour)) for hour in found.tied]), _TIED)
    return found


def apply(conn: Connection, zone: ZoneInfo, found: Slice) -> int:
    """Write what `prepare` found and take its marks away; the number of quarters. In the caller's transaction."""
    replace_rows(conn, Period.HOURLY, found.hours)
    replace_rows(conn, Period.HOURLY, found.tied, _TIED)
    replace_rows(conn, Period.POINT, found.points)
    sum_days(conn, zone, found.hours.keys() | found.tied.keys())
    conn.executemany(_UNMARK, found.marks)
    return found.quarters


def reset(conn: Connection, zone: ZoneInfo) -> None:
    """Drop all rollups but the sealed ones, mark everything dirty and keep `zone` as the store's own.

    Runs in the caller's transaction. Sealed hours stay what they are and are put into the days of `zone` by their start.
    """
    sealed = sealed_before(conn)
    kept = _gone(conn, _sessions_with_points(conn)) if sealed > FIRST else set()
    conn.execute(
        f"DELETE FROM rollup WHERE period IN ({int(Period.DAILY)}, {int(Period.WEEKLY)})"
        f" OR (period = {int(Period.HOURLY)} AND bucket >= ?)",
        (sealed,),
    )
    _drop_points(conn, kept)
    conn.execute(
        "INSERT INTO meta (name, value) VALUES ('zone', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (zone.key,),
    )
    rows = conn.execute(f"SELECT DISTINCT bucket FROM rollup WHERE period = {int(Period.HOURLY)}")
    sum_days(conn, zone, [int(row[0]) for row in rows])
    mark_everything(conn)


def mark_everything(conn: Connection) -> None:
    """Make every rollup stale of which there are facts. In the caller's transaction."""
    for shift in (-IDLE_CUTOFF_MS, IDLE_CUTOFF_MS):
        time = f"(occurred_at + {shift})"
        conn.execute(
            "INSERT INTO dirty (quarter, host, seq)"
            f" SELECT DISTINCT {time} - ({time} % {QUARTER_MS} + {QUARTER_MS}) % {QUARTER_MS}, 0, 0"
            " FROM fact WHERE occurred_at IS NOT NULL ON CONFLICT DO NOTHING"
        )
    untimed = conn.execute(
        "SELECT DISTINCT c.session FROM fact f JOIN context c ON c.id = f.context"
        " WHERE f.occurred_at IS NULL AND c.session IS NOT NULL"
    ).fetchall()
    conn.executemany(
        "INSERT INTO dirty (quarter, host, seq) VALUES (?, 0, 0) ON CONFLICT DO NOTHING",
        [(session_mark(int(row[0])),) for row in untimed],
    )


def rebuild(conn: Connection, zone: ZoneInfo) -> int:
    """Make all rollups anew in `zone`; returns the number of quarters. In the caller's transaction, ingest paused."""
    reset(conn, zone)
    total = 0
    while done := refresh(conn, zone):
        total += done
    return total


def _hours(zone: ZoneInfo, quarter: int, sealed: int) -> set[int]:
    """The buckets to recompute for a quarter: its hours, or what of them is not sealed."""
    hours = hours_of_quarter(zone, quarter)
    if min(hours) >= sealed:
        return hours
    return {max(hour, sealed) for hour in hours if bucket_end(zone, "hour", hour) > sealed}


def _sessions_near(conn: Connection, zone: ZoneInfo, hour: int) -> set[int]:
    """Sessions with a fact that begins in the hour or within `IDLE_CUTOFF_MS` of it."""
    rows = conn.execute(
        "SELECT DISTINCT c.session FROM fact f JOIN context c ON c.id = f.context"
        " WHERE f.occurred_at >= ? AND f.occurred_at < ?",
        (hour - IDLE_CUTOFF_MS, bucket_end(zone, "hour", hour) + IDLE_CUTOFF_MS),
    )
    return {int(row[0]) for row in rows if row[0] is not None}


def _timeline(conn: Connection, session: int) -> list[Record]:
    """The record times of a session's facts with their places, ascending."""
    facts = of_sessions(conn.dialect, [session])
    sql = (
        f"SELECT f.occurred_at, f.ended_at, f.result_at, {PLACE_SQL} FROM {facts.source}"
        f" JOIN context c ON c.id = f.context WHERE {facts.where}"
    )
    records: set[Record] = set()
    for first, last, result, *place in conn.execute(sql, facts.values):
        where = Place(*place)
        records.update((time, where) for time in (first, last, result) if time is not None)
    return sorted(records)


def _hour_rows(conn: Connection, zone: ZoneInfo, near: dict[int, Sessions]) -> Rows:
    """All rows of these hours; with each hour come the sessions that are near it."""
    rows: Rows = {hour: [] for hour in near}
    if not near:
        return rows
    spans = {hour: bucket_end(zone, "hour", hour) for hour in sorted(near)}
    facts = in_spans(list(spans.items()))
    for part in (event_rows(conn, facts), usage_rows(conn, facts)):
        for hour, held in part.items():
            rows[hour] += held
    counts = session_counts(conn, facts)
    for hour, sessions in near.items():
        for session, timeline in sessions.items():
            active = active_ms(timeline, hour, spans[hour])
            rows[hour] += session_rows(session, counts.get(hour, {}).get(session, {}), active)
    return rows


def _point_rows(conn: Connection, timelines: Sessions, sealed: int) -> Rows:
    """The points of these sessions, but for those of which facts are gone."""
    sessions = timelines.keys() - (_gone(conn, timelines.keys()) if sealed > FIRST else set())
    rows: Rows = {session: [] for session in sessions}
    if not sessions:
        return rows
    facts = of_sessions(conn.dialect, sorted(sessions))
    counts = session_counts(conn, facts)
    for session, held in event_rows(conn, facts).items():
        rows[session] += held
    for session in sessions:
        rows[session] += session_rows(session, counts.get(session, {}).get(session, {}), active_ms(timelines[session]))
    return rows


def _gone(conn: Connection, sessions: Collection[int]) -> set[int]:
    """Those of the sessions (name ids) whose own fact retention has removed."""
    if not sessions:
        return set()
    dialect = conn.dialect
    named = conn.execute(
        f"SELECT n.id, n.value FROM {dialect.numbers} JOIN name n ON n.id = k.value", (dialect.listed(sessions),)
    )
    keys = {fact_key(EventType.SESSION, str(row[1])): int(row[0]) for row in named}
    removed = conn.execute(
        f"SELECT p.key FROM {dialect.blobs} JOIN pruned p ON p.key = k.value", (dialect.listed(keys),)
    )
    return {keys[bytes(row[0])] for row in removed}


def _sessions_with_points(conn: Connection) -> set[int]:
    return {int(row[0]) for row in conn.execute(f"SELECT DISTINCT bucket FROM rollup WHERE period = {int(Period.POINT)}")}


def _drop_points(conn: Connection, kept: Collection[int]) -> None:
    """Delete all points but those of the sessions `kept`."""
    sql = f"DELETE FROM rollup WHERE period = {int(Period.POINT)}"
    if kept:
        dialect = conn.dialect
        conn.execute(f"{sql} AND bucket NOT IN (SELECT k.value FROM {dialect.numbers})", (dialect.listed(kept),))
    else:
        conn.execute(sql)
