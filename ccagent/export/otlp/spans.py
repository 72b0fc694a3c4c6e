"""Closed facts as OTLP spans: one trace a turn, ids made of content keys, so that a resend is the same span.

invoke_agent claude-code        the turn
├── chat <model>                a request
├── execute_tool <tool>         a tool call
└── execute_tool Task
    └── invoke_agent <type>     a sub-agent run, with its own calls below it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, SpanFlags, Status

from ccagent.export.otlp.attributes import (
    AttributeValue,
    common_attributes,
    error_type,
    own_attributes,
    span_name,
)
from ccagent.export.otlp.closed import SPAN_TYPES, ClosedFact
from ccagent.export.otlp.native_names import native_attributes
from ccagent.export.otlp.placing import NANOSECONDS, interval, nanoseconds, parent_key, trace_key
from ccagent.export.otlp.span_events import moments
from ccagent.export.otlp.wire import encoded
from ccagent.export.privacy import NATIVE_ATTRIBUTES, cut, permit
from ccagent.facts.model import KEY_PREFIXES, EventType
from ccagent.facts.trace_ids import span_id, trace_id

if TYPE_CHECKING:
    from ccagent.export.privacy import Policy

__all__ = [
    "NANOSECONDS",
    "SCOPE",
    "build_span",
    "encode_attributes",
    "interval",
    "nanoseconds",
    "parent_key",
    "trace_key",
    "trace_request",
]

SCOPE: Final = "ccagent"

PAIRS: Final = 1_024
"""Encoded text attributes that are kept: about 200 KB."""

_trace = lru_cache(maxsize=PAIRS)(trace_id)
_parent = lru_cache(maxsize=PAIRS)(span_id)
"""Most spans have the trace and the parent of the one before."""


@lru_cache(maxsize=PAIRS)
def _common(session: str | None, status: int, *said: str | None) -> bytes:
    """What `common_attributes` makes of these, as it leaves. Most spans have those of the one before."""
    return encoded(permit(common_attributes(session, status, *said)))


_FAILED: Final = Status(code=Status.STATUS_CODE_ERROR)
_UNSET: Final = Status()
"""Unset is not OK: only what failed has a status. Copied by whoever embeds it."""

_LOCAL_PARENT: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
"""The parent is known not to be remote."""


def build_span(fact: ClosedFact, policy: Policy | None = None, *, native_names: bool = False) -> Span | None:
    """The fact's span, or None for a kind that has none and for a fact without any time.

    `policy` gives the names under which the work leaves; `native_names` adds the attribute names of the client's own
    spans. The same fact and the same policy make the same bytes.
    """
    times = interval(fact)
    if times is None or fact.event_type not in SPAN_TYPES:
        return None
    parent = parent_key(fact)
    client = fact.event_type is EventType.LLM_REQUEST
    failure = error_type(fact)
    names = (None, None, None) if policy is None else (policy.project, policy.team, policy.identity)
    attributes = encoded(permit(own_attributes(fact))) + _common(
        fact.session, fact.status, fact.version, fact.entrypoint, fact.permission_mode, fact.skill, *names
    )
    if failure is not None:
        attributes += encoded(permit({"error.type": failure}))
    if native_names:
        native = native_attributes(fact, (times[1] - times[0]) // NANOSECONDS)
        attributes += encoded(permit(native, NATIVE_ATTRIBUTES))
    span = Span(
        trace_id=_trace(trace_key(fact)),
        span_id=span_id(fact.source_key),
        parent_span_id=_parent(parent) if parent is not None else b"",
        name=cut(span_name(fact)),
        kind=Span.SPAN_KIND_CLIENT if client else Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=times[0],
        end_time_unix_nano=times[1],
        links=_links(fact),
        status=_UNSET if failure is None else _FAILED,
        flags=_LOCAL_PARENT,
    )
    span.MergeFromString(attributes)
    for moment in moments(fact):
        span.events.add(
            time_unix_nano=nanoseconds(moment.at),
            name=moment.name,
            attributes=encode_attributes(permit(moment.attributes)),
        )
    return span


def trace_request(
    spans: Iterable[Span], resource: Mapping[str, AttributeValue], version: str
) -> ExportTraceServiceRequest:
    """One request with all `spans` under one resource and ccagent's own scope."""
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=encode_attributes(resource)),
                scope_spans=[ScopeSpans(scope=InstrumentationScope(name=SCOPE, version=version), spans=spans)],
            )
        ]
    )


def encode_attributes(attributes: Mapping[str, AttributeValue]) -> list[KeyValue]:
    """Attributes as protobuf, in their own order."""
    return [
        _repeated(key, value) if isinstance(value, str) else KeyValue(key=key, value=_any(value))
        for key, value in attributes.items()
    ]


@lru_cache(maxsize=PAIRS)
def _repeated(key: str, value: str) -> KeyValue:
    """A text attribute; the same few models, tools and versions stand on most spans. Copied by whoever embeds it."""
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _any(value: AttributeValue) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=item) for item in value]))


def _links(fact: ClosedFact) -> list[Span.Link]:
    """A turn's link to the turn before it, or to the last turn of the session that its session goes on from."""
    target = fact.previous_turn or fact.origin_turn
    if fact.event_type is not EventType.TURN or target is None or fact.turn_link is None:
        return []
    key = KEY_PREFIXES[EventType.TURN] + target
    kind = encode_attributes(permit({"ccagent.link.type": fact.turn_link}))
    return [Span.Link(trace_id=trace_id(key), span_id=span_id(key), attributes=kind, flags=_LOCAL_PARENT)]
