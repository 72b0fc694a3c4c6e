"""What is declared of a metric: the shape of one entry of the catalogue, and its two names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

PREFIX: Final = "ccagent."
"""Of every OTel name; `ccagent_` in Prometheus."""

COMPATIBLE: Final = "claude_code."
"""Of every name of the compatible set (`ccagent.metrics.compat`), and of no other metric."""

PROJECT: Final = "project"
"""The label that stands last where it stands at all, and is shown only where the configuration allows it."""

UNIT_WORDS: Final[Mapping[str, str]] = MappingProxyType({"s": "seconds", "By": "bytes"})
"""UCUM units that a Prometheus name spells out. Annotations (`{token}`) and the empty unit add nothing."""

RATIO_UNIT: Final = "1"
"""Adds `_ratio` to a gauge's Prometheus name, and to nothing else's."""


Exported = Literal["", "own", "permitted"]
"""Whether a gauge leaves by OTLP."""


class Kind(StrEnum):
    """What a metric's values are."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


_NO_VALUES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One metric, declared once; the Prometheus page, OTLP and the reference page are renderings of it.

    `labels`: in the order in which label values are stored; `project` last.
    `closed`: the allowed values of each label that has a closed list. The last one takes what the list lacks.
    `fill`: closed labels whose values show 0 before anything was booked, for every seen combination of the other
    labels (from the start, where there are no others).
    `valid`: the only combinations there are, where they are not the product of the closed lists; all show 0.
    `scale`: what the stored integer is divided by (micro-dollars and milliseconds are stored, USD and seconds shown).
    `from_facts`: absent until the first catch-up is done.
    `exported`: of a gauge, whether it leaves by OTLP. `own`: it tells of the daemon alone, and always does.
    `permitted`: made of facts, and sent as it is over those that may leave. Empty: it stays on the machine. What may
    leave of counters and histograms is told apart amount by amount.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    source: str
    labels: tuple[str, ...] = ()
    closed: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_VALUES)
    fill: tuple[str, ...] = ()
    valid: tuple[tuple[str, ...], ...] | None = None
    buckets: tuple[float, ...] | None = None
    scale: int = 1
    from_facts: bool = False
    exported: Exported = ""

    def __post_init__(self) -> None:
        if self.name.startswith(COMPATIBLE):
            raise ValueError(f"{self.name}: names of Claude Code's own telemetry belong to the compatible set alone")

    @property
    def otel_name(self) -> str:
        """`ccagent.tool.calls`."""
        return PREFIX + self.name

    @property
    def prometheus_unit(self) -> str:
        """The word that the Prometheus name ends in for its unit (`seconds`), "" for none."""
        if self.unit == RATIO_UNIT:
            return "ratio" if self.kind is Kind.GAUGE else ""
        return UNIT_WORDS.get(self.unit, "")

    @property
    def prometheus_family(self) -> str:
        """The Prometheus name without a counter's `_total`: `ccagent_tool_calls`."""
        words = self.otel_name.replace(".", "_")
        unit = self.prometheus_unit
        return words if not unit or words.endswith("_" + unit) else f"{words}_{unit}"

    @property
    def prometheus_name(self) -> str:
        """`ccagent_tool_calls_total`; of a histogram without `_bucket`, `_sum`, `_count`."""
        return self.prometheus_family + ("_total" if self.kind is Kind.COUNTER else "")

    @property
    def open_labels(self) -> tuple[str, ...]:
        """The labels that take any value within their budget."""
        return tuple(label for label in self.labels if label not in self.closed)

    @property
    def has_project(self) -> bool:
        """Whether the project stands among its labels (last)."""
        return PROJECT in self.labels

    def without_project(self) -> MetricSpec:
        """The same metric as it is shown where the project is no label."""
        return _without_project(self) if self.has_project else self

    def __hash__(self) -> int:
        return hash(self.name)


@lru_cache(maxsize=256)
def _without_project(spec: MetricSpec) -> MetricSpec:
    return dataclasses.replace(spec, labels=tuple(label for label in spec.labels if label != PROJECT))
