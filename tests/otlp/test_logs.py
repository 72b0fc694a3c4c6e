"""What a log record says: its attributes, severity and sentence, and the SDK's encoder as an oracle of the bytes."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord as SdkRecord
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import TraceFlags

from ccagent.export.otlp.closed import SPAN_TYPES, ClosedFact
from ccagent.export.otlp.log_facts import LOG_TYPES, RECORDS, body, duration_ms, log_attributes, severity
from ccagent.export.otlp.log_record import SAMPLED, Entry, Severity, encode, log_request
from ccagent.export.otlp.logs import Logs
from ccagent.export.otlp.spans import build_span
from ccagent.export.privacy import LOG_ATTRIBUTES, VALUE_LIMIT, Policy
from ccagent.facts.model import EVENT_NAMES, EventType, Flag, Status
from ccagent.facts.times import LATEST_MS
from ccagent.facts.trace_ids import span_id, trace_id
from tests.otlp.ledger import NOW

PAGE = Path(__file__).parents[2] / "docs" / "logs.md"
ANYBODY = Policy(tier=1)
BASE = ClosedFact(
    key=b"1" * 16, event_type=EventType.TOOL_CALL, native="toolu_1", status=Status.OK, session="s1", turn="turn-1",
    occurred_at=NOW - 4_000, version="2.1.0", entrypoint="cli", cwd="/home/canary", project="/home/canary",
)  # fmt: skip
COMMON = {
    "session.id": "s1", "gen_ai.conversation.id": "s1", "ccagent.status": "ok", "ccagent.client.version": "2.1.0",
    "ccagent.client.entrypoint": "cli", "gen_ai.agent.name": "claude-code",
}  # fmt: skip


def record(fact: ClosedFact, policy: Policy = ANYBODY) -> LogRecord:
    """The fact's one record."""
    (found,) = Logs().build(fact, policy)
    assert isinstance(found, LogRecord)
    return found


def said(fact: ClosedFact, policy: Policy = ANYBODY) -> dict[str, Any]:
    """What the record has beside the attributes that all have."""
    return {key: value for key, value in log_attributes(fact, policy).items() if COMMON.get(key) != value}


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], Severity, str]] = {
    "a prompt": (
        {"event_type": EventType.PROMPT, "native": "turn-1", "label": "human", "size": 145, "permission_mode": "plan"},
        {"ccagent.prompt.kind": "human", "ccagent.prompt.length": 145, "ccagent.permission_mode": "plan"},
        Severity.INFO,
        "prompt human",
    ),
    "a command of one's own": (
        {"event_type": EventType.COMMAND, "native": "c1", "name": "/acme-deploy", "status": Status.INTERRUPTED},
        {
            "ccagent.command.name": "custom", "ccagent.command.source": "custom", "ccagent.command.local": False,
            "ccagent.status": "interrupted",
        },
        Severity.WARN,
        "command.run custom interrupted",
    ),
    "a command of the client": (
        {"event_type": EventType.COMMAND, "native": "c1", "name": "/model", "flags": Flag.LOCAL},
        {"ccagent.command.name": "/model", "ccagent.command.source": "builtin", "ccagent.command.local": True},
        Severity.INFO,
        "command.run /model",
    ),
    "a request": (
        {
            "event_type": EventType.LLM_REQUEST, "native": "msg_1", "name": "claude-opus-4-6", "stop": "end_turn",
            "ended_at": NOW, "result_at": NOW - 6_000, "token_input": 3, "token_output": 40, "token_cache_read": 900,
            "token_cache_write": 70, "token_cache_write_1h": 20, "cost_microusd": 1_500, "quality": 0,
        },
        {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude-opus-4-6", "gen_ai.response.id": "msg_1",
            "gen_ai.response.finish_reasons": ("end_turn",), "gen_ai.usage.input_tokens": 973,
            "gen_ai.usage.output_tokens": 40, "ccagent.tokens.input": 3, "ccagent.tokens.output": 40,
            "ccagent.tokens.cache_read": 900, "ccagent.tokens.cache_write_5m": 50, "ccagent.tokens.cache_write_1h": 20,
            "ccagent.cost.usd": 0.0015, "ccagent.quality": "final", "ccagent.duration.estimated": True,
            "ccagent.duration.seconds": 6.0,
        },
        Severity.INFO,
        "llm.request claude-opus-4-6",
    ),
    "a dangerous call": (
        {"name": "Bash", "label": "rm_rf+sudo", "result_at": NOW, "attempts": 0, "size": 12, "exit_code": 0},
        {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "Bash", "gen_ai.tool.call.id": "toolu_1",
            "ccagent.exit_code": 0, "ccagent.retry_count": 0, "ccagent.tool.danger": ("rm_rf", "sudo"),
            "ccagent.tool.result_size": 12, "ccagent.duration.seconds": 4.0,
        },
        Severity.WARN,
        "tool.call Bash",
    ),
    "a call that was tried again and failed": (
        {"name": "Bash", "status": Status.ERROR, "failure": "nonzero_exit", "exit_code": 2, "attempts": 1},
        {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "Bash", "gen_ai.tool.call.id": "toolu_1",
            "ccagent.exit_code": 2, "ccagent.retry_count": 1, "ccagent.status": "error", "error.type": "nonzero_exit",
        },
        Severity.ERROR,
        "tool.call Bash nonzero_exit error",
    ),
    "failed attempts": (
        {"event_type": EventType.API_ERROR, "native": "e1", "status": Status.ERROR, "failure": "overloaded",
         "attempts": 4},
        {"ccagent.error.attempts": 4, "ccagent.error.final": False, "ccagent.status": "error",
         "error.type": "overloaded"},
        Severity.WARN,
        "api.error overloaded error",
    ),
    "a request that was given up": (
        {"event_type": EventType.API_ERROR, "native": "e1", "status": Status.ERROR, "failure": "overloaded",
         "flags": Flag.FINAL_FAILURE},
        {"ccagent.error.final": True, "ccagent.status": "error", "error.type": "overloaded"},
        Severity.ERROR,
        "api.error overloaded error",
    ),
    "a compaction": (
        {"event_type": EventType.COMPACTION, "native": "k", "name": "auto", "size": 900, "attempts": 200,
         "reported_ms": 70},
        {"ccagent.compaction.trigger": "auto", "ccagent.compaction.tokens_before": 900,
         "ccagent.compaction.tokens_after": 200, "ccagent.compaction.tokens_saved": 700,
         "ccagent.duration.seconds": 0.07},
        Severity.INFO,
        "compaction auto",
    ),
    "a compaction whose end is not known yet": (
        {"event_type": EventType.COMPACTION, "native": "k", "name": "auto", "size": 900},
        {"ccagent.compaction.trigger": "auto", "ccagent.compaction.tokens_before": 900},
        Severity.INFO,
        "compaction auto",
    ),
    "a microcompaction": (
        {"event_type": EventType.MICROCOMPACTION, "native": "k", "name": "auto", "size": 900, "attempts": 200},
        {"ccagent.compaction.trigger": "auto", "ccagent.compaction.tokens_before": 900,
         "ccagent.compaction.tokens_saved": 200},
        Severity.INFO,
        "microcompaction auto",
    ),
    "a mode in which nobody is asked": (
        {"event_type": EventType.PERMISSION, "native": "p", "name": "bypassPermissions", "label": "default"},
        {"ccagent.permission_mode": "bypassPermissions", "ccagent.previous_permission_mode": "default"},
        Severity.WARN,
        "permission.change bypassPermissions",
    ),
    "a hook of a tool": (
        {"event_type": EventType.HOOK, "native": "h", "name": "PreToolUse", "label": "PreToolUse:Bash",
         "status": Status.REJECTED, "exit_code": 2},
        {"ccagent.hook.event": "PreToolUse", "gen_ai.tool.name": "Bash", "ccagent.exit_code": 2,
         "ccagent.status": "rejected"},
        Severity.WARN,
        "hook.run PreToolUse Bash rejected",
    ),
    "a hook of a file": (
        {"event_type": EventType.HOOK, "native": "h", "name": "FileChanged", "label": "FileChanged:secret.env"},
        {"ccagent.hook.event": "FileChanged"},
        Severity.INFO,
        "hook.run FileChanged",
    ),
    "a skill": (
        {"event_type": EventType.SKILL, "native": "k", "name": "tidy", "label": "typed"},
        {"ccagent.skill": "tidy", "ccagent.skill_trigger": "typed"},
        Severity.INFO,
        "skill.activation tidy",
    ),
    "a sub-agent": (
        {"event_type": EventType.SUBAGENT_RUN, "native": "a1", "agent": "a1", "name": "Explore", "depth": 1,
         "reported_ms": 9_000, "flags": Flag.BACKGROUND},
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "anthropic", "gen_ai.agent.name": "Explore",
         "gen_ai.agent.id": "a1", "ccagent.agent.depth": 1, "ccagent.background": True,
         "ccagent.duration.seconds": 9.0},
        Severity.INFO,
        "subagent.run Explore",
    ),
    "a test run": (
        {"event_type": EventType.QUALITY, "native": "t1", "name": "pytest", "label": "test", "status": Status.ERROR,
         "added": 5, "removed": 2, "size": 1, "exit_code": 1, "result_at": NOW},
        {"ccagent.run.kind": "test", "ccagent.run.framework": "pytest", "ccagent.run.passed": 5,
         "ccagent.run.failed": 2, "ccagent.run.skipped": 1, "ccagent.exit_code": 1, "ccagent.status": "error",
         "error.type": "_OTHER"},
        Severity.ERROR,
        "quality.run test pytest error",
    ),
    "a commit": (
        {"event_type": EventType.COMMIT, "native": "abc1234", "name": "feat/secret", "label": "amend", "size": 2,
         "added": 3, "removed": 1, "attempts": 95, "extra": '{"sha":"abc1234def","repository":"o/secret"}'},
        {"ccagent.git.kind": "amend", "ccagent.git.files": 2, "ccagent.lines.added": 3,
         "ccagent.lines.removed": 1, "ccagent.git.confidence": 0.95},
        Severity.INFO,
        "git.commit amend",
    ),
    "a push": (
        {"event_type": EventType.PUSH, "native": "t#0", "name": "feat/secret", "label": "rejected", "attempts": 95,
         "status": Status.ERROR},
        {"ccagent.git.kind": "rejected", "ccagent.git.confidence": 0.95, "ccagent.status": "error",
         "error.type": "_OTHER"},
        Severity.ERROR,
        "git.push rejected error",
    ),
    "a pull request": (
        {"event_type": EventType.PULL_REQUEST, "native": "github.com/o/r/pull/7", "name": "github.com/o/r",
         "label": "opened", "size": 7, "attempts": 100},
        {"ccagent.git.kind": "opened", "ccagent.git.confidence": 1.0},
        Severity.INFO,
        "pull_request opened",
    ),
    "a task that is dropped": (
        {"event_type": EventType.TASK, "native": "t/1", "name": "deleted", "label": "1", "status": Status.INTERRUPTED,
         "flags": Flag.TERMINAL | Flag.INFERRED},
        {"ccagent.task.state": "deleted", "ccagent.task.terminal": True, "ccagent.status": "interrupted",
         "ccagent.inferred": True},
        Severity.INFO,
        "task.transition deleted",
    ),
    "a task in a state of somebody's own": (
        {"event_type": EventType.TASK, "native": "t/1", "name": "waiting for Kim", "label": "1", "status": Status.OPEN},
        {"ccagent.task.state": "other", "ccagent.task.terminal": False, "ccagent.status": "open"},
        Severity.INFO,
        "task.transition other",
    ),
    "a session": (
        {"event_type": EventType.SESSION, "native": "s1", "label": "2 resumed", "ended_at": NOW},
        {"ccagent.session.kind": "resumed", "ccagent.duration.seconds": 4.0},
        Severity.INFO,
        "session.lifecycle resumed",
    ),
    "a cache miss": (
        {"event_type": EventType.CACHE_MISS, "native": "m", "name": "expired_ttl", "label": "judged", "size": 700},
        {"ccagent.cache.cause": "expired_ttl", "ccagent.cache.tokens_missed": 700, "ccagent.cache.judged": True},
        Severity.INFO,
        "cache.miss expired_ttl",
    ),
    "a record that is not known": (
        {"event_type": EventType.UNKNOWN, "native": "u", "name": "record/brand-new", "extra": '{"shape":"{}"}'},
        {"ccagent.record.type": "record/brand-new"},
        Severity.WARN,
        "record.unknown record/brand-new",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_record_says_what_is_known_of_its_fact(case: str) -> None:
    values, attributes, worst, sentence = CASES[case]

    fact = replace(BASE, **values)

    assert said(fact) == attributes
    assert severity(fact) is worst
    assert body(fact, log_attributes(fact, ANYBODY)) == sentence
    assert record(fact).event_name == f"ccagent.{EVENT_NAMES[fact.event_type]}"


def test_every_kind_has_a_case_and_every_attribute_is_used() -> None:
    facts = [replace(BASE, **values) for values, *_ in CASES.values()]
    used = {key for fact in facts for key in log_attributes(fact, Policy(tier=1, project="p", team="t"))}

    assert {fact.event_type for fact in facts} == set(LOG_TYPES)
    assert LOG_ATTRIBUTES - used - ELSEWHERE == set()


ELSEWHERE = {"ccagent.mcp.server", "ccagent.mcp.tool", "ccagent.tool.repeated", "ccagent.tool.timed_out",
             "ccagent.tool.waited_for_human", "enduser.id"}  # fmt: skip
"""Attributes that other tests look at, and the one that the destination's settings add."""


def test_what_a_call_met_with_stands_beside_its_outcome() -> None:
    flags = Flag.REPEATED | Flag.HUMAN | Flag.TIMED_OUT
    fact = replace(BASE, name="mcp__wiki__get_page", flags=flags, status=Status.TIMEOUT, result_at=NOW)

    found = said(fact)

    assert (found["ccagent.mcp.server"], found["ccagent.mcp.tool"]) == ("wiki", "get_page")
    assert found["ccagent.tool.repeated"] is found["ccagent.tool.waited_for_human"] is True
    assert found["ccagent.tool.timed_out"] is True
    assert found["error.type"] == "timeout"
    assert severity(fact) is Severity.ERROR


def test_a_project_has_the_name_that_its_policy_gives_it() -> None:
    found = said(BASE, Policy(tier=1, project="shop", team="till"))

    assert (found["ccagent.project"], found["ccagent.team"]) == ("shop", "till")
    assert b"canary" not in record(BASE, Policy(tier=1, project="shop")).SerializeToString()


def test_a_record_happens_when_its_fact_was_over_and_says_so_again_the_same() -> None:
    fact = replace(BASE, result_at=NOW)

    assert record(fact).time_unix_nano == record(fact).observed_time_unix_nano == NOW * 1_000_000
    assert record(fact).SerializeToString(deterministic=True) == record(fact).SerializeToString(deterministic=True)


def test_a_record_of_a_far_future_can_be_sent() -> None:
    sent = Logs(native=True).build(
        replace(BASE, name="Read", result_at=LATEST_MS, flags=Flag.DIRECT | Flag.RESULT), ANYBODY
    )

    assert len(sent) > 1
    assert all(NOW * 1_000_000 < one.time_unix_nano < 1 << 63 for one in sent)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [kind for kind in SPAN_TYPES if kind in LOG_TYPES])
@pytest.mark.parametrize("agent", [None, "a1"])
def test_a_fact_with_a_span_points_to_it(kind: EventType, agent: str | None) -> None:
    fact = replace(BASE, event_type=kind, agent=agent, ended_at=NOW)
    span = build_span(fact)

    assert span is not None
    assert (record(fact).trace_id, record(fact).span_id) == (span.trace_id, span.span_id)
    assert record(fact).flags == SAMPLED


def test_a_fact_without_a_span_points_to_its_turn_or_sub_agent() -> None:
    prompt = replace(BASE, event_type=EventType.PROMPT, native="p1")

    inside = record(replace(prompt, agent="a1"))

    assert (record(prompt).trace_id, record(prompt).span_id) == (trace_id("turn:turn-1"), span_id("turn:turn-1"))
    assert (inside.trace_id, inside.span_id) == (trace_id("turn:turn-1"), span_id("agent:a1"))


def test_a_fact_of_no_turn_points_nowhere() -> None:
    found = record(replace(BASE, event_type=EventType.SESSION, native="s1", turn=None, ended_at=NOW))

    assert (found.trace_id, found.span_id, found.flags) == (b"", b"", 0)


def test_a_fact_without_any_time_and_one_that_nobody_searches_for_have_no_record() -> None:
    assert Logs().build(replace(BASE, occurred_at=None), ANYBODY) == ()
    assert Logs().build(replace(BASE, event_type=EventType.FILE_UPDATE), ANYBODY) == ()


def test_a_long_text_is_cut_and_the_record_stays_small() -> None:
    long = "ä" * 1_000_000

    found = record(replace(BASE, name=long, failure=long, version=long, status=Status.ERROR))

    values = {one.key: one.value.string_value for one in found.attributes}
    assert len(values["gen_ai.tool.name"].encode()) == VALUE_LIMIT
    assert len(found.body.string_value) < 300
    assert found.ByteSize() < 16 * VALUE_LIMIT


def test_the_sentence_stays_one_line_whatever_a_name_holds() -> None:
    fact = replace(BASE, name="Ba\nsh\x1b[31m\u202e", status=Status.REJECTED)

    assert body(fact, log_attributes(fact, ANYBODY)) == "tool.call Ba_sh_ rejected"


def test_a_record_need_not_come_of_a_fact() -> None:
    entry = Entry(event_name="ccagent.notice", body="notice", at_ms=NOW, attributes={"a": 1}, severity=Severity.WARN)

    found = encode(entry)

    assert (found.severity_text, found.severity_number) == ("WARN", SeverityNumber.WARN.value)
    assert (found.trace_id, found.span_id, found.flags) == (b"", b"", 0)


@pytest.mark.parametrize(
    ("values", "took"),
    [
        ({"result_at": NOW}, 4_000),
        ({"ended_at": NOW}, None),
        ({"result_at": NOW - 9_000}, 0),
        ({"event_type": EventType.LLM_REQUEST, "ended_at": NOW, "result_at": NOW - 7_000}, 7_000),
        ({"event_type": EventType.LLM_REQUEST, "ended_at": NOW, "result_at": NOW - 1_000}, 4_000),
        ({"event_type": EventType.HOOK, "reported_ms": 12}, 12),
        ({"event_type": EventType.HOOK, "result_at": NOW}, None),
        ({"event_type": EventType.SESSION, "ended_at": NOW}, 4_000),
    ],
)
def test_durations_are_those_of_the_view(values: dict[str, Any], took: int | None) -> None:
    assert duration_ms(replace(BASE, **values)) == took


WORDS = st.text(string.ascii_letters + "äß√", min_size=1, max_size=12)
COUNTS = st.none() | st.integers(0, 1 << 40)
TIMES = st.none() | st.integers(0, 1 << 42)
FACTS = st.builds(
    ClosedFact,
    key=st.binary(min_size=16, max_size=16), event_type=st.sampled_from(LOG_TYPES), native=WORDS,
    status=st.sampled_from(Status), flags=st.integers(0, (1 << 20) - 1), session=st.none() | WORDS,
    turn=st.none() | WORDS, agent=st.none() | WORDS, agent_tool=st.none() | WORDS, depth=COUNTS,
    name=st.none() | WORDS, label=st.none() | WORDS, stop=st.none() | WORDS, failure=st.none() | WORDS,
    exit_code=st.none() | st.integers(-9, 255), occurred_at=st.integers(0, 1 << 42), ended_at=TIMES, result_at=TIMES,
    reported_ms=COUNTS, quality=st.none() | st.integers(0, 3), token_input=COUNTS, token_output=COUNTS,
    token_cache_read=COUNTS, token_cache_write=COUNTS, cost_microusd=COUNTS, attempts=st.none() | st.integers(0, 100),
    size=COUNTS, added=COUNTS, removed=COUNTS, version=st.none() | WORDS, permission_mode=st.none() | WORDS,
)  # fmt: skip


def by_sdk(fact: ClosedFact) -> ReadableLogRecord:
    """The same fact as a record of the SDK."""
    ours, at = record(fact), fact.last_at
    assert at is not None
    worst = severity(fact)
    placed = bool(ours.trace_id)
    return ReadableLogRecord(
        SdkRecord(
            timestamp=at * 1_000_000,
            observed_timestamp=at * 1_000_000,
            trace_id=int.from_bytes(ours.trace_id),
            span_id=int.from_bytes(ours.span_id),
            trace_flags=TraceFlags(TraceFlags.SAMPLED if placed else TraceFlags.DEFAULT),
            severity_text=worst.name,
            severity_number=SeverityNumber[worst.name],
            body=body(fact, log_attributes(fact, ANYBODY)),
            attributes=log_attributes(fact, ANYBODY),
            event_name=f"ccagent.{EVENT_NAMES[fact.event_type]}",
        ),
        Resource({"service.name": "ccagent"}),
        InstrumentationScope("ccagent", "1"),
    )


@given(st.lists(FACTS, min_size=1, max_size=6))
def test_the_bytes_are_those_of_the_sdks_own_encoder(facts: list[ClosedFact]) -> None:
    ours = log_request([record(fact) for fact in facts], {"service.name": "ccagent"}, "1")

    theirs = encode_logs([by_sdk(fact) for fact in facts])

    assert ours == theirs
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)


@given(FACTS)
def test_nothing_leaves_that_the_list_does_not_name(fact: ClosedFact) -> None:
    assert set(log_attributes(fact, Policy(tier=1, project="p", team="t"))) <= LOG_ATTRIBUTES


def test_the_page_lists_every_record_with_its_sentence() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `ccagent.")]
    listed = {row.split("|")[1].strip().strip("`"): row for row in rows}

    assert set(listed) == {f"ccagent.{EVENT_NAMES[kind]}" for kind in RECORDS}
    for kind, (own, _) in RECORDS.items():
        facts = [replace(BASE, **values) for values, *_ in CASES.values() if values.get("event_type", 5) == kind]
        named = {key for fact in facts for key, value in own(fact).items() if value is not None} & LOG_ATTRIBUTES
        for key in named - set(COMMON) - {"error.type"}:
            assert f"`{key}`" in listed[f"ccagent.{EVENT_NAMES[kind]}"], (kind, key)


def test_the_page_names_every_attribute_that_a_record_may_carry() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert {key for key in LOG_ATTRIBUTES if f"`{key}`" not in page} == set()
