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
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, SpanFlags, Status

from ccagent.export.otlp.attributes import AttributeValue, error_type, span_attributes, span_name
from ccagent.export.otlp.closed import SPAN_TYPES, ClosedFact
from ccagent.export.privacy import cut, permit
from ccagent.facts.model import KEY_PREFIXES, EventType
from ccagent.facts.trace_ids import span_id, trace_id

SCOPE: Final = "ccagent"

NANOSECONDS: Final = 1_000_000
"""Nanoseconds in a millisecond."""

PAIRS: Final = 1_024
"""Encoded text attributes that are kept: about 200 KB."""

_LOCAL_PARENT: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
"""The parent is known not to be remote."""


def trace_key(fact: ClosedFact) -> str:
    """The content key whose trace the fact belongs to: its turn, else its unlinked sub-agent, else its session."""
    if fact.event_type is EventType.TURN:
        return fact.source_key
    if fact.turn is not None:
        return KEY_PREFIXES[EventType.TURN] + fact.turn
    if fact.agent is not None:
        return KEY_PREFIXES[EventType.SUBAGENT_RUN] + fact.agent
    if fact.session is not None:
        return KEY_PREFIXES[EventType.SESSION] + fact.session
    return fact.source_key


def parent_key(fact: ClosedFact) -> str | None:
    """The content key of the span above, or None for the root of a trace and for what has neither turn nor agent."""
    turn = None if fact.turn is None else KEY_PREFIXES[EventType.TURN] + fact.turn
    match fact.event_type:
        case EventType.TURN:
            return None
        case EventType.SUBAGENT_RUN:
            # An unlinked run is the root of its own trace.
            if turn is None or fact.agent_tool is None:
                return turn
            return KEY_PREFIXES[EventType.TOOL_CALL] + fact.agent_tool
        case _:
            return turn if fact.agent is None else KEY_PREFIXES[EventType.SUBAGENT_RUN] + fact.agent


def interval(fact: ClosedFact) -> tuple[int, int] | None:
    """Start and end in nanoseconds, end never before start; None for a fact without any time.

    A turn lasts as long as the client itself reported, else to its last record; a tool call to its result; a request
    from the record that it answers (where known) to the last line of its reply.
    """
    start = fact.occurred_at if fact.occurred_at is not None else fact.last_at
    if start is None:
        return None
    if fact.event_type is EventType.LLM_REQUEST and fact.result_at is not None:
        start = min(start, fact.result_at)
    if fact.event_type is EventType.TURN and fact.reported_ms is not None:
        end = start + fact.reported_ms
    elif fact.event_type is EventType.TOOL_CALL and fact.result_at is not None:
        end = fact.result_at
    else:
        end = fact.ended_at if fact.ended_at is not None else start
    return max(0, start) * NANOSECONDS, max(0, start, end) * NANOSECONDS


def build_span(fact: ClosedFact) -> Span | None:
    """The fact's span, or None for a kind that has none and for a fact without any time."""
    times = interval(fact)
    if times is None or fact.event_type not in SPAN_TYPES:
        return None
    parent = parent_key(fact)
    client = fact.event_type is EventType.LLM_REQUEST
    return Span(
        trace_id=trace_id(trace_key(fact)),
        span_id=span_id(fact.source_key),
        parent_span_id=span_id(parent) if parent is not None else b"",
        name=cut(span_name(fact)),
        kind=Span.SPAN_KIND_CLIENT if client else Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=times[0],
        end_time_unix_nano=times[1],
        attributes=encode_attributes(permit(span_attributes(fact))),
        links=_links(fact),
        status=Status(code=Status.STATUS_CODE_ERROR) if error_type(fact) else Status(),
        flags=_LOCAL_PARENT,
    )


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
    """A turn's link to the root of the turn before it."""
    if fact.event_type is not EventType.TURN or fact.previous_turn is None:
        return []
    key = KEY_PREFIXES[EventType.TURN] + fact.previous_turn
    return [Span.Link(trace_id=trace_id(key), span_id=span_id(key), flags=_LOCAL_PARENT)]
