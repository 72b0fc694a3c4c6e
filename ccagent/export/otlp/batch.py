"""One batch of spans: what is taken from the backlog, what is left out, how far the cursor may move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.spans import build_span

MAX_SPANS: Final = 512
"""Spans of one request, as the usual batch processors send."""

MAX_BYTES: Final = 1 << 20
"""Bytes of one request before compression: a quarter of what receivers accept by default."""

FRAMING: Final = 8
"""Bytes that a message costs inside another one (tag and length), rounded up."""

Tier = Callable[[str | None], int]


@dataclass(slots=True, kw_only=True)
class Batch:
    """Spans with their facts, and the sequence number up to which everything is either in here or left out."""

    end: int
    facts: list[tuple[int, ClosedFact]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    size: int = 0
    withheld: int = 0  # facts whose project does not allow export
    untimed: int = 0  # facts that cannot be a span


def collect(rows: Sequence[tuple[int, ClosedFact]], tier: Tier, *, max_bytes: int, end: int) -> Batch:
    """Take rows until `max_bytes` are reached, at least one span; `end` holds when all rows fit."""
    batch = Batch(end=end)
    last = 0
    for seq, fact in rows:
        if min(tier(fact.cwd), tier(fact.project)) < 1:
            batch.withheld += 1
        elif (span := build_span(fact)) is None:
            batch.untimed += 1
        else:
            size = span.ByteSize() + FRAMING
            if batch.spans and batch.size + size > max_bytes:
                batch.end = last
                break
            batch.facts.append((seq, fact))
            batch.spans.append(span)
            batch.size += size
        last = seq
    return batch
