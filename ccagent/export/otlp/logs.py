"""Log records: one for each closed fact that an operator searches for, once, when it closes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.closed import SPAN_TYPES, ClosedFact
from ccagent.export.otlp.log_facts import LOG_TYPES, body, log_attributes, severity
from ccagent.export.otlp.log_record import Entry, encode, log_request
from ccagent.export.otlp.sender import Signal
from ccagent.export.otlp.spans import parent_key, trace_key
from ccagent.facts.model import EVENT_NAMES
from ccagent.facts.trace_ids import span_id, trace_id

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ccagent.export.privacy import Policy

MAX_AGE_MS: Final = 6 * 24 * 3_600 * 1_000
"""Log stores usually refuse what is older than a week; a day less leaves room for the way there."""

EVENT_PREFIX: Final = "ccagent."

NATIVE_PREFIX: Final = "claude_code."


class Logs:
    """Records of facts. With `native` also those that the client's own telemetry would have sent of them."""

    signal: Final[Signal] = "logs"
    types: Final = LOG_TYPES
    max_age_ms: Final[int | None] = MAX_AGE_MS

    def __init__(self, *, native: bool = False) -> None:
        self._native = native

    def build(self, fact: ClosedFact, policy: Policy) -> Sequence[Message]:
        """The fact's record, and its native ones behind it; none for a fact without any time."""
        at = fact.last_at
        if at is None or fact.event_type not in LOG_TYPES:
            return ()
        attributes = log_attributes(fact, policy)
        trace, span = _place(fact)
        entry = Entry(
            event_name=EVENT_PREFIX + EVENT_NAMES[fact.event_type],
            body=body(fact, attributes),
            severity=severity(fact),
            at_ms=at,
            attributes=attributes,
            trace=trace,
            span=span,
        )
        return [encode(entry), *(self._natives(fact, at, trace, span) if self._native else ())]

    def request(self, items: Iterable[Any], resource: Mapping[str, AttributeValue], version: str) -> Message:
        """An `ExportLogsServiceRequest`."""
        return log_request(items, resource, version)

    def _natives(self, fact: ClosedFact, at: int, trace: bytes, span: bytes) -> list[Message]:
        """The client names its events in an attribute and the body, and gives them no severity."""
        from ccagent.export.otlp.native_events import native_events

        return [
            encode(Entry(body=NATIVE_PREFIX + name, at_ms=at, attributes=attributes, trace=trace, span=span))
            for name, attributes in native_events(fact)
        ]


def _place(fact: ClosedFact) -> tuple[bytes, bytes]:
    """Trace and span of a fact: its own span, else that of the sub-agent or turn in which it happened, else none."""
    key = fact.source_key if fact.event_type in SPAN_TYPES else parent_key(fact)
    return (b"", b"") if key is None else (trace_id(trace_key(fact)), span_id(key))
