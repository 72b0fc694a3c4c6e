"""How one signal of the outbox is made: which facts it wants, what each becomes, and the request around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.closed import SPAN_TYPES, ClosedFact
from ccagent.export.otlp.sender import Signal
from ccagent.export.otlp.spans import build_span, trace_request
from ccagent.facts.model import EventType

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ccagent.export.privacy import Policy

Policies = Callable[[str | None, str | None], "Policy"]
"""What the folder of a fact and its project's folder allow."""


class Encoding(Protocol):
    """One signal. Whatever it builds follows from the fact and its policy alone, so that a resend is the same."""

    @property
    def signal(self) -> Signal:
        """The cursor's signal, and the path or service that requests go to."""

    @property
    def types(self) -> tuple[EventType, ...]:
        """Kinds of facts that are read for it."""

    @property
    def max_age_ms(self) -> int | None:
        """Facts that ended longer ago than this are not sent but counted as expired; None: any age is sent."""

    def build(self, fact: ClosedFact, policy: Policy) -> Sequence[Message]:
        """The items of one fact whose policy allows export; empty where it has none."""

    def request(self, items: Iterable[Any], resource: Mapping[str, AttributeValue], version: str) -> Message:
        """One request with all `items`, as `build` made them, under one resource and ccagent's own scope."""


class Traces:
    """Spans: one for each turn, request, tool call and sub-agent run; `native_names` adds the attribute names that the
    client's own spans have."""

    signal: Final[Signal] = "traces"
    types: Final = SPAN_TYPES
    max_age_ms: Final[int | None] = None

    def __init__(self, *, native_names: bool = False) -> None:
        self._native_names = native_names

    def build(self, fact: ClosedFact, policy: Policy) -> Sequence[Message]:
        """The fact's span, none for a fact without any time."""
        span = build_span(fact, policy, native_names=self._native_names)
        return () if span is None else (span,)

    def request(self, items: Iterable[Any], resource: Mapping[str, AttributeValue], version: str) -> Message:
        """An `ExportTraceServiceRequest`."""
        return trace_request(items, resource, version)
