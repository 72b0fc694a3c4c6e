"""Shell calls of the real transcripts, counted a second time with nothing but json and regular expressions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.sources.feed import Feed

pytestmark = pytest.mark.corpus

PLAIN_TASK = re.compile(r"mise run (test|lint)(?::\w+)?(?: 2>&1)?")
"""A whole command line whose exit code is the task's."""

ANY_RUN = re.compile(
    r"(?:mise run (?:test|lint)|go (?:test|vet|build) |mix (?:test|credo|dialyzer|compile|format --check)|golangci-lint run"
    r"|gofmt -[ld]|vitest run|-m pytest|-m ruff (?:check|format --check))"
)
"""What the quality runs of these transcripts are started with, as one read them."""

EXUNIT = re.compile(r"^(?:(\d+) doctests?, )?(\d+) tests?, (\d+) failures?$", re.MULTILINE)
DELETED = 20
"""Files and folders that rm deleted by name: read by hand."""


class Shell(NamedTuple):
    command: str
    output: str
    failed: bool


@pytest.fixture(scope="module")
def rows(corpus: Path) -> list[dict[str, Any]]:
    """All facts, as the view shows them."""
    feed = Feed()
    for path in _paths(corpus):
        feed.take((str(path.relative_to(corpus)), path.read_bytes()))
    found = feed.events()
    feed.close()
    return found


@pytest.fixture(scope="module")
def shells(corpus: Path) -> dict[str, Shell]:
    """tool_use id → each shell call that has a result."""
    commands: dict[str, str] = {}
    found: dict[str, Shell] = {}
    for block in _blocks(corpus):
        if block.get("type") == "tool_use" and block.get("name") == "Bash":
            commands[block["id"]] = block["input"]["command"]
        elif block.get("type") == "tool_result" and block["tool_use_id"] in commands:
            content = block.get("content")
            if isinstance(content, list):
                content = "\n".join(part.get("text", "") for part in content)
            tool = block["tool_use_id"]
            found.setdefault(tool, Shell(commands[tool], content or "", bool(block.get("is_error"))))
    return found


def _paths(corpus: Path) -> list[Path]:
    return sorted(path for path in (corpus / "projects").rglob("*.jsonl") if path.name != "journal.jsonl")


def _blocks(corpus: Path) -> Iterator[dict[str, Any]]:
    for path in _paths(corpus):
        for line in path.read_text(errors="replace").split("\n"):
            try:
                content = json.loads(line)["message"]["content"]
            except (ValueError, KeyError, TypeError):
                continue
            if isinstance(content, list):
                yield from (block for block in content if isinstance(block, dict))


def _runs(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """tool_use id → the one run of that call."""
    found = {row["source_key"].removeprefix("quality:"): row for row in rows if row["event_type"] == "quality.run"}
    return {tool: row for tool, row in found.items() if "#" not in tool}


def test_a_task_that_stands_alone_ends_as_its_exit_code_says(
    rows: list[dict[str, Any]], shells: dict[str, Shell]
) -> None:
    runs = _runs(rows)
    expected = {}
    for tool, shell in shells.items():
        task = PLAIN_TASK.fullmatch(shell.command)
        if task is not None:
            status = "ok" if not shell.failed else "error" if shell.output.startswith("Exit code") else "rejected"
            expected[tool] = task.group(1), status

    assert len(expected) > 100
    assert {tool: (runs[tool]["quality_kind"], runs[tool]["status"]) for tool in expected} == expected


def test_nothing_else_is_a_run_and_no_run_is_missed(rows: list[dict[str, Any]], shells: dict[str, Shell]) -> None:
    """A call is a quality call if a reader of its first lines says so; those that only speak of runs are known."""
    quality = {row["source_key"].removeprefix("quality:").partition("#")[0] for row in rows if row.get("quality_kind")}
    started = {
        tool
        for tool, shell in shells.items()
        if ANY_RUN.search(
            re.sub(
                r"<<-?\s*['\"]?(\w+)['\"]?.*?^\1$|\"[^\"]*\"|'[^']*'", "", shell.command, flags=re.DOTALL | re.MULTILINE
            )
        )
    }

    assert quality - started == set()
    assert len(started - quality) <= 5  # compiled or printed only, or a line that the shell could not read


def test_failures_of_exunit_are_counted(rows: list[dict[str, Any]], shells: dict[str, Shell]) -> None:
    runs = _runs(rows)
    expected = {}
    for tool, shell in shells.items():
        said = EXUNIT.findall(shell.output)
        if shell.command.startswith("mix test") and len(said) == 1 and tool in runs:
            doctests, tests, failures = (int(number or 0) for number in said[0])
            expected[tool] = doctests + tests - failures, failures

    assert len(expected) > 30
    assert {tool: (runs[tool]["passed"], runs[tool]["failed"]) for tool in expected} == expected


def test_recursive_deletes_are_the_only_dangerous_calls(rows: list[dict[str, Any]], shells: dict[str, Shell]) -> None:
    """Read by hand: nothing is pushed by force, reset, dropped or piped into a shell in these transcripts."""
    dangerous = {row["source_key"].removeprefix("tool:"): row["danger"] for row in rows if row["danger"]}
    recursive = {tool for tool, shell in shells.items() if re.search(r"(?:^|&& |; |\n)rm -(?:rf|r) ", shell.command)}

    assert dangerous == dict.fromkeys(recursive, "rm_rf")


def test_deleted_files_are_those_that_were_read_by_hand(rows: list[dict[str, Any]], shells: dict[str, Shell]) -> None:
    deleted = [row for row in rows if row["event_type"] == "file.update" and row["detail"] == "delete"]

    assert len(deleted) == DELETED
    for row in deleted:
        tool = row["source_key"].removeprefix("file:").partition("#")[0]
        assert row["file_path"].rpartition("/")[2] in shells[tool].command
