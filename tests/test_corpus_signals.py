"""The real transcripts: skills, commands, hooks, permissions, queues and tasks, counted a second time in plain JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from tests.sources.feed import Feed

pytestmark = pytest.mark.corpus

Records = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def files(corpus_files: dict[str, bytes]) -> dict[str, bytes]:
    return corpus_files


@pytest.fixture(scope="module")
def records(files: dict[str, bytes]) -> Records:
    """Path → objects of its sound lines."""
    found: Records = {}
    for path, data in files.items():
        kept = found[path] = []
        for line in data.split(b"\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                kept.append(record)
    return found


@pytest.fixture(scope="module")
def feed(corpus_feed: Feed) -> Feed:
    return corpus_feed


def counts(feed: Feed, columns: str, kind: str, where: str = "1 = 1") -> Counter[Any]:
    """Rows of telemetry_events by `columns`."""
    sql = f"SELECT {columns}, count(*) FROM telemetry_events WHERE event_type = '{kind}' AND {where} GROUP BY {columns}"
    found = feed.store.conn.execute(sql).fetchall()
    return Counter({row[0] if len(row) == 2 else row[:-1]: row[-1] for row in found})


def blocks(record: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    content = (record.get("message") or {}).get("content")
    if not isinstance(content, list):
        return []
    return [block for block in content if isinstance(block, dict) and block.get("type") == kind]


def words(record: dict[str, Any]) -> str:
    """The text of a user line, or of a system line."""
    content = (record.get("message") or {}).get("content", record.get("content"))
    if isinstance(content, list):
        content = next((block.get("text") for block in content if block.get("type") == "text"), "")
    return content if isinstance(content, str) else ""


def calls_of(records: Records, *names: str) -> dict[str, dict[str, Any]]:
    """Calls of these tools by their id, each with the record of its result, if there is one."""
    calls: dict[str, dict[str, Any]] = {}
    for lines in records.values():
        for record in lines:
            for block in blocks(record, "tool_use"):
                if block["name"] in names:
                    calls[block["id"]] = {"call": block, "record": None, "result": None}
    for lines in records.values():
        for record in lines:
            for block in blocks(record, "tool_result"):
                if block["tool_use_id"] in calls:
                    calls[block["tool_use_id"]] |= {"record": record, "result": block}
    return calls


def test_skills_called_and_typed(feed: Feed, records: Records) -> None:
    called: Counter[Any] = Counter()
    for each in calls_of(records, "Skill").values():
        status = "open" if each["result"] is None else "error" if each["result"].get("is_error") else "ok"
        called[each["call"]["input"]["skill"], "tool", status] += 1
    typed = {
        record["parentUuid"]: before
        for lines in records.values()
        for before, record in pairwise(lines)
        if record.get("isMeta") and "sourceToolUseID" not in record and words(record).startswith("Base directory for")
    }
    for before in typed.values():
        name = re.search("<command-name>/(.*?)</command-name>", words(before))
        assert name is not None
        called[name.group(1), "typed", "ok"] += 1

    assert len(typed) > 1
    assert counts(feed, "skill, detail, status", "skill.activation") == called


def test_commands_local_and_not(feed: Feed, records: Records) -> None:
    expected: Counter[Any] = Counter()
    for lines in records.values():
        for number, record in enumerate(lines):
            local = record.get("subtype") == "local_command"
            found = re.match(r"\s*<command-(?:name|message)>", words(record))
            if not found or not (local or record.get("type") == "user"):
                continue
            name = re.search("<command-name>(.*?)</command-name>", words(record))
            assert name is not None
            command = "/" + name.group(1).removeprefix("/")
            for later in lines[number + 1 :]:
                if words(later).startswith("<local-command-stdout>"):
                    expected[command, int(command != "/compact"), "ok"] += 1
                    break
                if later.get("type") == "assistant" and later["message"]["model"] != "<synthetic>":
                    expected[command, 0, "ok"] += 1
                    break
            else:
                expected[command, 0, "open"] += 1

    assert counts(feed, "command, local_command, status", "command.run") == expected


def test_hooks_by_event_and_outcome(feed: Feed, records: Records) -> None:
    runs: dict[tuple[Any, ...], str] = {}
    for lines in records.values():
        for record in lines:
            data = record.get("data") or {}
            if data.get("type") == "hook_progress":
                key = (record["toolUseID"], data["hookEvent"], data["hookName"], data["command"], 0)
                runs.setdefault(key, "open")
            if record.get("subtype") == "stop_hook_summary":
                unsure = record["hookErrors"] and len(record["hookErrors"]) < len(record["hookInfos"])
                commands = [info["command"] for info in record["hookInfos"]]
                for number, command in enumerate(commands):
                    key = (record["toolUseID"], "Stop", "Stop", command, commands[:number].count(command))
                    runs[key] = "open" if unsure else "error" if record["hookErrors"] else "ok"

    expected = Counter((key[1], key[2], status) for key, status in runs.items())
    assert counts(feed, "event_name, detail, status", "hook.run") == expected


def test_changes_of_the_permission_mode(feed: Feed, records: Records) -> None:
    expected: Counter[Any] = Counter()
    for lines in records.values():
        modes = [record["permissionMode"] for record in lines if record.get("permissionMode")]
        expected.update((old, new) for old, new in pairwise(modes) if old != new)

    assert expected
    assert counts(feed, "detail, event_name", "permission.change") == expected


def test_operations_of_the_queue(feed: Feed, records: Records) -> None:
    rows = [
        record for lines in records.values() for record in lines if record.get("type") == "queue-operation"
    ]  # fmt: skip

    assert counts(feed, "event_name", "queue.operation") == Counter(row["operation"] for row in rows)
    lengths = sum(len(row["content"]) for row in rows if "content" in row)
    assert feed.scalar("SELECT sum(size) FROM telemetry_events WHERE event_type = 'queue.operation'") == lengths
    waited = "SELECT count(*) FROM telemetry_events WHERE event_type = 'queue.operation' AND duration_ms IS NOT NULL"
    assert feed.scalar(waited) == sum(row["operation"] == "dequeue" for row in rows)


def test_transitions_of_tasks(feed: Feed, records: Records) -> None:
    expected: Counter[Any] = Counter()
    last: dict[tuple[str, str], str] = {}
    for lines in records.values():
        for record in lines:
            said = record.get("toolUseResult")
            if not isinstance(said, dict):
                continue
            if "newTodos" in said:
                session = record["sessionId"]
                old = {todo["content"]: todo["status"] for todo in said["oldTodos"]}
                new = {todo["content"]: todo["status"] for todo in said["newTodos"]}
                for task, state in new.items():
                    if old.get(task, last.get((session, task))) != state:
                        expected[state] += 1
                for task, state in old.items():
                    if task not in new and state != "completed":
                        expected["deleted"] += 1
                        new[task] = "deleted"
                last |= {(session, task): state for task, state in new.items()}
            elif "statusChange" in said:
                expected[said["statusChange"]["to"]] += 1
            elif set(said) == {"task"} and set(said["task"]) == {"id", "subject"}:
                expected["pending"] += 1

    assert counts(feed, "task_state", "task.transition") == expected
    finished = "event_type = 'task.transition' AND terminal = 1"
    over = feed.scalar(f"SELECT count(*) FROM telemetry_events WHERE {finished}")
    assert over == expected["completed"] + expected["deleted"]


def test_calls_of_mcp_servers(feed: Feed, records: Records) -> None:
    names = {
        block["id"]: block["name"]
        for lines in records.values()
        for record in lines
        for block in blocks(record, "tool_use")
        if block["name"].startswith("mcp__")
    }

    expected = Counter(tuple(name.removeprefix("mcp__").split("__", 1)) for name in names.values())
    assert counts(feed, "mcp_server, mcp_tool", "tool.call", "mcp_server IS NOT NULL AND NOT relayed") == expected


def test_what_mcp_servers_say_they_took(feed: Feed, records: Records) -> None:
    took: dict[str, int] = {}
    for lines in records.values():
        for record in lines:
            data = record.get("data") or {}
            if data.get("type") == "mcp_progress" and data.get("elapsedTimeMs") is not None:
                took["tool:" + record["toolUseID"]] = data["elapsedTimeMs"]

    rows = feed.store.conn.execute(
        "SELECT source_key, reported_ms FROM telemetry_events WHERE mcp_server IS NOT NULL AND reported_ms IS NOT NULL"
    )
    assert took
    assert dict(rows.fetchall()) == took


def test_no_text_of_a_command_or_task_is_kept(feed: Feed, records: Records) -> None:
    """Commands of hooks and texts of todos are digests."""
    texts = {(record.get("data") or {}).get("command") for lines in records.values() for record in lines} | {
        todo["content"] for each in calls_of(records, "TodoWrite").values() for todo in each["call"]["input"]["todos"]
    }
    kept = {value for (value,) in feed.store.conn.execute("SELECT value FROM name")}

    assert not (texts - {None, "callback"}) & kept
