"""What a turn's time went into: the parts add up to the whole, whatever overlaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.turn_parts import Interval, Parts, length, turn_parts, union

MOMENTS = st.integers(0, 1_000)
INTERVALS = st.lists(st.tuples(MOMENTS, MOMENTS), max_size=8)


def test_each_moment_has_one_owner_the_model_first() -> None:
    parts = turn_parts(0, 100, requests=[(0, 20), (60, 70)], tools=[(10, 40)], human=[(35, 50)])

    assert parts == Parts(wall=100, model=30, tools=20, human=10, rest=40)


def test_what_reaches_beyond_the_turn_is_cut_off() -> None:
    assert turn_parts(10, 20, requests=[(0, 12)], tools=[(18, 99)], human=[]) == Parts(10, 2, 2, 0, 6)


def test_a_turn_without_length_has_no_parts() -> None:
    assert turn_parts(5, 5, requests=[(0, 9)], tools=[], human=[]) == Parts()


@given(MOMENTS, MOMENTS, INTERVALS, INTERVALS, INTERVALS)
def test_the_parts_add_up_exactly(
    start: int, end: int, requests: list[Interval], tools: list[Interval], human: list[Interval]
) -> None:
    parts = turn_parts(start, end, requests=requests, tools=tools, human=human)

    assert sum(parts[1:]) == parts.wall == max(0, end - start)
    assert min(parts) >= 0


@given(MOMENTS, MOMENTS, INTERVALS)
def test_a_union_holds_each_moment_of_its_intervals_once(start: int, end: int, intervals: list[Interval]) -> None:
    moments = {at for first, last in intervals for at in range(first, last) if start <= at < end}

    assert length(union(intervals, start, end)) == len(moments)
