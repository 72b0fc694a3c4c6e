"""Traces of real lines: one tree a turn, for every layout in which clients keep their sub-agents."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from ccagent.facts.trace_ids import trace_id
from tests.otlp.tracing import attributes, left, over, shape, spans
from tests.sources.codex_feed import Rollout
from tests.sources.feed import Feed, files_of
from tests.sources.test_lineage import copy_of
from tests.transcripts import Session, text, tool_use

pytestmark = pytest.mark.usefixtures("either_store")

MODEL = "chat claude-opus-4-6"
AGENT: dict[str, Any] = {"invoke_agent explore": {MODEL: {}, "execute_tool Bash": {}}}
NESTED = {"invoke_agent claude-code": {MODEL: {}, "execute_tool Task": AGENT}}


def begun(version: str = "2.1.30") -> Session:
    session = Session("s", version=version)
    session.prompt("hello")
    return session


def worked(session: Session, **options: Any) -> Session:
    child = session.agent(**options)
    child.prompt("look into it")
    child.bash("ls")
    child.request()
    return child


def in_files() -> Feed:
    session = begun()
    tool = session.launch(kind="explore")
    session.landed(tool, worked(session, agent_id="a1"), kind="explore")
    return Feed().read(session)


def beside_the_main_file() -> Feed:
    session = begun("2.0.76")
    tool = session.launch(kind="explore")
    session.landed(tool, worked(session, agent_id="a1"), kind="explore")
    return Feed().read(session)


def inline() -> Feed:
    session = begun("1.0.108")
    tool = session.launch(kind="explore")
    session.adopt(worked(session, inline=True))
    session.result(tool, "looked")
    return Feed().read(session)


def relayed() -> Feed:
    session = begun()
    tool = session.launch(kind="explore")
    session.agent_progress(tool, "a1", tool_use("inner", "Bash"), text("found"))
    session.agent_progress_result(tool, "a1", "inner")
    session.prompt("next")
    return Feed().read(session)


def of_a_workflow() -> Feed:
    session = begun()
    tool = session.launch(kind="explore")
    child = worked(session, agent_id="a1")
    session.landed(tool, child, kind="explore")
    feed = Feed()
    feed.take(("p/s.jsonl", session.content), ("p/s/subagents/workflows/wf_1/agent-a1.jsonl", child.content))
    return feed


@pytest.mark.parametrize("layout", [in_files, beside_the_main_file, inline, relayed, of_a_workflow])
def test_a_sub_agent_lies_below_the_call_that_launched_it(layout: Any) -> None:
    found = spans(over(layout()))

    whole = shape(found)["invoke_agent claude-code"]
    assert whole["execute_tool Task"] == AGENT
    assert whole[MODEL] == {}


def test_a_nested_sub_agent_lies_below_the_call_in_the_outer_one() -> None:
    session = begun()
    tool = session.launch(kind="explore")
    child = session.agent(agent_id="a1")
    inner_tool = child.launch(kind="reviewer")
    inner = worked(child, agent_id="a2")
    child.landed(inner_tool, inner, kind="reviewer")
    session.landed(tool, child, kind="explore")

    found = spans(over(Feed().read(session)))

    outer = shape(found)["invoke_agent claude-code"]["execute_tool Task"]["invoke_agent explore"]
    assert outer["execute_tool Task"] == {"invoke_agent reviewer": {MODEL: {}, "execute_tool Bash": {}}}
    assert attributes(found["agent:a2"])["ccagent.agent.depth"] == 2


def test_an_agent_whose_call_is_never_found_is_a_trace_of_its_own_after_ten_minutes() -> None:
    session = begun()
    session.request()
    worked(session, agent_id="a9")
    feed = Feed().read(session)
    assert not [fact for fact in left(feed) if fact.agent]

    found = spans(over(feed))

    assert shape(found)["invoke_agent"] == {MODEL: {}, "execute_tool Bash": {}}
    run = found["agent:a9"]
    assert (run.trace_id, attributes(run)["ccagent.agent.unlinked"]) == (trace_id("agent:a9"), True)


def test_agents_that_claim_to_have_launched_each_other_are_no_ring() -> None:
    session = begun()
    one, two = session.agent(agent_id="a1"), session.agent(agent_id="a2")
    one.landed(one.launch(), two)
    two.landed(two.launch(), one)

    shape(spans(over(Feed().read(session))))


def test_the_order_of_reading_changes_no_span() -> None:
    session = begun()
    tool = session.launch(kind="explore")
    session.landed(tool, worked(session, agent_id="a1"), kind="explore")
    files = files_of(session)
    found = []

    for order in (sorted(files), sorted(files, reverse=True)):
        feed = Feed()
        for path in order:
            feed.take((path, files[path]))
        found.append({key: span.SerializeToString(deterministic=True) for key, span in spans(over(feed)).items()})

    assert found[0] == found[1]


def test_what_comes_later_changes_no_span_that_has_left() -> None:
    session = begun()
    session.api_error(attempt=1)
    session.edit("/home/demo/a.py", added=2, removed=1)
    session.compaction()
    session.prompt("next")
    feed = Feed().read(session)
    before = {key: span.SerializeToString(deterministic=True) for key, span in spans(feed, native_names=True).items()}
    assert any(key.startswith("turn:") for key in before)

    session.request()
    tool = session.launch()
    session.landed(tool, worked(session, agent_id="a1"))
    session.compaction()
    session.prompt("and again")
    over(feed.read(session))

    after = {key: span.SerializeToString(deterministic=True) for key, span in spans(feed, native_names=True).items()}
    assert {key: after[key] for key in before} == before


def test_a_turn_is_linked_to_the_one_before_and_knows_its_place() -> None:
    session = begun()
    session.prompt("next")
    feed = over(Feed().read(session))
    first, second = (fact for fact in left(feed) if fact.source_key.startswith("turn:"))

    found = spans(feed)

    assert not found[first.source_key].links
    (link,) = found[second.source_key].links
    assert (link.trace_id, attributes(link)) == (trace_id(first.source_key), {"ccagent.link.type": "previous"})
    assert [attributes(found[fact.source_key])["ccagent.turn.index"] for fact in (first, second)] == [1, 2]


@pytest.mark.parametrize(("goes_on", "kind"), [(False, "resume"), (True, "fork")])
def test_the_first_turn_of_a_session_that_goes_on_from_another_is_linked_to_its_last(goes_on: bool, kind: str) -> None:
    session = begun("2.1.229")
    session.prompt("second")
    copy = copy_of(session, "z-copy")
    copy.prompt("go on")
    last = session.prompt("the original goes on") if goes_on else json.loads(session.lines[1].raw)["uuid"]

    feed = over(Feed().read(session, copy))

    turns = {fact.native: fact for fact in left(feed) if fact.source_key.startswith("turn:")}
    (first,) = (fact for fact in turns.values() if fact.session == "z-copy")
    (link,) = spans(feed)[first.source_key].links
    assert (link.trace_id, attributes(link)["ccagent.link.type"]) == (trace_id(f"turn:{last}"), kind)


@pytest.fixture
def rollouts() -> tuple[Rollout, Rollout, Rollout]:
    """A session of Codex, a sub-agent of it, and a fork."""
    main = Rollout(random.Random(1)).meta()
    main.begin()
    main.shell()
    main.tokens(10)
    main.end()
    agent = main.agent(replayed=False)
    agent.begin("look")
    agent.tokens(5)
    agent.end()
    fork = main.fork()
    fork.begin("another way")
    fork.tokens(5)
    fork.end()
    return main, agent, fork


def test_a_codex_turn_is_codexs_own(rollouts: tuple[Rollout, Rollout, Rollout]) -> None:
    feed = Feed()
    for rollout in rollouts:
        feed.take((rollout.path, rollout.content))

    found = spans(over(feed))

    whole = shape(found)
    assert whole["invoke_agent codex"] == {"chat gpt-5.5": {}, "execute_tool exec_command": {}}
    assert set(whole) == {"invoke_agent codex", "invoke_agent worker"}
    assert {attributes(span)["gen_ai.provider.name"] for key, span in found.items() if key.startswith("turn:")} == {
        "openai"
    }


def test_sub_agents_and_forks_of_codex_are_linked_to_the_turn_that_they_come_from(
    rollouts: tuple[Rollout, Rollout, Rollout],
) -> None:
    feed = Feed()
    for rollout in rollouts:
        feed.take((rollout.path, rollout.content))

    found = spans(over(feed))

    links = [
        attributes(link)["ccagent.link.type"]
        for key, span in found.items()
        if key.startswith("turn:")
        for link in span.links
    ]
    assert sorted(links) == ["fork", "spawn"]
