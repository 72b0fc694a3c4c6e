"""Kinds of sessions, parents of copies, and depths of sub-agents."""

from __future__ import annotations

import pytest

from ccagent.facts.lineage import FORKED, RESUMED, Shared, depths, kind_of, parent_of


@pytest.mark.parametrize(("label", "kind"), [(None, "fresh"), (RESUMED, "resumed"), (FORKED, "forked")])
def test_the_kind_of_a_label(label: str | None, kind: str) -> None:
    assert kind_of(label) == kind


def test_of_several_labels_the_fork_wins_as_the_largest() -> None:
    assert max(RESUMED, FORKED) == FORKED


@pytest.mark.parametrize(
    ("one", "two", "parent"),
    [
        (Shared("a", None, 1), Shared("b", 9, 1), "a"),  # nothing of its own: it ended where the other went on
        (Shared("a", 9, 1), Shared("b", None, 1), "b"),
        (Shared("a", 9, 1), Shared("b", 5, 1), "b"),
        (Shared("a", 5, 1), Shared("b", 5, 0), "b"),
        (Shared("a", 5, 1), Shared("b", 5, 1), "a"),
        (Shared("b", None, None), Shared("a", None, None), "a"),
    ],
)
def test_the_parent_of_two_sessions_that_share_turns(one: Shared, two: Shared, parent: str) -> None:
    assert parent_of(one, two) == parent_of(two, one) == parent


def test_depths_follow_the_launching_agents_and_leave_rings_out() -> None:
    parents = {"a": None, "b": "a", "c": "b", "x": "y", "y": "x", "lost": "gone"}

    assert depths(parents, parents) == {"a": 1, "b": 2, "c": 3}
