"""The rollups: amounts by hour, day, ISO week and session, recomputed from facts where facts have changed.

The ingest marks the quarters (15 min, UTC) around the records it has touched. A refresh takes some of them, and for
the hours they lie in recomputes every row from facts; days are sums of their hours, weeks of their days. The sessions
that had or have something there are marked in turn, and get their points anew when no quarter is left: once, however
many of their hours were stale. A bucket that became empty loses its rows.

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
from ccagent.rollups.spans import FIRST, LAST, Span
from ccagent.rollups.usage import UsageFamily
from ccagent.store.connection import Connection
from ccagent.store.measured import forget, forget_from
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

SLICE_FACTS: Final = 10_000
"""Facts of sessions after which a slice takes no further session."""

_TIMES: Final = ("occurred_at", "ended_at", "result_at")
"""Records of a fact, in the columns of its row."""

LOCK: Final = 0x63636167_656E7402
"""Advisory lock of Postgres under which rollups are written ("ccagent", 2). One host is elected to do it, but may not
know yet that its session, and with it the election, is gone: what two compute at the same time would be the older's."""

_TIED: Final = (UsageFamily.TOOL, UsageFamily.MODEL)
"""Families in which a fact counts in the hour of another, too."""

_MARKS: Final = (
    "SELECT quarter, host, seq FROM dirty WHERE quarter IN (SELECT DISTINCT quarter FROM dirty WHERE {which}"
    " ORDER BY quarter DESC LIMIT ?) AND {which} ORDER BY quarter DESC"
)
_UNMARK: Final = "DELETE FROM dirty WHERE quarter = ? AND host = ? AND seq = ?"

Mark = tuple[int, int, int]
"""Quarter, host and sequence number of a row of `dirty`."""

Timelines = dict[int, list[Record]]
"""The records of sessions (name ids), ascending."""

_NOBODY: Final = 0
"""Host of the marks that a refresh leaves for itself."""


@dataclass(slots=True)
class Slice:
    """What some marks have made stale, computed anew: buckets without rows are in it with none."""

    served: int = 0
    """Quarters and sessions of which the marks are."""
    marks: list[Mark] = field(default_factory=list)
    hours: Rows = field(default_factory=dict)
    tied: Rows = field(default_factory=dict)
    """Further hours, of which only the families of `_TIED` are stale."""
    points: Rows = field(default_factory=dict)
    sessions: set[int] = field(default_factory=set)
    """Sessions with something near the marked quarters: their points are stale."""


def refresh(
    conn: Connection, zone: ZoneInfo, *, limit: int = SLICE_QUARTERS, points: bool = True, hours: bool = True
) -> int:
    """Recompute what at most `limit` marked quarters or sessions have made stale; how many it served, 0 = all done.

    Runs in the caller's transaction and may be repeated. The newest quarters come first; without `points` sessions
    wait, without `hours` quarters do.
    """
    return apply(conn, zone, prepare(conn, zone, limit=limit, points=points, hours=hours))


def which_marks(*, points: bool, hours: bool = True) -> str:
    """A condition on `dirty`: all marks, those of quarters alone, or those of sessions, which are negative."""
    if points and hours:
        return "1 = 1"
    return "quarter < 0" if points else "quarter >= 0"


def prepare(
    conn: Connection, zone: ZoneInfo, *, limit: int = SLICE_QUARTERS, points: bool = True, hours: bool = True,
    seq: int | None = None,
) -> Slice:  # fmt: skip
    """Read at most `limit` of the newest marks and compute their rows: of quarters if `hours`, of sessions if `points`.

    With `seq` only marks of that number count. In the caller's transaction, or snapshot.
    """
    sql = _MARKS.format(which=which_marks(points=points, hours=hours) + ("" if seq is None else f" AND seq = {seq}"))
    marks: list[Mark] = [(int(row[0]), int(row[1]), int(row[2])) for row in conn.execute(sql, (limit,))]
    sealed = sealed_before(conn)
    times = [quarter for quarter, _, _ in marks if marked_session(quarter) is None]
    served = set(times)
    of_quarters = {quarter: _hours(zone, quarter, sealed) for quarter in times}
    spans = {hour: bucket_end(zone, "hour", hour) for held in of_quarters.values() for hour in held}
    # A change marks the quarters around all times of its fact, so whose points are stale has something near these.
    marked = {quarter: quarter + QUARTER_MS for quarter, held in of_quarters.items() if held}
    found = Slice(sessions=set().union(*_sessions_near(conn, marked).values()))
    found.hours = _hour_rows(conn, spans, _sessions_near(conn, spans))
    found.tied = _tied_rows(conn, zone, quarters(times), spans, sealed)
    facts = 0
    for quarter, session in {quarter: marked_session(quarter) for quarter, _, _ in marks}.items():
        if session is not None and facts <= SLICE_FACTS:
            served.add(quarter)
            facts += _point_rows(conn, session, sealed, found.points)
    found.marks = [mark for mark in marks if mark[0] in served]
    found.served = len(served)
    return found


def apply(conn: Connection, zone: ZoneInfo, found: Slice) -> int:
    """Write what `prepare` found and take its marks away; how many it served. In the caller's transaction."""
    replace_rows(conn, Period.HOURLY, found.hours)
    replace_rows(conn, Period.HOURLY, found.tied, _TIED)
    replace_rows(conn, Period.POINT, found.points)
    sum_days(conn, zone, found.hours.keys() | found.tied.keys())
    forget(conn, found.hours)
    conn.executemany(_UNMARK, found.marks)
    _mark(conn, [session_mark(session) for session in sorted(found.sessions)])
    return found.served


def reset(conn: Connection, zone: ZoneInfo) -> None:
    """Drop all rollups but the sealed ones, mark everything dirty and keep `zone` as the store's own.

    Runs in the caller's transaction. Sealed hours stay what they are; they are put into the days of `zone` by their
    start.
    """
    sealed = sealed_before(conn)
    forget_from(conn, sealed)
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
            f" SELECT DISTINCT {time} - ({time} % {QUARTER_MS} + {QUARTER_MS}) % {QUARTER_MS}, {_NOBODY}, 0"
            " FROM fact WHERE occurred_at IS NOT NULL ON CONFLICT DO NOTHING"
        )
    untimed = conn.execute(
        "SELECT DISTINCT c.session FROM fact f JOIN context c ON c.id = f.context"
        " WHERE f.occurred_at IS NULL AND c.session IS NOT NULL"
    ).fetchall()
    _mark(conn, [session_mark(int(row[0])) for row in untimed])


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


def _mark(conn: Connection, marks: Collection[int]) -> None:
    conn.executemany(
        "INSERT INTO dirty (quarter, host, seq) VALUES (?, ?, 0) ON CONFLICT DO NOTHING",
        [(mark, _NOBODY) for mark in marks],
    )


def _sessions_near(conn: Connection, hours: dict[int, int]) -> dict[int, set[int]]:
    """Sessions with a fact that begins in an hour (start → end) or within `IDLE_CUTOFF_MS` of it, by hour."""
    found: dict[int, set[int]] = {hour: set() for hour in hours}
    if hours:
        facts = in_spans(conn.dialect, [(start - IDLE_CUTOFF_MS, end + IDLE_CUTOFF_MS) for start, end in hours.items()])
        sql = (
            f"SELECT DISTINCT {facts.bucket}, c.session FROM {facts.source} JOIN context c ON c.id = f.context"
            f" WHERE {facts.where} AND c.session IS NOT NULL"
        )
        for start, session in conn.execute(sql, facts.values):
            found[start + IDLE_CUTOFF_MS].add(session)
    return found


def _timelines(conn: Connection, sessions: Collection[int], start: int = FIRST, end: int = LAST) -> Timelines:
    """The record times in [start, end) of the sessions' facts with their places, ascending."""
    if not sessions:
        return {}
    facts = of_sessions(conn.dialect, sorted(sessions))
    within = " OR ".join(f"(f.{column} >= ? AND f.{column} < ?)" for column in _TIMES)
    sql = (
        f"SELECT {facts.bucket}, {', '.join(f'f.{column}' for column in _TIMES)}, {PLACE_SQL} FROM {facts.source}"
        f" JOIN context c ON c.id = f.context WHERE {facts.where} AND ({within})"
    )
    records: dict[int, set[Record]] = {session: set() for session in sessions}
    for session, first, last, result, *place in conn.execute(sql, (*facts.values, *((start, end) * len(_TIMES)))):
        where = Place(*place)
        records[session].update((time, where) for time in (first, last, result) if time is not None)
    return {session: sorted(held) for session, held in records.items()}


def _hour_rows(conn: Connection, hours: dict[int, int], near: dict[int, set[int]]) -> Rows:
    """All rows of these hours (start → end), of which `near` names the sessions that may be active there."""
    rows: Rows = {hour: [] for hour in hours}
    if not hours:
        return rows
    facts = in_spans(conn.dialect, list(hours.items()))
    for part in (event_rows(conn, facts), usage_rows(conn, facts)):
        for hour, held in part.items():
            rows[hour] += held
    counts = session_counts(conn, facts)
    sessions = {session for held in near.values() for session in held}
    around = (min(hours) - IDLE_CUTOFF_MS, max(hours.values()) + IDLE_CUTOFF_MS + 1)
    timelines = _timelines(conn, sessions, *around)
    for hour, end in hours.items():
        for session in near[hour]:
            active = active_ms(timelines[session], hour, end)
            rows[hour] += session_rows(session, counts.get(hour, {}).get(session, {}), active)
    return rows


def _tied_rows(conn: Connection, zone: ZoneInfo, spans: Collection[Span], hours: Collection[int], sealed: int) -> Rows:
    """Rows of `_TIED` in further hours: those in which a call or request lies that is tied to one in `spans`."""
    others = {
        hour
        for family in _TIED
        for start, end in tied(conn, spans, family)
        for quarter in range(start, end, QUARTER_MS)
        for hour in _hours(zone, quarter, sealed)
    }
    rows: Rows = {hour: [] for hour in others.difference(hours)}
    if rows:
        rows |= usage_rows(
            conn, in_spans(conn.dialect, [(hour, bucket_end(zone, "hour", hour)) for hour in rows]), _TIED
        )
    return rows


def _point_rows(conn: Connection, session: int, sealed: int, points: Rows) -> int:
    """Put the points of the session into `points`, unless facts of it are gone; the number of its facts."""
    if sealed > FIRST and _gone(conn, [session]):
        return 0
    facts = of_sessions(conn.dialect, [session])
    counts = session_counts(conn, facts).get(session, {}).get(session, {})
    active = active_ms(_timelines(conn, [session])[session])
    points[session] = event_rows(conn, facts).get(session, []) + session_rows(session, counts, active)
    return sum(counts.values())


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
    return {
        int(row[0]) for row in conn.execute(f"SELECT DISTINCT bucket FROM rollup WHERE period = {int(Period.POINT)}")
    }


def _drop_points(conn: Connection, kept: Collection[int]) -> None:
    """Delete all points but those of the sessions `kept`."""
    sql = f"DELETE FROM rollup WHERE period = {int(Period.POINT)}"
    if kept:
        dialect = conn.dialect
        conn.execute(f"{sql} AND bucket NOT IN (SELECT k.value FROM {dialect.numbers})", (dialect.listed(kept),))
    else:
        conn.execute(sql)
