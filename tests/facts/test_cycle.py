"""From the first prompt of the work to its delivery."""

from __future__ import annotations

import pytest

from ccagent.facts.cycle import Cycle, cycle, own_branch, reopened


@pytest.mark.parametrize(
    ("branch", "by_branch", "by_session", "expected"),
    [
        ("topic", 10, 50, Cycle("branch", 10, 90)),
        ("topic", None, 50, Cycle("session", 50, 50)),
        ("topic", 150, 50, Cycle("session", 50, 50)),
        ("topic", None, 150, Cycle()),
        ("main", 10, 50, Cycle("session", 50, 50)),
        (None, 10, 50, Cycle("session", 50, 50)),
        ("topic", None, None, Cycle()),
        ("topic", 100, 50, Cycle("branch", 100, 0)),
    ],
)
def test_the_work_is_the_branch_else_the_session(
    branch: str | None, by_branch: int | None, by_session: int | None, expected: Cycle
) -> None:
    assert cycle(100, branch, by_branch, by_session) == expected


def test_what_has_no_time_took_none() -> None:
    assert cycle(None, "topic", 1, 1) == Cycle()


def test_branches_on_which_everything_is_done() -> None:
    assert [own_branch(name) for name in ("main", "Master", "develop", "trunk", "HEAD", "", None, "topic")] == [
        False
    ] * 7 + [True]


def test_how_often_a_pull_request_was_reopened() -> None:
    assert [
        reopened(opened=opened, times=times) for opened, times in ((True, 0), (True, 2), (False, 0), (False, 1))
    ] == [0, 2, None, 1]
