"""For tests of what alert rules read: a store of either kind with somebody who writes beside whoever reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from ccagent.alerts.metrics import Shape, Source, known
from ccagent.alerts.rule import Aggregation, Operand, Scope
from ccagent.alerts.series import Amount, Span
from ccagent.store import rollups
from ccagent.store.alert_series import StoreSeries
from ccagent.store.connection import Connection
from ccagent.store.measured_facts import Place, Sum, unpacked

ZONE = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000
DAY = 24 * HOUR

OF_FACTS = tuple(metric.name for metric in known().values() if metric.source is Source.FACTS)
OF_ROLLUPS = tuple(metric.name for metric in known().values() if metric.source is Source.ROLLUP)

Answers = dict[str, list[tuple[float, float, tuple[int, ...]] | None]]


def writing(conn: Connection) -> Callable[[Callable[[Connection], None]], None]:
    """What `Writer.write` is to a store, over the same connection."""

    def write(work: Callable[[Connection], None]) -> None:
        conn.execute("BEGIN")
        try:
            work(conn)
        except BaseException:
            conn.execute("ROLLBACK")
            raise
        conn.execute("COMMIT")

    return write


def refresh(conn: Connection, zone: ZoneInfo = ZONE) -> None:
    """Make all stale rollups anew."""
    while True:
        conn.execute("BEGIN")
        done = rollups.refresh(conn, zone)
        conn.execute("COMMIT")
        if not done:
            return


def series(conn: Connection, now: int, *, kept: bool = True, zone: ZoneInfo = ZONE) -> StoreSeries:
    """What rules ask at `now`; with `kept` what had to be measured stays in the store."""
    return StoreSeries(conn, zone, now, write=writing(conn) if kept else None)


def operand(metric: str, aggregation: Aggregation = Aggregation.SUM, **where: str | Sequence[str]) -> Operand:
    """An operand; a single value of a dimension may stand without a list."""
    chosen = tuple(
        (name, (values,) if isinstance(values, str) else tuple(values)) for name, values in sorted(where.items())
    )
    return Operand(metric=metric, where=chosen, aggregation=aggregation)


def rounded(found: Mapping[str, Sequence[Amount | None]]) -> Answers:
    """Answers in a form that compares: sums of floats do not depend on their order."""
    return {
        subject: [
            None if each is None else (round(each.value, 6), float(each.count), tuple(each.buckets)) for each in amounts
        ]
        for subject, amounts in found.items()
    }


def one(
    found: StoreSeries, metric: str, span: Span, scope: Scope = Scope.GLOBAL, subject: str = "", **where: Any
) -> Any:
    """Value and count of one span of one subject; None where there is nothing."""
    amounts = found.amounts(operand(metric, **where), scope, [span]).get(subject)
    return None if amounts is None or amounts[0] is None else (round(amounts[0].value, 6), amounts[0].count)


def rows(conn: Connection, metric: str) -> dict[tuple[int, str], tuple[float, int]]:
    """What the table has of a metric: hour and labels → value and count."""
    found: dict[tuple[int, str], tuple[float, int]] = {}
    for hour, labels, value, count in conn.execute(
        "SELECT hour, labels, SUM(value), SUM(count) FROM measured WHERE metric = ? GROUP BY 1, 2", (metric,)
    ):
        found[int(hour), str(labels)] = (float(value), int(count))
    return found


def hours_of(conn: Connection, metric: str) -> list[int]:
    """The hours of a metric that are measured."""
    return [
        int(row[0])
        for row in conn.execute(
            "SELECT hour FROM measured_hour WHERE metric = ? AND claim = 0 AND hour >= 0 ORDER BY 1", (metric,)
        )
    ]


def added(sums: Mapping[Place, Sum], into: dict[tuple[str, tuple[str, ...]], Sum]) -> None:
    """Add amounts of an hour by the metric as it is booked, and labels."""
    for place, held in sums.items():
        spec = known()[place.metric].spec
        assert spec is not None
        into.setdefault((spec.name, unpacked(place.labels)), Sum()).add(held.value, held.count, held.buckets)


def has_buckets(metric: str) -> bool:
    """Whether a metric is a histogram."""
    return known()[metric].shape is Shape.HISTOGRAM
