"""Tasks at a moment, and the tasks finished in a period."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.tasks import state_of
from ccagent.store import rollups
from ccagent.store.tasks import TaskCount, task_counts
from tests.sources.feed import START_MS, Feed
from tests.sources.happenings import task_created, task_updated, todos
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")

EVER = START_MS * 2
UTC = ZoneInfo("UTC")


def two_sessions() -> tuple[Session, Session]:
    """One with a task that is finished, opened again and finished again; one with a list of todos."""
    first, second = Session("s", version="2.1.30"), Session("t", version="2.1.30", cwd="/home/dev/other")
    task_created(first, "1")
    task_created(first, "2")
    for before, after in (("pending", "completed"), ("completed", "in_progress"), ("in_progress", "completed")):
        task_updated(first, "1", before, after)
    todos(second, {"draft": "completed", "sign": "pending", "send": "pending"}, {})
    todos(second, {"draft": "completed", "sign": "in_progress"}, {"sign": "pending", "send": "pending"})
    return first, second


def test_tasks_are_counted_once_by_their_last_state() -> None:
    feed = Feed().read(*two_sessions())

    assert task_counts(feed.store.conn, EVER) == [TaskCount(key=None, known=5, terminal=3, dropped=1)]
    assert task_counts(feed.store.conn, EVER, by="session") == [
        TaskCount(key="s", known=2, terminal=1, dropped=0),
        TaskCount(key="t", known=3, terminal=2, dropped=1),
    ]
    assert [count.key for count in task_counts(feed.store.conn, EVER, by="project")] == [
        "/home/demo/atlas",
        "/home/dev/other",
    ]


def test_what_comes_after_the_moment_is_not_known() -> None:
    feed = Feed().read(*two_sessions())
    created, _, finished, reopened, _ = [
        row["occurred_at"] for row in feed.events("task.transition") if row["session_id"] == "s"
    ]

    at = [task_counts(feed.store.conn, moment, by="session")[0] for moment in (created, finished, reopened)]

    assert [(count.known, count.terminal) for count in at] == [(1, 0), (2, 1), (2, 0)]
    assert task_counts(feed.store.conn, created - 100_000) == []


def test_a_share_leaves_out_what_was_dropped() -> None:
    assert TaskCount(key=None, known=5, terminal=3, dropped=1).completion_pct == 50
    assert TaskCount(key=None, known=1, terminal=1, dropped=1).completion_pct is None


def test_nothing_else_can_be_counted_by() -> None:
    with pytest.raises(ValueError, match="not by 'colour'"):
        task_counts(Feed().store.conn, EVER, by="colour")


def test_velocity_counts_every_finish_and_no_deletion() -> None:
    feed = Feed().read(*two_sessions())
    while rollups.refresh(feed.store.conn, UTC):
        pass

    rows = feed.store.conn.execute(
        "SELECT sum(value) FROM analytics_entries WHERE metric_id = 'task_velocity' AND period = 'daily'"
    )

    assert rows.fetchone() == (3,)


@given(
    st.lists(
        st.sampled_from(["pending", "in_progress", "completed", "deleted", "done", "parked"]), min_size=1, max_size=9
    )
)
def test_the_last_word_decides(words: list[str]) -> None:
    session = Session("s", version="2.1.30")
    for word in words:
        task_updated(session, "1", None, word)
    feed = Feed().read(session)

    (count,) = task_counts(feed.store.conn, EVER)

    last = state_of(words[-1])
    over = last is not None and last.terminal
    assert (count.known, count.terminal) == (1, int(over))
    assert count.dropped == int(over and last is not None and not last.finished)
