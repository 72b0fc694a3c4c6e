"""The rollups: amounts by hour, day, ISO week and session, recomputed from facts where facts have changed.

The ingest marks the quarters (15 min, UTC) around the records it has touched. A refresh takes some of them, and for
the hours they lie in recomputes every row from facts; days are sums of their hours, weeks of their days. The sessions
that had or have something there get their points anew. A bucket that became empty loses its rows.

A fact belongs to the bucket of its first time. Facts without a time are in no bucket, only in the points of their
sessions. The active time of an hour is that of sessions in which a fact begins in it or within five minutes of it;
not seen: a session of which an hour holds nothing but the ends of work that began long before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from ccagent.facts.model import EventType, Flag, Quality, Status
from ccagent.rollups.activity import Place, Record, active_ms
from ccagent.rollups.buckets import (
    IDLE_CUTOFF_MS,
    QUARTER_MS,
    Unit,
    bucket_end,
    bucket_start,
    hours_of_quarter,
    marked_session,
    session_mark,
)
from ccagent.rollups.metrics import VALUE_COLUMNS, Period
from ccagent.store.expressions import DURATION

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import apsw

SLICE_QUARTERS: Final = 200
"""Dirty marks taken at once, so that the write connection is soon free again."""

SLICE_RECORDS: Final = 5_000
"""Records of the sessions concerned after which a slice takes no further mark; below 50 ms on a laptop."""

_DIMENSIONS: Final = ("family", "project", "branch", "session_type", "name", "agent", "skill")
_KEY: Final = ("period", "bucket", *_DIMENSIONS)
_VALUES: Final = tuple(VALUE_COLUMNS)
_INSERT: Final = f"INSERT INTO rollup({', '.join((*_KEY, *_VALUES))})"

_TOOL: Final = f"f.type = {int(EventType.TOOL_CALL)}"
_LLM: Final = f"f.type = {int(EventType.LLM_REQUEST)}"
_NAMED: Final = "f.name IS NOT NULL"
_COUNTED: Final = f"({_TOOL}) <= ({_NAMED} AND (f.flags & {int(Flag.DIRECT)}) <> 0)"  # "if a tool call, then …"
_RESULT: Final = f"(CASE WHEN {_TOOL} THEN (f.flags & {int(Flag.RESULT)}) <> 0 ELSE f.status <> {int(Status.OPEN)} END)"
_FAILED: Final = f"f.status IN ({int(Status.ERROR)}, {int(Status.TIMEOUT)})"

_SUMS: Final[dict[str, str]] = {
    "count": _COUNTED,
    "ok": f"{_COUNTED} AND {_RESULT} AND f.status = {int(Status.OK)}",
    "errors": f"CASE WHEN {_TOOL} THEN (f.flags & {int(Flag.ERROR)}) <> 0 ELSE {_FAILED} END",
    "results": f"{_COUNTED} AND {_RESULT}",
    "relayed": f"{_TOOL} AND {_NAMED} AND (f.flags & {int(Flag.DIRECT)}) = 0",
    "timed": f"{_COUNTED} AND {DURATION} IS NOT NULL",
    "duration_ms": f"CASE WHEN {_COUNTED} THEN {DURATION} END",
    "token_input": "f.token_input",
    "token_output": "f.token_output",
    "token_cache_read": "f.token_cache_read",
    "token_cache_write_5m": "f.token_cache_write - COALESCE(f.token_cache_write_1h, 0)",
    "token_cache_write_1h": "f.token_cache_write_1h",
    "cost": "f.cost",
    "unpriced": f"{_LLM} AND f.cost IS NULL",
    "nonfinal": f"{_LLM} AND f.quality <> {int(Quality.FINAL)}",
    "added": "f.added",
    "removed": "f.removed",
}

_OF_SESSION: Final = "f.context IN (SELECT id FROM context WHERE session = ?)"
_IN_TIME: Final = "f.occurred_at >= ? AND f.occurred_at < ?"
_SESSIONS: Final = "SELECT DISTINCT c.session FROM fact f JOIN context c ON c.id = f.context"
_PLACE: Final = "COALESCE(c.project, 0), COALESCE(c.branch, 0), c.agent IS NOT NULL"


def _from_facts(condition: str) -> str:
    """INSERT … SELECT of every family but `session`; parameters: period, bucket, then those of `condition`."""
    sums = ", ".join(f"COALESCE(SUM({_SUMS[column]}), 0)" for column in _VALUES)
    return (
        f"{_INSERT} SELECT ?, ?, f.type, {_PLACE}, COALESCE(f.name, 0), COALESCE(c.agent, 0),"
        f" COALESCE(c.skill, 0), {sums} FROM fact f JOIN context c ON c.id = f.context"
        f" WHERE {condition} AND f.type <> {int(EventType.SESSION)} GROUP BY 3, 4, 5, 6, 7, 8, 9"
    )


_INSERT_HOUR: Final = _from_facts(_IN_TIME)
_INSERT_POINT: Final = _from_facts(_OF_SESSION)
_INSERT_SUMS: Final = (
    f"{_INSERT} SELECT ?, ?, {', '.join(_DIMENSIONS)}, {', '.join(f'SUM({column})' for column in _VALUES)}"
    f" FROM rollup WHERE period = ? AND bucket >= ? AND bucket < ? GROUP BY {', '.join(_DIMENSIONS)}"
)
_SESSION_VALUES: Final = ("count", "duration_ms")
_INSERT_SESSION: Final = (
    f"{_INSERT} VALUES (?, ?, {int(EventType.SESSION)}, ?, ?, ?, ?, 0, 0, "
    + ", ".join("?" if column in _SESSION_VALUES else "0" for column in _VALUES)
    + ")"
)
_DELETE: Final = "DELETE FROM rollup WHERE period = ? AND bucket = ?"


def refresh(conn: apsw.Connection, zone: ZoneInfo, *, limit: int = SLICE_QUARTERS) -> int:
    """Recompute what at most `limit` dirty quarters have made stale; returns how many marks it took away, 0 = all done.

    Runs in the caller's transaction and may be repeated. The newest quarters come first.
    """
    rows = conn.execute("SELECT quarter FROM dirty ORDER BY quarter DESC LIMIT ?", (limit,)).fetchall()
    timelines: dict[int, list[Record]] = {}
    served: list[int] = []
    near: dict[int, set[int]] = {}
    records = 0
    for quarter in (cast("int", row[0]) for row in rows):
        if records > SLICE_RECORDS:
            break
        served.append(quarter)
        marked = marked_session(quarter)
        touched = set() if marked is None else {marked}
        for hour in hours_of_quarter(zone, quarter) - near.keys() if marked is None else ():
            near[hour] = _sessions_near(conn, zone, hour)
            touched |= near[hour]
        for session in touched - timelines.keys():
            timelines[session] = _timeline(conn, session)
            records += len(timelines[session])
    for hour, sessions in near.items():
        _write_hour(conn, hour, bucket_end(zone, "hour", hour), {each: timelines[each] for each in sessions})
    for session, timeline in timelines.items():
        _write_point(conn, session, timeline)
    days = {bucket_start(zone, "day", hour) for hour in near}
    _write_sums(conn, zone, days, "day", Period.DAILY, Period.HOURLY)
    _write_sums(conn, zone, {bucket_start(zone, "week", day) for day in days}, "week", Period.WEEKLY, Period.DAILY)
    conn.executemany("DELETE FROM dirty WHERE quarter = ?", [(quarter,) for quarter in served])
    return len(served)


def reset(conn: apsw.Connection, zone: ZoneInfo) -> None:
    """Drop all rollups, mark everything dirty and keep `zone` as the store's own. Runs in the caller's transaction."""
    conn.execute("DELETE FROM rollup")
    conn.execute("INSERT OR REPLACE INTO meta(name, value) VALUES ('zone', ?)", (zone.key,))
    for shift in (-IDLE_CUTOFF_MS, IDLE_CUTOFF_MS):
        time = f"(occurred_at + {shift})"
        conn.execute(
            f"""INSERT OR IGNORE INTO dirty
                SELECT DISTINCT {time} - ({time} % {QUARTER_MS} + {QUARTER_MS}) % {QUARTER_MS}
                FROM fact WHERE occurred_at IS NOT NULL"""
        )
    untimed = conn.execute(f"{_SESSIONS} WHERE f.occurred_at IS NULL AND c.session IS NOT NULL").fetchall()
    marks = [(session_mark(cast("int", row[0])),) for row in untimed]
    conn.executemany("INSERT OR IGNORE INTO dirty VALUES (?)", marks)


def rebuild(conn: apsw.Connection, zone: ZoneInfo) -> int:
    """Make all rollups anew in `zone`; returns the number of quarters. In the caller's transaction, ingest paused."""
    reset(conn, zone)
    total = 0
    while done := refresh(conn, zone):
        total += done
    return total


def _sessions_near(conn: apsw.Connection, zone: ZoneInfo, hour: int) -> set[int]:
    """Sessions with a fact that begins in the hour or within `IDLE_CUTOFF_MS` of it."""
    around = (hour - IDLE_CUTOFF_MS, bucket_end(zone, "hour", hour) + IDLE_CUTOFF_MS)
    rows = conn.execute(f"{_SESSIONS} WHERE {_IN_TIME}", around)
    return {cast("int", row[0]) for row in rows if row[0] is not None}


def _timeline(conn: apsw.Connection, session: int) -> list[Record]:
    """The record times of a session's facts with their places, ascending."""
    sql = f"""SELECT f.occurred_at, f.ended_at, f.result_at, {_PLACE}
              FROM fact f JOIN context c ON c.id = f.context WHERE {_OF_SESSION}"""
    records: set[Record] = set()
    for row in conn.execute(sql, (session,)):
        times, place = row[:3], Place(*cast("tuple[int, int, int]", row[3:]))
        records.update((cast("int", time), place) for time in times if time is not None)
    return sorted(records)


def _session_rows(
    period: Period, bucket: int, session: int, counts: dict[Place, int], active: dict[Place, int]
) -> list[tuple[int, ...]]:
    """Parameters of `_INSERT_SESSION`, a row a place; `counts` are the facts that begin in the bucket."""
    return [
        (period, bucket, *place, session, counts.get(place, 0), active.get(place, 0))
        for place in counts.keys() | active.keys()
    ]


def _write_hour(conn: apsw.Connection, hour: int, end: int, timelines: dict[int, list[Record]]) -> None:
    conn.execute(_DELETE, (Period.HOURLY, hour))
    conn.execute(_INSERT_HOUR, (Period.HOURLY, hour, hour, end))
    counts: dict[int, dict[Place, int]] = {}
    sql = f"""SELECT c.session, {_PLACE}, COUNT(*) FROM fact f JOIN context c ON c.id = f.context
              WHERE {_IN_TIME} AND c.session IS NOT NULL GROUP BY 1, 2, 3, 4"""
    for row in conn.execute(sql, (hour, end)):
        session, project, branch, kind, count = cast("tuple[int, int, int, int, int]", row)
        counts.setdefault(session, {})[Place(project, branch, kind)] = count
    for session, timeline in timelines.items():
        active = active_ms(timeline, hour, end)
        rows = _session_rows(Period.HOURLY, hour, session, counts.get(session, {}), active)
        conn.executemany(_INSERT_SESSION, rows)


def _write_point(conn: apsw.Connection, session: int, timeline: list[Record]) -> None:
    conn.execute(_DELETE, (Period.POINT, session))
    conn.execute(_INSERT_POINT, (Period.POINT, session, session))
    sql = f"""SELECT {_PLACE}, COUNT(*) FROM fact f JOIN context c ON c.id = f.context
              WHERE {_OF_SESSION} GROUP BY 1, 2, 3"""
    counts = {
        Place(*cast("tuple[int, int, int]", row[:3])): cast("int", row[3]) for row in conn.execute(sql, (session,))
    }
    rows = _session_rows(Period.POINT, session, session, counts, active_ms(timeline))
    conn.executemany(_INSERT_SESSION, rows)


def _write_sums(
    conn: apsw.Connection, zone: ZoneInfo, starts: set[int], unit: Unit, period: Period, parts: Period
) -> None:
    for start in starts:
        conn.execute(_DELETE, (period, start))
        conn.execute(_INSERT_SUMS, (period, start, parts, start, bucket_end(zone, unit, start)))
