"""One OTLP payload, as JSON or as protobuf, into what Claude Code's own telemetry says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from ccagent.reconcile.native import Native, Value

MILLISECOND: Final = 1_000_000
"""Nanoseconds."""

TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8


def take_json(native: Native, data: bytes) -> bool:
    """Take one JSON document of OTLP; whether it was one. Metrics are one, and say nothing here."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(document, dict):
        return False
    for block in _objects(document.get("resourceLogs")):
        resource = _attributes(_object(block.get("resource")))
        for scope in _objects(block.get("scopeLogs")):
            for record in _objects(scope.get("logRecords")):
                at = _milliseconds(record.get("timeUnixNano")) or _milliseconds(record.get("observedTimeUnixNano"))
                names = (record.get("eventName"), _value(_object(record.get("body"))))
                native.log(resource, _attributes(record), _texts(names), at)
    for block in _objects(document.get("resourceSpans")):
        resource = _attributes(_object(block.get("resource")))
        for scope in _objects(block.get("scopeSpans")):
            for span in _objects(scope.get("spans")):
                native.span(
                    resource, _attributes(span), str(span.get("name", "")), _milliseconds(span.get("endTimeUnixNano"))
                )
    return any(key in document for key in ("resourceLogs", "resourceSpans", "resourceMetrics"))


def take_protobuf(native: Native, data: bytes, signal: str | None = None) -> bool:
    """Take one serialized request; whether it was one. `signal` (logs, traces, metrics) where the sender has said it;
    else it is found out, since the three requests look alike from outside."""
    if signal == "metrics":
        return True
    if signal in (None, "traces"):
        spans = _spans(data)
        if spans is not None:
            for resource, span in spans:
                native.span(
                    resource, _pairs(span.attributes), span.name, span.end_time_unix_nano // MILLISECOND or None
                )
            return True
    if signal in (None, "logs"):
        records = _records(data)
        if records is not None:
            for resource, record in records:
                nanoseconds = record.time_unix_nano or record.observed_time_unix_nano
                names = (record.event_name, record.body.string_value)
                native.log(resource, _pairs(record.attributes), names, nanoseconds // MILLISECOND or None)
            return True
    return signal is None and _is_metrics(data)


def _spans(data: bytes) -> list[tuple[dict[str, Value], Any]] | None:
    """The spans with their resource; None where these are none."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        request = ExportTraceServiceRequest.FromString(data)
    except DecodeError:
        return None
    found = [
        (_pairs(block.resource.attributes), span)
        for block in request.resource_spans
        for scope in block.scope_spans
        for span in scope.spans
    ]
    whole = all(len(span.trace_id) == TRACE_ID_BYTES and len(span.span_id) == SPAN_ID_BYTES for _, span in found)
    return found if found and whole else None


def _records(data: bytes) -> list[tuple[dict[str, Value], Any]] | None:
    """The log records with their resource; None where these are none."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    try:
        request = ExportLogsServiceRequest.FromString(data)
    except DecodeError:
        return None
    found = [
        (_pairs(block.resource.attributes), record)
        for block in request.resource_logs
        for scope in block.scope_logs
        for record in scope.log_records
    ]
    timed = all(record.time_unix_nano or record.observed_time_unix_nano for _, record in found)
    return found if found and timed else None


def _is_metrics(data: bytes) -> bool:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    try:
        request = ExportMetricsServiceRequest.FromString(data)
    except DecodeError:
        return False
    return any(
        metric.name for block in request.resource_metrics for scope in block.scope_metrics for metric in scope.metrics
    )


def _pairs(attributes: Iterable[Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for pair in attributes:
        kind = pair.value.WhichOneof("value")
        if kind in ("string_value", "int_value", "double_value", "bool_value"):
            found[pair.key] = getattr(pair.value, kind)
    return found


def _attributes(holder: Mapping[str, Any]) -> dict[str, Value]:
    return {
        pair["key"]: _value(_object(pair.get("value")))
        for pair in _objects(holder.get("attributes"))
        if isinstance(pair.get("key"), str)
    }


def _value(value: Mapping[str, Any]) -> Value:
    """A value of OTLP's JSON; whole numbers are texts there."""
    for kind in ("stringValue", "intValue", "doubleValue", "boolValue"):
        found = value.get(kind)
        if isinstance(found, str | int | float | bool):
            return found
    return None


def _texts(values: Iterable[object]) -> tuple[Value, ...]:
    return tuple(value if isinstance(value, str) else None for value in values)


def _milliseconds(nanoseconds: object) -> int | None:
    """A time of OTLP's JSON; None where it is none, as is one of more than the 64 bits that it has in protobuf."""
    if not isinstance(nanoseconds, str | int):
        return None
    try:
        found = int(nanoseconds)
    except ValueError:
        return None
    return found // MILLISECOND or None if 0 < found < 1 << 64 else None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
