"""Amounts of rollup metrics for alert rules, from table `rollup`: whole days from daily rows, the rest from hourly ones.

A span's last hour counts whole: the present hour is all that is there of it. Sessions (a session's whole life) come from
points; a session or feature in a window of time has no rows of its own here, see store/measured_hours.py, but for the
number and the active time of sessions, whose rows name the session.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ccagent.alerts.rule import Scope
from ccagent.facts.model import EventType
from ccagent.facts.naming import shown_model
from ccagent.rollups.buckets import HOUR_MS, bucket_end, bucket_start
from ccagent.rollups.metrics import SESSION_TYPES, Combine, Period
from ccagent.rollups.spans import cover
from ccagent.store.measured_facts import counted
from ccagent.store.sources import searched

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ccagent.alerts.series import Span
    from ccagent.rollups.metrics import RollupMetric
    from ccagent.store.alert_names import Known
    from ccagent.store.connection import Connection

Where = tuple[tuple[str, tuple[str, ...]], ...]

NAMED: Final[Mapping[str, str]] = {"model": "name", "tool": "name"}
"""Dimensions of a rule that have another name in the table."""

_SPANS: Final = "(WITH span(place, period, start, until) AS (VALUES {}) SELECT place, period, start, until FROM span) s"


class Found(NamedTuple):
    """An amount as it is stored: of which span (its place among them), of which subject (a name id, 0 for
    all), its value, the number of things behind it, and of a histogram the counts by bucket."""

    place: int
    subject: int
    value: float
    number: int
    buckets: tuple[int, ...] = ()


def in_spans(
    conn: Connection,
    zone: ZoneInfo,
    metric: RollupMetric,
    where: Where,
    scope: Scope,
    spans: Sequence[Span],
    known: Known,
) -> Iterator[Found]:
    """Amounts of the metric by span and subject; subjects are name ids of projects (folders of worktrees in their
    repository), sessions or features, as `scope` says. Of what nothing occurred there is none."""
    pieces = [
        f"({place}, {int(period)}, {start}, {end})"
        for place, span in enumerate(spans)
        for period, (start, end) in pieces_of(zone, span)
    ]
    if not pieces:
        return
    filters, values = _filters(conn, metric, where, known)
    covered = f"r.period = s.period AND r.family = {int(metric.family)} AND r.bucket >= s.start AND r.bucket < s.until"
    source = f"{_SPANS.format(', '.join(pieces))}{searched(conn.dialect, 'r', covered, table='rollup')}"
    yield from _summed(conn, metric, "s.place", source, filters, values, scope, known)


def of_sessions(
    conn: Connection, metric: RollupMetric, where: Where, scope: Scope, sessions: Collection[int], known: Known
) -> Iterator[Found]:
    """The same of sessions' whole lives, from their points: of these (name ids), of all where none is named. The subject is
    the session or the feature; a session's time counts as one."""
    filters, values = _filters(conn, metric, where, known)
    covered = f"r.period = {int(Period.POINT)} AND r.family = {int(metric.family)}"
    if sessions:
        dialect = conn.dialect
        source = f"{dialect.numbers}{searched(dialect, 'r', f'{covered} AND r.bucket = k.value', table='rollup')}"
        values = (dialect.listed(sorted(sessions)), *values)
    else:
        source, filters = "rollup r", [covered, *filters]
    yield from _summed(conn, metric, "0", source, filters, values, scope, known, points=True)


def by_hour(
    conn: Connection, metric: RollupMetric, where: Where, scope: Scope, span: Span, known: Known
) -> Iterator[Found]:
    """Amounts of each hour that begins in `span`, by the start of the hour (as `place`) and subject. Not for metrics of the
    family of sessions, which do not add up."""
    filters, values = _filters(conn, metric, where, known)
    yield from _summed(conn, metric, "r.bucket", "rollup r", [*_hourly(metric, span), *filters], values, scope, known)


def sessions_by_hour(
    conn: Connection, metric: RollupMetric, where: Where, span: Span, known: Known
) -> Iterator[tuple[int, int, int, int, bool]]:
    """Of metrics of the family of sessions: hour, project and session (name ids), active milliseconds, and whether something
    of the session began there."""
    filters, values = _filters(conn, metric, where, known)
    condition = " AND ".join([f"({metric.where})", *_hourly(metric, span), *filters])
    sql = (
        "SELECT r.bucket, r.project, r.name, CAST(SUM(r.duration_ms) AS BIGINT), MAX(r.count) FROM rollup r"
        f" WHERE {condition} GROUP BY 1, 2, 3"
    )
    for hour, project, session, active, begun in conn.execute(sql, values):
        yield int(hour), int(project), int(session), int(active), bool(begun)


def _hourly(metric: RollupMetric, span: Span) -> list[str]:
    return [
        f"r.period = {int(Period.HOURLY)}", f"r.family = {int(metric.family)}", f"r.bucket >= {span[0]}",
        f"r.bucket < {span[1]}",
    ]  # fmt: skip


def began(
    conn: Connection, metric: RollupMetric, where: Where, scope: Scope, known: Known
) -> Iterator[tuple[int, int]]:
    """The first hour (its start) with an amount, as far as there are rows: of each project (name id) in that scope, else of
    all (0)."""
    filters, values = _filters(conn, metric, where, known)
    tail = "".join(f" AND {each}" for each in [f"({metric.where})", *filters])
    if scope is not Scope.PROJECT:
        first = conn.execute(
            f"SELECT r.bucket FROM rollup r WHERE r.period = {int(Period.HOURLY)} AND r.family = {int(metric.family)}{tail}"
            " ORDER BY r.bucket LIMIT 1",
            values,
        ).fetchone()
        if first is not None:
            yield 0, int(first[0])
        return
    days = conn.execute(
        f"SELECT r.project, MIN(r.bucket) FROM rollup r WHERE r.period = {int(Period.DAILY)}"
        f" AND r.family = {int(metric.family)}{tail} GROUP BY 1",
        values,
    ).fetchall()
    for project, day in days:
        first = conn.execute(
            f"SELECT MIN(r.bucket) FROM rollup r WHERE r.period = {int(Period.HOURLY)} AND r.family = {int(metric.family)}"
            f" AND r.bucket >= ? AND r.bucket < ? AND r.project = ?{tail}",
            (day, day + 26 * HOUR_MS, project, *values),
        ).fetchone()
        if first is not None and first[0] is not None:
            yield int(project), int(first[0])


def pieces_of(zone: ZoneInfo, span: Span) -> tuple[tuple[Period, Span], ...]:
    """A span as rows of days and of hours answer for it; an hour that its end cuts is in it whole."""
    return _pieces(zone, span[0], whole_hour(zone, span[1]))


@lru_cache(maxsize=8_192)
def _pieces(zone: ZoneInfo, start: int, end: int) -> tuple[tuple[Period, Span], ...]:
    found = cover(zone, start, end, ())
    return (*((Period.DAILY, part) for part in found.days), *((Period.HOURLY, part) for part in found.hours))


@lru_cache(maxsize=64)
def whole_hour(zone: ZoneInfo, instant: int) -> int:
    """`instant`, or the end of the hour that it cuts."""
    start = bucket_start(zone, "hour", instant)
    return instant if start == instant else bucket_end(zone, "hour", start)


def _filters(conn: Connection, metric: RollupMetric, where: Where, known: Known) -> tuple[list[str], tuple[Any, ...]]:
    """Conditions on a row `r`, and their parameters."""
    filters: list[str] = []
    values: list[Any] = []
    for dimension, wanted in where:
        column = NAMED.get(dimension, dimension)
        if dimension == "session_type":
            numbers = {SESSION_TYPES.index(each) for each in wanted if each in SESSION_TYPES}
        elif dimension == "project":
            numbers = known.projects_named(wanted)
        elif dimension == "model":
            numbers = known.numbers(wanted) | {
                number for number, text in known.texts(_models(conn, metric)).items() if shown_model(text) in wanted
            }
        else:
            numbers = known.numbers(wanted)
        if numbers:
            filters.append(f"r.{column} IN (SELECT k.value FROM {conn.dialect.numbers})")
            values.append(conn.dialect.listed(sorted(numbers)))
        else:
            filters.append("1 = 0")
    return filters, tuple(values)


def _models(conn: Connection, metric: RollupMetric) -> list[int]:
    rows = conn.execute(
        f"SELECT DISTINCT r.name FROM rollup r WHERE r.period = {int(Period.WEEKLY)} AND r.family = {int(metric.family)}"
        " AND r.name <> 0"
    )
    return [int(row[0]) for row in rows]


def _summed(
    conn: Connection, metric: RollupMetric, place: str, source: str, filters: Sequence[str], values: Sequence[Any],
    scope: Scope, known: Known, *, points: bool = False,
) -> Iterator[Found]:  # fmt: skip
    """Rows of `source`, added up by place and subject. Sessions are counted, not added: they are told apart first."""
    condition = " AND ".join([f"({metric.where})", *filters])
    of_sessions = metric.family == EventType.SESSION
    session = "r.bucket" if points else "r.name" if of_sessions else "0"
    subject = {Scope.GLOBAL: "0", Scope.PROJECT: "r.project"}.get(scope, session)
    if not of_sessions:
        sql = (
            f"SELECT {place}, {subject}, CAST(SUM({metric.value}) AS BIGINT), CAST(SUM({counted(metric)}) AS BIGINT)"
            f" FROM {source} WHERE {condition} GROUP BY 1, 2"
        )
        sums: dict[tuple[int, int], list[int]] = {}
        for where, number, value, count in conn.execute(sql, values):
            for whose in known.subjects(scope, int(number)):
                held = sums.setdefault((int(where), whose), [0, 0])
                held[0] += int(value)
                held[1] += int(count)
        for (where, whose), (value, count) in sums.items():
            yield Found(where, whose, value, count)
        return
    distinct = metric.combines is Combine.DISTINCT
    sql = (
        f"SELECT {place}, {subject}, {session}, CAST(SUM(r.duration_ms) AS BIGINT), MAX(r.count) FROM {source}"
        f" WHERE {condition} GROUP BY 1, 2, 3"
    )
    seen: dict[tuple[int, int], tuple[set[int], list[int]]] = {}
    for where, number, which, value, count in conn.execute(sql, values):
        for whose in known.subjects(scope, int(number)):
            sessions, held = seen.setdefault((int(where), whose), (set(), [0]))
            held[0] += int(value)
            if count:
                sessions.add(int(which))
    for (where, whose), (sessions, held) in seen.items():
        yield Found(where, whose, len(sessions) if distinct else held[0], len(sessions))
