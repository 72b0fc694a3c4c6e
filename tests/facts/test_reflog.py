"""Commits in a repository's log of what was done in it."""

from __future__ import annotations

import pytest

from ccagent.facts.reflog import AFTER_MS, Made, Span, active, assigned, made

ONE, TWO = "1" * 40, "2" * 40


def entry(sha: str, place: str, words: str) -> str:
    return f"{sha}\0{place}\0{words}\n"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("commit: words: with colons", "commit"),
        ("commit (initial): words", "commit"),
        ("commit (amend): words", "amend"),
        ("commit (merge): words", "merge"),
        ("cherry-pick: words", "cherry-pick"),
        ("revert: words", "revert"),
        ("am: words", "am"),
        ("merge topic: Merge made by the 'ort' strategy.", "merge"),
    ],
)
def test_what_makes_a_commit(words: str, kind: str) -> None:
    assert made(entry(ONE, "topic@{1770714000}", words)) == [Made(ONE, 1_770_714_000_000, kind, "topic")]


@pytest.mark.parametrize(
    "line",
    [
        entry(ONE, "main@{1}", "merge topic: Fast-forward"), entry(ONE, "main@{1}", "pull: Fast-forward"),
        entry(ONE, "main@{1}", "clone: from https://example.com"), entry(ONE, "main@{1}", "rebase (finish): returning"),
        entry(ONE, "main@{1}", "checkout: moving from a to b"), entry(ONE, "main@{1}", "branch: Created from HEAD"),
        entry("12", "main@{1}", "commit: a"), entry(ONE, "main@{0 days ago}", "commit: a"), "", "\n\0\0\n",
    ],
)  # fmt: skip
def test_what_makes_none(line: str) -> None:
    assert made(line) == []


def test_each_commit_once_by_its_earliest_entry_with_the_name_of_a_branch() -> None:
    text = (
        entry(ONE, "HEAD@{30}", "commit: a")
        + entry(ONE, "refs/heads/topic@{20}", "commit: a")
        + entry(TWO, "HEAD@{10}", "commit: b")
    )

    assert made(text) == [Made(ONE, 20_000, "commit", "topic"), Made(TWO, 10_000, "commit", None)]


def test_the_session_that_began_last_has_it() -> None:
    early, late = Span("b", "/r", 0, 1_000), Span("a", "/r", 500, 900)

    assert active(700, [early, late]) == active(700, [late, early]) == late
    assert active(400, [early, late]) == early


def test_of_two_that_began_together_the_smaller_id_has_it() -> None:
    spans = [Span("b", "/r", 0, 1_000), Span("a", "/r", 0, 1_000)]

    assert active(5, spans) == active(5, spans[::-1]) == spans[1]


def test_a_commit_may_come_soon_after_a_session_and_never_before_it() -> None:
    span = Span("a", "/r", 1_000, 2_000)

    assert [active(at, [span]) for at in (999, 1_000, 2_000 + AFTER_MS, 2_001 + AFTER_MS)] == [None, span, span, None]


def test_young_commits_wait_and_those_of_no_session_belong_to_none() -> None:
    span = Span("a", "/r", 1_000, 2_000)
    commits = [Made(ONE, 1_500, "commit", None), Made(TWO, 1_800, "commit", None), Made("3" * 40, 5, "commit", None)]

    assert assigned(commits, [span], 1_600) == [(commits[0], span)]
