"""Traces of real transcripts."""

from __future__ import annotations

import pytest

from tests.otlp.tracing import left, shape, spans
from tests.sources.feed import Feed


@pytest.mark.corpus
def test_every_trace_of_real_transcripts_is_a_tree(corpus_feed: Feed) -> None:
    facts = left(corpus_feed)
    assert len(facts) > 1_000

    closed = spans(corpus_feed)

    ids = {span.span_id for span in closed.values()}
    complete = {
        trace for trace in {span.trace_id for span in closed.values()}
        if all(span.parent_span_id in ids for span in closed.values() if span.trace_id == trace and span.parent_span_id)
    }  # fmt: skip
    shape({key: span for key, span in closed.items() if span.trace_id in complete})
    assert len(complete) > 100
