"""Spans of feeds: what would leave of what a feed took in."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.spans import build_span
from ccagent.export.privacy import Policy
from ccagent.store.outbox import closed_facts
from tests.sources.feed import Feed

HOUR_MS = 3_600_000
ANONYMOUS = Policy(tier=1, project="0123456789ab")


def left(feed: Feed) -> list[ClosedFact]:
    """The facts that are closed, in the order in which they leave."""
    return [fact for _, fact in closed_facts(feed.store.conn, feed.store.host, 0, 10_000)]


def spans(feed: Feed, **options: Any) -> dict[str, Span]:
    """Their spans, by the keys of the facts."""
    found = {fact.source_key: build_span(fact, ANONYMOUS, **options) for fact in left(feed)}
    return {key: span for key, span in found.items() if span is not None}


def over(feed: Feed) -> Feed:
    """The same feed long after everything ended: nothing is open any more."""
    feed.clock.jump(feed.scalar("SELECT MAX(ended_at) FROM fact") + 48 * HOUR_MS)
    while feed.tick(1_000):
        pass
    return feed


def attributes(holder: Any) -> dict[str, Any]:
    """Attributes of a span, event or link as plain values."""
    found: dict[str, Any] = {}
    for pair in holder.attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


def shape(found: dict[str, Span]) -> dict[str, Any]:
    """Names as nested dictionaries, root by root; AssertionError where these spans are no trees.

    One root a trace, every parent in the same trace, no id twice, nothing above itself.
    """
    by_id = {span.span_id: span for span in found.values()}
    assert len(by_id) == len(found), "two spans have one id"
    below: dict[bytes, list[Span]] = defaultdict(list)
    roots: dict[bytes, Span] = {}
    for span in found.values():
        if not span.parent_span_id:
            assert span.trace_id not in roots, "a trace has two roots"
            roots[span.trace_id] = span
            continue
        parent = by_id.get(span.parent_span_id)
        assert parent is not None, f"the parent of {span.name} is not there"
        assert parent.trace_id == span.trace_id, f"the parent of {span.name} lies in another trace"
        below[span.parent_span_id].append(span)

    seen: set[bytes] = set()

    def tree(span: Span) -> dict[str, Any]:
        seen.add(span.span_id)
        children: dict[str, Any] = {}
        for child in sorted(below[span.span_id], key=lambda each: (each.start_time_unix_nano, each.span_id)):
            for name, inner in tree(child).items():
                children.setdefault(name, {}).update(inner)
        return {span.name: children}

    whole: dict[str, Any] = {}
    for root in sorted(roots.values(), key=lambda each: (each.start_time_unix_nano, each.span_id)):
        for name, inner in tree(root).items():
            whole.setdefault(name, {}).update(inner)
    assert seen == set(by_id), "some spans hang in a ring"
    return whole
