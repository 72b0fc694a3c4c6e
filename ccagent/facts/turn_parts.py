"""What a turn's time went into: intervals laid over each other, so that the parts add up to the whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

Interval = tuple[int, int]
"""First and last moment, ms UTC; an end before its beginning holds nothing."""


class Parts(NamedTuple):
    """Milliseconds of a turn; `model`, `tools`, `human` and `rest` add up to `wall` exactly."""

    wall: int = 0
    model: int = 0
    tools: int = 0
    human: int = 0
    rest: int = 0


def turn_parts(
    start: int, end: int, *, requests: Iterable[Interval], tools: Iterable[Interval], human: Iterable[Interval]
) -> Parts:
    """Divide [start, end] among the model, tools, people and the rest.

    Rule: every moment counts once, for the first that claims it: a request in progress (estimated, from what it
    answers to its last line), else a tool at work, else a call that a person had to answer, else nobody known
    (hooks, the client, background work, the machine asleep). Reason for this order: the model's lines are the
    surest, and a tool that runs while somebody is asked does work. What reaches beyond the turn is cut off. Input:
    intervals of the main chain only, so a sub-agent's time is its launching call's. Not seen: a wait for permission
    that was granted; it is the tool's.
    """
    if end <= start:
        return Parts()
    model = union(requests, start, end)
    with_tools = union([*model, *tools], start, end)
    with_people = union([*with_tools, *human], start, end)
    of_model, of_tools, of_people = length(model), length(with_tools), length(with_people)
    wall = end - start
    return Parts(wall, of_model, of_tools - of_model, of_people - of_tools, wall - of_people)


def union(intervals: Iterable[Interval], start: int, end: int) -> list[Interval]:
    """The intervals within [start, end], those that touch or overlap made one, in order."""
    found: list[Interval] = []
    for first, last in sorted((max(first, start), min(last, end)) for first, last in intervals):
        if last <= first:
            continue
        if found and first <= found[-1][1]:
            if last > found[-1][1]:
                found[-1] = found[-1][0], last
        else:
            found.append((first, last))
    return found


def length(intervals: Iterable[Interval]) -> int:
    """Milliseconds that intervals hold which do not overlap."""
    return sum(last - first for first, last in intervals)
