"""A receiver that answers anything at all: every row of the table of verdicts, in sequences that a seed decides."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc

from ccagent.export.otlp.circuit import State
from tests.otlp.receiver import REQUESTS, Answer, logs_of, spans_of

CODE = grpc.StatusCode
PROTOCOLS = ("http/protobuf", "grpc")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One answer, and what a request of several items, sent for the first time, has to make of it.

    `status` is how the request is booked; `moves` whether the cursor goes to the end of the batch, `rejected` items of
    it counted as lost; `state` the circuit's afterwards; `waits_ms` the pause before the next request.
    """

    name: str
    protocol: str
    answer: Answer
    status: str
    moves: bool = False
    rejected: int = 0
    state: State = State.DEGRADED
    waits_ms: int = 1_000
    alone: str = ""
    """Why a single item would be set aside by this answer, "" when it would not."""


def _http(name: str, answer: Answer, status: str, **more: Any) -> Row:
    return Row(name=name, protocol="http/protobuf", answer=answer, status=status, **more)


def _grpc(name: str, answer: Answer, status: str, **more: Any) -> Row:
    return Row(name=name, protocol="grpc", answer=answer, status=status, **more)


TAKEN: dict[str, Any] = {"moves": True, "state": State.ACTIVE, "waits_ms": 0}
DIVIDED: dict[str, Any] = {"state": State.ACTIVE, "waits_ms": 0}
WRONG: dict[str, Any] = {"waits_ms": 30_000}
PARTIAL = Answer(rejected=2, message="too old")

ROWS: tuple[Row, ...] = (
    _http("ok", Answer(), "ok", **TAKEN),
    _http("ok_without_a_body", Answer(content_type=None, body=b""), "ok", **TAKEN),
    _http("ok_in_json", Answer(content_type="application/json", body=b"{}"), "ok", **TAKEN),
    _http("accepted", Answer(status=202, lost=True), "ok", **TAKEN),
    _http("no_content", Answer(status=204, content_type=None, body=b"", lost=True), "ok", **TAKEN),
    _http("warning", Answer(message="slow down"), "ok", **TAKEN),
    _http("partial", PARTIAL, "partial", **TAKEN, rejected=2),
    _http("multiple_choices", Answer(status=300), "retry"),
    _http("moved", Answer(status=301, headers={"Location": "/elsewhere"}), "retry"),
    _http("found", Answer(status=302, headers={"Location": "/login"}), "retry"),
    _http("temporary", Answer(status=307, headers={"Location": "/elsewhere"}), "retry"),
    _http("permanent", Answer(status=308, headers={"Location": "/elsewhere"}), "retry"),
    _http("captive_portal", Answer(content_type="text/html", body=b"<html>sign in</html>"), "retry"),
    _http("plain_text", Answer(content_type="text/plain", body=b"OK", lost=True), "retry"),
    _http("garbage", Answer(body=b"\xff\xff\xff", lost=True), "retry"),
    _http("truncated_gzip", Answer(body=b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
          headers={"Content-Encoding": "gzip"}, lost=True), "retry"),
    _http("reset", Answer(reset=True), "retry"),
    _http("reset_after_taking_it", Answer(reset=True, lost=True), "retry"),
    _http("bad_request", Answer(status=400), "poison", **DIVIDED, alone="poison"),
    _http("unprocessable", Answer(status=422), "poison", **DIVIDED, alone="poison"),
    _http("unauthorised", Answer(status=401), "config", **WRONG),
    _http("forbidden", Answer(status=403), "config", **WRONG),
    _http("not_found", Answer(status=404), "config", **WRONG),
    _http("too_large", Answer(status=413), "too_large", **DIVIDED, alone="too_large"),
    _http("throttled", Answer(status=429), "retry"),
    _http("throttled_with_a_wish", Answer(status=429, headers={"Retry-After": "7"}), "retry", waits_ms=7_000),
    _http("throttled_for_ever", Answer(status=429, headers={"Retry-After": "99999999999"}), "retry",
          waits_ms=3_600_000),
    _http("server_error", Answer(status=500), "retry"),
    _http("bad_gateway", Answer(status=502), "retry"),
    _http("unavailable", Answer(status=503), "retry"),
    _http("unavailable_with_a_wish", Answer(status=503, headers={"Retry-After": "5"}), "retry", waits_ms=5_000),
    _http("gateway_timeout_after_taking_it", Answer(status=504, lost=True), "retry"),
    _grpc("ok", Answer(), "ok", **TAKEN),
    _grpc("warning", Answer(message="slow down"), "ok", **TAKEN),
    _grpc("partial", PARTIAL, "partial", **TAKEN, rejected=2),
    _grpc("invalid", Answer(code=CODE.INVALID_ARGUMENT), "poison", **DIVIDED, alone="poison"),
    _grpc("failed_precondition", Answer(code=CODE.FAILED_PRECONDITION), "poison", **DIVIDED, alone="poison"),
    _grpc("unauthenticated", Answer(code=CODE.UNAUTHENTICATED), "config", **WRONG),
    _grpc("denied", Answer(code=CODE.PERMISSION_DENIED), "config", **WRONG),
    _grpc("unimplemented", Answer(code=CODE.UNIMPLEMENTED), "config", **WRONG),
    _grpc("too_large", Answer(code=CODE.RESOURCE_EXHAUSTED, details="message larger than max (9 vs. 4)"), "too_large",
          **DIVIDED, alone="too_large"),
    _grpc("exhausted_for_no_said_reason", Answer(code=CODE.RESOURCE_EXHAUSTED), "too_large", **DIVIDED),
    _grpc("exhausted_with_a_wish", Answer(code=CODE.RESOURCE_EXHAUSTED, retry_seconds=4.0), "retry", waits_ms=4_000),
    _grpc("unavailable", Answer(code=CODE.UNAVAILABLE), "retry"),
    _grpc("unavailable_with_a_wish", Answer(code=CODE.UNAVAILABLE, retry_seconds=2.5), "retry", waits_ms=2_500),
    _grpc("unavailable_for_ever", Answer(code=CODE.UNAVAILABLE, retry_seconds=1e7), "retry", waits_ms=3_600_000),
    _grpc("unavailable_after_taking_it", Answer(code=CODE.UNAVAILABLE, lost=True), "retry"),
    _grpc("aborted", Answer(code=CODE.ABORTED), "retry"),
    _grpc("cancelled", Answer(code=CODE.CANCELLED), "retry"),
    _grpc("deadline", Answer(code=CODE.DEADLINE_EXCEEDED), "retry"),
    _grpc("out_of_range", Answer(code=CODE.OUT_OF_RANGE), "retry"),
    _grpc("data_loss", Answer(code=CODE.DATA_LOSS), "retry"),
    _grpc("internal", Answer(code=CODE.INTERNAL), "retry"),
    _grpc("unknown", Answer(code=CODE.UNKNOWN), "retry"),
)  # fmt: skip


def of(protocol: str) -> list[Row]:
    """The rows of one protocol."""
    return [row for row in ROWS if row.protocol == protocol]


Item = tuple[str, bytes]
"""What a signal sent, and of which fact."""


def items_of(request: Any) -> list[tuple[Item, bytes]]:
    """The spans or log records of a request, by what they are of, with their bytes; none of metrics."""
    if isinstance(request, REQUESTS["metrics"]):
        return []
    if isinstance(request, REQUESTS["traces"]):
        return [(("span", one.span_id), one.SerializeToString(deterministic=True)) for one in spans_of(request)]
    return [((one.event_name, one.span_id), one.SerializeToString(deterministic=True)) for one in logs_of(request)]


@dataclass
class Chaos:
    """A receiver's rule: it answers by chance until it is calm, and keeps what it really has and really refused."""

    protocol: str
    seed: int
    calm: bool = False
    arrived: dict[Item, set[bytes]] = field(default_factory=dict)
    rejected: set[Item] = field(default_factory=set)
    rejections: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._rows = of(self.protocol)
        self._lock = threading.Lock()

    def __call__(self, request: Any) -> Answer:
        """The answer to the next request."""
        with self._lock:
            row = self._rows[0] if self.calm or self._chance.random() < 0.25 else self._chance.choice(self._rows)
            self.answered[row.status] += 1
            self.rows[row.name] += 1
            if isinstance(request, REQUESTS["metrics"]):
                return row.answer
            items = items_of(request)
            refused = row.rejected if row.rejected < len(items) else 0
            answer = row.answer
            if row.rejected and not refused:
                row, answer = self._rows[0], self._rows[0].answer
                self.answered["partial"] -= 1
                self.answered["ok"] += 1
            if answer.takes:
                for item, data in items[refused:]:
                    self.arrived.setdefault(item, set()).add(data)
                self.rejections += refused
                self.rejected |= {item for item, _ in items[:refused]}
            return answer
