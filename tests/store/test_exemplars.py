"""Exemplars of what a batch booked: there after its commit, for what is live, and bounded."""

from __future__ import annotations

from typing import Any

import pytest

from ccagent.facts.trace_ids import span_id, trace_id
from ccagent.metrics import names
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.exemplars import Exemplar
from ccagent.store import exemplars as kept
from ccagent.store.exemplars import RECENT_MS, SERIES, Exemplars
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")


def live_feed(now_ms: int = START_MS, **options: Any) -> Feed:
    feed = Feed(now_ms=now_ms, **options)
    feed.store.catch_up_done()
    return feed


def found(feed: Feed, metric: str) -> list[Exemplar]:
    """All exemplars of a metric."""
    return [
        each for buckets in feed.store.exemplars.all().get(metric, {}).values() for each in buckets if each is not None
    ]


def with_a_call() -> tuple[Session, str, str]:
    """A session with one prompt and one call; the prompt's uuid and the call's id."""
    session = Session("s", version="2.1.230")
    turn = session.prompt("hello")
    tool = session.bash("ls")
    return session, turn, tool


def test_a_call_points_to_its_span_in_the_trace_of_its_turn() -> None:
    session, *_ = with_a_call()
    feed = live_feed()

    feed.read(session)

    (call,) = feed.events("tool.call")
    (one,) = found(feed, names.TOOL_DURATION)
    assert (one.trace, one.span) == (
        trace_id(f"turn:{call['turn_key'].removeprefix('turn:')}").hex(), span_id(call["source_key"]).hex(),
    )  # fmt: skip
    assert one.at_ms >= call["occurred_at"]


def test_while_history_is_taken_in_there_are_none() -> None:
    session, *_ = with_a_call()

    feed = Feed().read(session)

    assert feed.observed(names.TOOL_DURATION) == 1
    assert feed.store.exemplars.all() == {}


def test_what_is_older_than_an_hour_gives_none() -> None:
    session, *_ = with_a_call()
    feed = live_feed(now_ms=START_MS + RECENT_MS + 3_600_000)

    feed.read(session)

    assert feed.observed(names.TOOL_DURATION) == 1
    assert feed.store.exemplars.all() == {}


def test_what_is_more_than_an_hour_ahead_gives_none() -> None:
    session, *_ = with_a_call()
    feed = live_feed(now_ms=START_MS - RECENT_MS - 1)

    feed.read(session)

    assert feed.observed(names.TOOL_DURATION) == 1
    assert feed.store.exemplars.all() == {}


def test_a_sub_agents_call_points_into_the_turn_that_launched_it() -> None:
    session = Session("s", version="2.1.230")
    session.prompt("hello")
    tool = session.launch(kind="explore")
    child = session.agent(agent_id="a1")
    child.bash("ls")
    session.landed(tool, child, kind="explore")
    feed = live_feed()

    feed.read(session)
    feed.read(session)  # the sub-agent's file, now that its call is known

    (turn,) = feed.events("turn")
    durations = found(feed, names.TOOL_DURATION)
    assert len(feed.events("tool.call")) == 2
    assert {one.trace for one in durations} == {trace_id(turn["source_key"]).hex()}


def test_what_was_rolled_back_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    session, *_ = with_a_call()
    feed = live_feed()

    def fail(*_: object) -> None:
        raise RuntimeError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr("ccagent.store.totals.observe", fail)
        with pytest.raises(RuntimeError):
            feed.read(session)

    assert feed.store.exemplars.all() == {}


def test_what_may_leave_is_kept_apart() -> None:
    session, *_ = with_a_call()
    feed = live_feed(exportable=lambda cwd, project: True)

    feed.read(session)

    assert {leaves for _, leaves in feed.store.exemplars.all()[names.TOOL_DURATION]} == {True}


def test_they_are_bounded_and_the_last_are_kept() -> None:
    exemplars = Exemplars()
    size = len(METRICS[names.TOOL_DURATION].buckets or ()) + 1

    for number in range(SERIES + 10):
        one = Exemplar("aa" * 16, "bb" * 8, 0.1, number)
        exemplars.keep({(names.TOOL_DURATION, (f"tool-{number}", "ok"), True, 1): one}, METRICS)

    series = exemplars.all()[names.TOOL_DURATION]
    assert len(series) == SERIES == kept.SERIES
    assert ((f"tool-{SERIES + 9}", "ok"), True) in series
    assert all(len(buckets) == size for buckets in series.values())


def test_of_a_metric_without_news_the_same_object_is_given() -> None:
    exemplars = Exemplars()
    one = Exemplar("aa" * 16, "bb" * 8, 0.1, 1)
    exemplars.keep({(names.TOOL_DURATION, ("Bash", "ok"), True, 1): one}, METRICS)
    before = exemplars.all()

    exemplars.keep({(names.TURN_DURATION, ("ok",), True, 1): one}, METRICS)

    assert exemplars.all()[names.TOOL_DURATION] is before[names.TOOL_DURATION]
    assert names.TURN_DURATION not in before
