"""Metrics out: the newest totals at every interval. No backlog: cumulative values catch up."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.circuit import Circuit
from ccagent.export.otlp.metrics import encode_metrics
from ccagent.export.otlp.observe import DropReason, Observe, Step, export_status
from ccagent.export.otlp.sender import Sender, Signal
from ccagent.export.otlp.spans import NANOSECONDS
from ccagent.export.otlp.verdict import Kind, Verdict
from ccagent.metrics.snapshot import Family, Snapshot

SIGNAL: Final[Signal] = "metrics"

INTERVAL_MS: Final = 60_000
"""Between two pushes; OTEL_METRIC_EXPORT_INTERVAL's default."""

MAX_POINTS: Final = 4_000
"""Points of one request: about a megabyte before compression, a quarter of what receivers accept by default."""

SMALL_POINTS: Final = 50
"""A request of so few is never too large: who says so without naming the reason has no quota left, and is waited for."""

GROW_AFTER: Final = 60
"""Pushes after which a reduced size is doubled again."""

SEARCH: Final = 64
"""Requests of one push at most while a refused point is looked for; what is not found by then waits for the next."""

STRIKES: Final = 10
"""How often an answer that may mean an outage is believed to be one, before a point is looked for that may be the reason."""

HOPELESS: Final = 7
"""So many refused pieces and none taken (a whole, its halves, its quarters): the receiver refuses everything."""

ASIDE_MS: Final = 3_600_000
"""How long a refused series is left out, so that looking for it costs its requests once an hour."""

ASIDE_LIMIT: Final = 1_000
"""Series left out at once; beyond that the memory starts anew."""

Series = tuple[str, tuple[str, ...]]


class MetricsPush:
    """Pushes snapshots to one destination. Driven by `tick(now_ms)`, from one thread.

    `snapshot(now_ms)` gives what may leave the machine, as it stands. A request that is too large is halved, and the
    smaller size kept. A request that is refused for ever is halved until the series is found, which is left out for an
    hour; everything else goes on. So is one that fails again and again, unless everything does.
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
        max_points: int = MAX_POINTS,
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
        self._points = self._max_points = max_points
        self._pushes = 0
        self._strikes = 0
        self._aside: dict[Series, int] = {}

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
        families, left_out = self._wanted(self._snapshot(now_ms), now_ms)
        if not families:
            self._pushed_at = now_ms
            return Step(outcome="idle", wait_ms=self._interval_ms)
        self._drop("poison", left_out)
        return self._push(families, now_ms)

    def _push(self, families: tuple[Family, ...], now_ms: int) -> Step:
        waiting = deque(_pieces(families, self._points))
        sent = refused = taken = asked = 0
        suspects: list[tuple[Family, ...]] = []
        doubt = ""
        searching = self._strikes >= STRIKES
        while waiting:
            piece = waiting.popleft()
            size = _size(piece)
            verdict = self._send(piece, now_ms)
            asked += 1
            doubtful = verdict.bounded and verdict.kind is Kind.RETRY
            if searching and doubtful:
                refused += 1
                doubt = verdict.message
                if size > 1 and asked < SEARCH and (taken or refused < HOPELESS):
                    waiting.extend(_pieces(piece, (size + 1) // 2))
                    continue
                suspects.append(piece)
                if taken or waiting:
                    continue
            if verdict.kind in (Kind.RETRY, Kind.CONFIG) or (verdict.bounded and size <= SMALL_POINTS):
                self._strikes += doubtful
                self.circuit.failed(now_ms, verdict)
                return Step(outcome="failed", sent=sent, wait_ms=self.circuit.wait_ms(now_ms))
            if verdict.kind is Kind.TOO_LARGE and size > 1:
                self._points, self._pushes = max(1, size // 2), 0
                self.circuit.succeeded(now_ms, taken=False)
                return Step(outcome="narrowed", sent=sent)
            if verdict.kind is Kind.ADVANCE:
                taken += 1
                sent += self._settled(verdict, size, now_ms)
                continue
            refused += 1
            self.circuit.succeeded(now_ms, taken=False)
            self.circuit.problem = verdict.message
            if size > 1 and asked < SEARCH and (taken or refused < HOPELESS):
                waiting.extend(_pieces(piece, (size + 1) // 2))
            else:
                self._give_up(piece, "too_large" if verdict.kind is Kind.TOO_LARGE else "poison", now_ms)
        for piece in suspects:
            self._give_up(piece, "poison", now_ms)
        if suspects:
            # In an hour, when it is tried again, the next failure is known for what it is.
            self._strikes, self.circuit.problem = STRIKES - 1, doubt
        elif not self._aside:
            self._strikes = 0
        self._pushed_at = now_ms
        self._pushes += 1
        if self._pushes >= GROW_AFTER and self._points < self._max_points:
            self._points, self._pushes = min(self._max_points, self._points * 2), 0
        return Step(outcome="sent", sent=sent, wait_ms=self._interval_ms)

    def _give_up(self, piece: tuple[Family, ...], reason: DropReason, now_ms: int) -> None:
        """Count the points of a refused piece; one that is alone is known for the reason."""
        size = _size(piece)
        if size == 1:
            self._set_aside(piece, now_ms)
        self._drop(reason, size)

    def _send(self, piece: tuple[Family, ...], now_ms: int) -> Verdict:
        began = self._stopwatch()
        request = encode_metrics(Snapshot(families=piece), self._resource, now_ms * NANOSECONDS, self._version)
        verdict = self._sender.send(SIGNAL, request)
        self._observe.duration(self.destination, SIGNAL, self._stopwatch() - began)
        self._observe.exported(self.destination, SIGNAL, export_status(verdict))
        return verdict

    def _settled(self, verdict: Verdict, points: int, now_ms: int) -> int:
        """Points that the receiver has; those that it rejected are counted and not sent again, newer ones follow."""
        lost = min(verdict.rejected, points)
        self._drop("rejected", lost)
        self.circuit.succeeded(now_ms)
        self.circuit.problem = verdict.message
        return points - lost

    def _drop(self, reason: DropReason, points: int) -> None:
        if points:
            self.circuit.dropped(points)
            self._observe.dropped(self.destination, SIGNAL, reason, points)

    def _set_aside(self, piece: tuple[Family, ...], now_ms: int) -> None:
        if len(self._aside) >= ASIDE_LIMIT:
            self._aside.clear()
        for family in piece:
            for point in family.points:
                self._aside[family.spec.otel_name, point.labels] = now_ms + ASIDE_MS

    def _wanted(self, snapshot: Snapshot, now_ms: int) -> tuple[tuple[Family, ...], int]:
        """The families that have points, without the series that are left out at present, and how many these are."""
        self._aside = {series: until for series, until in self._aside.items() if 0 < until - now_ms <= ASIDE_MS}
        families = tuple(family for family in snapshot.families if family.points)
        if not self._aside:
            return families, 0
        kept = tuple(
            replace(
                family,
                points=tuple(one for one in family.points if (family.spec.otel_name, one.labels) not in self._aside),
            )
            for family in families
        )
        return tuple(family for family in kept if family.points), _size(families) - _size(kept)


def _size(families: tuple[Family, ...]) -> int:
    return sum(len(family.points) for family in families)


def _pieces(families: tuple[Family, ...], most: int) -> Iterator[tuple[Family, ...]]:
    """The families in pieces of at most `most` points; a family may be divided."""
    piece: list[Family] = []
    room = most
    for family in families:
        points = family.points
        while points:
            now, points = points[:room], points[room:]
            piece.append(family if len(now) == len(family.points) else replace(family, points=now))
            room -= len(now)
            if room == 0:
                yield tuple(piece)
                piece, room = [], most
    if piece:
        yield tuple(piece)
