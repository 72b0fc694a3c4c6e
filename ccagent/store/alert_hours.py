"""The whole past by hours, for a rule that is tried on it: `HourlySeries` (alerts/hours.py) of what the store holds.

Hours come from hourly rollup rows where these tell subjects apart, else from the facts themselves, and before
`sealed_before` from what was measured while there were facts. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import orjson

from ccagent.alerts.hours import Cell, HourlySeries
from ccagent.alerts.metrics import AlertMetric, Shape, Source
from ccagent.alerts.rule import Operand, Scope
from ccagent.facts.model import EventType
from ccagent.rollups.buckets import DAY_MS, HOUR_MS, bucket_start
from ccagent.store.alert_measured import Asked, Counting
from ccagent.store.alert_names import Known
from ccagent.store.alert_rollups import by_hour as rollup_hours
from ccagent.store.alert_rollups import sessions_by_hour, whole_hour
from ccagent.store.alert_series import metric_of
from ccagent.store.connection import scalar
from ccagent.store.measured_facts import Place, Sum, by_hour
from ccagent.store.staleness import sealed_before

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ccagent.alerts.series import Span
    from ccagent.facts.pricing import PriceTable
    from ccagent.store.connection import Connection

Progress = Callable[[float], None]
"""Told now and then which part of the facts is read, from 0 to 1."""

STEP_MS: Final = 7 * DAY_MS
"""Facts between two words about progress."""

_TIMES: Final = ("occurred_at", "ended_at", "result_at")
_MEASURED: Final = (
    "SELECT m.hour, m.session, m.project, m.labels, m.value, m.count, m.buckets FROM measured m"
    " WHERE m.metric = ? AND m.hour >= ? AND m.hour < ? ORDER BY m.hour"
)


def load_hours(
    conn: Connection,
    zone: ZoneInfo,
    operands: Iterable[Operand],
    scope: Scope,
    since: int,
    until: int,
    progress: Progress | None = None,
    prices: PriceTable | None = None,
) -> HourlySeries:
    """Amounts of these operands by subject of `scope` and hour in [since, until) (ms UTC), and of scope session the records
    of sessions.

    `zone` is that of the rollups, which are taken as they stand. Operands of gauges and of ccagent's own counters have no
    past: they are there with nothing. Costs the facts of the operands' kinds in that time; memory holds the amounts.
    ValueError for a metric that is not known, or has no such scope.
    """
    known = Known(conn)
    start, end = max(since, 0), whole_hour(zone, until)
    cells: dict[Operand, list[Cell]] = {}
    apart: dict[Operand, Counting] = {}
    for operand in operands:
        metric = metric_of(operand, scope)
        rollup = metric.rollup
        cells[operand] = []
        if rollup is not None and rollup.family == EventType.SESSION:
            rows = sessions_by_hour(conn, rollup, operand.where, (start, end), known)
            cells[operand] += _of_sessions(rows, metric, scope, known)
        elif rollup is not None and scope in (Scope.GLOBAL, Scope.PROJECT):
            for each in rollup_hours(conn, rollup, operand.where, scope, (start, end), known):
                cells[operand].append(_cell(known.text(each.subject), each.place, metric, each.value, each.number))
        elif metric.source is not Source.LIVE:
            apart[operand] = Counting(Asked(metric, operand.where, scope), known)
    if apart:
        _of_facts(conn, zone, apart, (start, end), cells, known, progress, prices)
    records = _records(conn, start, end) if scope is Scope.SESSION else {}
    if progress is not None:
        progress(1.0)
    return HourlySeries(cells, scope=scope, records=records)


def _cell(subject: str, hour: int, metric: AlertMetric, value: float, count: int, buckets: Iterable[int] = ()) -> Cell:
    return Cell(subject, hour, value / metric.scale, count, tuple(buckets))


def _of_sessions(
    rows: Iterable[tuple[int, int, int, int, bool]], metric: AlertMetric, scope: Scope, known: Known
) -> Iterator[Cell]:
    """Cells of metrics that are about sessions: which sessions, and how long they were active."""
    distinct = metric.shape is Shape.DISTINCT
    for hour, project, session, active, begun in rows:
        members = (known.text(session),) if begun else ()
        value = int(begun) if distinct else active / metric.scale
        for subject in known.subjects(scope, project if scope is Scope.PROJECT else session):
            yield Cell(known.text(subject), hour, value, int(begun), (), members)


def _of_facts(
    conn: Connection,
    zone: ZoneInfo,
    apart: Mapping[Operand, Counting],
    span: Span,
    cells: Mapping[Operand, list[Cell]],
    known: Known,
    progress: Progress | None,
    prices: PriceTable | None,
) -> None:
    """Cells of what no rollup row tells apart: kept hours of before the seal, then the facts, a few days at a time."""
    by_metric: dict[str, list[Operand]] = {}
    for operand in apart:
        by_metric.setdefault(operand.metric, []).append(operand)

    def take(hour: int, sums: Iterable[tuple[Place, Sum]]) -> None:
        held: dict[tuple[Operand, int], Sum] = {}
        for place, found in sums:
            for operand in by_metric[place.metric]:
                for subject in apart[operand].subjects(place.session, place.project, place.labels):
                    held.setdefault((operand, subject), Sum()).add(found.value, found.count, found.buckets)
        for (operand, subject), each in held.items():
            metric = apart[operand].metric
            cells[operand].append(_cell(known.text(subject), hour, metric, each.value, each.count, each.buckets or ()))

    sealed = sealed_before(conn)
    for metric in by_metric:
        for hour, sums in groupby(conn.stream(_MEASURED, (metric, span[0], min(sealed, span[1]))), itemgetter(0)):
            take(int(hour), (_measured(metric, row) for row in sums))
    edges = scalar(conn, "SELECT MIN(f.occurred_at) FROM fact f WHERE f.occurred_at >= 0")
    at = max(span[0], sealed, span[1] if edges is None else bucket_start(zone, "hour", int(edges)))
    # The hour in which the seal lies has lost facts.
    at = whole_hour(zone, at)
    begun = at
    while at < span[1]:
        upto = min(bucket_start(zone, "hour", at + STEP_MS), span[1])
        for hour, amounts in by_hour(conn, zone, [(at, upto)], by_metric.keys(), prices):
            take(hour, amounts.items())
        at = upto
        if progress is not None:
            progress((at - begun) / (span[1] - begun))


def _measured(metric: str, row: tuple[Any, ...]) -> tuple[Place, Sum]:
    _, session, project, labels, value, count, buckets = row
    held = Sum(value, int(count), None if buckets is None else orjson.loads(buckets))
    return Place(metric, int(session), int(project), str(labels)), held


def _records(conn: Connection, since: int, until: int) -> dict[str, list[int]]:
    """The last records of sessions in each hour, ms UTC."""
    found: dict[str, set[int]] = {}
    for column in _TIMES:
        sql = (
            f"SELECT n.value, f.{column} / {HOUR_MS}, MAX(f.{column}) FROM fact f JOIN context c ON c.id = f.context"
            f" JOIN name n ON n.id = c.session WHERE f.{column} >= ? AND f.{column} < ? GROUP BY 1, 2"
        )
        for session, _, at in conn.execute(sql, (since, until)):
            found.setdefault(str(session), set()).add(int(at))
    return {session: sorted(instants) for session, instants in found.items()}
