"""Metrics out: the newest totals at every interval. No backlog: cumulative values catch up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.circuit import Circuit
from ccagent.export.otlp.metrics import encode_metrics
from ccagent.export.otlp.observe import DropReason, Observe, Step, export_status
from ccagent.export.otlp.sender import Sender, Signal
from ccagent.export.otlp.spans import NANOSECONDS
from ccagent.export.otlp.verdict import Kind, Verdict
from ccagent.metrics.snapshot import Snapshot

SIGNAL: Final[Signal] = "metrics"

INTERVAL_MS: Final = 60_000
"""Between two pushes; OTEL_METRIC_EXPORT_INTERVAL's default."""


class MetricsPush:
    """Pushes snapshots to one destination. Driven by `tick(now_ms)`, from one thread.

    `snapshot(now_ms)` gives what may leave the machine, as it stands. A request that is too large is divided by
    families, and the division is kept.
    """

    def __init__(
        self,
        destination: str,
        sender: Sender,
        *,
        snapshot: Callable[[int], Snapshot],
        resource: Mapping[str, AttributeValue],
        version: str,
        observe: Observe,
        circuit: Circuit | None = None,
        stopwatch: Callable[[], float] = time.monotonic,
        interval_ms: int = INTERVAL_MS,
    ) -> None:
        self.destination = destination
        self.circuit = circuit or Circuit()
        self._sender = sender
        self._snapshot = snapshot
        self._resource = resource
        self._version = version
        self._observe = observe
        self._stopwatch = stopwatch
        self._interval_ms = interval_ms
        self._pushed_at: int | None = None
        self._parts = 1

    def tick(self, now_ms: int, *, force: bool = False) -> Step:
        """Push when the interval is over, or at once with `force` (the last values before the end)."""
        step = self._step(now_ms, force)
        self._observe.state(self.destination, SIGNAL, self.circuit.state)
        return step

    def _step(self, now_ms: int, force: bool) -> Step:
        due = 0 if self._pushed_at is None else self._pushed_at + self._interval_ms - now_ms
        # A clock that was set back must not silence the metrics for longer than an interval.
        if not force and 0 < due <= self._interval_ms:
            return Step(outcome="idle", wait_ms=due)
        if not self.circuit.ready(now_ms):
            return Step(outcome="waiting", wait_ms=self.circuit.wait_ms(now_ms))
        families = self._snapshot(now_ms).families
        if not families:
            self._pushed_at = now_ms
            return Step(outcome="idle", wait_ms=self._interval_ms)
        sent = 0
        for part in range(self._parts):
            piece = Snapshot(families=families[part :: self._parts])
            points = sum(len(family.points) for family in piece.families)
            if not points:
                continue
            verdict = self._send(piece, now_ms)
            if verdict.kind in (Kind.RETRY, Kind.CONFIG):
                self.circuit.failed(now_ms, verdict)
                return Step(outcome="failed", sent=sent, wait_ms=self.circuit.wait_ms(now_ms))
            if verdict.kind is Kind.TOO_LARGE and len(piece.families) > 1:
                self._parts *= 2
                self.circuit.succeeded(now_ms)
                return Step(outcome="narrowed", sent=sent)
            sent += self._settled(verdict, points, now_ms)
        self._pushed_at = now_ms
        return Step(outcome="sent", sent=sent, wait_ms=self._interval_ms)

    def _send(self, piece: Snapshot, now_ms: int) -> Verdict:
        began = self._stopwatch()
        request = encode_metrics(piece, self._resource, now_ms * NANOSECONDS, self._version)
        verdict = self._sender.send(SIGNAL, request)
        self._observe.duration(self.destination, SIGNAL, self._stopwatch() - began)
        self._observe.exported(self.destination, SIGNAL, export_status(verdict))
        return verdict

    def _settled(self, verdict: Verdict, points: int, now_ms: int) -> int:
        """Points that the receiver has; those that it refused are counted and not sent again, newer ones follow."""
        reason: DropReason = "rejected"
        lost = min(verdict.rejected, points)
        if verdict.kind is not Kind.ADVANCE:
            reason, lost = ("too_large" if verdict.kind is Kind.TOO_LARGE else "poison"), points
        if lost:
            self._observe.dropped(self.destination, SIGNAL, reason, lost)
        self.circuit.succeeded(now_ms)
        self.circuit.problem = verdict.message
        return points - lost
