"""Evidence and links of the real transcripts, counted again without any of the program's code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ccagent.facts.links import WHOLE
from ccagent.store.queries import UNATTRIBUTED, usage
from tests.sources.feed import Feed

pytestmark = pytest.mark.corpus

TRUNKS = {"main", "master", "HEAD", "temp", ""}
STANDARDS = {"SHA", "UTF", "AES", "RFC", "ISO", "CVE"}


@pytest.fixture(scope="module")
def files(corpus_files: dict[str, bytes]) -> dict[str, bytes]:
    return corpus_files


@pytest.fixture(scope="module")
def feed(corpus_feed: Feed) -> Feed:
    return corpus_feed


@pytest.fixture(scope="module")
def records(files: dict[str, bytes]) -> list[list[dict[str, Any]]]:
    """The records of each file, those lines that are JSON objects."""
    found = []
    for data in files.values():
        lines = []
        for line in data.split(b"\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                lines.append(record)
        found.append(lines)
    return found


def calls(records: list[list[dict[str, Any]]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Session, tool and input of each call of an assistant's line."""
    for lines in records:
        session = None
        for record in lines:
            session = record.get("sessionId") or session
            message = record.get("message")
            content = message.get("content") if isinstance(message, dict) else None
            for block in content if isinstance(content, list) else ():
                if isinstance(block, dict) and block.get("type") == "tool_use" and session:
                    yield session, str(block.get("name")), block.get("input") or {}


def facts(feed: Feed, kind: str, *ways: str) -> set[tuple[str, str]]:
    """(session, thing) of the evidence of that kind, found in these ways."""
    found = feed.store.conn.execute(
        "SELECT session_id, source_key, detail FROM telemetry_events WHERE event_type = 'artifact.linked'"
    )
    return {
        (session, key.split(f"/{kind}/", 1)[1].rpartition("/")[0])
        for session, key, way in found
        if f"/{kind}/" in key and way in ways
    }


def test_every_branch_that_is_no_trunk_names_a_feature(feed: Feed, records: list[list[dict[str, Any]]]) -> None:
    expected = {
        (record["sessionId"], record["gitBranch"])
        for lines in records
        for record in lines
        if record.get("sessionId") and record.get("gitBranch", "") not in TRUNKS
    }

    found = facts(feed, "feature", "branch")

    assert len(found) == len({(session, branch.rpartition("/")[2]) for session, branch in expected})
    assert all(any(session == of and name in branch for of, branch in expected) for session, name in found)


def test_tickets_are_those_of_the_branches(feed: Feed, records: list[list[dict[str, Any]]]) -> None:
    expected = set()
    for lines in records:
        for record in lines:
            branch = record.get("gitBranch") or ""
            if match := re.search(r"(?:^|/)([a-z]+)-(\d+)-", branch):
                ticket = f"#{match[2]}" if match[1] == "issue" else f"{match[1].upper()}-{match[2]}"
                expected.add((record["sessionId"], ticket))

    assert facts(feed, "task", "ticket") == expected
    assert expected


def test_task_ids_of_commands_are_found(feed: Feed, records: list[list[dict[str, Any]]]) -> None:
    expected = {
        (session, task)
        for session, tool, given in calls(records)
        if tool == "Bash"
        for task in re.findall(r"(?<![\w-])[A-Z]{2,10}-[0-9]{1,6}(?!\w)", str(given.get("command", "")))
        if task.split("-")[0] not in STANDARDS
    }

    assert facts(feed, "task", "text") == expected
    assert expected


def test_documents_of_file_tools_are_found(feed: Feed, records: list[list[dict[str, Any]]]) -> None:
    expected = set()
    for session, tool, given in calls(records):
        path = str(given.get("file_path", ""))
        if tool in ("Read", "Write", "Edit", "MultiEdit") and path.endswith(".md") and "/plugins/" not in path:
            if "/plans/" in path:
                stem = path.rpartition("/")[2][:-3]
                expected.add((session, re.sub(r"^\d{4}-\d\d-\d\d-|-v\d+$", "", stem)))
            elif "/docs/requirements/" in path:
                rest = path.split("/docs/requirements/")[1].split("/")
                if len(rest) > 1:
                    expected.add((session, rest[0]))

    assert facts(feed, "feature", "read", "create", "write", "other", "command") >= expected
    assert facts(feed, "feature", "read", "create", "write") <= expected
    assert expected


def test_sessions_in_worktrees_belong_to_the_repository(feed: Feed, records: list[list[dict[str, Any]]]) -> None:
    expected = set()
    for lines in records:
        first = next((record for record in lines if record.get("cwd")), None)
        if first is not None and (
            match := re.search(r"[\\/](?:\.worktrees|worktrees|\w+-worktrees)[\\/]", first["cwd"])
        ):
            cut = first["cwd"][: match.start()]
            name = match.group()[1:-1]
            repository = f"{cut}/{name.removesuffix('-worktrees')}" if name.endswith("-worktrees") else cut
            expected.add((first["sessionId"], re.sub(r"[\\/]\.claude$", "", repository)))

    assert facts(feed, "project", "worktree") == expected
    assert len(expected) >= 10
    kept = feed.store.conn.execute("SELECT DISTINCT project_id FROM telemetry_events").fetchall()
    assert not [project for (project,) in kept if project is not None and "worktrees" in project]


def test_shares_add_up_and_usage_by_feature_is_all_usage(feed: Feed) -> None:
    sums = feed.store.conn.execute("SELECT SUM(share) FROM link WHERE kind = 1 GROUP BY source, target_kind").fetchall()
    bounds = feed.store.conn.execute("SELECT MIN(confidence), MAX(confidence) FROM link WHERE kind = 1").fetchone()

    rows = usage(feed.store.conn, by="feature", since_ms=None, until_ms=None, timezone=None)
    (total,) = usage(feed.store.conn, by="total", since_ms=None, until_ms=None, timezone=None)

    assert {int(row[0]) for row in sums} == {WHOLE}
    assert bounds is not None
    assert 350 <= bounds[0] <= bounds[1] <= 1_000
    assert sum(row.cost_microusd or 0 for row in rows) == total.cost_microusd
    assert sum(row.requests for row in rows) == total.requests
    for kind, amount in total.tokens.items():
        assert sum(row.tokens[kind] for row in rows) == amount
    assert UNATTRIBUTED in {row.key for row in rows}
