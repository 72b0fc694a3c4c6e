"""ccagent's own spans out: under a scope of their own, so that they can be told from the agent's and left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.circuit import Circuit
from ccagent.export.otlp.observe import Step
from ccagent.export.otlp.sender import Sender, Signal
from ccagent.export.otlp.spans import encode_attributes
from ccagent.export.otlp.verdict import Kind, Verdict
from ccagent.export.privacy import cut

if TYPE_CHECKING:
    from ccagent.export.otlp.payload import Sendable
    from ccagent.tracing import OwnSpan, Queue, Tracer

SCOPE: Final = "ccagent.self"

BATCH: Final = 512
"""Spans of one request."""

INTERVAL_MS: Final = 5_000
"""Between two requests: the delay of the usual batch processors."""


def own_request(
    spans: list[OwnSpan], resource: Mapping[str, AttributeValue], version: str
) -> ExportTraceServiceRequest:
    """One request with these spans."""
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=encode_attributes(resource)),
                scope_spans=[
                    ScopeSpans(
                        scope=InstrumentationScope(name=SCOPE, version=version), spans=[_span(one) for one in spans]
                    )
                ],
            )
        ]
    )


def _span(own: OwnSpan) -> Span:
    attributes: dict[str, AttributeValue] = {f"ccagent.{key}": value for key, value in own.attributes.items()}
    if own.error:
        attributes["error.type"] = own.error
    return Span(
        trace_id=own.trace_id,
        span_id=own.span_id,
        parent_span_id=own.parent_id,
        name=cut(own.name),
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=own.start_ns,
        end_time_unix_nano=own.end_ns,
        attributes=encode_attributes(attributes),
        status=Status(code=Status.STATUS_CODE_ERROR) if own.error else Status(),
        flags=1,
    )


class OwnTraces:
    """Sends what waits in a queue to one destination. Driven by `tick(now_ms)`, from one thread.

    A receiver that is away is waited for as long as the queue has room; what it refuses is gone.
    """

    def __init__(
        self,
        sender: Sender,
        queue: Queue,
        *,
        resource: Mapping[str, AttributeValue],
        version: str,
        lost: Callable[[int], None],
        circuit: Circuit | None = None,
    ) -> None:
        self.circuit = circuit or Circuit()
        self._sender = sender
        self._queue = queue
        self._resource = resource
        self._version = version
        self._lost = lost

    def tick(self, now_ms: int) -> Step:
        """One request at most."""
        if not self.circuit.ready(now_ms):
            return Step(outcome="waiting", wait_ms=self.circuit.wait_ms(now_ms))
        spans, dropped = self._queue.take(BATCH)
        if dropped:
            self._lost(dropped)
        if not spans:
            return Step(outcome="idle", wait_ms=INTERVAL_MS)
        verdict = self._sender.send("traces", own_request(spans, self._resource, self._version))
        if verdict.kind in (Kind.RETRY, Kind.CONFIG):
            self._queue.put_back(spans)
            self.circuit.failed(now_ms, verdict)
            return Step(outcome="failed", wait_ms=self.circuit.wait_ms(now_ms))
        refused = min(verdict.rejected, len(spans)) if verdict.kind is Kind.ADVANCE else len(spans)
        if refused:
            self._lost(refused)
        self.circuit.succeeded(now_ms)
        return Step(outcome="sent", sent=len(spans) - refused, wait_ms=0 if len(spans) == BATCH else INTERVAL_MS)


class Traced:
    """A sender whose requests are spans, too; `tracer` is asked for at each, since it may change."""

    def __init__(self, sender: Sender, destination: str, tracer: Callable[[], Tracer]) -> None:
        self._sender = sender
        self._destination = destination
        self._tracer = tracer

    def send(self, signal: Signal, payload: Sendable) -> Verdict:
        """Send an `Export…ServiceRequest` within the destination's timeout."""
        with self._tracer().span("export", destination=self._destination, signal=signal) as span:
            verdict = self._sender.send(signal, payload)
            span.set(verdict=str(verdict.kind), rejected=verdict.rejected)
        return verdict

    def close(self) -> None:
        """Give up connections; a later `send` opens new ones."""
        self._sender.close()
