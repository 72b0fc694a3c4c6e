"""What is new in transcripts becomes a fact, once a session, kind, name and version; what is known makes none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from ccagent.facts import drift as known
from ccagent.facts.batch import Batch
from ccagent.facts.hooks import HOOK_ENDS
from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial
from ccagent.sources.claude import caching, drift, replies, signals
from ccagent.sources.claude.carry import Carry
from ccagent.sources.claude.derive import Deriver
from ccagent.sources.claude.drift import ENDINGS
from ccagent.sources.claude.files import agent_of
from ccagent.sources.claude.records import Record
from tests.sources.feed import Feed, derived
from tests.transcripts import Line, Session, Usage, text, thinking, tool_use

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    return Session("s", version="2.1.229")


def notes(data: bytes) -> dict[str, Partial]:
    """Name → fact of what is new in these lines."""
    facts = derived(data).facts[EventType.UNKNOWN].values()
    return {str(fact.name): fact for fact in facts if fact.label is not None}


def shape(fact: Partial) -> Any:
    return json.loads(fact.extra or "null")["shape"]


def change(session: Session, edit: Callable[[dict[str, Any]], object], *, chosen: bool = True) -> None:
    """Edit the last line; `chosen` gives it a uuid by which it is read a second time."""
    line = session.lines[-1]
    record = orjson.loads(line.raw)
    if "uuid" in record:
        record["uuid"] = record["uuid"][:-2] + ("40" if chosen else "41")
    edit(record)
    session.lines[-1] = Line(at_ms=line.at_ms, raw=orjson.dumps(record) + b"\n")


def test_an_unknown_record_has_a_fact_of_its_own_and_one_with_its_shape(session: Session) -> None:
    session.unknown()
    session.wait(60_000)
    session.unknown()

    events = Feed().read(session).events("record.unknown")

    assert sorted((event["detail"] or "", event["source_key"].startswith("unknown:drift:")) for event in events) == [
        ("", False),
        ("", False),
        ("record", True),
    ]
    (told,) = [event for event in events if event["detail"]]
    assert told["ended_at"] - told["occurred_at"] == 60_000
    assert json.loads(told["payload_json"])["shape"]["payload"] == {"(more)": 1}


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda s: s.system("brand_new"), "system/brand_new"),
        (lambda s: s.progress("dream_progress", "toolu_1", {}), "progress/dream_progress"),
        (lambda s: s.record("progress", {}), "missing/progress.data"),
        (lambda s: s.progress("agent_progress", "toolu_1", {}), "missing/agent_progress.agentId"),
        (lambda s: s.attachment("brand_new"), "attachment/brand_new"),
        (lambda s: s.assistant({"type": "hologram", "body": "x"}), "block/hologram"),
        (lambda s: s.record("user", {"message": {"role": "user", "content": [{"type": "smell"}]}}), "block/smell"),
        (lambda s: s.tool("Teleport", {"to": "x"}, details={"status": "there"}), "tool/Teleport"),
        (lambda s: s.tool("mcp__alone", {}), "mcp/no_separator"),
        (lambda s: s.tool("mcp__server__", {}), "mcp/no_tool"),
        (lambda s: s.prompt("hi", permissionMode="yolo"), "mode/yolo"),
        (lambda s: s.row({"type": "permission-mode", "permissionMode": "yolo", "sessionId": "s"}), "mode/yolo"),
        (lambda s: s.prompt("hi", promptSource="telepathy"), "source/telepathy"),
        (lambda s: s.prompt("hi", origin={"kind": "dream"}), "value/origin=dream"),
        (lambda s: s.result("t", toolDenialKind="mood"), "value/toolDenialKind=mood"),
        (lambda s: s.system("turn_duration"), "missing/turn_duration.durationMs"),
        (lambda s: s.system("compact_boundary"), "missing/compact_boundary.compactMetadata"),
        (lambda s: s.system("microcompact_boundary"), "missing/microcompact_boundary.microcompactMetadata"),
        (lambda s: s.system("api_error", error={}), "missing/api_error.retryAttempt"),
        (lambda s: s.assistant(text("a"), stop_reason="bored"), "stop/bored"),
        (lambda s: s.assistant(text("a"), request_id=None), "missing/assistant.requestId"),
        (lambda s: s.record("assistant", {}), "missing/assistant.message"),
        (lambda s: s.record("user", {}), "missing/user.message"),
        (lambda s: s.assistant(tool_use("x", "Bash") | {"id": None}), "missing/tool_use.id"),
        (lambda s: s.assistant(tool_use("x", "Bash") | {"name": None}), "missing/tool_use.name"),
        (lambda s: s.record("user", {"message": {"role": "user", "content": [{"type": "tool_result", "content": "x"}]}}),
         "missing/tool_result.tool_use_id"),
    ],
)  # fmt: skip
def test_what_is_new_on_any_line_is_noted(session: Session, write: Callable[[Session], object], name: str) -> None:
    session.prompt("hi")
    write(session)

    found = notes(session.content)

    assert name in found
    fact = found[name]
    assert (fact.label, fact.native) == (name.partition("/")[0], f"drift:{name}/2.1.229/s")


@pytest.mark.parametrize("field", ["id", "model", "usage"])
def test_a_message_without_a_field_that_rules_need_is_noted(session: Session, field: str) -> None:
    session.assistant(text("a"))
    change(session, lambda record: record["message"].pop(field), chosen=False)

    assert f"missing/assistant.message.{field}" in notes(session.content)


def test_a_gateways_model_needs_no_request_id(session: Session) -> None:
    session.assistant(text("a"), model="glm-5", request_id=None)

    assert notes(session.content) == {}


def test_a_tool_that_only_the_model_believes_in_is_not_new(session: Session) -> None:
    session.tool(
        "Teleport", {}, "<tool_use_error>Error: No such tool available: Teleport</tool_use_error>", is_error=True
    )

    assert notes(session.content) == {}


def test_what_clients_write_is_known(session: Session) -> None:
    session.prompt("hi")
    for kind in drift.ATTACHMENTS:
        session.attachment(kind)
    session.assistant(thinking("hm"), text("a"), tool_use("t", "Bash"))
    session.tool("mcp__some_server__find", {})
    session.compaction()
    session.microcompaction()
    session.turn_duration(900)
    session.api_error(attempt=1)
    session.api_failure()
    session.title()
    session.queue()
    session.snapshot()
    session.pull_request()
    for line in list(session.lines):
        session.lines[-1] = line
        change(session, lambda record: None)

    assert notes(session.content) == {}


def test_it_is_one_fact_a_session_kind_name_and_version(session: Session) -> None:
    for _ in range(3):
        session.attachment("brand_new")
    session.version = "2.1.230"
    session.attachment("brand_new")
    other = Session("other", version="2.1.229", seed=8)
    other.attachment("brand_new")

    events = Feed().read(session, other).events("record.unknown")

    assert sorted(event["source_key"] for event in events) == [
        "unknown:drift:attachment/brand_new/2.1.229/other",
        "unknown:drift:attachment/brand_new/2.1.229/s",
        "unknown:drift:attachment/brand_new/2.1.230/s",
    ]


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (lambda r: r.update(costCenter="x"), "key/assistant.costCenter"),
        (lambda r: r["message"].update(mood={"a": 1}), "key/assistant.message.mood"),
        (lambda r: r["message"]["usage"].update(dream_tokens=7), "key/usage.dream_tokens"),
        (lambda r: r.update({"/home/me": 1}), "key/assistant.(odd)"),
        (lambda r: r.pop("cwd"), "missing/assistant.cwd"),
        (lambda r: r.update(version=None), "missing/assistant.version"),
        (lambda r: r["message"].pop("content"), "missing/assistant.message.content"),
        (lambda r: r["message"]["usage"].pop("cache_read_input_tokens"), "missing/usage.cache_read_input_tokens"),
        (lambda r: r["message"]["usage"].update(output_tokens="many"), "missing/usage.output_tokens"),
        (lambda r: r.update(entrypoint="fridge"), "value/entrypoint=fridge"),
        (lambda r: r["message"]["usage"].update(speed="ludicrous"), "value/usage.speed=ludicrous"),
        (lambda r: r["message"]["usage"].update(iterations=[{"type": "dream"}]), "value/iteration=dream"),
    ],
)
def test_what_is_new_on_a_chosen_line_is_noted(
    session: Session, edit: Callable[[dict[str, Any]], object], name: str
) -> None:
    session.assistant(text("a"))
    change(session, edit)

    assert name in notes(session.content)


def test_a_line_that_is_not_chosen_is_not_read_a_second_time(session: Session) -> None:
    session.assistant(text("a"))
    change(session, lambda record: record.update(costCenter="x"), chosen=False)

    assert notes(session.content) == {}


def test_one_line_of_64_is_chosen(session: Session) -> None:
    for _ in range(4_000):
        session.assistant(text("a"))
        session.title(f"title {len(session.lines)}")
    chosen = [line for line in session.lines if orjson.loads(line.raw).get("uuid", "--")[-2:] in ENDINGS]
    rows = [line for line in session.lines if b'"uuid"' not in line.raw and drift.chosen(line.raw[:-1])]

    assert 40 < len(chosen) < 90
    assert 40 < len(rows) < 90


def test_a_row_without_a_session_is_looked_at_and_stands_where_the_line_before_does(session: Session) -> None:
    session.prompt("hi")
    at = session.now
    number = 0
    while not drift.chosen(session.lines[-1].raw[:-1]):
        number += 1
        session.row({"type": "summary", "summary": "an earlier session", "leafUuid": "", "novel": number})
        if not drift.chosen(session.lines[-1].raw[:-1]):
            session.lines.pop()

    (fact,) = notes(session.content).values()

    assert (fact.name, fact.occurred_at) == ("key/summary.novel", at)


# ---- reconciliation: faults planted into the rules, and shapes that they do not read --------------------------------


def test_a_call_that_no_fact_was_made_of_is_a_mismatch(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    original = replies.tool_call

    def lossy(deriver: Any, block: Any, *rest: Any) -> Any:
        return None if block.name == "Grep" else original(deriver, block, *rest)

    monkeypatch.setattr(replies, "tool_call", lossy)
    session.assistant(tool_use("t1", "Bash"))
    change(session, lambda record: None)
    assert notes(session.content) == {}

    session.assistant(tool_use("t2", "Grep"))
    change(session, lambda record: None)

    assert list(notes(session.content)) == ["mismatch/tool_count"]


def test_calls_in_a_container_that_nobody_reads_are_a_mismatch(session: Session) -> None:
    session.assistant({"type": "text", "text": "a", "parts": [tool_use("t1", "Bash")]})
    change(session, lambda record: None)

    assert list(notes(session.content)) == ["mismatch/tool_count"]


def test_what_a_tool_was_given_is_no_call(session: Session) -> None:
    session.assistant(tool_use("t1", "Write", {"content": [tool_use("t2", "Bash")]}))
    change(session, lambda record: None)

    assert notes(session.content) == {}


@pytest.mark.parametrize("field", ["token_input", "token_output", "token_cache_write", "token_cache_read"])
def test_tokens_that_are_not_in_the_fact_are_a_mismatch(
    session: Session, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    original = replies._count

    def lossy(partial: Partial, usage: Any) -> None:
        original(partial, usage)
        setattr(partial, field, 0)

    monkeypatch.setattr(replies, "_count", lossy)
    session.assistant(text("a"), usage=Usage(input=1, output=2, cache_read=3, cache_write=4))
    change(session, lambda record: None)

    assert list(notes(session.content)) == ["mismatch/token_sum"]


# ---- nothing leaks --------------------------------------------------------------------------------------------------

CANARY = "canary-7f3a"


def test_no_value_of_any_field_is_kept(session: Session) -> None:
    def fill(record: dict[str, Any]) -> None:
        record.update(
            newText=f"{CANARY} text", newList=[f"{CANARY} item"], newMap={f"{CANARY} key": f"{CANARY} value"},
            **{f"/{CANARY}/path": 1},
        )  # fmt: skip
        message = record.get("message")
        if isinstance(message, dict):
            message[f"{CANARY} key"] = CANARY
            message["newField"] = [{CANARY: CANARY}]

    inner = {"a": CANARY, "b": [CANARY], "c": {CANARY: CANARY, "Makefile": CANARY}}
    session.prompt(CANARY, promptSource=f"{CANARY} source", permissionMode=f"{CANARY} mode")
    change(session, fill)
    session.assistant({"type": "hologram"} | inner, tool_use("t", f"{CANARY} tool", inner))
    change(session, fill)
    session.result("t", CANARY, details=inner)
    session.attachment("brand_new", **inner)
    change(session, fill)
    session.system("brand_new", **inner)
    session.progress("brand_new", "t", inner)
    session.row({"type": "brand_new", "sessionId": "s", "uuid": "u", "timestamp": "x"} | inner)
    session.tool(f"mcp__{CANARY}", {"x": CANARY}, details=inner)
    session.assistant(text("a"), stop_reason=f"{CANARY} stop")

    facts = notes(session.content)

    assert len(facts) > 12
    for fact in facts.values():
        told = f"{fact.native} {fact.name} {fact.extra} {fact.label}"
        assert CANARY not in told
        assert "Makefile" not in told


def test_facts_of_copies_are_one(session: Session) -> None:
    session.attachment("brand_new")
    session.unknown()
    feed = Feed()

    feed.take((session.path, session.content))
    before = feed.dump()
    feed.take(("copy.jsonl", session.content))

    assert feed.dump() == before


def test_whatever_has_a_rule_is_known() -> None:
    assert signals.CALLED.keys() | signals.ANSWERED.keys() <= known.TOOLS
    assert signals.PROGRESS.keys() <= known.PROGRESS
    assert signals.RECORDED.keys() <= known.KEYS.keys()
    assert known.SUBTYPES.keys() >= {"turn_duration", "compact_boundary", "microcompact_boundary", "api_error"}
    assert HOOK_ENDS | caching.TOOL_LISTS | {"queued_command"} <= known.ATTACHMENTS


FIXTURES = sorted((Path(__file__).resolve().parents[1] / "fixtures" / "transcripts").rglob("*.jsonl"))
PLANTED = {"record/brand-new", "key/assistant.note"}
"""What the golden transcripts of the newest client hold on purpose."""


def test_there_are_golden_transcripts() -> None:
    assert len(FIXTURES) > 4


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.name)
def test_golden_transcripts_hold_what_is_known(path: Path) -> None:
    """Whole files, every line read a second time."""
    batch = Batch()
    deriver = Everything(batch, Carry(), file=0, agent=agent_of(str(path).encode()))

    deriver.feed(path.read_bytes(), 0)

    found = {fact.name for fact in batch.facts[EventType.UNKNOWN].values() if fact.label is not None}
    assert found - PLANTED == set()


class Everything(Deriver):
    """Chooses every line."""

    def _record(self, record: Record) -> None:
        super()._record(record)
        drift.audit(self, record)
