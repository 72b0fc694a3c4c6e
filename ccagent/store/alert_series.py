"""What alert rules ask of the past, answered by the store: `Series` (alerts/series.py) of the present moment.

Rollup metrics come from table `rollup`, metrics of facts from measured hours, what ccagent tells of itself from its totals
and from gauges that are handed in. Rollups are taken as they stand: whoever evaluates has just refreshed them. So are the
points of sessions, which follow a few seconds later, or minutes where a session is very large.

The last hour of a span counts whole, since the span ends at the present.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ccagent.alerts.metrics import AlertMetric, Source, known
from ccagent.alerts.rule import Operand, Scope, is_meant
from ccagent.alerts.series import BEGINNING, Amount, Span
from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType
from ccagent.metrics.labels import sanitised
from ccagent.metrics.ledger import project_label
from ccagent.metrics.snapshot import Gauges
from ccagent.metrics.spec import PROJECT
from ccagent.rollups.buckets import bucket_start
from ccagent.store import alert_rollups, alert_samples
from ccagent.store.alert_measured import Asked, amounts_of
from ccagent.store.alert_names import Known
from ccagent.store.alert_rollups import Found, whole_hour
from ccagent.store.connection import scalar
from ccagent.store.measured_facts import Sum
from ccagent.store.measured_hours import Measured, Write
from ccagent.store.session_facts import session_number

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ccagent.facts.pricing import PriceTable
    from ccagent.store.alert_rollups import Where
    from ccagent.store.connection import Connection

NO_GAUGES: Final[Gauges] = MappingProxyType({})

_ACTIVE: Final = (
    f"SELECT f.native, f.ended_at FROM fact f WHERE f.type = {int(EventType.SESSION)} AND f.ended_at >= ?"
    " AND (f.occurred_at IS NULL OR f.occurred_at < ?)"
)

Key = tuple[str, "Where", Scope, tuple[Span, ...], tuple[str, ...]]


class StoreSeries:
    """Amounts of the moment `now_ms` (ms UTC), over `conn`; make a new one for each evaluation.

    `live`: gauges by metric name without prefix and label values, as `service.gauges.own_gauges` gives them. `write` runs
    work in a write transaction (`Writer.write`): then hours that had to be measured are kept, and own counters are sampled;
    `conn` must not be within a transaction. Without it the store stays as it is, which costs the same facts each time.
    `zone` is that of the rollups.
    """

    def __init__(
        self,
        conn: Connection,
        zone: ZoneInfo,
        now_ms: int,
        live: Gauges = NO_GAUGES,
        *,
        write: Write | None = None,
        prices: PriceTable | None = None,
    ) -> None:
        self._conn = conn
        self._zone = zone
        self._now = now_ms
        self._live = live
        self._write = write
        self._known = Known(conn)
        self._measured = Measured(conn, zone, write, prices)
        self._answers: dict[Key, dict[str, list[Amount | None]]] = {}
        self._began: dict[tuple[str, Where, Scope], dict[str, int]] = {}
        self._sampled: set[str] = set()

    # ---- what rules ask --------------------------------------------------------------------------------------------

    def amounts(
        self, operand: Operand, scope: Scope, spans: Sequence[Span], only: Sequence[str] = ()
    ) -> Mapping[str, Sequence[Amount | None]]:
        """Of each subject with an amount in any of the spans, its amounts, one a span; None where there is nothing.

        `only`: subjects; of projects also by the last folder. ValueError for a metric that is not known, or that has no
        such scope.
        """
        key = operand.metric, operand.where, scope, tuple(spans), tuple(only)
        if key not in self._answers:
            self._answers[key] = self._asked(operand, scope, spans, only)
        return self._answers[key]

    def sessions(self, since: int, until: int) -> Mapping[str, int]:
        """Sessions with a record in [since, until), and the time of the last one before `until`.

        Of a session with records on both sides of `until`, which has to be past then, that is not known: it counts with
        the last moment before.
        """
        rows = self._conn.execute(_ACTIVE, (since, until))
        return {str(native): min(int(ended), until - 1) for native, ended in rows}

    def began(self, operand: Operand, scope: Scope) -> Mapping[str, int]:
        """Of each subject the start of the first hour in which it had an amount.

        Of own counters that have counted anything the hour of the first sample; gauges have no past, and so no beginning.
        """
        key = operand.metric, operand.where, scope
        if key not in self._began:
            self._began[key] = self._first_hours(operand, scope)
        return self._began[key]

    # ---- answers ---------------------------------------------------------------------------------------------------

    def _asked(
        self, operand: Operand, scope: Scope, spans: Sequence[Span], only: Sequence[str]
    ) -> dict[str, list[Amount | None]]:
        metric = metric_of(operand, scope)
        if metric.source is Source.LIVE:
            return self._live_amounts(metric, operand.where, spans)
        answers: dict[str, list[Amount | None]] = {}
        found = list(self._found(metric, operand.where, scope, spans, only))
        texts = self._known.texts({each.subject for each in found})
        for each in found:
            subject = texts.get(each.subject, "")
            if not is_meant(subject, scope, only):
                continue
            amounts = answers.setdefault(subject, [None] * len(spans))
            amounts[each.place] = Amount(each.value / metric.scale, each.number, each.buckets)
        return answers

    def _found(
        self, metric: AlertMetric, where: Where, scope: Scope, spans: Sequence[Span], only: Sequence[str]
    ) -> Iterator[Found]:
        rollup = metric.rollup
        named = {number for each in only if (number := session_number(self._conn, each)) is not None}
        sessions = named if scope is Scope.SESSION else set()
        if scope is Scope.SESSION and only and not sessions:
            return
        if rollup is not None:
            whole = [place for place, span in enumerate(spans) if span[0] <= BEGINNING < span[1]]
            told_apart = scope in (Scope.SESSION, Scope.FEATURE)
            if told_apart and whole:
                for each in alert_rollups.of_sessions(self._conn, rollup, where, scope, sessions, self._known):
                    for place in whole:
                        yield each._replace(place=place)
                kept = [place for place in range(len(spans)) if place not in whole]
                if not kept:
                    return
                for each in self._found(metric, where, scope, [spans[place] for place in kept], only):
                    yield each._replace(place=kept[each.place])
                return
            if not told_apart or rollup.family == EventType.SESSION:
                yield from alert_rollups.in_spans(self._conn, self._zone, rollup, where, scope, spans, self._known)
                return
        first = self._first(metric.name, sessions)
        reached = [(max(start, first), whole_hour(self._zone, end)) for start, end in spans]
        asked = Asked(metric, where, scope, sessions)
        yield from amounts_of(self._conn, self._measured, asked, reached, self._known)

    def _first(self, metric: str, sessions: Iterable[int]) -> int:
        """The hour of the first fact (or of what is left of it), or of the first of these sessions where any are named."""
        held = [fact_key(EventType.SESSION, self._known.text(session)) for session in sessions]
        if held:
            dialect = self._conn.dialect
            sql = f"SELECT f.occurred_at FROM {dialect.blobs} JOIN fact f ON f.key = k.value WHERE f.occurred_at >= 0"
            begun = [int(row[0]) for row in self._conn.execute(sql, (dialect.listed(sorted(held)),))]
            if len(begun) == len(held):
                return bucket_start(self._zone, "hour", min(begun))
        kept = scalar(self._conn, "SELECT MIN(hour) FROM measured_hour WHERE metric = ? AND hour >= 0", (metric,))
        left = scalar(self._conn, "SELECT MIN(f.occurred_at) FROM fact f WHERE f.occurred_at >= 0")
        times = [int(each) for each in (kept, left) if each is not None]
        return bucket_start(self._zone, "hour", min(times, default=self._now))

    def _first_hours(self, operand: Operand, scope: Scope) -> dict[str, int]:
        metric = metric_of(operand, scope)
        found: dict[int, int] = {}
        if metric.source is Source.LIVE:
            first = None if metric.is_gauge else alert_samples.first_sample(self._conn, metric.name)
            return {} if first is None or not self._was_there(metric, operand.where) else {"": first}
        if metric.rollup is not None and scope in (Scope.GLOBAL, Scope.PROJECT):
            rows = alert_rollups.began(self._conn, metric.rollup, operand.where, scope, self._known)
            pairs = [(whose, hour) for number, hour in rows for whose in self._known.subjects(scope, number)]
        elif metric.rollup is not None and metric.rollup.family == EventType.SESSION:
            span = 0, whole_hour(self._zone, self._now)
            held = alert_rollups.sessions_by_hour(self._conn, metric.rollup, operand.where, span, self._known)
            pairs = [(whose, hour) for hour, _, session, *_ in held for whose in self._known.subjects(scope, session)]
        else:
            span = self._first(metric.name, ()), whole_hour(self._zone, self._now)
            asked = Asked(metric, operand.where, scope, set(), first=True)
            hours = amounts_of(self._conn, self._measured, asked, [span], self._known)
            pairs = [(each.subject, int(each.value)) for each in hours]
        for subject, hour in pairs:
            found[subject] = min(hour, found.get(subject, hour))
        texts = self._known.texts(found)
        return {texts.get(number, ""): hour for number, hour in found.items()}

    # ---- ccagent itself --------------------------------------------------------------------------------------------

    def _live_amounts(self, metric: AlertMetric, where: Where, spans: Sequence[Span]) -> dict[str, list[Amount | None]]:
        if metric.is_gauge:
            values = [
                value for (name, labels), value in self._live.items()
                if name == metric.name and matches(metric.dimensions, labels, where)
            ]  # fmt: skip
            if not values:
                return {}
            joined = max(values) if metric.joins == "max" else sum(values)
            return {"": [Amount(joined / metric.scale, 1)] * len(spans)}
        self._sample(metric.name)
        amounts = [self._increase(metric, where, span) for span in spans]
        return {"": amounts} if any(each is not None for each in amounts) else {}

    def _was_there(self, metric: AlertMetric, where: Where) -> bool:
        """Whether the counter has ever counted any of this."""
        totals = alert_samples.totals_of(self._conn, metric.name).items()
        return any(held.count for labels, held in totals if matches(metric.dimensions, labels, where))

    def _sample(self, name: str) -> None:
        if self._write is None or name in self._sampled:
            return
        self._sampled.add(name)
        hour = bucket_start(self._zone, "hour", self._now)
        if alert_samples.due(self._conn, (name,), hour):
            self._write(lambda conn: alert_samples.take(conn, (name,), hour))

    def _increase(self, metric: AlertMetric, where: Where, span: Span) -> Amount | None:
        start, end = span
        grown = alert_samples.increase(self._conn, metric.name, start, None if end >= self._now else end)
        if grown is None:
            return None
        joined = Sum()
        for labels, held in grown[0].items():
            if matches(metric.dimensions, labels, where):
                joined.add(held.value, held.count, held.buckets)
        if not joined.count and not grown[1]:
            return (
                None  # it was looked at for a part of the window, and nothing was seen: that says nothing of the whole
            )
        return Amount(joined.value / metric.scale, joined.count, tuple(joined.buckets or ()))


def metric_of(operand: Operand, scope: Scope) -> AlertMetric:
    """The metric of an operand, by its canonical name. ValueError where there is none, or it has no such scope."""
    metric = known().get(operand.metric)
    if metric is None:
        raise ValueError(f"no metric has the name {operand.metric!r}; rules name it as `alerts.metrics.resolve` does")
    if scope not in metric.scopes:
        raise ValueError(f"{metric.name} has no scope {scope}; it has {', '.join(metric.scopes)}")
    return metric


def matches(dimensions: Sequence[str], labels: Sequence[str], where: Where) -> bool:
    """Whether labels, in the order of a metric's dimensions, are among what `where` allows. Labels were made harmless when
    they were booked, and a project's is its last folder; what a rule says may be neither."""
    return all(labels[dimensions.index(dimension)] in _labelled(dimension, values) for dimension, values in where)


def _labelled(dimension: str, values: Sequence[str]) -> set[str]:
    named = map(project_label, values) if dimension == PROJECT else values
    return {*values, *map(sanitised, named)}
