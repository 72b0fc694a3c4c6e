"""Commits by what a shell call printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.commits import Attempt, Commit, commits, key_of
from ccagent.facts.delivery import Step, steps
from ccagent.facts.model import Status
from ccagent.facts.pushes import pushes

FULL = "1234567890abcdef1234567890abcdef12345678"
LINE = "[topic 1234567] Words\n 2 files changed, 30 insertions(+), 4 deletions(-)\n"


def found(command: str, text: str, status: Status = Status.OK, **options: object) -> tuple[list[Commit], list[Attempt]]:
    return commits(steps(command), text, status, **options)  # type: ignore[arg-type]


def test_the_line_that_git_commit_prints() -> None:
    made, attempts = found("git commit -m x", LINE)

    assert made == [Commit("1234567", "commit", "topic", 95, 2, 30, 4)]
    assert attempts == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (" 1 file changed, 1 insertion(+)\n", (1, 1, 0)),
        (" 1 file changed, 2 deletions(-)\n", (1, 0, 2)),
        (" 3 files changed, 0 insertions(+), 0 deletions(-)\n", (3, 0, 0)),
        (" Author: A <a@example.com>\n Date: Thu\n 1 file changed, 5 insertions(+)\n", (1, 5, 0)),
        ("", (-1, -1, -1)),
        ("\n\n\n\n\n\n 9 files changed, 1 insertion(+)\n", (-1, -1, -1)),
    ],
)
def test_files_and_lines_changed(changed: str, expected: tuple[int, int, int]) -> None:
    (commit,), _ = found("git commit -m x", f"[main 1234567] Words\n{changed}")

    assert commit[4:] == expected


@pytest.mark.parametrize(
    ("command", "line", "kind", "branch"),
    [
        ("git commit -m x", "[main (root-commit) 1234567] first", "commit", "main"),
        ("git commit -m x", "[detached HEAD 1234567] words", "commit", None),
        ("git commit --amend --no-edit", "[main 1234567] words", "amend", "main"),
        ("git commit --no-edit", "[main 1234567] Merge branch 'a' into main", "merge", "main"),
        ("git commit --no-edit", "[main 1234567] Merge remote-tracking branch 'origin/a'", "merge", "main"),
        ("git cherry-pick abc", "[main 1234567] words", "cherry-pick", "main"),
        ("git revert --no-edit HEAD", '[main 1234567] Revert "words"', "revert", "main"),
        ("git rebase --continue", "[detached HEAD 1234567] words", "rebase", None),
    ],
)
def test_the_kind_of_a_commit(command: str, line: str, kind: str, branch: str | None) -> None:
    (commit,), _ = found(command, line + "\n")

    assert (commit.kind, commit.branch) == (kind, branch)


def test_several_commits_of_one_call() -> None:
    made, _ = found("git commit -m a && git commit --amend", "[m 1111111] a\n[m 2222222] b\n")

    assert [(commit.sha, commit.kind) for commit in made] == [("1111111", "commit"), ("2222222", "amend")]


def test_a_commit_counts_although_a_later_command_failed() -> None:
    made, attempts = found("git commit -m x && git push", "Exit code 1\n" + LINE, Status.ERROR)

    assert ([commit.sha for commit in made], attempts) == (["1234567"], [])


def test_lines_of_calls_that_commit_nothing_count_for_nothing() -> None:
    assert found("git log --format='[%D %h] %s'", "[main 1234567] words\n") == ([], [])


def test_the_clients_own_record_is_certain() -> None:
    made, _ = found("git commit -m x", LINE, recorded=(FULL, "committed"))

    assert made == [Commit(FULL, "commit", "topic", 100, 2, 30, 4)]


def test_a_record_without_a_line() -> None:
    assert found("git commit -qm x", "", recorded=("abcdef1", "amended")) == (
        [Commit("abcdef1", "amend", None, 100)],
        [],
    )


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("git commit -qm x; git log --oneline -1", "1234567 Words\n"),
        ("git commit -qm x && git log -1", f"commit {FULL}\nAuthor: A\n"),
        ("git commit -qm x && git rev-parse HEAD", FULL),
    ],
)
def test_the_hash_that_is_shown_after_a_quiet_commit(command: str, text: str) -> None:
    (commit,), attempts = found(command, text)

    assert (key_of(commit.sha), commit.confidence, attempts) == ("1234567", 60, [])


def test_a_hash_that_is_shown_before_a_commit_is_another_ones() -> None:
    assert found("git log --oneline -1; git commit -qm x", "1234567 Words\n")[0] == []


def test_hashes_of_a_log_alone_count_for_nothing() -> None:
    assert found("git log --oneline -3", "1234567 a\n2345678 b\n") == ([], [])


def test_the_head_of_a_push_names_the_quiet_commit_before_it() -> None:
    made, attempts = found("git commit -qm x && git push", "", heads=[("2222222", "topic")])

    assert (made, attempts) == ([Commit("2222222", "commit", "topic", 60)], [])


def test_the_head_of_a_push_is_a_commit_by_itself() -> None:
    assert found("git push", "", heads=[("2222222", "topic")])[0] == [Commit("2222222", None, "topic", 60)]


def test_the_head_of_a_push_that_was_just_committed_is_no_other() -> None:
    made, _ = found("git commit -m x && git push", LINE, heads=[("12345678", "topic")])

    assert [(commit.sha, commit.confidence) for commit in made] == [("1234567", 95)]


@pytest.mark.parametrize(
    ("command", "text", "status", "expected"),
    [
        ("git commit -qm x", "", Status.OK, Status.OK),
        ("git commit -m x", "", Status.REJECTED, Status.REJECTED),
        ("make test && git commit -m x", "", Status.REJECTED, Status.REJECTED),
        ("git commit -m x", "hook failed", Status.ERROR, Status.ERROR),
        ("git add a && git commit -m x", "hook failed", Status.ERROR, Status.ERROR),
        ("make test && git commit -m x", "1 failed", Status.ERROR, None),
        ("git add a && git commit -m x", "The following paths are ignored by one of your", Status.ERROR, None),
        ("git commit -m x | tail -1", "nothing to commit, working tree clean", Status.OK, Status.ERROR),
        ("git commit -qm x && make test", "1 failed", Status.ERROR, Status.OPEN),
        ("git commit -qm x", "", Status.OPEN, Status.OPEN),
        ("git diff --quiet || git commit -qm x", "", Status.OK, None),
    ],
)
def test_a_commit_that_left_no_hash(command: str, text: str, status: Status, expected: Status | None) -> None:
    made, attempts = found(command, text, status)

    assert made == []
    assert [attempt.status for attempt in attempts] == ([] if expected is None else [expected])


def test_a_merge_commit_of_which_git_tells_no_hash() -> None:
    _, attempts = found("git merge topic", "Merge made by the 'ort' strategy.\n 1 file changed, 1 insertion(+)\n")

    assert attempts == [Attempt(0, "merge", Status.OK)]


def test_a_fast_forward_is_no_commit() -> None:
    assert found("git merge topic", "Updating 1111111..2222222\nFast-forward\n") == ([], [])


def test_a_short_and_a_full_hash_are_one_commit() -> None:
    assert key_of(FULL) == key_of("1234567") == key_of("123456789")


def test_no_output_breaks_it() -> None:
    for text in ("[", "[]", "[ ]\n", "[a", "[main 123456] too short", "[main 1234567 words", "\n[\n" * 500):
        assert commits((Step("commit"),), text, Status.OK)[0] == []


COMMANDS = ("git commit -m x", "git commit -qm x; git log -1", "git merge a", "git push", "git commit -m x && git push")
PIECES = st.sampled_from(
    ("[main 1234567] words", "[", "1234567", "To github.com:o/r.git", "   1111111..2222222  a -> a", "nothing to commit", "",
     " 1 file changed, 2 insertions(+)", "Merge made by the 'ort' strategy.", " ! [rejected] a -> a", "fatal: no", "\0")
)  # fmt: skip


@given(st.sampled_from(COMMANDS), st.lists(PIECES, max_size=8).map("\n".join), st.sampled_from(list(Status)))
def test_each_commit_is_told_once_and_no_more_attempts_than_commands(command: str, text: str, status: Status) -> None:
    pushed = pushes(steps(command), text, status)
    made, attempts = found(command, text, status, heads=[(push.head, None) for push in pushed if push.head])

    keys = [key_of(commit.sha) for commit in made]
    printed = [key for key, commit in zip(keys, made, strict=True) if commit.confidence == 95]
    assert len(set(keys) - set(printed)) == len(keys) - len(printed)
    assert len(attempts) <= len(steps(command))
    assert all(push.status != Status.OK or push.kind != "rejected" for push in pushed)
