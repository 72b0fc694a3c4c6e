"""The Prometheus page: a snapshot of all metrics in the format that the scraper asks for.

prometheus_client decides from the Accept header which format that is. The two that scrapers ask for are written by
`exposition`; for the rest (other escapings, later versions) its own encoders read the snapshot through a collector.
`_created` is in OpenMetrics only: in the older text format it would be a series of its own that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any, Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from ccagent.export.exposition import BOUND, bounds, write
from ccagent.metrics.exemplars import Exemplar as MetricExemplar
from ccagent.metrics.snapshot import Family, Point, Snapshot
from ccagent.metrics.spec import Kind

OPENMETRICS: Final = "application/openmetrics-text"
"""Its content type; the only format that has `_created`."""

PLAIN_ESCAPINGS: Final = frozenset({"", "underscores", "allow-utf-8"})
"""Escapings that leave our names as they are: they have letters and underscores only."""


class _Metric:
    """A family as prometheus_client's encoders read it.

    Their own Metric checks every name again at each scrape; the catalogue's tests check them once.
    """

    __slots__ = ("documentation", "name", "samples", "type", "unit")

    def __init__(self, family: Family, samples: list[Sample]) -> None:
        self.name = family.spec.prometheus_family
        self.documentation = family.spec.help
        self.type = str(family.spec.kind)
        self.unit = family.spec.prometheus_unit
        self.samples = samples


class SnapshotCollector(Collector):
    """Gives prometheus_client the families of a snapshot that is taken when it collects.

    `created` adds the `_created` samples, and exemplars. Registering it reads nothing: `describe` is empty.
    """

    def __init__(self, take: Callable[[], Snapshot], *, created: bool = False) -> None:
        self._take = take
        self._created = created

    def describe(self) -> Iterable[Any]:
        """Nothing: names are known to the catalogue, and asking `collect` for them would read the store."""
        return []

    def collect(self) -> Iterator[Any]:
        """The families, with their samples, in the catalogue's order."""
        for family in self._take().families:
            yield _Metric(family, list(_samples(family, self._created)))


def render(snapshot: Snapshot, accept: str = "") -> tuple[bytes, str]:
    """The page for an Accept header, and its content type."""
    try:
        encode, content_type = choose_encoder(accept.replace('"', ""))  # a version may stand in quotes
    except (TypeError, ValueError):  # or be none
        encode, content_type = choose_encoder("")
    openmetrics = content_type.startswith(OPENMETRICS)
    parameters = dict(part.strip().partition("=")[::2] for part in content_type.split(";")[1:])
    if parameters.get("escaping", "") in PLAIN_ESCAPINGS and (not openmetrics or parameters["version"] == "1.0.0"):
        return write(snapshot, openmetrics=openmetrics), content_type
    return encode(SnapshotCollector(lambda: snapshot, created=openmetrics)), content_type


def _samples(family: Family, created: bool) -> Iterator[Sample]:
    spec = family.spec
    name, limits = spec.prometheus_family, bounds(family)
    for point in family.points:
        pairs = dict(zip(spec.labels, point.labels, strict=True))
        if point.counts is None:
            yield Sample(spec.prometheus_name, pairs, point.value)
        else:
            yield from _histogram_samples(name, pairs, limits, point, exemplars=created)
        if created and spec.kind is not Kind.GAUGE:
            yield Sample(name + "_created", pairs, point.created_ms / 1_000)


def _exemplar(one: MetricExemplar | None) -> Exemplar | None:
    if one is None:
        return None
    return Exemplar({"trace_id": one.trace, "span_id": one.span}, one.value, one.at_ms / 1_000)


def _histogram_samples(
    name: str, pairs: dict[str, str], limits: tuple[str, ...], point: Point, *, exemplars: bool
) -> Iterator[Sample]:
    """Buckets count everything up to their bound here, while a point's counts are apart."""
    examples = (point.exemplars if exemplars else None) or (None,) * len(limits)
    for limit, count, example in zip(limits, accumulate(point.counts or ()), examples, strict=True):
        yield Sample(name + "_bucket", {**pairs, BOUND: limit}, count, exemplar=_exemplar(example))
    yield Sample(name + "_count", pairs, point.value)
    yield Sample(name + "_sum", pairs, point.sum or 0.0)
