"""Totals as OTLP metrics: the SDK's encoder as an oracle, and how they are pushed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as sdk_encode
from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ccagent.export.otlp.circuit import Circuit
from ccagent.export.otlp.metrics import encode_metrics
from ccagent.export.otlp.push import MetricsPush
from ccagent.export.otlp.resource import resource_attributes
from ccagent.export.otlp.sender import Sender
from ccagent.export.prometheus import render
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.exemplars import Exemplar
from ccagent.metrics.snapshot import Family, Point, Snapshot
from ccagent.metrics.spec import Kind
from tests.metrics.everything import everything
from tests.metrics.test_catalogue import translated
from tests.otlp.ledger import NOW, Events
from tests.otlp.receiver import Answer, Running

RESOURCE = {"service.name": "ccagent", "service.instance.id": "i1"}
TOKENS = METRICS["tokens"].without_project()
COST = METRICS["cost.usd"].without_project()
DURATION = METRICS["tool.duration"]
ACTIVE = METRICS["sessions.active"].without_project()
EXAMPLE = Exemplar("ab" * 16, "cd" * 8, 0.07, NOW - 5)
COUNTS = tuple(range(len(DURATION.buckets or ()) + 1))
SNAPSHOT = Snapshot(
    families=(
        Family(spec=TOKENS, points=(Point(("claude-opus-4-6", "input"), 12, 500), Point(("x", "output"), 7, 600))),
        Family(spec=COST, points=(Point(("claude-opus-4-6",) * len(COST.labels), 1.25, 500),)),
        Family(spec=DURATION, points=(Point(("Bash", "ok"), sum(COUNTS), 700, COUNTS, 12.5, (None, EXAMPLE, None)),)),
        Family(spec=ACTIVE, points=(Point(("live",), 3, 0),)),
    )
)
NANOS = 1_000_000
AT = NOW * NANOS


def metric(family: Family, data: Any) -> Metric:
    return Metric(name=family.spec.otel_name, description=family.spec.help, unit=family.spec.unit, data=data)


def by_sdk() -> MetricsData:
    """The same snapshot in the SDK's own values."""
    tokens, cost, duration, active = SNAPSHOT.families
    sums = [
        metric(family, Sum(
            [NumberDataPoint(dict(zip(family.spec.labels, point.labels, strict=True)), point.created_ms * NANOS, AT,
                             point.value) for point in family.points],
            AggregationTemporality.CUMULATIVE, True,
        ))
        for family in (tokens, cost)
    ]  # fmt: skip
    histogram = Histogram(
        [HistogramDataPoint({"tool": "Bash", "status": "ok"}, 700 * NANOS, AT, sum(COUNTS), 12.5, list(COUNTS),
                            list(DURATION.buckets or ()), None, None,  # type: ignore[arg-type]
                            [SdkExemplar({}, EXAMPLE.value, EXAMPLE.at_ms * NANOS, int(EXAMPLE.span, 16),
                                         int(EXAMPLE.trace, 16))])],
        AggregationTemporality.CUMULATIVE,
    )  # fmt: skip
    gauge = Gauge([NumberDataPoint({"type": "live"}, 0, AT, 3)])
    scope = InstrumentationScope("ccagent", "1")
    metrics = [*sums, metric(duration, histogram), metric(active, gauge)]
    return MetricsData([ResourceMetrics(Resource(RESOURCE), [ScopeMetrics(scope, metrics, "")], "")])


def test_the_bytes_are_those_of_the_sdks_own_encoder() -> None:
    ours = encode_metrics(SNAPSHOT, RESOURCE, AT, "1")

    assert ours == sdk_encode(by_sdk())


KINDS = {"sum": Kind.COUNTER, "gauge": Kind.GAUGE, "histogram": Kind.HISTOGRAM}


def test_every_family_has_the_name_on_the_page_that_a_receiver_makes_of_it() -> None:
    page = render(everything(), "")[0].decode()
    (resource,) = encode_metrics(everything(exportable_only=True), RESOURCE, AT).resource_metrics

    sent = {
        translated(metric.name, metric.unit, KINDS[str(metric.WhichOneof("data"))])
        for metric in resource.scope_metrics[0].metrics
    }

    assert sent == {line.split(" ")[2] for line in page.splitlines() if line.startswith("# TYPE")}
    assert len(sent) == len(METRICS)


def test_a_start_that_lies_after_now_is_not_told() -> None:
    family = Family(spec=TOKENS, points=(Point(("m", "input"), 1, NOW + 60_000),))

    starts = set()
    for later in (0, 1_000_000_000):
        (resource,) = encode_metrics(Snapshot(families=(family,)), RESOURCE, AT + later).resource_metrics
        (point,) = resource.scope_metrics[0].metrics[0].sum.data_points
        assert point.time_unix_nano == AT + later
        starts.add(point.start_time_unix_nano)

    assert starts == {0}  # the same with each request, or each would be a reset


def push(sender: Sender, events: Events, **options: Any) -> MetricsPush:
    given: dict[str, Any] = {
        "snapshot": lambda _now: SNAPSHOT, "resource": RESOURCE, "version": "1", "observe": events,
        "circuit": Circuit(jitter=lambda _low, high: high),
    }  # fmt: skip
    return MetricsPush("test", sender, **given | options)


def test_a_snapshot_is_pushed_at_every_interval_and_on_request(
    http: Running, senders: Callable[..., Sender], events: Events
) -> None:
    pushing = push(senders(http), events, interval_ms=1_000)

    steps = [pushing.tick(NOW), pushing.tick(NOW + 999), pushing.tick(NOW + 1_000)]
    forced = pushing.tick(NOW + 1_001, force=True)

    assert [step.outcome for step in steps] == ["sent", "idle", "sent"]
    assert forced.sent == 5
    assert len(http.received.taken) == 3


def test_after_a_failure_the_newest_values_are_sent(
    grpc_: Running, http: Running, senders: Callable[..., Sender], events: Events
) -> None:
    http.received.script.append(Answer(status=503))
    pushing = push(senders(http), events)

    failed = pushing.tick(NOW)
    pushing.tick(NOW + failed.wait_ms)

    (request,) = http.received.taken
    at = request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].time_unix_nano
    assert at == (NOW + failed.wait_ms) * NANOS
    assert events.statuses == ["retry", "ok"]


def test_metrics_too_large_are_divided_by_family(http: Running, senders: Callable[..., Sender], events: Events) -> None:
    def at_most_one(request: Any) -> Answer | None:
        return Answer(status=413) if len(request.resource_metrics[0].scope_metrics[0].metrics) > 1 else None

    http.received.rule = at_most_one
    pushing = push(senders(http), events)
    while pushing.tick(NOW).outcome == "narrowed":
        pass

    assert {metric.name for metric in http.received.metrics} == {f.spec.otel_name for f in SNAPSHOT.families}


def test_rejected_points_are_counted_and_not_sent_again(
    http: Running, senders: Callable[..., Sender], events: Events
) -> None:
    http.received.script.append(Answer(rejected=2))

    step = push(senders(http), events).tick(NOW)

    assert step.sent == 3
    assert events.drops == {"rejected": 2}


def test_the_owner_may_name_the_service_but_not_the_instance() -> None:
    extra = {"service.name": "mine", "service.instance.id": "theirs", "team": "a,b"}

    found = resource_attributes("0.1.0", "i1", extra=extra)

    assert found == {
        "ccagent.source": "transcript", "service.instance.id": "i1", "service.name": "mine",
        "service.version": "0.1.0", "team": "a,b",
    }  # fmt: skip
    assert resource_attributes("1", "i", service_name="env", extra=extra)["service.name"] == "env"
    assert resource_attributes("1", "i")["service.name"] == "ccagent"
