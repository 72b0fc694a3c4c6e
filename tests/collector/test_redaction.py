"""What the shipped configurations take out on the way, and what they turn into what: seen at receivers of our own."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

from tests.collector.stage import Collector, collector, running
from tests.daemon.rig import now_ms, opener, until
from tests.otlp.receiver import grpc_receiver, http_receiver

pytestmark = pytest.mark.collector

CANARY = "kanarienvogel"

CONTENT = (
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.prompt", "gen_ai.prompt.0.content",
    "gen_ai.completion.1.content", "input.value", "output.value", "llm.input_messages.0.message.content", "prompt",
    "user_prompt", "response", "response.model_output", "body", "body_ref", "tool_input", "tool_parameters",
    "full_command", "bash_command", "new_context", "system_prompt_preview", "user_system_prompt", "hook_definitions",
)  # fmt: skip
"""Attributes that hold what was written."""

SECRETS = (
    "sk-ant-" + "api03-Abcdefghijklmnop", "ghp_" + "a" * 36, "github_pat_" + "B" * 30, "glpat-" + "c" * 20,
    "glc_" + "d" * 40, "xoxb-" + "1234567890-abc", "AKIA" + "ABCDEFGHIJKLMNOP", "AIza" + "e" * 35,
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "Bearer " + "f" * 24, "-----BEGIN RSA PRIVATE KEY-----",
)  # fmt: skip
"""Values that look like secrets, wherever they stand."""

KEYS = ("password", "db.password", "api_key", "http.request.header.authorization", "aws_secret", "refresh-token")
"""Attributes whose names say that the value is a secret."""

KEPT = {
    "gen_ai.usage.input_tokens": "12",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.tool.name": "Bash",
    "ccagent.skill.name": "risk-assessment-of-the-whole",
    "ccagent.tokens.cache_read": "3",
    "session.id": "5b1f0c4e-8f0e-4f0e-9a55-0d7f5a1c2b3d",
}
"""What must arrive as it is."""


def attributes() -> list[KeyValue]:
    """All of them."""
    pairs = dict.fromkeys((*CONTENT, *KEYS), CANARY)
    pairs |= {f"note.{number}": f"before {secret} after" for number, secret in enumerate(SECRETS)}
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in (pairs | KEPT).items()]


def post(to: Collector, signal: str, request: Any) -> None:
    """Send one request over HTTP; it must be taken."""
    message = urllib.request.Request(
        f"{to.url('http')}/v1/{signal}", data=request.SerializeToString(),
        headers={"Content-Type": "application/x-protobuf"},
    )  # fmt: skip
    with opener().open(message, timeout=10) as answer:
        assert answer.status == 200


def one_of_each() -> tuple[Any, Any, Any]:
    """A span with an event, a log record, and a sum of a client that sends deltas: all full of what must not leave."""
    now = now_ms() * 1_000_000
    spans = ExportTraceServiceRequest()
    span = spans.resource_spans.add().scope_spans.add().spans.add(
        name="chat", trace_id=b"t" * 16, span_id=b"s" * 8, start_time_unix_nano=now, end_time_unix_nano=now + 1
    )  # fmt: skip
    span.attributes.extend(attributes())
    span.events.add(name="tool.output", time_unix_nano=now).attributes.extend(attributes())
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=now, event_name="tool_result")
    record.attributes.extend(attributes())
    record.body.string_value = f"a line with {SECRETS[0]}"
    return spans, logs, delta(now, 5)


def delta(start: int, value: int) -> ExportMetricsServiceRequest:
    """A delta sum over one second from `start` (ns)."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="claude_code.token.usage")
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = 1
    point = metric.sum.data_points.add(
        start_time_unix_nano=start, time_unix_nano=start + 1_000_000_000, as_int=value
    )  # fmt: skip
    point.attributes.add(key="model").value.string_value = "claude-sonnet-4-5"
    return request


@pytest.mark.parametrize("configuration", ["collector.yaml", "grafana-cloud.yaml"])
def test_content_and_secrets_stay_behind_and_everything_else_arrives(tmp_path: Path, configuration: str) -> None:
    with grpc_receiver() as spans, http_receiver() as rest:
        whole = configuration == "grafana-cloud.yaml"
        between = collector(
            tmp_path, configuration, TEMPO_ENDPOINT=f"127.0.0.1:{spans.port}", LOKI_ENDPOINT=f"{rest.http}/otlp",
            PROMETHEUS_OTLP_ENDPOINT=f"{rest.http}/api/v1/otlp", GRAFANA_CLOUD_OTLP_ENDPOINT=f"{rest.http}/otlp",
            GRAFANA_CLOUD_INSTANCE_ID="123456", GRAFANA_CLOUD_TOKEN="invented", COLLECTOR_ENVIRONMENT="tests",
        )  # fmt: skip
        with running(between):
            traces = rest if whole else spans
            for signal, request in zip(("traces", "logs", "metrics"), one_of_each(), strict=True):
                post(between, signal, request)
            until(
                lambda: traces.received.spans and rest.received.logs and rest.received.metrics, "all three have arrived"
            )
            seen = "".join(
                text_format.MessageToString(request) for request in (*spans.received.taken, *rest.received.taken)
            )
            span, record = traces.received.spans[0], rest.received.logs[0]

    assert CANARY not in seen
    assert [secret for secret in SECRETS if secret in seen] == []
    for kept in (span.attributes, span.events[0].attributes, record.attributes):
        names = {pair.key: pair.value.string_value for pair in kept}
        assert {name: names.get(name) for name in KEPT} == KEPT
        assert [name for name in CONTENT if name in names] == []
        assert {names[name] for name in KEYS} == {"****"}
        assert names["note.0"] == "before **** after"
    assert record.body.string_value == "a line with ****"
    assert '"deployment.environment.name"' in seen
    assert between.complaints == []


def test_deltas_of_a_client_become_sums_that_grow(tmp_path: Path) -> None:
    start = now_ms() * 1_000_000 - 10_000_000_000
    with http_receiver() as rest:
        between = collector(tmp_path, PROMETHEUS_OTLP_ENDPOINT=f"{rest.http}/api/v1/otlp")
        with running(between):
            for number, value in enumerate((5, 7)):
                post(between, "metrics", delta(start + number * 1_000_000_000, value))
                until(lambda: len(rest.received.metrics) > number, "it arrives")  # noqa: B023 - called here and now

    sums = [metric.sum for metric in rest.received.metrics]
    assert {one.aggregation_temporality for one in sums} == {AGGREGATION_TEMPORALITY_CUMULATIVE}
    assert [point.as_int for one in sums for point in one.data_points] == [5, 12]
