"""From bytes to records: what is sound, what is recovered, and what of a broken line is still kept."""

from __future__ import annotations

import json

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.model import EventType
from ccagent.sources.claude.lines import Parsed, lenient, parse, recover, text_of
from ccagent.sources.claude.records import Record, Usage
from tests.sources.feed import derived, only
from tests.transcripts import Session, nul_run, text, with_line_separators

MESSAGE = (
    b'{"type":"assistant","uuid":"u1","timestamp":"2026-02-10T09:00:00.000Z","sessionId":"s","requestId":"r",'
    b'"message":{"id":"m1","model":"claude-opus-4-6","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn",'
    b'"usage":{"input_tokens":%s,"output_tokens":7}}}'
)


def recovered(line: bytes) -> Parsed:
    parsed = parse(line)
    assert isinstance(parsed, Parsed)
    return parsed


def tokens(line: bytes) -> tuple[int, int]:
    """Input and output tokens of the line's one request."""
    fact = only(derived(line + b"\n"), EventType.LLM_REQUEST)
    return fact.token_input, fact.token_output


def test_a_sound_line_is_one_record() -> None:
    record = parse(MESSAGE % b"3")

    assert isinstance(record, Record)
    assert record.message is not None
    assert record.message.id == "m1"


@pytest.mark.parametrize(
    "number",
    [b"9223372036854775808", b"18446744073709551616", b"1e999", b"NaN", b"-1", b'"3"', b"null", b"[]", b"3.5", b"true"],
)
def test_a_counter_that_is_no_count_spoils_that_counter_alone(number: bytes) -> None:
    assert tokens(MESSAGE % number) == (0, 7)


def test_duplicate_keys_leave_the_last() -> None:
    assert tokens(MESSAGE % b'3,"input_tokens":5') == (5, 7)


def test_a_lone_surrogate_is_replaced_and_the_line_kept() -> None:
    parsed = recovered(MESSAGE.replace(b"claude-opus-4-6", b"half \\ud83d") % b"3")

    assert parsed.reason == "fallback"
    assert parsed.records[0].message is not None
    assert parsed.records[0].message.model == "half \ufffd"


def test_an_escaped_nul_in_a_text_reaches_the_fact() -> None:
    assert tokens(MESSAGE.replace(b"hi", b"a\\u0000b") % b"3") == (3, 7)


def test_raw_nul_bytes_around_a_record_are_stripped() -> None:
    parsed = recovered(b"\0" * 30 + MESSAGE % b"3")

    assert (parsed.reason, parsed.broken, len(parsed.records)) == ("nul", False, 1)


def test_a_run_of_nul_alone_is_garbage() -> None:
    parsed = recovered(nul_run().rstrip(b"\n"))

    assert (parsed.reason, parsed.broken, parsed.records) == ("garbage", True, ())


def test_a_byte_order_mark_is_no_damage() -> None:
    assert recovered(b"\xef\xbb\xbf" + MESSAGE % b"3").reason == "fallback"


def test_bytes_that_are_no_utf8_are_replaced_and_the_counters_kept() -> None:
    assert tokens(MESSAGE.replace(b'"u1"', b'"\xff\xfe"') % b"3") == (3, 7)


@pytest.mark.parametrize("depth", [600, 5_000, 200_000])
def test_a_record_nested_too_deep_never_raises(depth: int) -> None:
    line = b'{"type":"user","uuid":"u","sessionId":"s","toolUseResult":' + b"[" * depth + b"]" * depth + b"}"

    batch = derived(line + b"\n")

    assert batch.lines.get("objects", 0) + batch.lines.get("bad", 0) == 1


def test_two_whole_records_on_one_line_both_count() -> None:
    parsed = recovered(MESSAGE % b"3" + b'{"type":"user","uuid":"u2"}')

    assert (parsed.reason, parsed.broken) == ("spliced", False)
    assert [record.type for record in parsed.records] == ["assistant", "user"]


def test_empty_objects_on_one_line_are_objects() -> None:
    assert (len(recovered(b"{}{}").records), recovered(b"{}{}").reason) == (2, "spliced")


def test_objects_before_a_broken_place_are_kept_and_nothing_behind_it_is_searched() -> None:
    parsed = recovered(MESSAGE % b"3" + b'{"type":"us' + MESSAGE % b"4")

    assert (parsed.reason, parsed.broken, len(parsed.records)) == ("truncated", True, 1)


def test_a_truncated_record_before_a_whole_one_gives_nothing() -> None:
    parsed = recovered(b'{"type":"assistant","mess' + MESSAGE % b"3")

    assert (parsed.reason, parsed.broken, parsed.records) == ("garbage", True, ())


@pytest.mark.parametrize("line", [b"[1,2]", b'"text"', b"12", b"null", b"nonsense", b"{"])
def test_what_is_no_object_is_garbage(line: bytes) -> None:
    assert recovered(line).reason == "garbage"


def test_a_carriage_return_before_the_newline_does_not_matter() -> None:
    assert tokens(MESSAGE % b"3" + b"\r") == (3, 7)


@pytest.mark.parametrize(
    "field",
    ["uuid", "timestamp", "sessionId", "cwd", "version", "gitBranch", "isSidechain", "agentId", "requestId", "data",
     "isMeta", "permissionMode", "durationMs", "compactMetadata", "retryAttempt", "apiErrorStatus", "effort", "origin",
     "error", "toolUseResult", "attributionSkill", "isAbortedMidStream", "subtype", "entrypoint"],
)  # fmt: skip
@pytest.mark.parametrize("value", [[], {}, 12, "x", True, 1.5, {"a": [None]}, 2**70, -(2**70)])
def test_a_field_of_the_wrong_shape_spoils_no_other_field(field: str, value: object) -> None:
    record = orjson.loads(MESSAGE % b"3")
    line = json.dumps(record | {field: value}).encode()

    assert tokens(line) == (3, 7)


@pytest.mark.parametrize("value", ["1e999", "1e300", "-1e999", "9223372036854775808", "NaN", '"soon"', "-5"])
@pytest.mark.parametrize("kind", ["turn", "agent"])
def test_a_duration_that_is_none_is_left_out(kind: str, value: str) -> None:
    session = Session("s")
    session.prompt("hello")
    if kind == "turn":
        session.turn_duration(4_711)
        line = session.lines[-1].raw.replace(b"4711", value.encode())
    else:
        tool = session.launch()
        session.result(tool, "done", details={"status": "completed", "agentId": "a1", "totalDurationMs": 4_711})
        line = session.lines[-1].raw.replace(b"4711", value.encode())

    batch = derived(b"".join(row.raw for row in session.lines[:-1]) + line)

    if kind == "turn":
        assert only(batch, EventType.TURN).reported_ms is None
    else:
        run = only(batch, EventType.SUBAGENT_RUN)
        assert run.result is not None
        assert run.result.reported_ms == -1


def test_separators_of_unicode_end_no_line() -> None:
    session = Session("s")
    session.request()

    batch = derived(with_line_separators(session.content))

    assert batch.lines == {"objects": 1}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'"plain"', "plain"),
        (b'[{"type":"text","text":"one"},{"type":"image"},{"type":"text","text":"two"}]', "one\ntwo"),
        (b'[{"type":"text","text":7}, 3]', ""),
        (b"17", ""),
        (b"", ""),
        (b'"half \\ud83d"', "half \ufffd"),
    ],
)
def test_the_text_of_a_content_field(content: bytes, expected: str) -> None:
    assert text_of(msgspec.Raw(content)) == expected


def test_a_text_is_cut_at_its_limit() -> None:
    assert text_of(msgspec.Raw(b'"abcdef"'), 3) == "abc"


def test_lenient_keeps_what_fits() -> None:
    usage = lenient(Usage, {"input_tokens": 3, "output_tokens": "x", "cache_creation": [], "iterations": [1, {}]})

    assert (usage.input_tokens, usage.output_tokens, usage.cache_creation) == (3, None, None)
    assert usage.iterations is not None
    assert len(usage.iterations) == 1


@given(st.binary(max_size=300))
def test_no_bytes_raise(line: bytes) -> None:
    derived(line.replace(b"\n", b" ") + b"\n")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ("type", "text", "id", "name", "input", "tool_use_id", "is_error", "content", "usage", "model", "kind", "agentId",
         "status", "structuredPatch", "lines", "filePath", "message", "requestId", "trigger", "preTokens", "error")
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(
    st.sampled_from(("assistant", "user", "system", "progress", "permission-mode", "summary", "new", 7)),
    st.dictionaries(st.sampled_from(Record.__struct_fields__), JSON, max_size=8),
)
def test_no_shape_of_a_record_raises(kind: object, fields: dict[str, object]) -> None:
    line = json.dumps({"uuid": "u"} | fields | {"type": kind}).encode()

    batch = derived(line + b"\n")

    assert batch.lines["objects"] == 1


def test_recovering_a_sound_line_finds_the_same_record() -> None:
    session = Session("s")
    session.assistant(text("hi"))
    line = session.content.rstrip(b"\n")

    record, found = parse(line), recover(line).records[0]

    assert isinstance(record, Record)
    assert record.message is not None
    assert found.message is not None
    assert record.message.usage == found.message.usage
    assert (record.uuid, record.sessionId, record.timestamp) == (found.uuid, found.sessionId, found.timestamp)
