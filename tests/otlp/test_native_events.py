"""Events under native names: what a transcript has plain evidence of, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.native_events import native_events
from ccagent.export.privacy import NATIVE_EVENT_ATTRIBUTES
from ccagent.facts.model import EventType, Flag, Status

STANDING = {"event.timestamp": "1970-01-01T00:00:09.000Z", "session.id": "s1", "app.version": "2.1.229",
            "app.entrypoint": "cli"}  # fmt: skip
FACT = ClosedFact(
    key=b"1" * 16, event_type=EventType.TURN, native="n1", status=Status.OK, session="s1", occurred_at=1_000,
    ended_at=9_000, version="2.1.229", entrypoint="cli", cwd="/home/canary", project="/home/canary",
    extra='{"path": "/home/canary/x.py"}',
)  # fmt: skip


def only(fact: ClosedFact) -> dict[str, object]:
    """The attributes of the one event, without those that every event has."""
    (event,) = native_events(fact)
    attributes = dict(event.attributes)
    assert attributes.pop("event.name") == event.name
    assert {key: attributes.pop(key) for key in STANDING} == STANDING
    return {"event": event.name, **attributes}


def test_a_prompt() -> None:
    prompt = replace(FACT, event_type=EventType.PROMPT, label="human", size=12)

    assert only(prompt) == {"event": "user_prompt", "prompt_length": 12}
    assert only(replace(prompt, label="command", name="/compact"))["command_name"] == "/compact"
    assert only(replace(prompt, label="command", name="/canary-customer"))["command_name"] == "custom"
    assert native_events(replace(prompt, label="notification")) == []


def test_a_request() -> None:
    request = replace(
        FACT, event_type=EventType.LLM_REQUEST, name="claude-opus-4-6", result_at=500, token_input=10, token_output=20,
        token_cache_read=300, token_cache_write=50, token_cache_write_1h=15, cost_microusd=1_234_567,
    )  # fmt: skip

    assert only(request) == {
        "event": "api_request", "model": "claude-opus-4-6", "cost_usd": 1.234567, "cost_usd_micros": 1_234_567,
        "duration_ms": 8_500, "input_tokens": 10, "output_tokens": 20, "cache_read_tokens": 300,
        "cache_creation_tokens": 50, "speed": "normal", "query_source": "main",
    }  # fmt: skip
    assert only(replace(request, agent="a1", flags=Flag.FAST)).items() >= {
        "query_source": "subagent", "speed": "fast"
    }.items()  # fmt: skip
    assert "cost_usd" not in only(replace(request, cost_microusd=None))


def test_an_error() -> None:
    error = replace(FACT, event_type=EventType.API_ERROR, status=Status.ERROR, failure="overloaded", result_at=4_000)

    assert only(error) == {"event": "api_error", "error": "overloaded", "duration_ms": 3_000, "attempt": 1}
    assert only(replace(error, attempts=10, flags=Flag.FINAL_FAILURE))["attempt"] == 11
    assert only(replace(error, attempts=3))["attempt"] == 3


TOOL = replace(
    FACT, event_type=EventType.TOOL_CALL, native="toolu_1", name="Bash", flags=Flag.DIRECT | Flag.RESULT, ended_at=None,
    result_at=9_000, size=77,
)  # fmt: skip


def test_a_call_that_ran_has_a_decision_and_a_result() -> None:
    decision, result = native_events(replace(TOOL, permission_mode="bypassPermissions"))

    assert (decision.name, result.name) == ("tool_decision", "tool_result")
    assert decision.attributes.items() >= {
        "tool_name": "Bash", "tool_use_id": "toolu_1", "decision": "accept", "source": "config"
    }.items()  # fmt: skip
    assert result.attributes.items() >= {
        "tool_name": "Bash", "tool_use_id": "toolu_1", "success": "true", "duration_ms": 8_000, "decision": "accept",
        "source": "config", "decision_type": "accept", "decision_source": "config", "tool_result_size_bytes": 77,
    }.items()  # fmt: skip
    assert "error_type" not in result.attributes


def test_a_call_that_failed_says_its_class() -> None:
    _, result = native_events(replace(TOOL, status=Status.ERROR, failure="nonzero_exit"))

    assert (result.attributes["success"], result.attributes["error_type"]) == ("false", "nonzero_exit")


def test_a_rejected_call_has_no_result() -> None:
    assert only(replace(TOOL, status=Status.REJECTED, failure="rejected")) == {
        "event": "tool_decision", "tool_name": "Bash", "tool_use_id": "toolu_1", "decision": "reject",
        "source": "user_reject",
    }  # fmt: skip


def test_a_call_without_a_result_or_only_relayed_has_neither() -> None:
    assert native_events(replace(TOOL, status=Status.OPEN, flags=Flag.DIRECT)) == []
    assert native_events(replace(TOOL, flags=Flag.RESULT)) == []


def test_a_compaction() -> None:
    compaction = replace(
        FACT, event_type=EventType.COMPACTION, name="auto", size=160_000, attempts=9_000, reported_ms=70
    )

    assert only(compaction) == {
        "event": "compaction", "trigger": "auto", "success": "true", "duration_ms": 70, "pre_tokens": 160_000,
        "post_tokens": 9_000,
    }  # fmt: skip
    assert native_events(replace(compaction, name="inferred")) == []


def test_a_change_of_the_permission_mode() -> None:
    change = replace(FACT, event_type=EventType.PERMISSION, label="plan", name="acceptEdits", extra=None)

    assert only(change) == {"event": "permission_mode_changed", "from_mode": "plan", "to_mode": "acceptEdits"}
    assert only(replace(change, extra='{"by":"ExitPlanMode"}'))["trigger"] == "exit_plan_mode"


def test_a_skill() -> None:
    skill = replace(FACT, event_type=EventType.SKILL, name="review", label="typed")

    assert only(skill) == {"event": "skill_activated", "skill.name": "review", "invocation_trigger": "user-slash"}
    assert native_events(replace(skill, status=Status.ERROR)) == []


def test_a_sub_agent() -> None:
    run = replace(FACT, event_type=EventType.SUBAGENT_RUN, agent="a1", name="Explore", size=4, flags=Flag.BACKGROUND)

    assert only(run) == {
        "event": "subagent_completed", "agent_type": "Explore", "is_async": True, "total_tool_uses": 4,
        "duration_ms": 8_000,
    }  # fmt: skip
    assert native_events(replace(run, status=Status.OPEN)) == []


def test_a_hook() -> None:
    hook = replace(FACT, event_type=EventType.HOOK, name="PreToolUse", label="PreToolUse:canary", reported_ms=30)

    assert only(replace(hook, status=Status.REJECTED)) == {
        "event": "hook_execution_complete", "hook_event": "PreToolUse", "num_hooks": 1, "num_success": 0,
        "num_blocking": 1, "num_non_blocking_error": 0, "num_cancelled": 0, "total_duration_ms": 30,
    }  # fmt: skip
    assert native_events(replace(hook, status=Status.OPEN)) == []


@pytest.mark.parametrize(
    "fact", [replace(TOOL, provider="openai"), replace(TOOL, entrypoint="codex_exec"),
             replace(TOOL, occurred_at=None, result_at=None), FACT],
)  # fmt: skip
def test_other_clients_facts_without_a_time_and_other_kinds_have_none(fact: ClosedFact) -> None:
    assert native_events(fact) == []


def test_the_same_fact_gives_the_same_events_and_nothing_that_may_not_leave() -> None:
    for kind in EventType:
        fact = replace(TOOL, event_type=kind, label="human", size=1)
        events = native_events(fact)
        assert events == native_events(fact)
        for event in events:
            assert event.attributes.keys() <= NATIVE_EVENT_ATTRIBUTES
            assert "canary" not in str(event)
            assert "event.sequence" not in event.attributes
