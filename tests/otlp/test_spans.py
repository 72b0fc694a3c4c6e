"""The shape of traces, and the SDK's encoder as an oracle of the bytes."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status as SdkStatus
from opentelemetry.trace.status import StatusCode

from ccagent.export.otlp.attributes import error_type, span_attributes, span_name
from ccagent.export.otlp.closed import SPAN_TYPES, ClosedFact, Mark
from ccagent.export.otlp.native_names import native_attributes
from ccagent.export.otlp.span_events import moments
from ccagent.export.otlp.spans import (
    build_span,
    interval,
    parent_key,
    span_id,
    trace_id,
    trace_key,
    trace_request,
)
from ccagent.export.privacy import SPAN_ATTRIBUTES, VALUE_LIMIT, Policy, permit
from ccagent.facts.model import EventType, Status
from ccagent.facts.times import LATEST_MS

TURN = ClosedFact(
    key=b"1" * 16, event_type=EventType.TURN, native="turn-2", status=Status.OK, session="s1", turn="turn-2",
    previous_turn="turn-1", turn_link="previous", turn_index=2, occurred_at=1_000, ended_at=9_000, version="2.1.0", entrypoint="cli",
    cwd="/home/canary", project="/home/canary",
)  # fmt: skip
CHAT = replace(
    TURN, key=b"2" * 16, event_type=EventType.LLM_REQUEST, native="msg_1", previous_turn=None, name="claude-opus-4-6",
    stop="tool_use", token_input=10, token_output=20, token_cache_read=300, token_cache_write=50,
    token_cache_write_1h=15, token_thinking=4, cost_microusd=1_234_567, quality=0,
)  # fmt: skip
TOOL = replace(
    TURN, key=b"3" * 16, event_type=EventType.TOOL_CALL, native="toolu_1", previous_turn=None, name="Task",
    ended_at=2_000, result_at=8_000,
)  # fmt: skip
RUN = replace(
    TURN, key=b"4" * 16, event_type=EventType.SUBAGENT_RUN, native="a1", previous_turn=None, agent="a1",
    agent_tool="toolu_1", name="Explore", depth=1,
)  # fmt: skip
INNER = replace(CHAT, key=b"5" * 16, native="msg_2", agent="a1", agent_tool="toolu_1")


def built(fact: ClosedFact) -> Span:
    span = build_span(fact)
    assert span is not None
    return span


def attributes(fact: ClosedFact) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in built(fact).attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


def test_a_turn_is_the_root_and_its_calls_lie_below_it() -> None:
    turn, chat, tool, run, inner = (built(fact) for fact in (TURN, CHAT, TOOL, RUN, INNER))

    assert turn.parent_span_id == b""
    assert chat.parent_span_id == tool.parent_span_id == turn.span_id
    assert run.parent_span_id == tool.span_id
    assert inner.parent_span_id == run.span_id
    assert len({span.trace_id for span in (turn, chat, tool, run, inner)}) == 1


def test_names_and_kinds_follow_the_conventions() -> None:
    spans = [built(fact) for fact in (TURN, CHAT, TOOL, RUN)]

    assert [(span.name, span.kind) for span in spans] == [
        ("invoke_agent claude-code", Span.SPAN_KIND_INTERNAL),
        ("chat claude-opus-4-6", Span.SPAN_KIND_CLIENT),
        ("execute_tool Task", Span.SPAN_KIND_INTERNAL),
        ("invoke_agent Explore", Span.SPAN_KIND_INTERNAL),
    ]


def test_ids_are_fixed_for_ever() -> None:
    assert trace_id("turn:turn-2").hex() == "68120fc5aafcd0c6134a2f5cf469ec96"
    assert span_id("turn:turn-2").hex() == "57a95cb6bbd1088e"


def test_a_turn_is_linked_to_the_root_of_the_turn_before() -> None:
    (link,) = built(TURN).links

    assert (link.trace_id, link.span_id) == (trace_id("turn:turn-1"), span_id("turn:turn-1"))
    assert not built(CHAT).links


def test_a_run_that_was_never_linked_is_a_trace_of_its_own() -> None:
    run = built(replace(RUN, turn=None, agent_tool=None))
    inner = built(replace(INNER, turn=None, agent_tool=None))

    assert run.trace_id == inner.trace_id == trace_id("agent:a1")
    assert run.parent_span_id == b""
    assert inner.parent_span_id == run.span_id


def test_a_fact_with_neither_turn_nor_agent_is_a_trace_of_its_own() -> None:
    chat, tool = built(replace(CHAT, turn=None)), built(replace(TOOL, turn=None))

    assert (chat.trace_id, chat.parent_span_id) == (trace_id("llm:msg_1"), b"")
    assert tool.trace_id != chat.trace_id


def test_input_tokens_include_the_cache_and_the_raw_ones_stand_beside_them() -> None:
    found = attributes(CHAT)

    assert found["gen_ai.usage.input_tokens"] == 360
    assert found["gen_ai.usage.cache_write.input_tokens"] == found["gen_ai.usage.cache_creation.input_tokens"] == 50
    assert found["ccagent.tokens.input"] == 10
    assert (found["ccagent.tokens.cache_write_5m"], found["ccagent.tokens.cache_write_1h"]) == (35, 15)
    assert found["ccagent.cost.usd"] == 1.234567
    assert found["gen_ai.response.finish_reasons"] == ["tool_use"]
    assert found["ccagent.duration.estimated"] is True


@pytest.mark.parametrize(
    ("named", "model", "expected"),
    [
        (None, "claude-opus-4-6", "anthropic"),
        (None, "us.anthropic.claude-opus-4-6-v1:0", "aws.bedrock"),
        ("openai", "some-model", "openai"),
        ("gateway-of-canary", "gpt-5.5", "openai"),
        ("gateway-of-canary", "some-model", "_OTHER"),
        (None, "some-model", None),
    ],
)
def test_a_provider_is_one_that_everybody_knows(named: str | None, model: str, expected: str | None) -> None:
    assert attributes(replace(CHAT, provider=named, name=model)).get("gen_ai.provider.name") == expected


def test_an_unpriced_request_has_no_cost() -> None:
    assert "ccagent.cost.usd" not in attributes(replace(CHAT, cost_microusd=None))


@pytest.mark.parametrize("fact", [TURN, CHAT, TOOL, RUN, INNER], ids=lambda fact: fact.event_type.name)
def test_every_span_carries_its_session_and_no_place(fact: ClosedFact) -> None:
    span = built(fact)

    assert attributes(fact)["session.id"] == attributes(fact)["gen_ai.conversation.id"] == "s1"
    assert b"canary" not in span.SerializeToString()


@pytest.mark.parametrize("kind", SPAN_TYPES)
def test_every_attribute_is_on_the_allow_list(kind: EventType) -> None:
    full = replace(RUN, event_type=kind, name="mcp__srv_a__tool", status=Status.ERROR, exit_code=1, flags=128,
                   token_input=1, quality=0, stop="end_turn", cost_microusd=1)  # fmt: skip

    assert set(span_attributes(full)) <= SPAN_ATTRIBUTES


def test_an_attribute_that_is_not_on_the_list_stays_here() -> None:
    assert permit({"gen_ai.input.messages": "secret", "session.id": "s1"}) == {"session.id": "s1"}


def test_long_values_are_cut_at_whole_characters() -> None:
    found = attributes(replace(TOOL, name="ü" * 5_000))["gen_ai.tool.name"]

    assert len(found.encode()) == VALUE_LIMIT
    assert set(found) == {"ü"}


@pytest.mark.parametrize(
    ("status", "failure", "name", "expected"),
    [
        (Status.OK, None, "Bash", None),
        (Status.ERROR, "nonzero_exit", "Bash", "nonzero_exit"),
        (Status.ERROR, None, "Bash", "_OTHER"),
        (Status.ERROR, None, "mcp__srv__do", "tool_error"),
        (Status.TIMEOUT, None, "Bash", "timeout"),
        (Status.REJECTED, "rejected", "Bash", None),
        (Status.INTERRUPTED, "interrupted", "Bash", None),
        (Status.OPEN, None, "Bash", None),
    ],
)
def test_only_errors_and_timeouts_are_errors(
    status: Status, failure: str | None, name: str, expected: str | None
) -> None:
    fact = replace(TOOL, status=status, failure=failure, name=name)

    assert error_type(fact) == expected
    assert (built(fact).status.code == 2) is (expected is not None)
    assert attributes(fact).get("error.type") == expected


def test_an_mcp_tool_keeps_its_full_name_and_shows_server_and_tool() -> None:
    found = attributes(replace(TOOL, name="mcp__plugin_a_b__find__all"))

    assert found["gen_ai.tool.name"] == "mcp__plugin_a_b__find__all"
    assert (found["ccagent.mcp.server"], found["ccagent.mcp.tool"]) == ("plugin_a_b", "find__all")
    assert found["mcp.method.name"] == "tools/call"


def test_a_tool_call_lasts_until_its_result_and_a_turn_as_long_as_was_reported() -> None:
    assert interval(TOOL) == (1_000_000_000, 8_000_000_000)
    assert interval(replace(TURN, reported_ms=2_500)) == (1_000_000_000, 3_500_000_000)
    assert interval(replace(TURN, ended_at=10)) == (1_000_000_000, 1_000_000_000)


@pytest.mark.parametrize("kind", SPAN_TYPES)
def test_a_time_that_the_protocol_cannot_say_is_the_last_one_that_it_can(kind: EventType) -> None:
    last = (1 << 63) // 1_000_000 * 1_000_000
    late = replace(
        CHAT, event_type=kind, occurred_at=LATEST_MS, ended_at=LATEST_MS, result_at=LATEST_MS, reported_ms=LATEST_MS,
        marks=(Mark(kind="retry", at=LATEST_MS),),
    )  # fmt: skip

    span = build_span(late, native_names=True)

    assert span is not None
    assert last - 1_000_000 <= span.start_time_unix_nano == span.end_time_unix_nano <= last
    assert all(event.time_unix_nano <= last for event in span.events)
    assert interval(replace(TURN, reported_ms=LATEST_MS)) == (1_000_000_000, span.end_time_unix_nano)


def test_a_fact_without_any_time_is_no_span() -> None:
    assert build_span(replace(CHAT, occurred_at=None, ended_at=None)) is None


POLICY = Policy(tier=2, project="shop", team="tills", identity="somebody")
WORDS = st.text(string.ascii_letters + "äß√", min_size=1, max_size=12)
COUNTS = st.none() | st.integers(0, 1 << 40)
MARKS = st.builds(
    Mark, kind=st.sampled_from(("retry", "failure", "compaction")), at=st.integers(0, 1 << 42), name=st.none() | WORDS,
    attempt=COUNTS, attempts=COUNTS, before=COUNTS,
)  # fmt: skip
FACTS = st.builds(
    ClosedFact,
    key=st.binary(min_size=16, max_size=16), event_type=st.sampled_from(SPAN_TYPES), native=WORDS, status=st.sampled_from(Status),
    flags=st.integers(0, (1 << 20) - 1), session=st.none() | WORDS, turn=st.none() | WORDS, previous_turn=st.none() | WORDS,
    turn_link=st.none() | st.sampled_from(("previous", "fork", "resume", "spawn")), origin_turn=st.none() | WORDS,
    turn_index=COUNTS, model=st.none() | WORDS, compacted=st.booleans(), marks=st.lists(MARKS, max_size=3).map(tuple),
    agent_type=st.none() | WORDS, parent_agent=st.none() | WORDS, provider=st.none() | WORDS, skill=st.none() | WORDS,
    permission_mode=st.none() | WORDS, added=COUNTS, removed=COUNTS, size=COUNTS, prompt_length=COUNTS,
    attempts=st.none() | st.integers(1, 1 << 20),
    agent=st.none() | WORDS, agent_tool=st.none() | WORDS, depth=st.none() | st.integers(0, 5), name=st.none() | WORDS,
    stop=st.none() | WORDS, failure=st.none() | WORDS, exit_code=st.none() | st.integers(-9, 255),
    occurred_at=st.integers(0, 1 << 42), ended_at=st.none() | st.integers(0, 1 << 42),
    result_at=st.none() | st.integers(0, 1 << 42), reported_ms=st.none() | st.integers(0, 1 << 32),
    quality=st.none() | st.integers(0, 3), token_input=COUNTS, token_output=COUNTS, token_cache_read=COUNTS,
    cost_microusd=COUNTS, version=st.none() | WORDS,
)  # fmt: skip


def context(trace: bytes, span: bytes) -> SpanContext:
    return SpanContext(int.from_bytes(trace), int.from_bytes(span), False, TraceFlags(1))


def by_sdk(fact: ClosedFact) -> ReadableSpan:
    """The same fact as a span of the SDK."""
    times = interval(fact)
    assert times is not None
    trace, parent = trace_id(trace_key(fact)), parent_key(fact)
    target = fact.previous_turn or fact.origin_turn
    before = f"turn:{target}" if fact.event_type is EventType.TURN and fact.turn_link and target else None
    own = permit(span_attributes(fact, POLICY))
    own |= native_attributes(fact, (times[1] - times[0]) // 1_000_000)
    return ReadableSpan(
        span_name(fact),
        context=context(trace, span_id(fact.source_key)),
        parent=None if parent is None else context(trace, span_id(parent)),
        resource=Resource({"service.name": "ccagent"}),
        attributes=own,
        events=[Event(one.name, one.attributes, one.at * 1_000_000) for one in moments(fact)],
        links=[
            Link(context(trace_id(before), span_id(before)), {"ccagent.link.type": fact.turn_link})
            for _ in range(before is not None)
        ],
        kind=SpanKind.CLIENT if fact.event_type is EventType.LLM_REQUEST else SpanKind.INTERNAL,
        status=SdkStatus(StatusCode.ERROR if error_type(fact) else StatusCode.UNSET),
        start_time=times[0],
        end_time=times[1],
        instrumentation_scope=InstrumentationScope("ccagent", "1"),
    )


@given(st.lists(FACTS, min_size=1, max_size=6))
def test_the_bytes_are_those_of_the_sdks_own_encoder(facts: list[ClosedFact]) -> None:
    spans = [build_span(fact, POLICY, native_names=True) for fact in facts]
    ours = trace_request([span for span in spans if span is not None], {"service.name": "ccagent"}, "1")

    theirs = encode_spans([by_sdk(fact) for fact in facts])

    assert ours == theirs
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)


def test_the_account_that_an_arn_names_stays_here() -> None:
    arn = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-opus-4-6-v1:0"
    for fact in (replace(CHAT, name=arn), replace(TURN, model=arn), replace(RUN, model=arn, name="Explore")):
        span = build_span(fact, native_names=True)
        assert span is not None
        assert b"123456789012" not in span.SerializeToString()
        assert attributes(fact)["gen_ai.provider.name"] == "aws.bedrock"
    assert attributes(replace(CHAT, name=arn))["gen_ai.request.model"] == "eu.anthropic.claude-opus-4-6-v1:0"
