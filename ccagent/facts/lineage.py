"""Kinds of sessions, and which of two that share records is the parent."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

RESUMED: Final = "2 resumed"
FORKED: Final = "3 forked"
"""Labels of a session's fact; the digit makes the stronger word win where the labels of its lines merge."""

FRESH: Final = "fresh"
"""A session of which no record says anything else."""


def kind_of(label: str | None) -> str:
    """The kind that a session's merged label stands for: fresh, resumed or forked."""
    return FRESH if label is None else label.partition(" ")[2] or label


class Shared(NamedTuple):
    """A session that shares turns with another: own: time of its first turn that the other lacks (ms UTC), None without
    one; first: of its first turn at all."""

    session: str
    own: int | None
    first: int | None


def parent_of(one: Shared, two: Shared) -> str:
    """Which of two sessions that hold the same turns was there first.

    Rule: the one that says nothing of its own (it ended where the other took over); else the one whose first turn
    of its own is earlier; else the smaller id. Reason: a copy begins where it was made. Cannot see: an original
    that lay idle while its copy was worked on, and went on afterwards.
    """
    if (one.own is None) != (two.own is None):
        return one.session if one.own is None else two.session
    return min((one, two), key=lambda each: (each.own or 0, each.first or 0, each.session)).session


def depths(parents: dict[str, str | None], wanted: Collection[str]) -> dict[str, int]:
    """Depth of each sub-agent below the main chain (1 = launched there), by who launched it; None: the main chain.
    Sub-agents in a ring, or below one that is not known, are left out."""
    found: dict[str, int] = {}
    for agent in wanted:
        chain: list[str] = []
        above: str | None = agent
        while above is not None and above in parents and above not in chain:
            chain.append(above)
            above = parents[above]
        if above is None:
            found[agent] = len(chain)
    return found
