"""Pushes and changes of branch by what a shell call printed."""

from __future__ import annotations

import pytest

from ccagent.facts.delivery import steps
from ccagent.facts.model import Status
from ccagent.facts.pushes import REFS, Branch, Push, branches, pushes


def found(command: str, text: str, status: Status = Status.OK, recorded: str | None = None) -> list[Push]:
    return pushes(steps(command), text, status, recorded=recorded)


@pytest.mark.parametrize(
    ("line", "branch", "kind", "status", "head"),
    [
        ("   1234567..89abcde  main -> main", "main", "update", Status.OK, "89abcde"),
        (" + 1234567...89abcde main -> main (forced update)", "main", "forced", Status.OK, "89abcde"),
        (" * [new branch]      a/b -> a/b", "a/b", "new", Status.OK, None),
        (" * [new branch]      HEAD -> topic", "topic", "new", Status.OK, None),
        (" * [new tag]         v1 -> v1", "v1", "tag", Status.OK, None),
        (" - [deleted]         topic", "topic", "deleted", Status.OK, None),
        (" ! [rejected]        main -> main (fetch first)", "main", "rejected", Status.ERROR, None),
        (" ! [remote rejected] main -> main (protected)", "main", "rejected", Status.ERROR, None),
        (" = [up to date]      main -> main", "main", "unchanged", Status.OK, None),
    ],
)
def test_a_reference_line(line: str, branch: str, kind: str, status: Status, head: str | None) -> None:
    assert found("git push", f"To github.com:o/r.git\n{line}\n") == [
        Push(branch, kind, status, 95, "github.com/o/r", head)
    ]


def test_a_list_whose_beginning_was_cut_off() -> None:
    (push,) = found("git push 2>&1 | tail -1", "   1234567..89abcde  main -> main\n")

    assert (push.branch, push.repository, push.confidence) == ("main", None, 95)


def test_lines_of_a_fetch_are_no_pushes() -> None:
    text = "From github.com:o/r\n   1111111..2222222  main -> origin/main\nTo github.com:o/r.git\n   3333333..4444444  a -> a\n"

    assert [push.branch for push in found("git pull && git push", text)] == ["a"]
    assert found("git pull", text) == []


def test_several_references_and_remotes() -> None:
    text = (
        "To github.com:o/r.git\n   1111111..2222222  a -> a\n * [new tag]  v1 -> v1\n"
        "To gitlab.com:o/r.git\n   1111111..2222222  a -> a\n"
    )

    assert [(push.branch, push.repository) for push in found("git push --all", text)] == [
        ("a", "github.com/o/r"), ("v1", "github.com/o/r"), ("a", "gitlab.com/o/r"),
    ]  # fmt: skip


def test_references_are_bounded() -> None:
    text = "To github.com:o/r.git\n" + "   1111111..2222222  a -> a\n" * (REFS + 9)

    assert len(found("git push --mirror", text)) == REFS


def test_the_clients_own_record_is_certain() -> None:
    text = "To github.com:o/r.git\n   1111111..2222222  a -> a\n"

    assert [push.confidence for push in found("git push", text, recorded="a")] == [100]
    assert found("git push", "", recorded="b") == [Push("b", None, Status.OK, 100)]
    assert found("make release", "", recorded="b") == [Push("b", None, Status.OK, 100)]


@pytest.mark.parametrize(
    ("command", "text", "status", "expected"),
    [
        ("git push origin a", "", Status.OK, [Push("a", None, Status.OK, 60)]),
        ("git push", "Everything up-to-date\n", Status.OK, [Push(None, "unchanged", Status.OK, 95)]),
        ("git push", "fatal: The current branch a has no upstream branch.\n", Status.ERROR,
         [Push(None, None, Status.ERROR, 95)]),
        ("git push || true", "fatal: could not read\n", Status.OK, [Push(None, None, Status.ERROR, 95)]),
        ("git push", "Exit code 1", Status.ERROR, [Push(None, None, Status.ERROR, 60)]),
        ("git commit -m x && git push", "hook failed", Status.ERROR, []),
        ("git push && make deploy", "deploy failed", Status.ERROR, []),
        ("git push", "", Status.REJECTED, [Push(None, None, Status.REJECTED, 60)]),
        ("git push", "", Status.OPEN, [Push(None, None, Status.OPEN, 60)]),
        ("true || git push", "", Status.OK, []),
        ("git status", "", Status.OK, []),
    ],
)  # fmt: skip
def test_a_push_that_printed_no_reference(command: str, text: str, status: Status, expected: list[Push]) -> None:
    assert found(command, text, status) == expected


@pytest.mark.parametrize(
    ("command", "text", "status", "expected"),
    [
        ("git checkout -b topic", "Switched to a new branch 'topic'\n", Status.OK, [Branch("topic", True)]),
        ("git checkout -q -b topic", "", Status.OK, [Branch("topic", True)]),
        ("git checkout -b topic", "fatal: a branch named 'topic' already exists\n", Status.ERROR, []),
        ("git checkout main", "Switched to branch 'main'\n", Status.OK, [Branch("main", False)]),
        ("git checkout file.py", "Updated 1 path from the index\n", Status.OK, []),
        ("git switch main || git switch -c main", "Switched to branch 'main'\n", Status.OK, [Branch("main", False)]),
        ("git worktree add -b topic ../t", "Preparing worktree (new branch 'topic')\n", Status.OK, [Branch("topic", True)]),
        ("cat notes", "Switched to branch 'main'\n", Status.OK, []),
    ],
)  # fmt: skip
def test_branches(command: str, text: str, status: Status, expected: list[Branch]) -> None:
    assert branches(steps(command), text, status) == expected
