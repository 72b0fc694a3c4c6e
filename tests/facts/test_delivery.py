"""Command lines as steps of delivery."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.delivery import STEPS, Step, concerns, steps


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("git commit -m 'a message'", [Step("commit")]),
        ("git add -A && git commit -m x", [Step("commit")]),
        ("git -C /repo -c user.name=me commit -m x", [Step("commit")]),
        ("/usr/bin/git commit -m x", [Step("commit")]),
        ("git.exe commit -m x", [Step("commit")]),
        ("git commit --amend --no-edit", [Step("commit", "", "a")]),
        ("git commit -qm x", [Step("commit", "", "q")]),
        ("git commit -mq", [Step("commit")]),
        ("git commit --quiet -m x", [Step("commit", "", "q")]),
        ("git commit -m x > /dev/null", [Step("commit", "", "q")]),
        ("git commit --dry-run", []),
        ("git commit-tree HEAD", []),
        ("echo 'git commit -m x'", []),
        ('git commit -m "$(cat <<\'EOF\'\nthen git push and gh pr create\nEOF\n)"', [Step("commit")]),
        ("make test && git commit -m x", [Step("commit", "", "u")]),
        ("make test; git commit -m x", [Step("commit")]),
        ("git commit -m x && make test", [Step("commit", "", "f")]),
        ("git commit -m x | tail -3", [Step("commit")]),
        ("git commit -m x || git commit --amend", [Step("commit", "", "f"), Step("commit", "", "ea")]),
        ("if true; then git commit -m x; fi", [Step("commit", "", "e")]),
        ("git commit -qm x; git log -1 --oneline", [Step("commit", "", "q"), Step("show")]),
        ("git commit -qm x; git rev-parse --short HEAD", [Step("commit", "", "q"), Step("show")]),
        ("git log -3", [Step("show")]),
        ("git merge origin/main --no-edit", [Step("merge")]),
        ("git merge --abort", []),
        ("git merge-base a b", []),
        ("git merge --no-commit topic", []),
        ("git cherry-pick abc1234", [Step("cherry-pick")]),
        ("git cherry-pick -n abc1234", []),
        ("git revert --no-edit HEAD", [Step("revert")]),
        ("git rebase --continue", [Step("rebase")]),
        ("git push", [Step("push")]),
        ("git push -u origin topic", [Step("push", "topic")]),
        ("git push origin HEAD:refs/heads/topic", [Step("push", "topic")]),
        ("git push origin +topic", [Step("push", "topic")]),
        ("git push origin HEAD", [Step("push")]),
        ("git push origin a b", [Step("push")]),
        ('git push origin "$BRANCH"', [Step("push")]),
        ("git push --dry-run", []),
        ("git push 2>&1 | tail -4", [Step("push")]),
        ("git commit -m x && git push", [Step("commit", "", "f"), Step("push", "", "u")]),
        ("git fetch origin && git merge origin/main", [Step("fetch"), Step("merge", "", "u")]),
        ("git checkout -b topic", [Step("branch", "topic")]),
        ("git checkout -q -B topic origin/main", [Step("branch", "topic")]),
        ("git switch -c topic main", [Step("branch", "topic")]),
        ("git branch topic", [Step("branch", "topic")]),
        ("git branch -d topic", []),
        ("git branch --show-current", []),
        ("git worktree add -b topic ../topic", [Step("branch", "topic")]),
        ("git worktree list", []),
        ("git checkout main", [Step("switch")]),
        ("git checkout -- file.py", []),
        ("gh pr create --title 'a 7' --body b", [Step("pr.opened")]),
        ("gh pr create --dry-run", []),
        ("URL=$(gh pr create --fill)", [Step("pr.opened", "", "q")]),
        ("gh pr merge 12 --squash", [Step("pr.merged", "#12")]),
        ("gh pr merge --squash --delete-branch 12", [Step("pr.merged", "#12")]),
        ("gh pr merge -m 12", [Step("pr.merged", "#12")]),
        ("gh pr merge --auto 12", []),
        ("gh pr merge", [Step("pr.merged")]),
        ("gh pr close topic", [Step("pr.closed", "topic")]),
        ("gh pr close https://github.com/o/r/pull/3/files", [Step("pr.closed", "github.com/o/r/pull/3")]),
        ("gh pr reopen 3 -R o/r", [Step("pr.reopened", "github.com/o/r/pull/3")]),
        ("gh pr reopen 3 --repo=ghe.example.org/o/r", [Step("pr.reopened", "ghe.example.org/o/r/pull/3")]),
        ("gh pr edit --add-label 7 3", [Step("pr.edited", "#3")]),
        ("gh pr ready 3", [Step("pr.ready", "#3")]),
        ("gh pr ready 3 --undo", [Step("pr.edited", "#3")]),
        ("gh pr review 3 --approve -b 'fine'", [Step("pr.reviewed", "#3")]),
        ("gh pr view 3", []),
        ("gh issue create --title x", []),
        ("glab mr create --fill", [Step("pr.opened")]),
        ("glab mr merge 5 -R g/s/p", [Step("pr.merged", "gitlab.com/g/s/p/-/merge_requests/5")]),
        ("hub pull-request -m x", [Step("pr.opened")]),
        ("", []),
        ("git", []),
        ("gh", []),
        ("git commit -m 'open", [Step("commit")]),
    ],
)  # fmt: skip
def test_a_command_line_as_steps(command: str, expected: list[Step]) -> None:
    assert list(steps(command)) == expected


def test_a_step_holds_no_text_of_the_command() -> None:
    (step,) = steps("git commit -m 'a secret'")

    assert "secret" not in repr(step)


def test_steps_are_bounded() -> None:
    assert len(steps("\n".join(["git push"] * 100))) == STEPS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"git status", False), (b"git log --oneline", False), (b"go test ./...", False), (b"a digit merged", False),
        (b"legit-tool push", False), (b"git commit -m x", True), (b"x && gh pr create", True), (b"git am x", True),
        (b"glab mr create", True), (b"hub pull-request", True), (b"git switch -c a", True),
        (rb'{"command":"cd /x\ngit commit"}', True), (rb'{"command":"\tgh pr create"}', True),
    ],
)  # fmt: skip
def test_the_test_that_every_shell_call_costs(text: bytes, expected: bool) -> None:
    assert concerns(text) is expected


@given(st.text(alphabet="git commit-m push 'xq&|;\n$(){}gh pr #7/:.", max_size=80))
def test_no_command_line_breaks_it(command: str) -> None:
    found = steps(command)

    assert len(found) <= STEPS
    assert (
        not found or concerns(command.encode()) or {step.verb for step in found} <= {"show", "fetch", "clone", "remote"}
    )
