"""Assistant lines: one request a message, its calls, its advisors, and who owns a copy."""

from __future__ import annotations

import orjson
import pytest

from ccagent.facts.model import EventType
from ccagent.recount import Recount
from tests.sources.feed import Feed, derived, only
from tests.transcripts import Session, Usage, text, thinking, tool_use

pytestmark = pytest.mark.usefixtures("either_store")

LLM = EventType.LLM_REQUEST


def changed(session: Session, **fields: object) -> bytes:
    """The session's bytes with these fields on its last record."""
    record = orjson.loads(session.lines[-1].raw) | fields
    return b"".join(line.raw for line in session.lines[:-1]) + orjson.dumps(record) + b"\n"


def test_a_message_of_several_lines_is_one_request_with_the_largest_counts() -> None:
    session = Session("s", version="2.1.30")
    usage = Usage(input=10, cache_read=50, cache_write=1_000, cache_write_1h=400)
    session.assistant(thinking("hm"), text("a"), text("b"), usage=usage, outputs=(1, 90, 70))

    fact = only(derived(session.content), LLM)

    assert (fact.token_input, fact.token_output, fact.token_cache_read) == (10, 90, 50)
    assert (fact.token_cache_write, fact.token_cache_write_1h) == (1_000, 400)


def test_a_message_lasts_from_its_first_to_its_last_line() -> None:
    session = Session("s")
    session.assistant(text("a"), text("b"), text("c"), step_ms=300)

    fact = only(derived(session.content), LLM)

    assert fact.ended_at == session.now
    assert fact.occurred_at == session.now - 600


def test_a_gateways_message_id_counts_once_a_session() -> None:
    one, two = Session("one"), Session("two", seed=2)
    for session in (one, one, two):
        session.assistant(text("a"), message_id="m", request_id=None)

    assert set(derived(one.content + two.content).facts[LLM]) == {"one/m", "two/m"}


def test_one_message_in_two_sessions_is_one_request() -> None:
    one, two = Session("one"), Session("two", seed=2)
    for session in (one, two):
        session.assistant(text("a"), message_id="m")

    assert list(derived(one.content + two.content).facts[LLM]) == ["m"]


def test_a_message_without_an_id_is_kept_but_no_request() -> None:
    session = Session("s")
    session.assistant(text("a"))
    record = orjson.loads(session.content)
    del record["message"]["id"]

    batch = derived(orjson.dumps(record) + b"\n")

    assert batch.facts[LLM] == {}
    assert sorted(str(fact.name) for fact in batch.facts[EventType.UNKNOWN].values()) == [
        "assistant/no_message_id",
        "missing/assistant.message.id",
    ]


def test_empty_ids_tell_neither_messages_nor_calls_apart() -> None:
    one, two = Session("one"), Session("two")
    for session in (one, two):
        session.assistant(
            text("a"), tool_use("t-" + session.session_id, "Read"), tool_use("gone", "Bash"), message_id="gone"
        )
        session.result("gone", "done")
    data = (one.content + two.content).replace(b'"gone"', b'""')

    batch = derived(data)

    assert batch.facts[LLM] == {}
    assert sorted(batch.facts[EventType.TOOL_CALL]) == ["t-one", "t-two"]
    assert batch.nameless_calls == 2
    assert len([1 for fact in batch.facts[EventType.UNKNOWN].values() if fact.name == "assistant/no_message_id"]) == 6
    recount = Recount()
    for line in data.splitlines(keepends=True):
        recount.add_line(line)
    totals = recount.totals()
    assert (totals["requests"], totals["tool_calls"], totals["tool_results"]) == (0, 2, 0)


def test_synthetic_messages_are_no_requests() -> None:
    session = Session("s")
    session.assistant(text("No response requested."), model="<synthetic>")

    batch = derived(session.content)

    assert batch.facts[LLM] == {}
    assert batch.records == {("assistant", "ignored"): 1}


def test_flags_of_price_and_of_a_cut_stream() -> None:
    session = Session("s")
    session.assistant(text("a"), usage=Usage(speed="fast", geo="us"), stop_reason=None, isAbortedMidStream=True)

    event = Feed().read(session).events("llm.request")[0]

    assert event["status"] == "interrupted"


@pytest.mark.parametrize(
    ("version", "stop", "output", "words", "expected"),
    [
        ("2.1.30", "end_turn", 1, "hi", "final"),
        ("2.1.98", None, 1, "hi", "final"),
        ("2.1.30", None, 10, "hi", "placeholder"),
        ("2.1.30", None, 20, "x" * 500, "placeholder"),
        ("2.1.30", None, 100, "hi", "partial"),
    ],
)
def test_how_final_the_usage_is(version: str, stop: str | None, output: int, words: str, expected: str) -> None:
    session = Session("s", version=version)
    session.assistant(text(words), usage=Usage(output=output), stop_reason=stop, outputs=(output,))

    assert Feed().read(session).events("llm.request")[0]["quality"] == expected


def test_steps_beside_the_reply_are_requests_of_their_own() -> None:
    session = Session("s")
    session.assistant(text("a"), usage=Usage(input=5, output=6), message_id="m")
    record = orjson.loads(session.content)
    record["message"]["usage"]["iterations"] = [
        {"type": "message", "input_tokens": 5, "output_tokens": 6},
        {"type": "advisor_message", "model": "claude-haiku-4-5-20251001", "input_tokens": 70, "output_tokens": 80},
        {"type": "fallback_message", "model": "claude-haiku-4-5-20251001", "input_tokens": 1, "output_tokens": 1},
        {"type": "compaction", "input_tokens": 900, "output_tokens": 30, "cache_read_input_tokens": 8_000},
    ]

    found = derived(orjson.dumps(record) + b"\n").facts[LLM]

    assert {native: (fact.name, fact.token_input, fact.token_output) for native, fact in found.items()} == {
        "m": ("claude-opus-4-6", 5, 6),
        "m:iter:1": ("claude-haiku-4-5-20251001", 70, 80),
        "m:iter:3": ("claude-opus-4-6", 900, 30),
    }


def test_an_advisor_model_alone_proves_no_call() -> None:
    session = Session("s")
    session.assistant(text("a"), advisorModel="claude-haiku-4-5-20251001")

    assert len(derived(session.content).facts[LLM]) == 1


def test_calls_point_to_the_request_that_made_them() -> None:
    session = Session("s")
    session.assistant(text("a"), tool_use("t1", "Read"), tool_use("t2", "Grep"), message_id="m")

    calls = Feed().read(session).events("tool.call")

    assert [(call["tool_name"], call["request_key"]) for call in calls] == [("Read", "llm:m"), ("Grep", "llm:m")]


def test_a_call_written_twice_is_one_call_of_its_first_time() -> None:
    session = Session("s")
    session.assistant(tool_use("t1", "Read"), message_id="m")
    first = session.now
    session.assistant(tool_use("t1", "Read"), message_id="m")

    assert only(derived(session.content), EventType.TOOL_CALL).occurred_at == first


def test_thinking_tokens_are_a_part_of_the_output() -> None:
    session = Session("s")
    session.assistant(text("a"), usage=Usage(output=50, thinking=30))

    event = Feed().read(session).events("llm.request")[0]

    assert (event["token_output"], event["token_thinking"]) == (50, 30)


@pytest.mark.parametrize("stated", [None, 0, 40])
def test_cache_writes_are_at_least_the_parts_that_a_line_states(stated: int | None) -> None:
    session = Session("s")
    session.assistant(text("a"), usage=Usage(cache_write=130, cache_write_1h=100), message_id="m")
    record = orjson.loads(session.content)
    record["message"]["usage"]["cache_creation_input_tokens"] = stated
    feed = Feed()

    feed.take(("/p/s.jsonl", orjson.dumps(record) + b"\n"))

    event = feed.event("llm:m")
    assert (event["token_cache_write_5m"], event["token_cache_write_1h"]) == (30, 100)
    assert feed.total("tokens") == 10 + 100 + 130


def test_skill_and_effort_stand_on_the_request() -> None:
    session = Session("s")
    session.assistant(text("a"), attributionSkill="reviewer", effort="high")

    event = Feed().read(session).events("llm.request")[0]

    assert (event["skill"], event["payload_json"]) == ("reviewer", '{"effort":"high"}')


def test_an_unknown_model_has_no_cost() -> None:
    session = Session("s", model="glm-5")
    session.request(usage=Usage(input=10, output=5))

    feed = Feed().read(session)

    event = feed.events("llm.request")[0]
    assert (event["cost_microusd"], event["cost_source"]) == (None, "unpriced")
    assert feed.total("unpriced.tokens") == 15


def test_of_a_message_copied_into_two_sessions_the_earlier_copy_owns() -> None:
    early, late = Session("z", branch="early"), Session("a", branch="late", seed=2, start=1_770_714_900_000)
    for session in (early, late):
        session.assistant(text("a"), message_id="m")

    event = Feed().read(late, early).event("llm:m")

    assert (event["session_id"], event["git_branch"]) == ("z", "early")


def test_a_main_chain_copy_owns_before_a_sub_agents_earlier_one() -> None:
    session = Session("s")
    child = session.agent()
    child.assistant(text("a"), message_id="m")
    session.wait(600_000)
    session.prompt("hello")
    session.assistant(text("a"), message_id="m")

    assert Feed().read(session).event("llm:m")["agent_id"] is None


def test_a_sub_agents_file_owns_before_the_relayed_copy() -> None:
    session = Session("s", version="2.1.30")
    session.prompt("hello")
    tool = session.launch()
    session.agent_progress(tool, "a1", text("x"), message_id="m")
    session.wait(60_000)
    child = session.agent(agent_id="a1")
    child.branch = "agents"
    child.assistant(text("x"), message_id="m")

    assert Feed().read(session).event("llm:m")["git_branch"] == "agents"


def test_a_failed_request_is_an_error_and_no_request() -> None:
    session = Session("s")
    session.prompt("hello")
    session.api_failure(error="rate_limit", status=429, words="You've hit your session limit · resets 12:40pm")

    feed = Feed().read(session)

    assert feed.events("llm.request") == []
    (error,) = feed.events("api.error")
    assert (error["status"], error["failure_class"]) == ("error", "usage_limit")
    assert feed.events("turn")[0]["status"] == "error"


def test_a_turn_that_went_on_after_a_failure_is_ok() -> None:
    session = Session("s")
    session.prompt("hello")
    session.api_failure()
    session.request()

    assert Feed().read(session).events("turn")[0]["status"] == "ok"


def test_records_count_as_new_once_and_as_merged_afterwards() -> None:
    session = Session("s")
    session.assistant(thinking("a"), text("b"), message_id="m")
    feed = Feed().read(session)

    feed.take((session.path, session.content), again=True)

    assert feed.counted("ingest.records") == {'["assistant","new"]': 1, '["assistant","merged"]': 3}
