"""Retries a success, repeated calls, loops, rewritten files, tokens a finished task."""

from __future__ import annotations

import pytest

from ccagent.store.efficiency import Efficiency, Rewritten, TaskTokens, TurnRework, efficiency
from tests.sources.feed import Feed
from tests.transcripts import Session, Usage

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    return session


def found(*sessions: Session, since: int | None = None, until: int | None = None) -> Efficiency:
    feed = Feed().read(*sessions)
    return efficiency(feed.store.conn, since, until)


def test_an_empty_store_has_no_ratio() -> None:
    feed = Feed()
    empty = efficiency(feed.store.conn)

    assert empty == Efficiency((), TurnRework(0, 0, 0, 0), Rewritten(0, 0, 0), TaskTokens(0, 0, 0))
    assert empty.rewritten.ratio is None
    assert empty.tasks.tokens_per_task is None


def test_retries_a_successful_call_by_tool(session: Session) -> None:
    for code in (1, 1, 0):
        session.bash("make", exit_code=code)
    session.bash("ls")
    session.bash("ls")
    session.tool("Read", {"file_path": "/a"}, "gone", details=None)

    bash, read = found(session).tools

    assert (bash.tool, bash.calls, bash.ok, bash.failed, bash.retries, bash.repeated) == ("Bash", 5, 3, 2, 2, 1)
    assert bash.retries_per_success == 2 / 3
    assert (read.tool, read.retries_per_success) == ("Read", 0.0)


def test_a_tool_that_never_succeeded_has_no_ratio(session: Session) -> None:
    session.bash("make", exit_code=1)
    session.rejected("Edit", {"file_path": "/a"})

    assert {tool.tool: (tool.retries_per_success, tool.rejected) for tool in found(session).tools} == {
        "Bash": (None, 0), "Edit": (None, 1),
    }  # fmt: skip


def test_a_file_is_rewritten_when_a_later_turn_takes_lines_out_of_it(session: Session) -> None:
    session.edit("/a.py", added=1, removed=0)
    session.edit("/a.py", added=1, removed=0)
    session.edit("/a.py", added=1, removed=9)
    session.edit("/b.py", added=1, removed=0)
    session.prompt("not like that")
    session.edit("/a.py", added=1, removed=0)
    session.edit("/b.py", added=1, removed=1)
    other = Session("t", seed=9)
    other.prompt("hello")
    other.edit("/a.py", added=1, removed=0)

    assert found(session, other).rewritten == Rewritten(files=3, rewritten=1, writes=7)


def test_a_window_holds_what_began_in_it(session: Session) -> None:
    session.bash("make", exit_code=1)
    middle = session.now + 1
    session.bash("make")

    assert found(session, until=middle).tools[0].calls == 1
    assert found(session, since=middle).tools[0].retries == 1
    assert (found(session, since=middle).turns.turns, found(session).turns.turns) == (0, 1)


def test_tokens_a_finished_task_are_those_of_the_sessions_with_tasks(session: Session) -> None:
    done = {"todos": [{"content": "a", "status": "completed", "activeForm": "a"}]}
    session.tool(
        "TodoWrite", done, details={"oldTodos": [], "newTodos": done["todos"]}, usage=Usage(input=40, output=60)
    )
    other = Session("t", seed=9)
    other.prompt("hello")
    other.request(usage=Usage(input=1_000, output=1_000))

    tasks = found(session, other).tasks

    assert (tasks.sessions, tasks.finished, tasks.tokens_per_task) == (1, 1, 100.0)
