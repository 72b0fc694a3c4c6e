"""A snapshot of totals as OTLP metrics: cumulative sums, explicit histograms and gauges.

Values are totals kept in the store and start times are persisted, so a restart of the daemon is invisible and a request
that is sent twice counts once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Exemplar,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.spans import NANOSECONDS, SCOPE, encode_attributes, nanoseconds
from ccagent.metrics.exemplars import Exemplar as MetricExemplar
from ccagent.metrics.snapshot import Family, Point, Snapshot
from ccagent.metrics.spec import Kind

UNKNOWN: Final = 0
"""A start that is not told."""

CUMULATIVE: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


def encode_metrics(
    snapshot: Snapshot, resource: Mapping[str, AttributeValue], now_ns: int, version: str = ""
) -> ExportMetricsServiceRequest:
    """One request with all families of `snapshot` as they stand at `now_ns`; families without points are left out."""
    metrics = [_metric(family, now_ns) for family in snapshot.families if family.points]
    return ExportMetricsServiceRequest(
        resource_metrics=[
            ResourceMetrics(
                resource=Resource(attributes=encode_attributes(resource)),
                scope_metrics=[ScopeMetrics(scope=InstrumentationScope(name=SCOPE, version=version), metrics=metrics)],
            )
        ]
    )


def _metric(family: Family, now_ns: int) -> Metric:
    spec = family.spec
    metric = Metric(name=spec.otel_name, description=spec.help, unit=spec.unit)
    if spec.kind is Kind.COUNTER:
        sums = [_number(family, point, now_ns, start=True) for point in family.points]
        metric.sum.CopyFrom(Sum(data_points=sums, aggregation_temporality=CUMULATIVE, is_monotonic=True))
    elif spec.kind is Kind.HISTOGRAM:
        buckets = [_histogram(family, point, now_ns) for point in family.points]
        metric.histogram.CopyFrom(Histogram(data_points=buckets, aggregation_temporality=CUMULATIVE))
    else:
        gauges = [_number(family, point, now_ns, start=False) for point in family.points]
        metric.gauge.CopyFrom(Gauge(data_points=gauges))
    return metric


def _number(family: Family, point: Point, now_ns: int, *, start: bool) -> NumberDataPoint:
    data = NumberDataPoint(attributes=_labels(family, point), time_unix_nano=now_ns)
    if start:
        data.start_time_unix_nano = _start(point, now_ns)
    if isinstance(point.value, int):
        data.as_int = point.value
    else:
        data.as_double = point.value
    return data


def _histogram(family: Family, point: Point, now_ns: int) -> HistogramDataPoint:
    counts = point.counts or ()
    return HistogramDataPoint(
        attributes=_labels(family, point),
        start_time_unix_nano=_start(point, now_ns),
        time_unix_nano=now_ns,
        count=sum(counts),
        sum=point.sum or 0.0,
        bucket_counts=counts,
        explicit_bounds=[bound for bound in family.spec.buckets or () if not math.isinf(bound)],
        exemplars=[_exemplar(each) for each in point.exemplars or () if each is not None],
    )


def _exemplar(one: MetricExemplar) -> Exemplar:
    return Exemplar(
        trace_id=bytes.fromhex(one.trace),
        span_id=bytes.fromhex(one.span),
        time_unix_nano=nanoseconds(one.at_ms),
        as_double=one.value,
    )


def _labels(family: Family, point: Point) -> list[KeyValue]:
    return encode_attributes(dict(zip(family.spec.labels, point.labels, strict=True)))


def _start(point: Point, now_ns: int) -> int:
    """The series' own start. One that lies after now (a clock was set back) is not told: OTLP has 0 for that, while a start
    that moves along with each request would make a reset of each, and all of the value new each time."""
    start = point.created_ms * NANOSECONDS
    return start if start <= now_ns else UNKNOWN
