"""One moment of all metrics, ready to be rendered: the totals of the store and the gauges, held to the catalogue.

Pure: rows and gauges come in, families go out. The cost is the number of series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from operator import itemgetter
from types import MappingProxyType
from typing import Final, NamedTuple

from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.exemplars import Exemplar, Found, newest_of
from ccagent.metrics.spec import PROJECT, Kind, MetricSpec

NO_START: Final = 0
"""`created_ms` of a gauge's point: a gauge has no start."""

LATEST_MS: Final = 1 << 62
"""Later than any start."""

NO_EXEMPLARS: Final[Mapping[str, Found]] = MappingProxyType({})

Labels = tuple[str, ...]
Gauges = Mapping[tuple[str, Labels], int | float]
"""Values by metric name without prefix and label values in the catalogue's order."""


class StoredTotal(NamedTuple):
    """One row of the table `total`."""

    metric: str
    labels: Labels
    exportable: bool
    value: int
    created_ms: int


class StoredHistogram(NamedTuple):
    """One row of the table `histogram`; counts per bucket, not cumulative, the last above all bounds."""

    metric: str
    labels: Labels
    exportable: bool
    counts: tuple[int, ...]
    sum: float
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTotals:
    """All that the store keeps for metrics, read at one moment."""

    totals: tuple[StoredTotal, ...] = ()
    histograms: tuple[StoredHistogram, ...] = ()


class Point(NamedTuple):
    """One series: `value` is what a counter or gauge shows (scaled) and a histogram's count of observations.

    `created_ms`: when its value was 0 (0 for gauges). `counts` and `sum`: of histograms only; counts per bucket, not
    cumulative. `exemplars`: one a bucket, None where it has none; None altogether where no bucket has one.
    """

    labels: Labels
    value: int | float
    created_ms: int
    counts: tuple[int, ...] | None = None
    sum: float | None = None
    exemplars: tuple[Exemplar | None, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric with its series. `spec.labels` are the labels that the points have: without the project, where it is
    not shown. `texts`: what a rendering keeps of it; a family that has not changed is the same object at the next
    scrape (metrics/remembered.py). `pieces`: of a large one, the families with parts of its points that it was put
    together of, in order."""

    spec: MetricSpec
    points: tuple[Point, ...]
    texts: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    pieces: tuple[Family, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All families in the catalogue's order. `skipped`: stored rows of metrics that this version does not declare."""

    families: tuple[Family, ...]
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Where series start (ms UTC).

    `store_ms`: when the database was made; the start of ccagent's own series that have shown 0 since then.
    `ledger_ms`: time of the earliest fact. It is the start of everything that the first catch-up booked: a start at
    the time of booking would make months of history look like the spending of a minute.
    `caught_up_ms`: when the first catch-up ended; None while it lasts, and metrics of facts are absent.
    `restarted`: when metrics began again at 0, by name; none of their series starts earlier.
    """

    store_ms: int
    ledger_ms: int | None = None
    caught_up_ms: int | None = None
    restarted: Mapping[str, int] = field(default_factory=dict)

    def start(self, spec: MetricSpec, created_ms: int) -> int:
        """The start of a series whose first amount was booked at `created_ms`."""
        start = created_ms
        if spec.from_facts and created_ms <= (self.caught_up_ms or 0):
            start = min(created_ms, self.origin(spec))
        return max(start, self.restarted.get(spec.name, 0))

    def origin(self, spec: MetricSpec) -> int:
        """The start of a series that has shown 0 from the beginning."""
        if spec.name in self.restarted:
            return self.restarted[spec.name]
        if spec.from_facts:
            return self.store_ms if self.ledger_ms is None else min(self.ledger_ms, self.store_ms)
        return self.store_ms


class _Sum:
    """What one shown series is made of: the stored series that differ in what is not shown."""

    __slots__ = ("counts", "created_ms", "exemplars", "sum", "value")

    def __init__(self, created_ms: int, counts: list[int] | None) -> None:
        self.value = 0
        self.created_ms = created_ms
        self.counts = counts
        self.sum = 0.0
        self.exemplars: tuple[Exemplar | None, ...] | None = None


def snapshot(
    stored: StoredTotals,
    gauges: Gauges,
    history: History,
    *,
    project_label: bool,
    exportable_only: bool,
    registry: Mapping[str, MetricSpec] = METRICS,
    exemplars: Mapping[str, Found] = NO_EXEMPLARS,
) -> Snapshot:
    """All metrics as they stand: `stored` summed over what is not shown, zeros where the catalogue wants them.

    `exportable_only`: leave out amounts that may not leave the machine; gauges are the caller's to choose. Families of
    facts are absent until the first catch-up is done (`history`). `registry`: the metrics that are shown, in their order;
    with the compatible set it holds more than the catalogue. A gauge that the catalogue does not declare, or with
    other labels than it declares, is a KeyError or ValueError: gauges are made by this version. `exemplars`: those that
    are known, by metric.
    """
    series: dict[str, dict[Labels, _Sum]] = {}
    skipped = _add_stored(series, stored, history, exportable_only, registry, exemplars)
    if not project_label:
        _drop_projects(series, registry)
    by_gauge = _by_metric(gauges, project_label)
    families = []
    for name, declared in registry.items():
        if declared.from_facts and history.caught_up_ms is None:
            continue
        spec = declared if project_label else declared.without_project()
        if spec.kind is Kind.GAUGE:
            points = _gauge_points(spec, by_gauge.get(name, {}))
        else:
            points = _total_points(spec, series.get(name, {}), history)
        if points:
            families.append(Family(spec=spec, points=points))
    return Snapshot(families=tuple(families), skipped=skipped)


def _add_stored(
    series: dict[str, dict[Labels, _Sum]], stored: StoredTotals, history: History, exportable_only: bool,
    registry: Mapping[str, MetricSpec], exemplars: Mapping[str, Found],
) -> int:  # fmt: skip
    """Add up `stored` by metric and labels; the number of rows that this version does not declare."""
    skipped = 0
    starts: dict[tuple[str, int], int] = {}  # most series of a metric were booked first at the same few moments
    for metric, labels, exportable, value, created_ms in stored.totals:
        spec = registry.get(metric)
        if spec is None or spec.kind is not Kind.COUNTER or len(labels) != len(spec.labels):
            skipped += 1
        elif exportable or not exportable_only:
            start = starts.get((metric, created_ms))
            if start is None:
                start = starts[metric, created_ms] = history.start(spec, created_ms)
            total = _series(series, spec, labels, start)
            total.value += value
    for metric, labels, exportable, counts, sum_, created_ms in stored.histograms:
        spec = registry.get(metric)
        if spec is None or spec.buckets is None or len(labels) != len(spec.labels) or len(counts) != _size(spec):
            skipped += 1
        elif exportable or not exportable_only:
            total = _series(series, spec, labels, history.start(spec, created_ms))
            total.counts = [a + b for a, b in zip(total.counts or (), counts, strict=True)]
            total.sum += sum_
            known = exemplars.get(metric)
            if known is not None:
                total.exemplars = newest_of((total.exemplars, known.get((labels, exportable))))
    return skipped


def _size(spec: MetricSpec) -> int:
    return len(spec.buckets or ()) + 1


def _series(series: dict[str, dict[Labels, _Sum]], spec: MetricSpec, labels: Labels, start_ms: int) -> _Sum:
    """The sum at `labels`, made when there is none; it starts with the earliest of its parts."""
    family = series.get(spec.name)
    if family is None:
        family = series[spec.name] = {}
    total = family.get(labels)
    if total is None:
        total = family[labels] = _Sum(start_ms, [0] * _size(spec) if spec.buckets else None)
    elif start_ms < total.created_ms:
        total.created_ms = start_ms
    return total


def _drop_projects(series: dict[str, dict[Labels, _Sum]], registry: Mapping[str, MetricSpec]) -> None:
    """Add up the series that differ in their project only. The project stands last."""
    for name, family in series.items():
        if not registry[name].has_project:
            continue
        merged: dict[Labels, _Sum] = {}
        for labels, part in family.items():
            total = merged.get(labels[:-1])
            if total is None:
                merged[labels[:-1]] = part
                continue
            total.value += part.value
            total.created_ms = min(total.created_ms, part.created_ms)
            total.sum += part.sum
            if part.counts is not None:
                total.counts = [a + b for a, b in zip(total.counts or (), part.counts, strict=True)]
                total.exemplars = newest_of((total.exemplars, part.exemplars))
        series[name] = merged


def _by_metric(gauges: Gauges, project_label: bool) -> dict[str, dict[Labels, int | float]]:
    """`gauges` by metric, added up over the project where it is not shown."""
    found: dict[str, dict[Labels, int | float]] = {}
    for (name, labels), value in gauges.items():
        spec = METRICS[name]
        if spec.kind is not Kind.GAUGE or len(labels) != len(spec.labels):
            raise ValueError(f"{name}: {labels} given as a gauge; declared as a {spec.kind} with {spec.labels}")
        shown = labels if project_label or PROJECT not in spec.labels else labels[:-1]
        family = found.setdefault(name, {})
        family[shown] = family.get(shown, 0) + value
    return found


def _gauge_points(spec: MetricSpec, values: Mapping[Labels, int | float]) -> tuple[Point, ...]:
    """Points of a gauge. Closed values that were not given show 0 beside those that were; with none given, none do:
    a gauge that nobody measured is absent, not 0."""
    shown = dict(values)
    if values:
        for labels in _zeros(spec, values):
            shown.setdefault(labels, 0)
    return tuple(Point(labels, value, NO_START) for labels, value in sorted(shown.items()))


def _total_points(spec: MetricSpec, sums: Mapping[Labels, _Sum], history: History) -> tuple[Point, ...]:
    """Points of a counter or histogram, zeros included.

    Series that differ in filled labels only share one start: a series that was shown as 0 and then gets its first
    amount keeps the start that it was shown with.
    """
    starts = _shared_starts(spec, sums, history)
    given = _giver(spec)
    points = []
    for labels in sorted({*sums, *_zeros(spec, sums)}):
        total = sums.get(labels)
        start_ms = starts[given(labels)] if spec.fill else total.created_ms if total else history.origin(spec)
        if spec.buckets is not None:
            counts = tuple(total.counts or ()) if total else (0,) * _size(spec)
            shown = total.exemplars if total else None
            points.append(Point(labels, sum(counts), start_ms, counts, total.sum if total else 0.0, shown))
        else:
            value = total.value if total else 0
            points.append(Point(labels, value if spec.scale == 1 else value / spec.scale, start_ms))
    return tuple(points)


def _shared_starts(spec: MetricSpec, sums: Mapping[Labels, _Sum], history: History) -> dict[Labels, int]:
    """The start of each group of series, by the values of the labels that are not filled."""
    starts: dict[Labels, int] = {}
    if set(spec.fill) == set(spec.labels):
        starts[()] = history.origin(spec)
    given = _giver(spec)
    for labels, total in sums.items():
        key = given(labels)
        if total.created_ms < starts.get(key, LATEST_MS):
            starts[key] = total.created_ms
    return starts


@lru_cache(maxsize=512)
def _giver(spec: MetricSpec) -> Callable[[Labels], Labels]:
    """What gives the values of the labels that are not filled."""
    places = tuple(place for place, label in enumerate(spec.labels) if label not in spec.fill)
    if not places:
        return lambda labels: ()
    if len(places) == 1:
        only = places[0]
        return lambda labels: (labels[only],)
    return itemgetter(*places)


def _zeros(spec: MetricSpec, seen: Iterable[Labels]) -> Iterator[Labels]:
    """The label values that have to be there even when nothing was booked under them."""
    if spec.valid is not None:
        yield from spec.valid
    elif not spec.labels:
        yield ()
    elif spec.fill:
        every = set(spec.fill) == set(spec.labels)
        for given in {()} if every else set(map(_giver(spec), seen)):
            rest = iter(given)
            yield from product(*(
                spec.closed[label] if label in spec.fill else (next(rest),) for label in spec.labels
            ))  # fmt: skip
