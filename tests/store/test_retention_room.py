"""The limit of size, what a forecast says, and texts that nobody uses any more. On either store."""

from __future__ import annotations

import pytest

from ccagent.store.connection import scalar
from ccagent.store.forecast import forecast
from ccagent.store.retention_rules import Rules
from ccagent.store.size import used_bytes
from tests.sources.feed import START_MS, Feed
from tests.store.pruned import (
    DAY_MS,
    NOW,
    ZONE,
    feed_in_zone,
    filled,
    prune,
    pruning,
    refresh,
    session,
    sessions_left,
    two,
)

pytestmark = pytest.mark.usefixtures("either_store")


# ---- size ------------------------------------------------------------------------------------------------------------


def crowd(feed: Feed, count: int) -> Feed:
    feed.read(*(session(f"s{number:02}", START_MS + number * DAY_MS, 30) for number in range(count)))
    feed.until(START_MS + (count + 2) * DAY_MS)
    refresh(feed)
    return feed


def test_beyond_the_limit_of_size_the_oldest_sessions_go_until_it_is_kept() -> None:
    feed = feed_in_zone()
    empty = used_bytes(feed.store.conn, feed.store.database)
    crowd(feed, 40)
    now = START_MS + 41 * DAY_MS
    used = used_bytes(feed.store.conn, feed.store.database)
    limit = used - (used - empty) // 5

    removed = prune(feed, now, fact_months=0, max_bytes=limit)

    left = sorted(sessions_left(feed))
    assert removed.problem is None
    assert 0 < removed.sessions < 33
    assert left == [f"s{number:02}" for number in range(removed.sessions, 40)]


def test_nothing_younger_than_a_week_goes_whatever_the_limit_is() -> None:
    feed = crowd(feed_in_zone(), 12)
    now = START_MS + 12 * DAY_MS

    removed = prune(feed, now, fact_months=0, max_bytes=1)

    assert sorted(sessions_left(feed)) == [f"s{number:02}" for number in range(5, 12)]
    assert {row["session_id"] for row in feed.events() if row["payload_json"]} == sessions_left(feed)
    assert removed.problem is not None
    assert "raise the limit" in removed.problem


def test_a_forecast_tells_what_a_run_removes() -> None:
    feed = filled(*two())
    rules = Rules(payload_days=30, fact_months=1, max_bytes=0)

    shares = {share.rule: share for share in forecast(feed.store.conn, feed.store.database, rules, ZONE, NOW).shares}

    removed = prune(feed, NOW, payload_days=30)
    assert shares["payload_days"].payloads == removed.payloads > 0
    assert (shares["fact_months"].facts, shares["fact_months"].sessions) == (removed.facts, removed.sessions)
    assert (shares["fact_months"].first, shares["fact_months"].last) == (removed.first, removed.last)
    assert shares["fact_months"].bytes > 0


# ---- texts that nobody uses ------------------------------------------------------------------------------------------


def names(feed: Feed) -> set[str]:
    return {str(row[0]) for row in feed.store.conn.execute("SELECT value FROM name")}


@pytest.mark.sqlite
def test_ids_of_prompts_and_folders_of_removed_sessions_are_forgotten() -> None:
    old, young = two()
    feed = filled(old, young)
    turns = {
        row["turn_key"].removeprefix("turn:") for row in feed.events() if row["session_id"] == "old" and row["turn_key"]
    }
    assert turns <= names(feed)

    prune(feed, NOW)

    assert turns & names(feed) == set()
    assert {"old", "young"} <= names(feed)  # rollups name sessions
    feed.read(session("third", START_MS + 39 * DAY_MS))
    assert "third" in sessions_left(feed)
    assert len(feed.dump()) == scalar(feed.store.conn, "SELECT COUNT(*) FROM fact")


@pytest.mark.sqlite
def test_a_text_that_is_used_while_unused_ones_are_forgotten_stays() -> None:
    old, young = two()
    feed = filled(old, young)
    turn = next(row["turn_key"] for row in feed.events() if row["session_id"] == "old" and row["turn_key"])
    work = pruning(feed, NOW)
    texts = feed.store.ingest_state.names

    for _ in work.steps():
        if texts.watched is not None:
            feed.store.run(lambda state: state.names.id(turn.removeprefix("turn:")))

    assert turn.removeprefix("turn:") in names(feed)
    assert texts.watched is None


def test_days_beyond_all_time_keep_everything() -> None:
    feed = filled(*two())

    removed = prune(feed, NOW, payload_days=10**30, fact_months=0)

    assert (removed.facts, removed.payloads) == (0, 0)
