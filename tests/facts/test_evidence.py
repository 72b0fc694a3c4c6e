"""What arguments, shell commands and paths are evidence of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.evidence import (
    MENTIONS,
    WEIGHTS,
    conventions,
    of_arguments,
    of_branch,
    of_path,
    of_shell,
)
from ccagent.facts.links import STRATEGIES
from ccagent.facts.targets import Target

SHELL = [
    ("cat docs/plans/login-form.md", {("feature", "login-form", "read")}),
    ("grep -n x docs/plans/login-form.md", {("feature", "login-form", "search")}),
    ("git add docs/plans/login-form.md", {("feature", "login-form", "shell")}),
    ("cat > docs/plans/login-form.md <<'EOF'\ntext\nEOF", {("feature", "login-form", "shell")}),
    ("cd docs && sed -i s/a/b/ plans/login-form.md", {("feature", "login-form", "shell")}),
    (
        "mv docs/plans/a-first.md docs/plans/b-second.md",
        {("feature", "a-first", "shell"), ("feature", "b-second", "shell")},
    ),
    ("rg foo docs/plans/login/phase-2-api.md", {("feature", "login", "search"), ("phase", "2", "text")}),
    ("cat ~/.claude/plans/calm-brave-owl.md", {("feature", "calm-brave-owl", "other")}),
    ("git commit -m 'ENT-12: done'", {("task", "ENT-12", "text")}),
    ("git commit -m 'WEB-AUTH-3.2 and ENT-12'", {("task", "WEB-AUTH-3.2", "text"), ("task", "ENT-12", "text")}),
    ("openssl dgst -SHA-256 UTF-8 RFC-2119 CVE-2024-1 X-1 [A-Z0-9]", set()),
    ("gh pr view 12 --json title", {("pull_request", "#12", "number")}),
    ("gh pr list --limit 12", set()),
    ("gh pr view https://github.com/a/b/pull/9", {("pull_request", "github.com/a/b/pull/9", "url")}),
    ("ls docs/plans", set()),
    ("", set()),
]

ARGUMENTS = [
    (
        "docs/project_plans/login-form.md phase 2",
        {("feature", "login-form", "command"), ("phase", "2", "text")},
    ),
    ("@docs/plans/login-form.md", {("feature", "login-form", "command")}),
    ("review #12 and ENT-3", {("pull_request", "#12", "number"), ("task", "ENT-3", "text")}),
    ("https://github.com/a/b/pull/9", {("pull_request", "github.com/a/b/pull/9", "url")}),
    ("color &#12; a/b#3", set()),
    ("and carry on", set()),
]


def found(mentions: tuple[object, ...]) -> set[tuple[str, str, str]]:
    return {(each.target.name.lower(), each.id, each.strategy) for each in mentions}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("command", "expected"), SHELL)
def test_a_shell_command_names_documents_tasks_and_pull_requests(
    command: str, expected: set[tuple[str, str, str]]
) -> None:
    assert found(of_shell(command)) == expected


@pytest.mark.parametrize(("text", "expected"), ARGUMENTS)
def test_arguments_name_documents_phases_tasks_and_pull_requests(
    text: str, expected: set[tuple[str, str, str]]
) -> None:
    assert found(of_arguments(text)) == expected


@pytest.mark.parametrize(
    ("strategy", "weight"),
    [("command", 960), ("create", 950), ("write", 950), ("shell", 840), ("search", 660), ("other", 520), ("read", 460)],
)
def test_a_document_weighs_as_it_was_touched(strategy: str, weight: int) -> None:
    assert [each.weight for each in of_path("docs/plans/login-form.md", strategy)] == [weight]


def test_a_plan_that_the_client_named_is_no_more_than_a_mention() -> None:
    (mention,) = of_path("/home/u/.claude/plans/calm-brave-owl.md", "create")

    assert (mention.strategy, mention.weight) == ("other", WEIGHTS["other"])


def test_a_plan_of_the_repository_s_own_folder_is_a_document() -> None:
    (mention,) = of_path("/home/u/repo/.claude/plans/login-form.md", "create")

    assert mention.strategy == "create"


def test_the_pattern_of_task_ids_can_be_another_one() -> None:
    rules = conventions(r"T\d+")

    assert found(of_shell("git commit -m 'T12 and ENT-3'", rules)) == {("task", "T12", "text")}


def test_a_branch_is_evidence_of_feature_and_ticket() -> None:
    assert found(of_branch("alex/ent-109-text-output")) == {
        ("feature", "text-output", "branch"), ("task", "ENT-109", "ticket"),
    }  # fmt: skip


def test_a_list_of_everything_is_cut() -> None:
    command = "wc " + " ".join(f"docs/plans/feature-{number}.md" for number in range(100))

    assert len(of_shell(command)) == MENTIONS


def test_every_way_of_finding_is_a_strategy_of_links() -> None:
    assert set(WEIGHTS) <= set(STRATEGIES)


@given(st.text(max_size=300))
def test_any_text_is_read_the_same_way_twice(text: str) -> None:
    assert of_shell(text) == of_shell(text)
    assert all(each.id and each.target in Target for each in (*of_shell(text), *of_arguments(text)))
