"""ccagent's own traces: what its threads did and how long it took, kept in memory until it is sent.

Off unless the configuration asks for it (`otlp.self_traces`). It tells of ccagent alone: names of its own work, counts
and times, never anything of a transcript. Nothing of it is durable: what was not sent when the process ends is gone.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

LIMIT: Final = 2_048
"""Spans kept while nobody takes them; the oldest go first, and are counted. About a megabyte."""

SLOW_SECONDS: Final = 0.1
"""A question to the store that lasts longer is worth a span: it is the time that an answer may take at most."""

Value = str | int | float | bool


@dataclass(slots=True, kw_only=True)
class OwnSpan:
    """One piece of work. Ids are random, times are nanoseconds since the epoch; `error` is a class name or ""."""

    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    start_ns: int
    end_ns: int = 0
    attributes: dict[str, Value] = field(default_factory=dict)
    error: str = ""
    discarded: bool = False

    def set(self, **values: Value) -> None:
        """Add attributes; their names get the prefix `ccagent.` when they are sent."""
        self.attributes.update(values)

    def discard(self) -> None:
        """It came to nothing: no span of it."""
        self.discarded = True


class Tracer(Protocol):
    """What the threads ask for a span."""

    def span(self, name: str, **attributes: Value) -> AbstractContextManager[OwnSpan]:
        """A span for the length of a `with`; below the one that is open in this thread."""


class Off:
    """Records nothing."""

    def span(self, name: str, **attributes: Value) -> AbstractContextManager[OwnSpan]:
        """A span that nobody will see."""
        return _NOTHING


class _Nothing(AbstractContextManager[OwnSpan]):
    def __enter__(self) -> OwnSpan:
        return OwnSpan(name="", trace_id=b"", span_id=b"", parent_id=b"", start_ns=0)

    def __exit__(self, *problem: object) -> None:
        return None


_NOTHING: Final = _Nothing()

OFF: Final = Off()


class Queue:
    """Ended spans that wait for one receiver; the oldest go where there is no room. Used by any thread."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._spans: deque[OwnSpan] = deque()
        self._limit = limit
        self._lock = threading.Lock()
        self._dropped = 0

    def add(self, span: OwnSpan) -> None:
        """Keep a span."""
        with self._lock:
            self._spans.append(span)
            if len(self._spans) > self._limit:
                self._spans.popleft()
                self._dropped += 1

    def take(self, limit: int) -> tuple[list[OwnSpan], int]:
        """The oldest spans, which are no longer kept, and how many were lost since the last call."""
        with self._lock:
            spans = [self._spans.popleft() for _ in range(min(limit, len(self._spans)))]
            dropped, self._dropped = self._dropped, 0
        return spans, dropped

    def put_back(self, spans: list[OwnSpan]) -> None:
        """Keep spans again that could not be sent, before those that came meanwhile."""
        with self._lock:
            room = max(0, self._limit - len(self._spans))
            kept = spans[-room:] if room else []
            self._dropped += len(spans) - len(kept)
            self._spans.extendleft(reversed(kept))


class Recorder:
    """Gives the spans of all threads, when they end, to each of its queues."""

    def __init__(self, queues: Sequence[Queue], *, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._queues = queues
        self._wall_ns = wall_ns
        self._open = threading.local()

    @contextmanager
    def span(self, name: str, **attributes: Value) -> Iterator[OwnSpan]:
        """A span for the length of the `with`. An exception marks it and goes on."""
        above: OwnSpan | None = getattr(self._open, "span", None)
        span = OwnSpan(
            name=name, trace_id=above.trace_id if above else os.urandom(16), span_id=os.urandom(8),
            parent_id=above.span_id if above else b"", start_ns=self._wall_ns(), attributes=attributes,
        )  # fmt: skip
        began = time.perf_counter_ns()
        self._open.span = span
        try:
            yield span
        except BaseException as error:
            span.error = type(error).__name__
            raise
        finally:
            self._open.span = above
            # Duration by the steady clock: a wall clock that is set meanwhile must not make it negative.
            span.end_ns = span.start_ns + time.perf_counter_ns() - began
            if not span.discarded:
                for queue in self._queues:
                    queue.add(span)


def watch_reader(
    reader: Callable[[], AbstractContextManager[Any]], tracer: Tracer, *, slow_seconds: float = SLOW_SECONDS
) -> Callable[[], AbstractContextManager[Any]]:
    """`reader`, with a span for each question that keeps its connection for longer than `slow_seconds`."""

    @contextmanager
    def watched() -> Iterator[Any]:
        with tracer.span("slow query", thread=threading.current_thread().name) as span:
            began = time.perf_counter()
            try:
                with reader() as conn:
                    yield conn
            finally:
                if time.perf_counter() - began < slow_seconds:
                    span.discard()

    return watched
