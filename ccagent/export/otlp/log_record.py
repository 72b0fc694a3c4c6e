"""One log record: what happened, when, how bad, and to which span it belongs. It need not come of a fact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.spans import SCOPE, encode_attributes, nanoseconds
from ccagent.export.otlp.wire import OF_LOG_RECORD, encoded
from ccagent.export.privacy import cut

SAMPLED: Final = 1
"""W3C trace flag: the trace that the record points to is recorded."""


class Severity(Enum):
    """How bad it is: the text, and the first number of its range."""

    INFO = SeverityNumber.SEVERITY_NUMBER_INFO
    WARN = SeverityNumber.SEVERITY_NUMBER_WARN
    ERROR = SeverityNumber.SEVERITY_NUMBER_ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a record says. `at_ms` in milliseconds UTC; attributes have passed the allow-list.

    `trace` and `span` (16 and 8 bytes) are both there or both empty. Without a severity the record has none, without an
    event name its attributes have to say what it is.
    """

    body: str
    at_ms: int
    attributes: Mapping[str, AttributeValue]
    severity: Severity | None = None
    event_name: str = ""
    trace: bytes = b""
    span: bytes = b""


def encode(entry: Entry) -> LogRecord:
    """The entry as OTLP. It counts as observed when it happened: any other time would differ at a resend."""
    at = nanoseconds(entry.at_ms)
    record = LogRecord(
        time_unix_nano=at,
        observed_time_unix_nano=at,
        severity_number=SeverityNumber.SEVERITY_NUMBER_UNSPECIFIED if entry.severity is None else entry.severity.value,
        severity_text="" if entry.severity is None else entry.severity.name,
        body=AnyValue(string_value=cut(entry.body)),
        flags=SAMPLED if entry.trace else 0,
        trace_id=entry.trace,
        span_id=entry.span,
        event_name=entry.event_name,
    )
    record.MergeFromString(encoded(entry.attributes, OF_LOG_RECORD))
    return record


def log_request(
    records: Iterable[LogRecord], resource: Mapping[str, AttributeValue], version: str
) -> ExportLogsServiceRequest:
    """One request with all `records` under one resource and ccagent's own scope."""
    return ExportLogsServiceRequest(
        resource_logs=[
            ResourceLogs(
                resource=Resource(attributes=encode_attributes(resource)),
                scope_logs=[ScopeLogs(scope=InstrumentationScope(name=SCOPE, version=version), log_records=records)],
            )
        ]
    )
