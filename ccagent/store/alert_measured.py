"""Amounts of measured hours for alert rules: table `measured`, and hours that are held beside it, added up by subject."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from ccagent.alerts.metrics import AlertMetric, Shape
from ccagent.alerts.rule import Scope
from ccagent.facts.naming import shown_model
from ccagent.metrics.labels import sanitised
from ccagent.store.alert_rollups import Found
from ccagent.store.measured_facts import SESSION_LABELS, unpacked
from ccagent.store.sources import searched

if TYPE_CHECKING:
    from ccagent.alerts.series import Span
    from ccagent.store.alert_names import Known
    from ccagent.store.alert_rollups import Where
    from ccagent.store.connection import Connection
    from ccagent.store.measured_hours import Measured

_SPANS: Final = "(WITH span(place, start, until) AS (VALUES {}) SELECT place, start, until FROM span) s"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of measured hours: a metric, what of it counts, told apart by what. `sessions` (name ids): of these alone,
    if any are named. `first`: not amounts but the first hour of each subject, as its value."""

    metric: AlertMetric
    where: Where
    scope: Scope
    sessions: set[int] = field(default_factory=set)
    first: bool = False


@dataclass(slots=True)
class _Held:
    value: float = 0
    number: int = 0
    buckets: list[int] | None = None


class Counting:
    """Which amounts of a question count, and for whom; packed labels are looked at once."""

    def __init__(self, asked: Asked, known: Known) -> None:
        self._asked = asked
        self._known = known
        self._answers: dict[tuple[str, int], bool] = {}
        rollup = asked.metric.rollup is not None
        dimensions = SESSION_LABELS if rollup else asked.metric.dimensions
        self._folders: tuple[str, ...] = ()
        self._rest: list[tuple[int, frozenset[str], bool]] = []
        for dimension, values in asked.where:
            if dimension == "project":  # by the project itself: a label is its last folder alone
                self._folders = values
                continue
            label = "name" if rollup and dimension in ("model", "tool") else dimension
            # Labels of the catalogue were made harmless when they were booked; what a rule says may not be.
            right = frozenset(values) if rollup else frozenset(values) | frozenset(map(sanitised, values))
            self._rest.append((dimensions.index(label), right, dimension == "model"))

    @property
    def metric(self) -> AlertMetric:
        """What is asked."""
        return self._asked.metric

    @property
    def by_labels(self) -> bool:
        """Whether labels decide."""
        return bool(self._rest)

    @property
    def by_project(self) -> bool:
        """Whether the project decides."""
        return bool(self._folders)

    def subjects(self, session: int, project: int, labels: str) -> tuple[int, ...]:
        """The subject (name id) that an amount belongs to: one, or none where it does not count."""
        key = labels, project
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._counts(labels, project)
        if not answer:
            return ()
        scope = self._asked.scope
        return self._known.subjects(scope, project if scope is Scope.PROJECT else session)

    def _counts(self, labels: str, project: int) -> bool:
        if self._folders and project not in self._known.projects_named(self._folders):
            return False
        if not self._rest:
            return True
        texts = unpacked(labels)
        return all(
            texts[place] in right or (model and shown_model(texts[place]) in right)
            for place, right, model in self._rest
        )


def amounts_of(
    conn: Connection, measured: Measured, asked: Asked, spans: Sequence[Span], known: Known
) -> Iterator[Found]:
    """Amounts by span (whole hours) and subject: projects, sessions and features are name ids. Measures what is missing."""
    places = [(place, span) for place, span in enumerate(spans) if span[0] < span[1]]
    if not places:
        return
    name = asked.metric.name
    measured.complete(name, [span for _, span in places])
    labels = Counting(asked, known)
    sums: dict[tuple[int, int], _Held] = {}
    for place, session, project, packed, value, number, buckets, times in _rows(conn, measured, asked, places, labels):
        for subject in labels.subjects(session, project, packed):
            _add(sums.setdefault((place, subject), _Held()), asked, value, number, buckets, times)
    for (place, subject), held in sums.items():
        yield Found(place, subject, held.value, held.number, tuple(held.buckets or ()))


def _add(held: _Held, asked: Asked, value: float, number: int, buckets: Sequence[int] | None, times: int) -> None:
    if asked.first:
        held.value = value if not held.number else min(held.value, value)
        held.number = 1
        return
    held.value += value
    held.number += number
    if buckets is not None:
        if held.buckets is None:
            held.buckets = [0] * len(buckets)
        held.buckets = [a + b * times for a, b in zip(held.buckets, buckets, strict=True)]


_Row = tuple[int, int, int, str, float, int, Any, int]
"""Span, session, project, labels, value, count, buckets, and how often these buckets."""


def _rows(
    conn: Connection, measured: Measured, asked: Asked, places: Sequence[tuple[int, Span]], labels: Counting
) -> Iterator[_Row]:
    name = asked.metric.name
    beside = measured.beside(name)
    told_apart = asked.scope in (Scope.SESSION, Scope.FEATURE)
    session = "m.session" if told_apart else "0"
    project = "m.project" if asked.scope is Scope.PROJECT or labels.by_project else "0"
    packed = "m.labels" if labels.by_labels else "''"
    buckets = "m.buckets" if asked.metric.shape is Shape.HISTOGRAM else "NULL"
    value = "MIN(m.hour)" if asked.first else "SUM(m.value)"
    covered = "m.metric = ? AND m.hour >= s.start AND m.hour < s.until"
    values: list[Any] = [name]
    if asked.sessions:
        covered += f" AND m.session IN ({_listed(asked.sessions)})"
    if beside:
        covered += f" AND m.hour NOT IN (SELECT k.value FROM {conn.dialect.numbers})"
        values.append(conn.dialect.listed(sorted(beside)))
    listed = ", ".join(f"({place}, {start}, {end})" for place, (start, end) in places)
    sql = (
        f"SELECT s.place, {session}, {project}, {packed}, {value}, CAST(SUM(m.count) AS BIGINT), {buckets}, COUNT(*)"
        f" FROM {_SPANS.format(listed)}{searched(conn.dialect, 'm', covered, table='measured')}"
        " GROUP BY 1, 2, 3, 4, 7"
    )
    for place, whose, where, packed_labels, amount, number, counts, times in conn.execute(sql, values):
        yield (
            int(place), int(whose), int(where), str(packed_labels), float(amount), int(number),
            None if counts is None else orjson.loads(counts), int(times),
        )  # fmt: skip
    for hour, sums in beside.items():
        within = [place for place, (start, end) in places if start <= hour < end]
        for (_, whose, where, packed_labels), held in sums.items() if within else ():
            if asked.sessions and whose not in asked.sessions:
                continue
            amount = float(hour) if asked.first else held.value
            for place in within:
                yield place, whose, where, packed_labels, amount, held.count, held.buckets, 1


def _listed(numbers: Collection[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
