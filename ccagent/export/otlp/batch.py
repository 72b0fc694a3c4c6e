"""One batch of items: what is taken from the backlog, what is left out, how far the cursor may move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.encoding import Encoding, Policies

if TYPE_CHECKING:
    from google.protobuf.message import Message

MAX_ITEMS: Final = 512
"""Spans or records of one request, as the usual batch processors send."""

MAX_BYTES: Final = 1 << 20
"""Bytes of one request before compression: a quarter of what receivers accept by default."""

FRAMING: Final = 8
"""Bytes that a message costs inside another one (tag and length), rounded up."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """Items with their facts, and the sequence number up to which everything is either in here or left out."""

    end: int
    facts: list[tuple[int, ClosedFact]] = field(default_factory=list)
    items: list[Message] = field(default_factory=list)
    encoded: list[bytes] = field(default_factory=list)  # the items, serialised
    size: int = 0
    withheld: int = 0  # facts whose project does not allow export
    unfit: int = 0  # facts that have no item: without any time, or of a shape that the signal does not show


def collect(
    rows: Sequence[tuple[int, ClosedFact]],
    encoding: Encoding,
    policy: Policies,
    *,
    max_bytes: int,
    end: int,
    max_items: int = MAX_ITEMS,
) -> Batch:
    """Take rows until `max_items` or `max_bytes` are reached, at least one fact with all its items; `end` holds when
    all rows fit."""
    batch = Batch(end=end)
    last = 0
    for seq, fact in rows:
        allowed = policy(fact.cwd, fact.project)
        if allowed.tier < 1:
            batch.withheld += 1
        elif not (items := encoding.build(fact, allowed)):
            batch.unfit += 1
        else:
            encoded = [item.SerializeToString() for item in items]
            size = sum(map(len, encoded)) + FRAMING * len(encoded)
            full = batch.size + size > max_bytes or len(batch.items) + len(items) > max_items
            if batch.items and full:
                batch.end = last
                break
            batch.facts.append((seq, fact))
            batch.items.extend(items)
            batch.encoded.extend(encoded)
            batch.size += size
        last = seq
    return batch
