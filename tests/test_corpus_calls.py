"""The real transcripts: what calls, turns, threads and sessions amount to, against a plain count of the lines."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccagent.store.efficiency import efficiency
from ccagent.store.threads import threads
from ccagent.store.turns import turns
from tests.sources.feed import Feed

pytestmark = pytest.mark.corpus

FAILURES = {
    "nonzero_exit": 110, "rejected": 40, "not_found": 31, "invalid_input": 17, "denied": 12, "cancelled": 11,
    "mcp_error": 3, "interrupted": 1, "other": 1,
}  # fmt: skip
"""Failed calls by class, counted by hand from the first lines of the 228 error texts; of two more that were rejected
the call stands in no file."""

WRITTEN = re.compile(
    r"\s*(<(command-|local-command-|bash-|task-notification|ide_|system-reminder|user-memory)|\[Request interrupted)"
)
"""How texts begin that the client writes in a person's name."""

Line = dict[str, Any]


@pytest.fixture(scope="module")
def files(corpus: Path) -> dict[str, list[Line]]:
    """Path → records, of lines that are one sound object each."""
    root = corpus / "projects"
    paths = sorted(path for path in root.rglob("*.jsonl") if path.name != "journal.jsonl")
    return {str(path.relative_to(root)): list(records(path.read_bytes())) for path in paths}


@pytest.fixture(scope="module")
def feed(corpus: Path, files: dict[str, list[Line]]) -> Iterator[Feed]:
    feed = Feed()
    for path in files:
        feed.take((path, (corpus / "projects" / path).read_bytes()))
    yield feed
    feed.close()


def records(data: bytes) -> Iterator[Line]:
    for line in data.split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def blocks(record: Line, kind: str) -> list[Line]:
    content = (record.get("message") or {}).get("content")
    return [block for block in content if block.get("type") == kind] if isinstance(content, list) else []


def is_prompt(record: Line) -> bool:
    """A line that a person typed: no result, and nothing that the client wrote in a person's name."""
    text = typed(record)
    return text is not None and not WRITTEN.match(text)


def is_command(record: Line) -> bool:
    """A slash command."""
    return re.match(r"\s*<command-(name|message|args)>", typed(record) or "") is not None


def typed(record: Line) -> str | None:
    if record["type"] != "user" or record.get("isMeta") or record.get("isCompactSummary") or record.get("isSidechain"):
        return None
    if blocks(record, "tool_result"):
        return None
    content = record["message"]["content"]
    return content if isinstance(content, str) else next((block["text"] for block in blocks(record, "text")), "")


def messages(lines: list[Line]) -> list[Line]:
    return [record for record in lines if record.get("type") in ("user", "assistant")]


def retries(lines: list[Line]) -> Iterator[str]:
    """Names of tools that were called again after the same call had failed, since the last prompt."""
    last: dict[tuple[str, str], str] = {}
    failed: set[str] = set()
    seen: set[str] = set()
    for record in messages(lines):
        if is_prompt(record):
            last.clear()
        for block in blocks(record, "tool_result"):
            refused = "The user doesn't want to" in json.dumps(block.get("content"))
            if block.get("is_error") and not refused:
                failed.add(block["tool_use_id"])
        for block in blocks(record, "tool_use"):
            if block["id"] in seen:
                continue
            seen.add(block["id"])
            call = block["name"], json.dumps(block["input"])
            if last.get(call) in failed:
                yield call[0]
            last[call] = block["id"]


def test_retries_are_those_of_a_plain_count(feed: Feed, files: dict[str, list[Line]]) -> None:
    expected = Counter(name for lines in files.values() for name in retries(lines))

    assert {tool.tool: tool.retries for tool in efficiency(feed.store.conn).tools if tool.retries} == expected
    assert sum(expected.values()) == 42


def test_failures_by_class_are_those_counted_by_hand(feed: Feed) -> None:
    found = Counter(
        row["failure_class"]
        for row in feed.events("tool.call")
        if row["failure_class"] is not None and not row["relayed"]
    )

    assert found == FAILURES


def test_the_calls_of_each_turn_are_those_of_a_plain_count(feed: Feed, files: dict[str, list[Line]]) -> None:
    expected: Counter[str] = Counter()
    for path, lines in files.items():
        if Path(path).name.startswith("agent-"):
            continue
        turn = command = None
        for record in messages(lines):
            if is_prompt(record):
                turn, command = record["uuid"], None
            elif is_command(record):
                command = record["uuid"]
            elif record["type"] == "assistant" and command and record["message"].get("model") != "<synthetic>":
                turn, command = command, None
            if turn is not None:
                expected[turn] += len(blocks(record, "tool_use"))

    found = {row["source_key"].removeprefix("turn:"): row["turn_tool_calls"] for row in feed.events("turn")}
    assert {turn: calls for turn, calls in found.items() if calls} == {
        turn: calls for turn, calls in expected.items() if calls
    }
    assert max(found.values()) == 186


def test_the_parts_of_every_turn_add_up(feed: Feed) -> None:
    sessions = {row["session_id"] for row in feed.events("session.lifecycle")}
    found = [turn for session in sorted(sessions) for turn in turns(feed.store.conn, session)]

    assert len(found) == len(feed.events("turn"))
    assert [turn.id for turn in found if sum(turn.parts[1:]) != turn.parts.wall] == []


def test_sub_agents_of_each_session_are_those_that_lines_name(feed: Feed, files: dict[str, list[Line]]) -> None:
    expected: dict[str, set[str]] = {}
    for path, lines in files.items():
        stem = Path(path).stem
        for record in lines:
            named = (record.get("data") or {}).get("agentId") if record.get("type") == "progress" else None
            result = record.get("toolUseResult")
            if isinstance(result, dict):
                named = named or result.get("agentId")
            if stem.startswith("agent-"):
                named = stem.removeprefix("agent-")
            if named:
                expected.setdefault(record["sessionId"], set()).add(named)

    found = {session: {run.agent for run in threads(feed.store.conn, session).runs} for session in expected}
    assert found == expected
    assert sum(map(len, found.values())) == len(feed.events("subagent.run"))


def test_orphans_are_agent_files_whose_session_is_not_there(feed: Feed, files: dict[str, list[Line]]) -> None:
    launched = {
        result["agentId"]
        for lines in files.values()
        for record in lines
        if isinstance(result := record.get("toolUseResult"), dict) and result.get("agentId")
    } | {
        record["data"]["agentId"]
        for lines in files.values()
        for record in lines
        if record.get("type") == "progress"
        and (record.get("data") or {}).get("agentId")
        and record.get("parentToolUseID")
    }
    stems = {Path(path).stem.removeprefix("agent-") for path in files if Path(path).stem.startswith("agent-")}
    expected = {stem for stem in stems if not stem.startswith("acompact") and stem not in launched}

    sessions = {row["session_id"] for row in feed.events("session.lifecycle")}
    runs = [run for session in sessions for run in threads(feed.store.conn, session).runs]

    assert {run.agent for run in runs if run.orphaned and run.agent in stems} == expected
    assert len(expected) == 1
    assert sum(run.own for run in runs) == sum(stem.startswith("acompact") for stem in stems)


def test_sessions_with_a_resume_hook_are_resumed(feed: Feed, files: dict[str, list[Line]]) -> None:
    expected = {
        record["sessionId"]
        for lines in files.values()
        for record in lines
        if record.get("type") == "progress" and (record.get("data") or {}).get("hookName") == "SessionStart:resume"
    }

    kinds = {row["session_id"]: row["session_kind"] for row in feed.events("session.lifecycle")}
    assert {session for session, kind in kinds.items() if kind == "resumed"} == expected
    assert set(kinds.values()) == {"fresh", "resumed"}


def test_people_were_asked_where_they_said_no_or_answered(feed: Feed, files: dict[str, list[Line]]) -> None:
    expected = set()
    for lines in files.values():
        for record in messages(lines):
            expected |= {
                block["id"]
                for block in blocks(record, "tool_use")
                if block["name"] in ("AskUserQuestion", "ExitPlanMode")
            }
            expected |= {
                block["tool_use_id"]
                for block in blocks(record, "tool_result")
                if block.get("is_error") and re.match(r"The user doesn't want to", str(block.get("content")))
            }

    found = {row["source_key"].removeprefix("tool:") for row in feed.events("tool.call") if row["waited_for_human"]}
    relayed = {row["source_key"].removeprefix("tool:") for row in feed.events("tool.call") if row["relayed"]}
    assert found - relayed == expected - relayed
    assert len(found) == 53


def test_shells_that_were_put_aside_at_their_limit_timed_out(feed: Feed, files: dict[str, list[Line]]) -> None:
    asked: dict[str, Line] = {}
    expected = set()
    for lines in files.values():
        for record in messages(lines):
            asked |= {block["id"]: block["input"] for block in blocks(record, "tool_use") if block["name"] == "Bash"}
            result = record.get("toolUseResult")
            if isinstance(result, dict) and result.get("backgroundTaskId"):
                call = blocks(record, "tool_result")[0]["tool_use_id"]
                if not asked[call].get("run_in_background"):
                    expected.add(call)

    found = [row for row in feed.events("tool.call") if row["timeout_flag"]]
    assert {row["source_key"].removeprefix("tool:") for row in found} == expected
    assert [row for row in found if row["duration_ms"] < 30_000] == []
    assert len(expected) == 5
