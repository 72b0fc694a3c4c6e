"""The sub-agents of a session: how wide and deep they go, what never ended, what nobody launched."""

from __future__ import annotations

import pytest

from ccagent.store.threads import Threads, threads
from tests.sources.feed import Feed
from tests.transcripts import Session, tool_use

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    return session


def found(session: Session, *more: Session) -> Threads:
    feed = Feed().read(session, *more)
    return threads(feed.store.conn, "s")


def test_a_session_that_is_not_known_has_none(session: Session) -> None:
    feed = Feed().read(session)

    assert threads(feed.store.conn, "nobody") == Threads(runs=(), fan_out=0, depth=0, unresolved=0, orphaned=0)


def test_fan_out_counts_direct_sub_agents_and_depth_the_nested_ones(session: Session) -> None:
    for number in range(2):
        tool = session.launch(kind="explore")
        child = session.agent(agent_id=f"a{number}")
        child.bash("ls")
        inner_tool = child.launch(kind="reviewer")
        inner = child.agent(agent_id=f"b{number}")
        inner.request()
        child.landed(inner_tool, inner, kind="reviewer")
        session.landed(tool, child, kind="explore")

    tree = found(session)

    assert (tree.fan_out, tree.depth, tree.unresolved, tree.orphaned) == (2, 2, 0, 0)
    assert {run.agent: (run.parent, run.depth, run.type) for run in tree.runs} == {
        "a0": (None, 1, "explore"), "a1": (None, 1, "explore"),
        "b0": ("a0", 2, "reviewer"), "b1": ("a1", 2, "reviewer"),
    }  # fmt: skip
    assert [(run.amounts.tool_calls, run.amounts.requests) for run in tree.runs if run.agent == "a0"] == [(2, 2)]


def test_a_sub_agent_in_the_background_is_unresolved_until_it_ends(session: Session) -> None:
    tool = session.launch()
    session.result(tool, "launched", details={"status": "async_launched", "agentId": "a1", "isAsync": True})
    session.agent(agent_id="a1").request()
    assert found(session).unresolved == 1

    session.notification("a1")

    assert found(session).unresolved == 0


def test_a_shell_in_the_background_is_unresolved_until_it_ends(session: Session) -> None:
    session.assistant(tool_use("t", "Bash", {"command": "serve", "run_in_background": True}))
    session.result("t", "running", details={"backgroundTaskId": "shell-1"})
    assert found(session).unresolved == 1

    session.notification("shell-1")

    assert found(session).unresolved == 0


def test_a_sub_agent_whose_call_is_not_found_is_an_orphan(session: Session) -> None:
    child = session.agent(agent_id="a1")
    child.request()

    tree = found(child)

    assert (tree.fan_out, tree.unresolved, tree.orphaned) == (0, 0, 1)
    assert tree.runs[0].depth is None


@pytest.mark.parametrize("agent", ["acompact-77aa", "aprompt_suggestion-1", "aside_question-2"])
def test_the_clients_own_sub_agents_are_no_orphans(session: Session, agent: str) -> None:
    session.agent(agent_id=agent).request()

    tree = found(session)

    assert (tree.fan_out, tree.orphaned, tree.unresolved, tree.runs[0].own) == (0, 0, 0, True)


def test_agents_that_launched_each_other_have_no_depth(session: Session) -> None:
    one, two = session.agent(agent_id="a1"), session.agent(agent_id="a2")
    one.landed(one.launch(), two)
    two.landed(two.launch(), one)

    assert {run.depth for run in found(session).runs} == {None}
