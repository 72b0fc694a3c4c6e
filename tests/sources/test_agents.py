"""Sub-agents: wherever their lines stand, they are counted once and linked to the call that launched them."""

from __future__ import annotations

import pytest

from ccagent.facts.model import EventType
from ccagent.sources.claude.files import agent_of
from tests.sources.feed import Feed, derived, files_of
from tests.transcripts import Session, Usage, text, tool_use

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    session = Session("s", version="2.1.30")
    session.prompt("hello")
    return session


def turn_of(feed: Feed) -> str:
    return str(feed.events("turn")[0]["turn_key"])


def worked(session: Session, *, agent_id: str = "a1") -> Session:
    child = session.agent(agent_id=agent_id)
    child.prompt("look")
    child.bash("ls", usage=Usage(input=1, output=9))
    child.request(usage=Usage(input=1, output=11))
    return child


def test_the_requests_of_an_agents_file_belong_to_the_turn_of_its_call(session: Session) -> None:
    tool = session.launch(kind="explore", usage=Usage(input=0, output=5))
    session.landed(tool, worked(session), kind="explore")

    feed = Feed().read(session)

    requests = [row for row in feed.events("llm.request") if row["agent_id"] == "a1"]
    assert [row["turn_key"] for row in requests] == [turn_of(feed)] * 2
    assert feed.total("tokens") == 5 + 10 + 12


def test_a_run_has_its_type_its_time_and_its_end(session: Session) -> None:
    tool = session.launch(kind="explore")
    session.landed(tool, worked(session), kind="explore")

    feed = Feed().read(session)

    (run,) = feed.events("subagent.run")
    assert (run["source_key"], run["status"], run["agent"]) == ("agent:a1", "ok", "explore")
    assert feed.counted("agent.invocations") == {'["explore"]': 1}


def test_the_prompt_of_a_sub_agent_is_no_users_prompt(session: Session) -> None:
    worked(session)

    feed = Feed().read(session)

    assert len(feed.events("prompt")) == len(feed.events("turn")) == 1


def test_an_agents_file_may_be_read_before_its_session(session: Session) -> None:
    tool = session.launch()
    child = worked(session)
    session.landed(tool, child)
    feed = Feed().read(child)

    feed.read(session)

    assert {row["turn_key"] for row in feed.events("llm.request")} == {turn_of(feed)}


def test_messages_both_relayed_and_in_a_file_count_once(session: Session) -> None:
    tool = session.launch(usage=Usage(input=0, output=5))
    child = worked(session)
    relayed = child.assistant(text("found"), usage=Usage(input=1, output=20))
    session.agent_progress(tool, "a1", text("found"), usage=Usage(input=1, output=3), message_id=relayed)
    session.landed(tool, child)

    feed = Feed().read(session)

    assert feed.event(f"llm:{relayed}")["token_output"] == 20
    assert feed.total("tokens") == 5 + 10 + 12 + 21


def test_a_relayed_call_is_a_fact_apart_from_tool_calls(session: Session) -> None:
    tool = session.launch()
    session.agent_progress(tool, "a1", tool_use("inner", "Grep"))
    session.agent_progress_result(tool, "a1", "inner", is_error=True)
    session.landed(tool, session.agent(agent_id="a1"))
    session.prompt("next")

    feed = Feed().read(session)

    call = feed.event("tool:inner")
    assert (call["relayed"], call["status"], call["is_error"]) == (1, "error", 0)
    assert feed.counted("tool.calls_relayed") == {'["Grep"]': 1}
    assert feed.total("tool.calls") == 1


def test_a_relayed_call_found_in_the_agents_file_is_relayed_no_more(session: Session) -> None:
    tool = session.launch()
    session.agent_progress(tool, "a1", tool_use("inner", "Grep"))
    child = session.agent(agent_id="a1")
    child.assistant(tool_use("inner", "Grep"))
    child.result("inner", "fine")
    session.landed(tool, child)

    assert Feed().read(session).event("tool:inner")["relayed"] == 0


def test_the_relay_alone_links_the_agent_before_its_result(session: Session) -> None:
    tool = session.launch(kind="explore")
    session.agent_progress(tool, "a1", text("found"), message_id="m")

    feed = Feed().read(session)

    assert feed.event("llm:m")["turn_key"] == turn_of(feed)
    assert feed.events("subagent.run")[0]["detail"] == "explore"


def test_a_nested_agent_works_for_the_turn_of_the_outermost_call(session: Session) -> None:
    tool = session.launch()
    child = session.agent(agent_id="a1")
    inner_tool = child.launch()
    inner = child.agent(agent_id="a2")
    deep = inner.request()
    child.landed(inner_tool, inner)
    session.landed(tool, child)

    for order in (sorted, lambda found: sorted(found, reverse=True)):
        feed = Feed()
        files = files_of(session)
        for path in order(files):
            feed.take((path, files[path]))

        assert feed.event(f"llm:{deep}")["turn_key"] == turn_of(feed)


def test_agents_that_claim_to_have_launched_each_other_end_the_search(session: Session) -> None:
    one, two = session.agent(agent_id="a1"), session.agent(agent_id="a2")
    one.landed(one.launch(), two)
    two.landed(two.launch(), one)

    feed = Feed().read(session)

    assert {row["turn_key"] for row in feed.events("subagent.run")} == {None}


def test_an_inline_sidechain_belongs_to_its_turn_and_ranks_as_one() -> None:
    session = Session("s", version="1.0.108")
    session.prompt("hello")
    tool = session.launch()
    child = session.agent(inline=True)
    child.prompt("look")
    inner = child.request()
    session.adopt(child)
    session.result(tool, "looked")

    feed = Feed().read(session)

    event = feed.event(f"llm:{inner}")
    assert event["turn_key"] == turn_of(feed)
    assert feed.scalar(f"SELECT rank FROM fact JOIN context c ON c.id = context WHERE native = '{inner}'") == 1
    assert len(feed.events("prompt")) == 1


def background(session: Session) -> tuple[str, Session]:
    tool = session.launch()
    details = {"status": "async_launched", "agentId": "a1", "isAsync": True}
    session.result(tool, "launched", details=details)
    return tool, worked(session)


def test_a_background_agent_is_open_until_its_notification(session: Session) -> None:
    background(session)
    feed = Feed().read(session)
    assert feed.event("agent:a1")["status"] == "open"

    session.notification("a1")
    feed.read(session)

    assert feed.event("agent:a1")["status"] == "ok"
    assert feed.closed("agent:a1")


@pytest.mark.parametrize(("said", "status"), [("failed", "error"), ("killed", "interrupted"), ("odd", "error")])
def test_a_notification_tells_how_the_agent_ended(session: Session, said: str, status: str) -> None:
    background(session)
    words = f"<task-notification><task-id>a1</task-id><status>{said}</status></task-notification>"
    session.record("user", {"message": {"role": "user", "content": words}})

    assert Feed().read(session).event("agent:a1")["status"] == status


def test_a_notification_of_an_unknown_task_ends_nothing(session: Session) -> None:
    session.notification("shell-7")

    assert derived(session.content).facts[EventType.SUBAGENT_RUN] == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/p/s/subagents/agent-a1.jsonl", "a1"),
        (b"/p/agent-acompact-77.jsonl", "acompact-77"),
        (b"/p/s/subagents/workflows/wf_1/agent-a9.jsonl", "a9"),
        (b"/p/s/subagents/agent-aside_question-2.jsonl", "aside_question-2"),
        (b"/p/agent-a1.orphaned-17-ff.jsonl", "a1"),
        (b"/p/agent-.jsonl", None),
        (b"/p/s.jsonl", None),
        (b"/p/agent-a1.meta.json", None),
        (b"/agent-x/s.jsonl", None),
    ],
)
def test_the_file_name_tells_the_agent(path: bytes, expected: str | None) -> None:
    assert agent_of(path) == expected


def test_the_cost_of_a_compaction_stands_in_its_own_agents_file(session: Session) -> None:
    child = session.agent(agent_id="acompact-1")
    child.request(usage=Usage(input=3, output=4))

    assert Feed().read(session).total("tokens") == 7


def test_a_relayed_agent_whose_call_was_refused_in_the_end_is_over(session: Session) -> None:
    tool = session.launch(kind="explore")
    session.agent_progress(tool, "a1", text("found"), message_id="m")
    session.result(tool, "The user doesn't want to proceed", is_error=True, details="User rejected tool use")

    feed = Feed().read(session)

    assert (feed.event("agent:a1")["status"], feed.event("agent:a1")["failure_class"]) == ("rejected", "rejected")
    assert feed.closed("agent:a1")


@pytest.mark.parametrize(
    "path",
    [
        "p/agent-a1.jsonl",
        "p/s/subagents/agent-a1.jsonl",
        "p/s/subagents/workflows/wf_1/agent-a1.jsonl",
        "elsewhere/deep/down/agent-a1.jsonl",
    ],
)
def test_wherever_an_agents_file_lies_its_facts_are_the_same(session: Session, path: str) -> None:
    tool = session.launch(kind="explore")
    child = worked(session)
    session.landed(tool, child, kind="explore")
    usual = Feed().read(session)
    feed = Feed()
    feed.take(("p/s.jsonl", session.content), (path, child.content))

    assert feed.dump() == usual.dump()
