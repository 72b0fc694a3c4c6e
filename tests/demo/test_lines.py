"""The session writer speaks the dialect of the client that it names."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.transcripts import Session, Usage, at, folder_of, stamp, text, thinking, tool_use


def records(session: Session) -> list[dict[str, Any]]:
    return [orjson.loads(line.raw) for line in session.lines]


def outputs(session: Session) -> list[int]:
    return [record["message"]["usage"]["output_tokens"] for record in records(session)]


def test_a_time_is_written_as_clients_write_it() -> None:
    assert stamp(at("2026-02-10T09:00:01.042Z")) == "2026-02-10T09:00:01.042Z"


def test_a_folder_keeps_letters_and_digits_alone() -> None:
    assert folder_of("C:\\Users\\demo\\a.b_c") == "C--Users-demo-a-b-c"


def test_the_same_seed_writes_the_same_bytes() -> None:
    first, second = (Session("s-1") for _ in range(2))
    for session in (first, second):
        session.prompt("hello")
        session.bash("ls", exit_code=1)

    assert first.content == second.content


def test_sessions_of_different_ids_share_no_message_id() -> None:
    first, second = Session("s-1"), Session("s-2")

    assert first.request() != second.request()


def test_each_record_names_the_one_before_as_its_parent() -> None:
    session = Session()
    session.prompt("hello")
    session.assistant(thinking("hm"), text("hi"))

    uuids = [record["uuid"] for record in records(session)]
    assert [record["parentUuid"] for record in records(session)] == [None, *uuids[:-1]]


def test_all_lines_of_a_response_share_its_ids() -> None:
    session = Session()
    session.assistant(thinking("hm"), text("hi"))

    assert len({(record["message"]["id"], record["requestId"]) for record in records(session)}) == 1
    assert [len(record["message"]["content"]) for record in records(session)] == [1, 1]


@pytest.mark.parametrize(("version", "expected"), [("2.0.76", [2, 3, 90]), ("2.1.229", [90, 90, 90])])
def test_only_newer_clients_write_the_final_usage_on_every_line(version: str, expected: list[int]) -> None:
    session = Session(version=version)
    session.assistant(thinking("a"), text("b"), tool_use("t", "Read"), usage=Usage(output=90))

    assert outputs(session) == expected


def test_a_placeholder_never_becomes_a_final_count() -> None:
    session = Session(version="2.1.30")
    session.assistant(thinking("a"), text("b"), usage=Usage(output=90), placeholder=True)

    assert outputs(session) == [1, 1]


@pytest.mark.parametrize(("version", "reason"), [("2.1.30", None), ("2.1.229", "tool_use")])
def test_older_clients_write_no_stop_reason(version: str, reason: str | None) -> None:
    session = Session(version=version)
    session.assistant(tool_use("t", "Read"))

    assert records(session)[0]["message"]["stop_reason"] == reason


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("2.0.76", "-home-demo-atlas/agent-abc.jsonl"),
        ("2.1.30", "-home-demo-atlas/s-1/subagents/agent-abc.jsonl"),
    ],
)
def test_an_agent_file_lies_where_its_generation_puts_it(version: str, path: str) -> None:
    assert Session("s-1", version=version).agent(agent_id="abc").path == path


def test_an_inline_agent_writes_into_the_main_file() -> None:
    session = Session(version="1.0.108")
    child = session.agent(inline=True)
    child.prompt("look")
    session.adopt(child)

    assert [record["isSidechain"] for record in records(session)] == [True]
    assert session.agents == []


def test_a_result_points_at_the_line_of_its_call() -> None:
    session = Session()
    session.bash("ls")

    call, result = records(session)
    assert result["sourceToolAssistantUUID"] == call["uuid"]
    assert result["message"]["content"][0]["tool_use_id"] == call["message"]["content"][0]["id"]


def test_a_compaction_starts_a_new_chain() -> None:
    session = Session()
    before = session.prompt("hello")
    boundary = session.compaction(150_000)

    _, marker, summary = records(session)
    assert (marker["parentUuid"], marker["logicalParentUuid"]) == (None, before)
    assert summary["parentUuid"] == boundary
    assert summary["isCompactSummary"] is True
