"""The rows of table `rollup`: what facts amount to, and how amounts get into the table.

`Row` is (family, project, branch, session_type, name, agent, skill, *VALUE_COLUMNS): a row without period and bucket.
Rows of the family `session` count the facts of a session that begin in the bucket; its active time is not a sum over
facts and comes from rollups/activity.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ccagent.facts.model import EventType, Flag, Quality, Status
from ccagent.rollups.activity import Place
from ccagent.rollups.buckets import Unit, bucket_end, bucket_start
from ccagent.rollups.metrics import VALUE_COLUMNS, Period
from ccagent.rollups.usage import UsageFamily
from ccagent.store.connection import Connection
from ccagent.store.expressions import DURATION
from ccagent.store.sources import Facts
from ccagent.store.usage_rows import USAGE_VALUES, summed

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Row = tuple[int, ...]
Rows = dict[int, list[Row]]
"""Rows by bucket."""

DIMENSIONS: Final = ("family", "project", "branch", "session_type", "name", "agent", "skill")
VALUES: Final = tuple(VALUE_COLUMNS)
KEY: Final = ("period", "bucket", *DIMENSIONS)

_TOOL: Final = f"f.type = {int(EventType.TOOL_CALL)}"
_LLM: Final = f"f.type = {int(EventType.LLM_REQUEST)}"
_DIRECT: Final = f"f.name IS NOT NULL AND (f.flags & {int(Flag.DIRECT)}) <> 0"
_COUNTED: Final = f"(NOT ({_TOOL}) OR ({_DIRECT}))"
_RESULT: Final = f"(CASE WHEN {_TOOL} THEN (f.flags & {int(Flag.RESULT)}) <> 0 ELSE f.status <> {int(Status.OPEN)} END)"
_FAILED: Final = f"f.status IN ({int(Status.ERROR)}, {int(Status.TIMEOUT)})"


def _number(condition: str) -> str:
    return f"COUNT(*) FILTER (WHERE {condition})"


def _total(value: str) -> str:
    return f"COALESCE(SUM({value}), 0)"


_SUMS: Final[dict[str, str]] = {
    "count": _number(_COUNTED),
    "ok": _number(f"{_COUNTED} AND {_RESULT} AND f.status = {int(Status.OK)}"),
    "errors": _number(f"CASE WHEN {_TOOL} THEN (f.flags & {int(Flag.ERROR)}) <> 0 ELSE {_FAILED} END"),
    "results": _number(f"{_COUNTED} AND {_RESULT}"),
    "relayed": _number(f"{_TOOL} AND f.name IS NOT NULL AND (f.flags & {int(Flag.DIRECT)}) = 0"),
    "timed": _number(f"{_COUNTED} AND {DURATION} IS NOT NULL"),
    "duration_ms": _total(f"CASE WHEN {_COUNTED} THEN {DURATION} END"),
    "token_input": _total("f.token_input"),
    "token_output": _total("f.token_output"),
    "token_cache_read": _total("f.token_cache_read"),
    "token_cache_write_5m": _total("f.token_cache_write - COALESCE(f.token_cache_write_1h, 0)"),
    "token_cache_write_1h": _total("f.token_cache_write_1h"),
    "cost": _total("f.cost"),
    "unpriced": _number(f"{_LLM} AND f.cost IS NULL"),
    "placeholder": _number(f"{_LLM} AND f.quality = {int(Quality.PLACEHOLDER)}"),
    "partial": _number(f"{_LLM} AND f.quality = {int(Quality.PARTIAL)}"),
    "estimated": _number(f"{_LLM} AND f.quality = {int(Quality.ESTIMATED)}"),
    "added": _total("f.added"),
    "removed": _total("f.removed"),
}

SUMS_SQL: Final = ", ".join(f"{_SUMS[column]} AS {column}" for column in VALUES)
"""All value columns of a rollup row, added up over facts `f`."""

PLACE_SQL: Final = "COALESCE(c.project, 0), COALESCE(c.branch, 0), CASE WHEN c.agent IS NULL THEN 0 ELSE 1 END"
"""Columns of activity.Place over a context `c`."""

_COLUMNS: Final = ", ".join((*KEY, *VALUES))
_INSERT: Final = f"INSERT INTO rollup ({_COLUMNS}) VALUES ({', '.join('?' * len((*KEY, *VALUES)))})"
_ADD: Final = (
    f"{_INSERT} ON CONFLICT (period, family, bucket, project, branch, session_type, name, agent, skill)"
    f" DO UPDATE SET {', '.join(f'{column} = rollup.{column} + excluded.{column}' for column in VALUES)}"
)
_EVENT_NUMBERS: Final = tuple(int(family) for family in EventType)
_FAMILIES: Final = (*_EVENT_NUMBERS, *(int(family) for family in UsageFamily))
_SPREAD: Final = tuple(USAGE_VALUES.index(column) if column in USAGE_VALUES else None for column in VALUES)
_ZEROS: Final = (0,) * len(VALUES)
_COUNT, _ACTIVE = VALUES.index("count"), VALUES.index("duration_ms")


def event_rows(conn: Connection, facts: Facts) -> Rows:
    """Rows of the families of event types, but for `session`, by the bucket of the facts."""
    sql = (
        f"SELECT {facts.bucket}, f.type, {PLACE_SQL}, COALESCE(f.name, 0), COALESCE(c.agent, 0), COALESCE(c.skill, 0),"
        f" {', '.join(_SUMS[column] for column in VALUES)} FROM {facts.source} JOIN context c ON c.id = f.context"
        f" WHERE {facts.where} AND f.type <> {int(EventType.SESSION)} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
    )
    return _by_bucket(conn.execute(sql, facts.values))


def usage_rows(conn: Connection, facts: Facts, families: Collection[UsageFamily] = tuple(UsageFamily)) -> Rows:
    """Rows of usage families by the bucket of the facts."""
    found: Rows = {}
    head = len(DIMENSIONS)
    for family in families:
        for bucket, rows in _by_bucket(conn.execute(*summed(conn.dialect, family, facts))).items():
            kept = found.setdefault(bucket, [])
            for row in rows:
                values = row[head:]
                kept.append((*row[:head], *(0 if place is None else values[place] for place in _SPREAD)))
    return found


def session_counts(conn: Connection, facts: Facts) -> dict[int, dict[int, dict[Place, int]]]:
    """How many of the facts are in each bucket, session and place: bucket → session → place → number."""
    sql = (
        f"SELECT {facts.bucket}, c.session, {PLACE_SQL}, COUNT(*) FROM {facts.source}"
        f" JOIN context c ON c.id = f.context WHERE {facts.where} AND c.session IS NOT NULL GROUP BY 1, 2, 3, 4, 5"
    )
    found: dict[int, dict[int, dict[Place, int]]] = {}
    for bucket, session, project, branch, kind, count in conn.execute(sql, facts.values):
        found.setdefault(bucket, {}).setdefault(session, {})[Place(project, branch, kind)] = count
    return found


def session_rows(session: int, counts: Mapping[Place, int], active: Mapping[Place, int]) -> list[Row]:
    """Rows of the family `session`, one a place: `counts` of facts that begin there, `active` milliseconds."""
    rows = []
    for place in counts.keys() | active.keys():
        values = list(_ZEROS)
        values[_COUNT], values[_ACTIVE] = counts.get(place, 0), active.get(place, 0)
        rows.append((int(EventType.SESSION), *place, session, 0, 0, *values))
    return rows


def add_rows(conn: Connection, zone: ZoneInfo, hours: Rows, points: Rows) -> None:
    """Add amounts to what the table has: by hour, to it and to its day and week; by session, to its points.

    Adding commutes, so hosts may do it side by side. In the caller's transaction.
    """
    for hour, rows in hours.items():
        day = bucket_start(zone, "day", hour)
        _add(conn, Period.HOURLY, hour, rows)
        _add(conn, Period.DAILY, day, rows)
        _add(conn, Period.WEEKLY, bucket_start(zone, "week", day), [row for row in rows if row[0] in _EVENT_NUMBERS])
    for session, rows in points.items():
        _add(conn, Period.POINT, session, rows)


def replace_rows(
    conn: Connection, period: Period, rows: Mapping[int, list[Row]], families: Collection[int] = _FAMILIES
) -> None:
    """Let `rows` be all that the table has of these buckets and families; an empty list leaves nothing."""
    conn.executemany(_delete(families), [(int(period), bucket) for bucket in rows])
    conn.executemany(_INSERT, [(int(period), bucket, *row) for bucket, held in rows.items() for row in held])


def sum_days(conn: Connection, zone: ZoneInfo, hours: Iterable[int]) -> None:
    """Make the days and weeks in which these hours lie anew: days from their hours, weeks from their days."""
    days = {bucket_start(zone, "day", hour) for hour in hours}
    _sum(conn, zone, days, "day", Period.DAILY, Period.HOURLY, _FAMILIES)
    weeks = {bucket_start(zone, "week", day) for day in days}
    _sum(conn, zone, weeks, "week", Period.WEEKLY, Period.DAILY, _EVENT_NUMBERS)


def _sum(
    conn: Connection, zone: ZoneInfo, starts: Iterable[int], unit: Unit, period: Period, parts: Period,
    families: Collection[int],
) -> None:  # fmt: skip
    sql = (
        f"INSERT INTO rollup ({_COLUMNS}) SELECT {int(period)}, ?, {', '.join(DIMENSIONS)},"
        f" {', '.join(f'SUM({column})' for column in VALUES)} FROM rollup WHERE period = {int(parts)}"
        f" AND family IN ({_listed(families)}) AND bucket >= ? AND bucket < ? GROUP BY {', '.join(DIMENSIONS)}"
    )
    for start in sorted(starts):
        conn.execute(_delete(families), (int(period), start))
        conn.execute(sql, (start, start, bucket_end(zone, unit, start)))


def _delete(families: Collection[int]) -> str:
    return f"DELETE FROM rollup WHERE period = ? AND family IN ({_listed(families)}) AND bucket = ?"


def _listed(families: Collection[int]) -> str:
    return ", ".join(str(int(family)) for family in families)


def _add(conn: Connection, period: Period, bucket: int, rows: Iterable[Row]) -> None:
    conn.executemany(_ADD, [(int(period), bucket, *row) for row in sorted(rows)])


def _by_bucket(found: Iterable[tuple[Any, ...]]) -> Rows:
    rows: Rows = {}
    for row in found:
        rows.setdefault(row[0], []).append(row[1:])
    return rows
