"""What stands now: the same as is told of single sessions, tasks and links, over all of them."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ccagent.rollups.metrics import Period
from ccagent.store import rollups, standing
from ccagent.store.connection import Connection
from ccagent.store.standing import Active
from ccagent.store.tasks import task_counts
from ccagent.store.threads import threads
from tests.sources.feed import START_MS, Feed
from tests.sources.happenings import task_created, task_updated, todos
from tests.store.worked import entity_links, passing, worked
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")

UTC = ZoneInfo("UTC")
EVER = START_MS * 2


def apart() -> tuple[Session, Session]:
    """Sessions in two projects."""
    one, two = Session("one", version="2.1.230"), Session("two", version="2.1.230", cwd="/home/dev/other")
    one.prompt("hello")
    two.prompt("hello")
    two.request()
    return one, two


def sessions(conn: Connection) -> list[str]:
    return [str(row[0]) for row in conn.execute("SELECT native FROM fact WHERE type = 1 ORDER BY native")]


def test_active_sessions_are_told_by_project_and_folder() -> None:
    feed = Feed().read(*apart())
    ended = [row["ended_at"] for row in feed.events("session.lifecycle")]

    found = sorted(standing.active(feed.store.conn, min(ended)))

    assert found == [
        Active("/home/demo/atlas", "/home/demo/atlas", 1), Active("/home/dev/other", "/home/dev/other", 1),
    ]  # fmt: skip
    assert sum(row.sessions for row in standing.active(feed.store.conn, max(ended))) == sum(
        at == max(ended) for at in ended
    )
    assert standing.active(feed.store.conn, max(ended) + 1) == []


def test_tasks_are_those_that_are_counted_otherwise() -> None:
    first, second = Session("s", version="2.1.30"), Session("t", version="2.1.30", cwd="/home/dev/other")
    task_created(first, "1")
    task_updated(first, "1", "pending", "completed")
    todos(second, {"draft": "completed", "sign": "pending", "send": "pending"}, {})
    todos(second, {"draft": "completed", "sign": "in_progress"}, {"sign": "pending", "send": "pending"})
    feed = Feed().read(first, second)

    found = standing.tasks(feed.store.conn, EVER)

    assert {(row.project, row.known, row.finished, row.dropped) for row in found} == {
        (count.key, count.known, count.terminal - count.dropped, count.dropped)
        for count in task_counts(feed.store.conn, EVER, by="project")
    }
    assert {row.feature for row in found} == {None}


def test_tasks_belong_to_the_feature_that_their_session_is_linked_to_first() -> None:
    session = worked()
    task_created(session, "1")
    feed = Feed().read(session)

    (row,) = standing.tasks(feed.store.conn, EVER)

    links = [link for link in entity_links(feed, "one") if link["target_type"] == "feature"]
    assert feed.scalar(f"SELECT value FROM name WHERE id = {row.feature}") == links[0]["target_id"]


def loose_ones() -> Session:
    """One sub-agent that ended, one that did not, one that nobody launched, the client's own, and a shell."""
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    tool = session.launch(kind="explore")
    child = session.agent(agent_id="ended")
    child.bash("ls")
    session.landed(tool, child, kind="explore")
    tool = session.launch()
    session.result(tool, "launched", details={"status": "async_launched", "agentId": "running", "isAsync": True})
    session.agent(agent_id="running").request()
    session.agent(agent_id="nobodys").request()
    session.agent(agent_id="acompact-1").request()
    return session


def test_threads_are_those_of_all_sessions_together() -> None:
    other = Session("t", version="2.1.229", cwd="/home/dev/other")
    other.prompt("hello")
    other.agent(agent_id="strange").request()
    feed = Feed().read(loose_ones(), other)
    single = [threads(feed.store.conn, session) for session in sessions(feed.store.conn)]

    found = standing.loose(feed.store.conn)

    assert sum(row.unresolved for row in found) == sum(one.unresolved for one in single) == 1
    assert sum(row.orphaned for row in found) == sum(one.orphaned for one in single) == 2


def test_links_of_low_confidence_are_counted_by_what_they_lead_to() -> None:
    feed = Feed().read(worked(), passing())
    low = [link["target_type"] for link in entity_links(feed, "one") if link["confidence"] < 0.6]
    feed.store.write(lambda conn: conn.execute("UPDATE link SET confidence = 500 WHERE target_kind = 4"))

    assert standing.low_links(feed.store.conn) == {
        **{kind: low.count(kind) for kind in low if kind != "task"}, "task": 2
    }  # fmt: skip


def test_costs_are_those_of_the_facts_by_day_and_project() -> None:
    feed = Feed().read(*apart())
    feed.store.write(lambda conn: rollups.refresh(conn, UTC))
    whole = sum(row["cost_microusd"] or 0 for row in feed.events("llm.request"))

    days = standing.costs(feed.store.conn, Period.DAILY, 0)

    assert whole > 0
    assert [(row.project, row.cost) for row in days] == [("/home/dev/other", whole)]
    assert days[0].bucket == START_MS - START_MS % 86_400_000
    assert standing.costs(feed.store.conn, Period.DAILY, days[0].bucket + 1) == []


@pytest.mark.corpus
@pytest.mark.sqlite
def test_of_real_sessions_too_threads_are_those_of_all_of_them(corpus_feed: Any) -> None:
    conn = corpus_feed.store.conn
    single = [threads(conn, session) for session in sessions(conn)]
    found = standing.loose(conn)

    assert sum(row.orphaned for row in found) == sum(one.orphaned for one in single)
    assert sum(row.unresolved for row in found) == sum(one.unresolved for one in single) > 0
