"""Whatever arrives in whatever order, with restarts in between: what happenings book never falls, is booked once, and at
the end equals the facts.

Counts over all labels do not depend on the order. Labels do, where they are those of the moment of booking (the type of
a session, the mode of a turn), and so do amounts that are measured when their subject closes.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.metrics import names
from ccagent.store.session import session_view
from tests.sources.feed import START_MS, Feed, Series, fallen
from tests.sources.orders import shuffled
from tests.sources.trees import trees

pytestmark = pytest.mark.usefixtures("either_store")

SOME = settings(
    max_examples=40 if os.environ.get("CCAGENT_NO_SKIPS") else 15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

DAYS = 40 * 24 * 3_600_000

FINISHED = ("done", "deferred", "completed")


def everything(feed: Feed) -> dict[Series, int]:
    """Every total, and every bucket of every histogram."""
    found = feed.totals()
    rows = feed.store.conn.execute("SELECT metric, labels, exportable, counts FROM histogram").fetchall()
    for metric, labels, leaves, counts in rows:
        found |= {(metric, f"{labels}/{place}", leaves): count for place, count in enumerate(json.loads(counts))}
    return found


def closed(events: list[dict[str, Any]]) -> Counter[str]:
    """Closed facts by kind."""
    return Counter(row["event_type"] for row in events if row["closed_seq"] is not None)


def wanted(feed: Feed) -> dict[str, int]:
    """What the facts say that these metrics hold over all labels."""
    events = feed.events()
    count = closed(events)
    over = [row for row in events if row["closed_seq"] is not None]
    sessions = count["session.lifecycle"]
    return {
        names.SESSIONS: sessions,
        names.SESSION_DURATION: sessions,
        names.SESSION_FANOUT: sessions,
        names.SESSION_DEPTH: sessions,
        names.AGENT_REQUESTS: count["llm.request"],
        names.PERMISSION_MODE_TURNS: count["turn"],
        names.TURN_TOOL_CALLS: sum(row["event_type"] == "turn" and row["turn_tool_calls"] is not None for row in over),
        names.MICROCOMPACTIONS: count["microcompaction"],
        names.QUALITY_RUNS: count["quality.run"],
        names.SKILL_ACTIVATIONS: sum(
            row["event_type"] == "skill.activation" and row["skill"] is not None for row in over
        ),
        names.COMMITS: sum(bool(row["commit_hash"]) and row["confidence"] >= 0.95 for row in events),
        names.PULL_REQUESTS: sum(row["pr_url"] is not None for row in events),
        names.TASKS_COMPLETED: sum(
            row["event_type"] == "task.transition" and row["task_state"] in FINISHED for row in over
        ),
    }


def booked(feed: Feed) -> dict[str, int]:
    return {name: feed.total(name) + feed.observed(name) for name in wanted(feed)}


@SOME
@given(trees(), st.integers(1, 20), st.integers(0, 2**32))
def test_happenings_equal_the_facts_after_any_order_and_any_restarts(
    files: dict[str, bytes], cuts: int, seed: int
) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/ccagent.db"
        feed, seen, now = Feed(path), {}, START_MS
        for pieces in shuffled(files, cuts, chance):
            feed.take(*pieces, again=chance.random() < 0.1)
            if chance.random() < 0.2:
                feed.tick(chance.choice((2_000, 700_000, 90_000_000)))
            if chance.random() < 0.1:
                feed.store.catch_up_done()
            if chance.random() < 0.2:
                now = feed.clock.now_ms()
                feed.close()
                feed = Feed(path, now_ms=now)

            assert fallen(seen, everything(feed)) == []
            assert booked(feed) == wanted(feed)
            seen = everything(feed)
        feed.store.catch_up_done()
        feed.until(START_MS + DAYS)
        while feed.tick():
            pass

        assert booked(feed) == wanted(feed)
        assert fallen(seen, everything(feed)) == []
        feed.close()


@SOME
@given(trees())
def test_sessions_that_closed_at_the_end_lasted_as_long_as_they_are_shown_to(files: dict[str, bytes]) -> None:
    feed = Feed()
    for path in sorted(files):
        feed.take((path, files[path]))
    feed.until(START_MS + DAYS)
    while feed.tick():
        pass

    over = [row["session_id"] for row in feed.events("session.lifecycle") if row["closed_seq"] is not None]
    lasted = sum(session_view(feed.store.conn, session, START_MS + DAYS).active_ms for session in over)
    sums = feed.store.conn.execute("SELECT sum FROM histogram WHERE metric = ?", (names.SESSION_DURATION,)).fetchall()
    assert sum(row[0] for row in sums) * 1_000 == pytest.approx(lasted)
