"""Exemplars: which trace an observation points to, and how they stand on the page."""

from __future__ import annotations

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from ccagent.export.otlp.closed import SPAN_TYPES, ClosedFact
from ccagent.export.otlp.placing import trace_key
from ccagent.export.prometheus import SnapshotCollector, render
from ccagent.facts.model import EventType
from ccagent.facts.partial import NOWHERE, Partial
from ccagent.facts.trace_ids import span_id, trace_id
from ccagent.metrics import names
from ccagent.metrics.booked import Booking
from ccagent.metrics.exemplars import OWN_SPANS, Exemplar, exemplar, newest, newest_of
from ccagent.metrics.snapshot import StoredHistogram, StoredTotals, snapshot
from tests.metrics.everything import HISTORY

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
OLD = Exemplar("aa" * 16, "bb" * 8, 0.25, 1_000)
NEW = Exemplar("cc" * 16, "dd" * 8, 0.5, 2_500)


def fact(kind: EventType, native: str = "n", *, turn: str | None = None, agent: str | None = None) -> Partial:
    made = Partial(kind, native)
    made.context = NOWHERE._replace(session="s", agent=agent)
    made.turn, made.occurred_at, made.ended_at = turn, 1_000, 2_000
    return made


def ids(found: Exemplar | None) -> tuple[str, str] | None:
    return None if found is None else (found.trace, found.span)


def pointing(trace: str, span: str) -> tuple[str, str]:
    return trace_id(trace).hex(), span_id(span).hex()


def test_a_call_points_to_its_span_in_the_trace_of_its_turn() -> None:
    assert ids(exemplar(fact(EventType.TOOL_CALL, turn="t"), 1.0)) == pointing("turn:t", "tool:n")


def test_a_turn_points_to_itself() -> None:
    assert ids(exemplar(fact(EventType.TURN), 1.0)) == pointing("turn:n", "turn:n")


def test_a_request_without_a_turn_is_a_trace_by_itself() -> None:
    assert ids(exemplar(fact(EventType.LLM_REQUEST), 1.0)) == pointing("llm:n", "llm:n")


@pytest.mark.parametrize("turn", [None, "t"])
@pytest.mark.parametrize("agent", [None, "a"])
@pytest.mark.parametrize("kind", SPAN_TYPES)
def test_the_trace_is_that_of_the_span_that_is_sent(kind: EventType, agent: str | None, turn: str | None) -> None:
    known = fact(kind, turn=turn, agent=agent)
    sent = ClosedFact(key=b"", event_type=kind, native="n", status=1, session="s", turn=turn, agent=agent)

    found = exemplar(known, 1.0, turn)

    assert kind in OWN_SPANS
    assert found is None or ids(found) == pointing(trace_key(sent), sent.source_key)
    assert found is not None or (turn is None and (agent is not None or kind is EventType.SUBAGENT_RUN))


def test_what_has_no_span_points_to_its_turn() -> None:
    assert ids(exemplar(fact(EventType.PROMPT, turn="t"), 1.0)) == pointing("turn:t", "turn:t")
    assert exemplar(fact(EventType.PROMPT), 1.0) is None


def test_a_sub_agents_call_points_to_the_turn_that_it_works_for() -> None:
    call = fact(EventType.TOOL_CALL, turn="own", agent="a")

    assert ids(exemplar(call, 1.0, "t")) == pointing("turn:t", "tool:n")
    assert exemplar(call, 1.0) is None


def test_what_has_no_time_gives_none() -> None:
    call = fact(EventType.TOOL_CALL, turn="t")
    call.occurred_at = call.ended_at = None

    assert exemplar(call, 1.0) is None


def test_the_newest_of_a_bucket_is_kept() -> None:
    assert newest(OLD, NEW) == newest(NEW, OLD) == NEW
    assert newest(None, OLD) == newest(OLD, None) == OLD
    assert newest_of([None, (OLD, None), (NEW, OLD)]) == (NEW, OLD)
    assert newest_of([None]) is None


def test_a_booking_keeps_the_last_fact_of_each_bucket() -> None:
    booking, first, last = Booking(), fact(EventType.TURN, "a"), fact(EventType.TURN, "b")
    booking.observe(names.TURN_DURATION, ("ok",), 0.3, True, first)
    booking.observe(names.TURN_DURATION, ("ok",), 0.4, True, last)
    booking.observe(names.TURN_DURATION, ("ok",), 700.0, False, first)

    assert {place[2:]: value for place, value in booking.examples.items()} == {
        (True, 3): (0.4, last), (False, 13): (700.0, first),
    }  # fmt: skip
    booking.clear()
    assert not booking.examples


def page(*, exportable_only: bool = False) -> bytes:
    """Two series that are shown as one: what may leave and what may not."""
    counts = (0, 0, 0, 2, *(0,) * 12)
    stored = StoredTotals(
        histograms=tuple(
            StoredHistogram(names.TURN_DURATION, ("ok",), leaves, counts, 0.8, 1) for leaves in (True, False)
        )
    )
    shown = {
        (("ok",), leaves): (None, None, None, found, *(None,) * 12) for leaves, found in ((True, OLD), (False, NEW))
    }
    taken = snapshot(
        stored, {}, HISTORY, project_label=True, exportable_only=exportable_only,
        exemplars={names.TURN_DURATION: shown},
    )  # fmt: skip
    return render(taken, OPENMETRICS)[0]


def exemplars(text: str) -> dict[str, tuple[dict[str, str], float, float]]:
    """Labels, value and time (s) by bound, as prometheus_client reads them."""
    return {
        sample.labels["le"]: (sample.exemplar.labels, sample.exemplar.value, float(sample.exemplar.timestamp))
        for family in parse_openmetrics(text)
        for sample in family.samples
        if sample.exemplar is not None
    }


def test_openmetrics_shows_the_newest_of_a_bucket() -> None:
    assert exemplars(page().decode()) == {"0.5": ({"trace_id": NEW.trace, "span_id": NEW.span}, 0.5, 2.5)}


def test_only_what_may_leave_is_an_exemplar_of_what_leaves() -> None:
    assert exemplars(page(exportable_only=True).decode()) == {
        "0.5": ({"trace_id": OLD.trace, "span_id": OLD.span}, 0.25, 1.0)
    }


def test_the_older_text_has_no_exemplars() -> None:
    stored = StoredTotals(histograms=(StoredHistogram(names.TURN_DURATION, ("ok",), True, (1, *(0,) * 15), 0.0, 1),))
    found = snapshot(
        stored, {}, HISTORY, project_label=True, exportable_only=False,
        exemplars={names.TURN_DURATION: {(("ok",), True): (NEW, *(None,) * 15)}},
    )  # fmt: skip

    assert b"trace_id" not in render(found)[0]
    assert b"trace_id" not in generate_latest(SnapshotCollector(lambda: found))  # type: ignore[arg-type]
    theirs = generate_openmetrics(SnapshotCollector(lambda: found, created=True)).decode()
    assert exemplars(theirs) == exemplars(render(found, OPENMETRICS)[0].decode())
