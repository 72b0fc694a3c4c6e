"""What a rule may ask: every metric id of the rollups and every metric of the catalogue, with what can be made of it.

A name is a rollup's id (`session_cost`), or a metric of the catalogue in any of three spellings: without prefix
(`tool.failures`), with it (`ccagent.tool.failures`), or as Prometheus has it (`ccagent_tool_failures_total`).

Four names exist in both: `requests`, `turns`, `prompts` and `compactions`. Written bare they mean the rollup's, which
counts what begins in a period; where a rule asks for a label that only the catalogue's has (`status` of requests), that one
is meant. With a prefix it is always the catalogue's, which counts what closed; its canonical name keeps the prefix.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

from ccagent.alerts.faults import AlertRuleError, nearest
from ccagent.alerts.rule import Aggregation, Scope
from ccagent.facts.model import EventType
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.spec import PREFIX, Kind, MetricSpec
from ccagent.rollups.metrics import BY_ID, SESSION_TYPES, Combine, RollupMetric


class Source(StrEnum):
    """Who holds the amounts of a metric."""

    ROLLUP = "rollup"  # rows of the rollups
    FACTS = "facts"  # what the ledger would book for the facts of an hour
    LIVE = "live"  # gauges, and the totals of ccagent's own work


class Shape(StrEnum):
    """What amounts of a metric are, and so how several become one."""

    COUNTER = "counter"  # they add up
    MEAN = "mean"  # a sum and what it was made of: a ratio or a mean
    DISTINCT = "distinct"  # a number of sessions, which never adds up
    HISTOGRAM = "histogram"  # observations by bucket, with their sum
    GAUGE = "gauge"  # what stands now


_PERCENTILES: Final = (Aggregation.P50, Aggregation.P90, Aggregation.P95, Aggregation.P99)
_ALLOWED: Final[Mapping[Shape, tuple[Aggregation, ...]]] = MappingProxyType(
    {
        Shape.COUNTER: (Aggregation.SUM, Aggregation.RATE),
        Shape.MEAN: (Aggregation.MEAN, Aggregation.SUM, Aggregation.COUNT),
        Shape.DISTINCT: (Aggregation.SUM,),
        Shape.HISTOGRAM: (Aggregation.MEAN, Aggregation.SUM, Aggregation.COUNT, Aggregation.MAX, *_PERCENTILES),
        Shape.GAUGE: (Aggregation.LAST,),
    }
)
"""What may be made of a window; the first is what is made when nothing is said."""

_SHAPES: Final[Mapping[Combine, Shape]] = MappingProxyType(
    {
        Combine.SUM: Shape.COUNTER,
        Combine.RATIO: Shape.MEAN,
        Combine.SUM_COUNT: Shape.MEAN,
        Combine.DISTINCT: Shape.DISTINCT,
    }
)
_KINDS: Final[Mapping[Kind, Shape]] = MappingProxyType(
    {Kind.COUNTER: Shape.COUNTER, Kind.GAUGE: Shape.GAUGE, Kind.HISTOGRAM: Shape.HISTOGRAM}
)
_UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {"USD": "{USD}", "seconds": "s", "ratio": "1", "tokens": "{token}", "lines": "{line}", "count": ""}
)
"""Units of the rollups as the catalogue writes them."""

_PLACE: Final = ("project", "branch", "session_type", "agent", "skill")
"""Dimensions of every rollup row."""
_NAMED: Final[Mapping[EventType, str]] = MappingProxyType({EventType.LLM_REQUEST: "model", EventType.TOOL_CALL: "tool"})
"""What the name of a row's family is to a reader."""

_GREATEST: Final = ("1", "s")
"""Units of gauges of which the series of several labels do not add up: shares and times."""

EVERY_SCOPE: Final = tuple(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMetric:
    """A metric as rules see it. Thresholds and readings are in `unit` (UCUM), which is the stored amount ÷ `scale`.

    `dimensions`: what `where` may name; `closed`: their values where these are a closed list. `buckets`: the upper bounds of a
    histogram, in its unit. `joins`: how series of a gauge that differ in labels become one value. Of `spec` and `rollup` one is
    set: where the metric is declared.
    """

    name: str
    source: Source
    shape: Shape
    unit: str
    dimensions: tuple[str, ...]
    help: str
    scale: int = 1
    closed: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    buckets: tuple[float, ...] = ()
    spec: MetricSpec | None = None
    rollup: RollupMetric | None = None

    @property
    def aggregations(self) -> tuple[Aggregation, ...]:
        """What may be made of a window of it."""
        return _ALLOWED[self.shape]

    def default(self, scope: Scope) -> Aggregation:
        """What is made of it when a rule says nothing: of a mean in a single session the sum (how long it was), for elsewhere
        it would be the mean over sessions."""
        if self.rollup is not None and self.rollup.combines is Combine.SUM_COUNT and scope is Scope.SESSION:
            return Aggregation.SUM
        return self.aggregations[0]

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """What subjects it can be asked of: what is not made of facts belongs to nobody's session."""
        return (Scope.GLOBAL,) if self.source is Source.LIVE else EVERY_SCOPE

    @property
    def has_past(self) -> bool:
        """Whether there are amounts of past windows: for baselines and for a backtest."""
        return self.source is not Source.LIVE

    @property
    def is_gauge(self) -> bool:
        """Whether only its present value is there to be read."""
        return self.shape is Shape.GAUGE

    @property
    def joins(self) -> Literal["sum", "max"]:
        """How series that differ in labels that a rule does not choose become one value, of a gauge."""
        return "max" if self.unit in _GREATEST else "sum"


@lru_cache(maxsize=1)
def known() -> Mapping[str, AlertMetric]:
    """Every metric that a rule may name, by canonical name: the rollups', then the catalogue's in its order."""
    found = {metric.id: _of_rollup(metric) for metric in BY_ID.values()}
    for spec in METRICS.values():
        one = _of_catalogue(spec)
        found[one.name] = one
    return MappingProxyType(found)


def resolve(name: str, dimensions: Collection[str] = ()) -> AlertMetric:
    """The metric that `name` means in a rule that asks for these `dimensions` of it.

    Raises AlertRuleError for a name that nothing has, with the nearest that there are. Whether it has all the dimensions is
    the caller's question.
    """
    metrics = known()
    if name in BY_ID and name in METRICS:
        ours, catalogue = metrics[name], metrics[PREFIX + name]
        asked = set(dimensions)
        return catalogue if not asked <= set(ours.dimensions) and asked <= set(catalogue.dimensions) else ours
    canonical = _spellings().get(name)
    if canonical is None:
        bare = name.removeprefix(PREFIX)
        likely = (
            (bare,)
            if bare in BY_ID
            else tuple(dict.fromkeys(_spellings()[near] for near in nearest(bare, _spellings())))
        )
        raise AlertRuleError("metric", f"no metric has the name {name!r}", likely)
    return metrics[canonical]


def tells_of_ccagent(name: str) -> bool:
    """Whether a metric (by its canonical name) tells of the daemon alone, and of nobody's work."""
    found = known().get(name)
    return found is not None and found.spec is not None and not found.spec.from_facts


@lru_cache(maxsize=1)
def _spellings() -> Mapping[str, str]:
    """Every way to write a name → the canonical one. Rollups' ids have one way, and the first word."""
    found: dict[str, str] = {}
    for spec in METRICS.values():
        canonical = _canonical(spec)
        for spelling in (spec.name, spec.otel_name, spec.prometheus_name):
            found.setdefault(spelling, canonical)
    return found | {id: id for id in BY_ID}


def _canonical(spec: MetricSpec) -> str:
    return spec.otel_name if spec.name in BY_ID else spec.name


def _of_rollup(metric: RollupMetric) -> AlertMetric:
    named = _NAMED.get(metric.family)
    return AlertMetric(
        name=metric.id,
        source=Source.ROLLUP,
        shape=_SHAPES[metric.combines],
        unit=_UNITS.get(metric.unit, metric.unit),
        dimensions=(*((named,) if named else ()), *_PLACE),
        help=metric.description,
        scale=metric.scale,
        closed=MappingProxyType({"session_type": SESSION_TYPES}),
        rollup=metric,
    )


def _of_catalogue(spec: MetricSpec) -> AlertMetric:
    held = spec.from_facts and spec.kind is not Kind.GAUGE
    return AlertMetric(
        name=_canonical(spec),
        source=Source.FACTS if held else Source.LIVE,
        shape=_KINDS[spec.kind],
        unit=spec.unit,
        dimensions=spec.labels,
        help=spec.help,
        scale=spec.scale,
        closed=spec.closed,
        buckets=spec.buckets or (),
        spec=spec,
    )
