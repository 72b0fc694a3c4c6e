"""Claude Code's own telemetry of a session, made by the OpenTelemetry SDK as the client makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags

from tests.transcripts import Session

NATIVE = Resource({"service.name": "claude-code", "service.version": "2.1.229", "os.type": "linux"})
REBUILT = Resource({"service.name": "ccagent", "ccagent.source": "transcript"})
SCOPE = InstrumentationScope("com.anthropic.claude_code", "2.1.229")


def records(session: Session) -> list[dict[str, Any]]:
    """The lines of a session as they stand in its transcript."""
    return [orjson.loads(line) for line in session.content.splitlines()]


def replies(session: Session) -> list[dict[str, Any]]:
    """One record of each response."""
    found = {}
    for record in records(session):
        if record["type"] == "assistant":
            found[record["message"]["id"]] = record
    return list(found.values())


def api_request(record: Mapping[str, Any], *, resource: Resource = NATIVE, **other: Any) -> ReadableLogRecord:
    """The event that tells of the response in a transcript's record."""
    usage = record["message"]["usage"]
    attributes = {
        "session.id": record["sessionId"], "model": record["message"]["model"], "cost_usd": 0.25,
        "duration_ms": 1_200, "input_tokens": usage["input_tokens"], "output_tokens": usage["output_tokens"],
        "cache_read_tokens": usage["cache_read_input_tokens"],
        "cache_creation_tokens": usage["cache_creation_input_tokens"], "request_id": record.get("requestId"),
    }  # fmt: skip
    return event("api_request", record, attributes | other, resource)


def tool_results(session: Session, *, name: str = "tool_result") -> list[ReadableLogRecord]:
    """The events that tell of the results in a transcript."""
    found = []
    for record in records(session):
        content = record.get("message", {}).get("content")
        for block in content if record["type"] == "user" and isinstance(content, list) else ():
            attributes = {"session.id": record["sessionId"], "tool_use_id": block["tool_use_id"], "tool_name": "Bash"}
            found.append(event(name, record, attributes, NATIVE))
    return found


def event(name: str, record: Mapping[str, Any], attributes: Mapping[str, Any], resource: Resource) -> ReadableLogRecord:
    told = {"event.name": name, **{key: value for key, value in attributes.items() if value is not None}}
    return ReadableLogRecord(
        LogRecord(timestamp=nanoseconds(record), body=f"claude_code.{name}", attributes=told), resource, SCOPE
    )


def nanoseconds(record: Mapping[str, Any]) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(record["timestamp"]).timestamp() * 1_000) * 1_000_000


def span(name: str, record: Mapping[str, Any], attributes: Mapping[str, Any], number: int = 1) -> ReadableSpan:
    """A span `claude_code.<name>` that ends with the record."""
    end = nanoseconds(record)
    context = SpanContext(number, number, is_remote=False, trace_flags=TraceFlags(1))
    return ReadableSpan(
        f"claude_code.{name}", context, resource=NATIVE, instrumentation_scope=SCOPE, attributes=dict(attributes),
        start_time=end - 1, end_time=end,
    )  # fmt: skip


def logs(events: Iterable[ReadableLogRecord]) -> Any:
    """One request with all of them."""
    return encode_logs(list(events))


def traces(spans: Iterable[ReadableSpan]) -> Any:
    return encode_spans(list(spans))


def json_line(request: Any) -> bytes:
    """A request as a Collector's file exporter writes it."""
    return orjson.dumps(MessageToDict(request)) + b"\n"


def behind_length(request: Any) -> bytes:
    """A request as the file exporter writes it in its binary form."""
    data: bytes = request.SerializeToString()
    return len(data).to_bytes(4, "big") + data


def behind_varint(request: Any) -> bytes:
    """A request as protobuf's own streams have it."""
    data: bytes = request.SerializeToString()
    length, head = len(data), b""
    while length >= 0x80:
        head += bytes([length & 0x7F | 0x80])
        length >>= 7
    return head + bytes([length]) + data
