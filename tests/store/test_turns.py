"""Turns of a session: whose time it was, what they took, how they ended."""

from __future__ import annotations

import json

import pytest

from ccagent.store.session import session_view, state_of
from ccagent.store.session_facts import sessions_like
from ccagent.store.turns import turns
from tests.sources.feed import Feed
from tests.transcripts import Session, Usage, text, tool_use

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    session = Session("session-one", version="2.1.229")
    session.prompt("hello")
    return session


def test_the_parts_of_a_turn_add_up_to_its_time(session: Session) -> None:
    start = session.now
    session.assistant(tool_use("t", "Bash", {"command": "make"}), after_ms=3_000)
    session.result("t", "fine", after_ms=10_000)
    session.assistant(tool_use("q", "AskUserQuestion", {"questions": []}), after_ms=2_000)
    session.result("q", "yes", after_ms=60_000)
    session.assistant(text("done"), after_ms=1_000)
    session.turn_duration(76_000)
    feed = Feed().read(session)

    (turn,) = turns(feed.store.conn, "session-one")

    assert (turn.started_at, turn.ended_at) == (start, session.now)
    assert turn.parts == (session.now - start, 6_000, 10_000, 60_000, session.now - start - 76_000)
    assert (turn.reported_ms, turn.calls, turn.status) == (76_000, 2, "ok")


def test_a_turn_holds_what_its_sub_agents_took_but_their_time_is_the_calls(session: Session) -> None:
    tool = session.launch(usage=Usage(input=0, output=5))
    child = session.agent(agent_id="a1")
    child.prompt("look")
    child.bash("false", exit_code=1, usage=Usage(input=1, output=9))
    child.request(usage=Usage(input=1, output=11))
    session.landed(tool, child)
    session.request(usage=Usage(input=0, output=1))
    feed = Feed().read(session)

    (turn,) = turns(feed.store.conn, "session-one")

    amounts = turn.amounts
    assert (amounts.requests, sum(amounts.tokens.values()), amounts.agents) == (4, 5 + 10 + 12 + 1, 1)
    assert (turn.calls, amounts.tool_calls, amounts.tool_errors) == (1, 2, 1)
    assert amounts.failures == {"nonzero_exit": 1}
    assert turn.parts.tools > 0
    assert sum(turn.parts[1:]) == turn.parts.wall


def test_a_session_is_found_by_the_beginning_of_its_id(session: Session) -> None:
    other = Session("session-two", seed=4)
    other.prompt("hello")
    feed = Feed().read(session, other)
    conn = feed.store.conn

    assert sessions_like(conn, "session-o") == ["session-one"]
    assert sessions_like(conn, "session-") == ["session-one", "session-two"]
    assert sessions_like(conn, "session%") == sessions_like(conn, "S") == []


def test_a_session_as_a_whole(session: Session) -> None:
    session.edit("/a.py", added=3, removed=1)
    session.wait(3_600_000)
    session.prompt("and now")
    session.edit("/a.py", added=2, removed=1)
    session.edit("/b.py", added=1, removed=0)
    session.interrupt()
    feed = Feed().read(session)

    view = session_view(feed.store.conn, "session-one", session.now)

    assert (view.state, view.outcome, view.origin.kind) == ("active", "interrupted", "fresh")
    assert view.active_ms < 60_000 < 3_600_000 < view.wall_ms
    assert [(file.path, file.writes, file.added, file.rewritten) for file in view.files] == [
        ("/a.py", 2, 5, True), ("/b.py", 1, 1, False),
    ]  # fmt: skip
    assert view.amounts.tool_calls == sum(turn.amounts.tool_calls for turn in view.turns) == 3
    assert [event.event for event in view.timeline[:2]] == ["turn", "prompt"]
    assert [event.at for event in view.timeline] == sorted(event.at or 0 for event in view.timeline)


@pytest.mark.parametrize(
    ("silent_ms", "state"), [(0, "active"), (300_000, "active"), (300_001, "idle"), (1_800_000, "ended")]
)
def test_the_state_of_a_session_follows_from_its_silence(silent_ms: int, state: str) -> None:
    assert state_of(1_000, 1_000 + silent_ms) == state


def test_a_deleted_file_is_listed_and_is_no_write(session: Session) -> None:
    session.edit("/home/demo/atlas/a.py", added=3, removed=1)
    session.bash("rm a.py old.py")
    feed = Feed().read(session)

    view = session_view(feed.store.conn, "session-one", session.now)

    assert [(file.path.rpartition("/")[2], file.writes, file.deleted) for file in view.files] == [
        ("a.py", 1, True), ("old.py", 0, True),
    ]  # fmt: skip
    assert view.amounts.files == 1


def test_the_project_is_told_though_the_first_rows_name_no_folder() -> None:
    """A queued prompt stands before the first line of the conversation; the session's fact belongs to the earliest row."""
    session = Session("session-one", version="2.1.229")
    row = {"type": "queue-operation", "operation": "enqueue", "timestamp": "2020-01-01T00:00:00.000Z"}
    row["sessionId"] = "session-one"
    feed = Feed()
    session.prompt("hello")
    feed.take((session.path, json.dumps(row).encode() + b"\n" + session.content))

    view = session_view(feed.store.conn, "session-one", session.now)

    assert view is not None
    assert view.project == feed.events("prompt")[0]["project_id"] is not None
