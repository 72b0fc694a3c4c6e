"""What is new in transcripts, as either database tells it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.facts import Filler
from ccagent.facts.model import EventType
from ccagent.store import drift
from tests.sources.feed import Feed
from tests.store.builder import Builder
from tests.transcripts import Session, text


@pytest.fixture
def feed(either_store: str) -> Feed:
    """Two sessions of two client versions, with news in both."""
    feed = Feed()
    for number, version in enumerate(("2.1.9", "2.1.10")):
        session = Session(f"s{number}", version=version, seed=number)
        session.assistant(text("a"))
        for _ in range(2):
            session.wait(1_000)
            session.unknown()
        session.attachment("brand_new")
        feed.read(session)
    return feed


def test_records_are_counted_and_other_things_are_one_a_session(feed: Feed) -> None:
    found = {(each.label, each.name, each.version): each.facts for each in drift.seen(feed.store.conn)}

    assert found == {
        (label, name, version): facts
        for version in ("2.1.9", "2.1.10")
        for label, name, facts in (
            (None, "brand-new", 2), ("record", "record/brand-new", 1), ("attachment", "attachment/brand_new", 1),
        )
    }  # fmt: skip


def test_sessions_are_counted_once_over_all_versions(feed: Feed) -> None:
    assert drift.sessions(feed.store.conn) == {
        (None, "brand-new"): 2, ("record", "record/brand-new"): 2, ("attachment", "attachment/brand_new"): 2,
    }  # fmt: skip


def test_there_is_a_shape_for_each_name(feed: Feed) -> None:
    assert set(drift.shapes(feed.store.conn)) == {"record/brand-new", "attachment/brand_new"}


def test_the_newest_version_is_so_by_its_numbers(feed: Feed) -> None:
    assert drift.newest_version(feed.store.conn) == "2.1.10"


def test_a_store_without_facts_is_empty(either_store: str, feed: Feed) -> None:
    fresh = Feed()

    assert drift.is_empty(fresh.store.conn)
    assert drift.seen(fresh.store.conn) == []
    assert drift.newest_version(fresh.store.conn) is None
    assert not drift.is_empty(feed.store.conn)


@pytest.mark.sqlite  # the plan of a server depends on what it has measured
@pytest.mark.parametrize("analyzed", [True, False])
def test_only_what_is_unknown_is_read(new_store: Callable[[], Builder], analyzed: bool) -> None:
    store = new_store()
    Filler(store.conn, 5_000).fill()
    store.fact(EventType.UNKNOWN, "u1", name="brand-new")
    if analyzed:
        store.conn.execute("ANALYZE")

    for sql in (drift._FOUND, drift._SESSIONS, drift._SHAPES):
        plan = [str(row[-1]) for row in store.conn.execute(f"EXPLAIN QUERY PLAN {sql}")]
        assert [step for step in plan if " f " in f"{step} "] == ["SCAN f USING INDEX fact_unknown"]
