"""Events of spans, names of work, and the client's own attribute names: from real lines to what leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.native_names import native_attributes
from ccagent.export.otlp.span_events import moments
from ccagent.export.otlp.spans import build_span
from ccagent.export.privacy import NATIVE_ATTRIBUTES, SPAN_ATTRIBUTES, Policy
from ccagent.facts.model import EventType, Flag, Status
from tests.otlp.tracing import attributes, left, over, spans
from tests.sources.feed import Feed
from tests.transcripts import Session, Usage


@pytest.fixture
def session() -> Session:
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    return session


def fact_of(feed: Feed, kind: EventType, place: int = 0) -> ClosedFact:
    return [fact for fact in left(feed) if fact.event_type is kind][place]


def names(feed: Feed, kind: EventType, place: int = 0) -> list[str]:
    span = build_span(fact_of(feed, kind, place))
    assert span is not None
    return [event.name for event in span.events]


def test_attempts_that_a_reply_followed_stand_on_its_request(session: Session) -> None:
    for attempt in (1, 2, 3):
        session.api_error(attempt=attempt)
    session.request()
    feed = over(Feed().read(session))

    chat = spans(feed)[fact_of(feed, EventType.LLM_REQUEST).source_key]

    assert [(event.name, attributes(event)) for event in chat.events] == [
        ("ccagent.request.retry",
         {"error.type": "overloaded", "ccagent.retry.attempt": number, "ccagent.retry.attempts": 3})
        for number in (1, 3)
    ]  # fmt: skip
    assert chat.events[0].time_unix_nano < chat.events[1].time_unix_nano <= chat.end_time_unix_nano
    assert attributes(chat)["ccagent.retry_count"] == 3
    assert names(feed, EventType.TURN) == []


def test_attempts_without_a_reply_stand_on_the_turn(session: Session) -> None:
    session.request()
    session.api_error(attempt=1)
    session.api_failure()
    feed = over(Feed().read(session))

    assert names(feed, EventType.TURN) == ["ccagent.request.retry", "ccagent.request.failure"]
    assert names(feed, EventType.LLM_REQUEST) == []


def test_attempts_of_another_conversation_stand_on_no_request_of_this_one(session: Session) -> None:
    other = Session("other", version="2.1.229", seed=9, start=session.now)
    other.prompt("elsewhere")
    other.api_error(attempt=1)
    other.request()
    session.wait(5_000)
    session.request()
    feed = over(Feed().read(session, other))

    found = {fact.session: moments(fact) for fact in left(feed) if fact.event_type is EventType.LLM_REQUEST}

    assert (len(found["s"]), len(found["other"])) == (0, 1)


def test_a_compaction_stands_on_its_turn_and_marks_the_request_after_it(session: Session) -> None:
    session.request()
    session.wait(60_000)
    session.compaction(160_000)
    session.request()
    feed = over(Feed().read(session))

    turn = spans(feed)[fact_of(feed, EventType.TURN).source_key]
    chats = [fact for fact in left(feed) if fact.event_type is EventType.LLM_REQUEST]

    (event,) = turn.events
    assert event.name == "ccagent.compaction"
    assert attributes(event) == {"ccagent.compaction.trigger": "auto", "ccagent.compaction.tokens_before": 160_000}
    assert sorted(fact.compacted for fact in chats) == [False, True]


TOOL = ClosedFact(
    key=b"3" * 16, event_type=EventType.TOOL_CALL, native="toolu_1", status=Status.OK, session="s", turn="t",
    name="Bash", occurred_at=1_000, result_at=5_000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (TOOL, []),
        (replace(TOOL, flags=Flag.HUMAN), [("accept", True)]),
        (replace(TOOL, flags=Flag.HUMAN, status=Status.OPEN), []),
        (replace(TOOL, flags=Flag.HUMAN, status=Status.REJECTED, failure="rejected"), [("reject", True)]),
        (replace(TOOL, status=Status.REJECTED, failure="denied"), [("reject", False)]),
    ],
)
def test_an_answer_to_a_call_is_an_event_where_the_transcript_knows_it(
    fact: ClosedFact, expected: list[tuple[str, bool]]
) -> None:
    found = moments(fact)

    assert [
        (each.attributes["ccagent.permission.decision"], each.attributes["ccagent.permission.asked_person"])
        for each in found
    ] == expected
    assert all(each.at == 5_000 for each in found)


def test_an_edit_tells_its_lines_and_a_call_the_size_of_its_result(session: Session) -> None:
    session.edit("/home/demo/canary.py", added=2, removed=1)
    feed = over(Feed().read(session))

    found = attributes(spans(feed)[fact_of(feed, EventType.TOOL_CALL).source_key])

    assert (found["ccagent.lines.added"], found["ccagent.lines.removed"]) == (2, 1)
    assert found["ccagent.tool.result_size"] > 0


def test_a_turn_and_a_run_name_the_model_where_there_is_one(session: Session) -> None:
    tool = session.launch(kind="explore")
    child = session.agent(agent_id="a1", model="claude-haiku-4-5")
    child.prompt("look into it")
    child.request()
    session.landed(tool, child, kind="explore")
    session.prompt("next")
    session.request(model="claude-opus-4-6")
    session.request(model="claude-sonnet-4-5")
    found = spans(over(Feed().read(session)))

    runs = [attributes(span).get("gen_ai.request.model") for key, span in found.items() if key.startswith("agent:")]
    turns = [attributes(span).get("gen_ai.request.model") for key, span in found.items() if key.startswith("turn:")]

    assert runs == ["claude-haiku-4-5"]
    assert turns == [session.model, None]


def test_requests_and_calls_name_the_agent_that_made_them(session: Session) -> None:
    tool = session.launch(kind="explore")
    child = session.agent(agent_id="a1")
    child.prompt("look into it")
    child.bash("ls")
    session.landed(tool, child, kind="explore")
    feed = over(Feed().read(session))

    found = spans(feed)

    by_agent = {(fact.event_type, attributes(found[fact.source_key])["gen_ai.agent.name"]) for fact in left(feed)}
    assert by_agent == {
        (EventType.TURN, "claude-code"), (EventType.LLM_REQUEST, "claude-code"), (EventType.TOOL_CALL, "claude-code"),
        (EventType.SUBAGENT_RUN, "explore"), (EventType.LLM_REQUEST, "explore"), (EventType.TOOL_CALL, "explore"),
    }  # fmt: skip


def test_a_request_tells_how_full_its_context_was(session: Session) -> None:
    session.request(usage=Usage(input=20_000, output=5))
    feed = over(Feed().read(session))

    assert attributes(spans(feed)[fact_of(feed, EventType.LLM_REQUEST).source_key])[
        "ccagent.context.utilization_ratio"
    ] == pytest.approx(0.1, rel=0.5)


def test_work_leaves_under_the_names_of_its_policy() -> None:
    span = build_span(TOOL, Policy(tier=2, project="shop", team="tills", identity="somebody"))
    assert span is not None

    found = attributes(span)

    assert (found["ccagent.project"], found["ccagent.team"], found["enduser.id"]) == ("shop", "tills", "somebody")


def test_the_clients_own_names_come_in_addition_and_only_where_asked_for(session: Session) -> None:
    session.api_error(attempt=1)
    session.request(usage=Usage(input=7, output=3, cache_read=100))
    session.rejected()
    feed = over(Feed().read(session))
    usual, native = spans(feed), spans(feed, native_names=True)

    for key, span in usual.items():
        assert not set(attributes(span)) & NATIVE_ATTRIBUTES
        assert attributes(native[key]).items() >= attributes(span).items()
    turn = attributes(native[fact_of(feed, EventType.TURN).source_key])
    assert (turn["span.type"], turn["interaction.sequence"], turn["user_prompt_length"]) == ("interaction", 1, 5)
    (retried,) = (fact for fact in left(feed) if fact.event_type is EventType.LLM_REQUEST and fact.marks)
    chat = attributes(native[retried.source_key])
    assert (chat["input_tokens"], chat["cache_read_tokens"], chat["attempt"], chat["success"]) == (7, 100, 2, True)
    tool = attributes(native[fact_of(feed, EventType.TOOL_CALL).source_key])
    assert (tool["span.type"], tool["success"], tool["decision"]) == ("tool", False, "reject")


@pytest.mark.parametrize("kind", [EventType.TURN, EventType.LLM_REQUEST, EventType.TOOL_CALL, EventType.SUBAGENT_RUN])
def test_every_native_name_is_on_its_list_and_none_of_them_is_ours(kind: EventType) -> None:
    full = replace(
        TOOL, event_type=kind, agent="a1", parent_agent="a0", stop="tool_use", failure="timeout", status=Status.ERROR,
        flags=Flag.FAST, token_input=1, token_output=1, token_cache_read=1, token_cache_write=1, prompt_length=1,
        turn_index=1,
    )  # fmt: skip

    assert set(native_attributes(full, 5)) <= NATIVE_ATTRIBUTES
    assert not NATIVE_ATTRIBUTES & SPAN_ATTRIBUTES
