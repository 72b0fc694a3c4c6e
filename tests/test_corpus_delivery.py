"""Delivery in the real transcripts, counted a second time with nothing but json and regular expressions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ccagent.store.delivery import deliveries
from tests.sources.feed import Feed

pytestmark = pytest.mark.corpus

PRINTED = re.compile(r"^\[(?:detached HEAD|\S+)(?: \([^)]*\))? ([0-9a-f]{7,40})\]", re.MULTILINE)
REFERENCE = re.compile(r"^ [ +*!=-] (?:\[[^\]]+\]|[0-9a-f]+\.{2,3}[0-9a-f]+) +\S+ +-> +\S+", re.MULTILINE)
WRITTEN = (
    "<local-command",
    "<bash-",
    "<ide_",
    "<user-memory",
    "<system-rem",
    "<task-notification",
    "[Request interrupted",
)
"""How user lines begin that the client has written."""


@pytest.fixture(scope="module")
def feed(corpus: Path) -> Iterator[Feed]:
    """All files, one by one."""
    feed = Feed()
    for path in paths(corpus):
        feed.take((str(path.relative_to(corpus)), path.read_bytes()))
    yield feed
    feed.close()


def paths(corpus: Path) -> list[Path]:
    return sorted(path for path in (corpus / "projects").rglob("*.jsonl") if path.name != "journal.jsonl")


@pytest.fixture(scope="module")
def shells(corpus: Path) -> dict[str, tuple[str, str]]:
    """tool_use id → command and output of each shell call that has a result."""
    commands: dict[str, str] = {}
    found: dict[str, tuple[str, str]] = {}
    for record in records(corpus):
        for block in blocks(record):
            if block.get("type") == "tool_use" and block.get("name") == "Bash":
                commands[block["id"]] = block["input"]["command"]
            elif block.get("type") == "tool_result" and block["tool_use_id"] in commands:
                content = block.get("content")
                if isinstance(content, list):
                    content = "\n".join(part.get("text", "") for part in content)
                found[block["tool_use_id"]] = commands[block["tool_use_id"]], content or ""
    return found


def records(corpus: Path) -> Iterator[dict[str, Any]]:
    for path in paths(corpus):
        yield from objects(path)


def objects(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().split("\n"):
        try:
            yield json.loads(line)
        except ValueError:
            continue


def blocks(record: dict[str, Any]) -> list[dict[str, Any]]:
    message = record.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def test_commits_that_git_printed(feed: Feed, shells: dict[str, tuple[str, str]]) -> None:
    expected = {sha[:7] for command, output in shells.values() if "git" in command for sha in PRINTED.findall(output)}

    found = {row["commit_hash"] for row in feed.events("git.commit") if (row["confidence"] or 0) >= 0.95}

    assert len(expected) > 50
    assert found == expected


def test_every_call_that_commits_left_a_commit_or_an_attempt(feed: Feed, shells: dict[str, tuple[str, str]]) -> None:
    """But two whose `git add` failed, so that git never came to commit."""
    called = {
        id_ for id_, (command, _) in shells.items() if re.search(r"(?:^|&&|;|\n)\s*git(?: -C \S+)? commit\b", command)
    }
    silent = {id_ for id_ in called if not PRINTED.search(shells[id_][1])}
    ignored = {id_ for id_ in silent if "paths are ignored by one of your .gitignore" in shells[id_][1]}

    commits = feed.events("git.commit")
    keys = [row["source_key"].removeprefix("commit:attempt:") for row in commits if ":attempt:" in row["source_key"]]
    attempts = {key.partition("#")[0] for key in keys}
    shown = [row for row in commits if row["confidence"] == 0.6 and row["detail"] is not None]

    assert len(ignored) == 2
    assert len(attempts & silent) + len(shown) == len(silent - ignored)


def test_references_that_were_pushed(feed: Feed, shells: dict[str, tuple[str, str]]) -> None:
    pushing = {
        id_: output for id_, (command, output) in shells.items() if re.search(r"\bgit(?: -C \S+)? push\b", command)
    }
    expected = {id_: len(REFERENCE.findall(output)) for id_, output in pushing.items() if REFERENCE.search(output)}

    found: dict[str, int] = {}
    for row in feed.events("git.push"):
        if row["detail"] is not None:
            call = row["source_key"].partition(":")[2].partition("#")[0]
            found[call] = found.get(call, 0) + 1

    assert len(expected) > 30
    assert found == expected


def test_pull_requests_are_distinct_by_address(feed: Feed, corpus: Path) -> None:
    linked = {record["prUrl"] for record in records(corpus) if record.get("type") == "pr-link"}
    truth = json.loads((corpus / "truth.json").read_text())

    found = [row["pr_url"] for row in feed.events("pull_request")]

    assert sorted(found) == sorted(linked)
    assert len(found) == truth["pull_requests"]


def test_the_work_behind_each_delivery_began_with_the_first_prompt_of_its_branch_or_session(
    feed: Feed, corpus: Path
) -> None:
    by_branch: dict[str | None, int] = {}
    by_session: dict[str, int] = {}
    for path in paths(corpus):
        branch = None
        for record in objects(path):
            branch = record.get("gitBranch") or branch
            if record.get("type") == "user" and not path.name.startswith("agent-") and asked(record):
                at = round(datetime.fromisoformat(record["timestamp"]).timestamp() * 1_000)
                by_branch[branch] = min(at, by_branch.get(branch, at))
                session = record["sessionId"]
                by_session[session] = min(at, by_session.get(session, at))

    found = [each for each in deliveries(feed.store.conn) if each.at is not None]

    assert len(found) > 60
    for each in found:
        assert each.began == (by_branch[each.branch] if each.strategy == "branch" else by_session[str(each.session)])
        assert each.cycle_ms == (each.at or 0) - (each.began or 0)


def asked(record: dict[str, Any]) -> bool:
    """Whether a person wrote that user line."""
    if any(record.get(mark) for mark in ("isMeta", "isCompactSummary", "isSidechain")):
        return False
    content = record["message"]["content"]
    if isinstance(content, list):
        if any(block.get("type") == "tool_result" for block in content):
            return False
        content = next((block["text"] for block in content if block.get("type") == "text"), "")
    return not content.startswith(WRITTEN)
