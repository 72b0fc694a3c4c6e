"""Active time: short gaps between records, cut at the borders of periods."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ccagent.rollups.activity import Place, active_ms
from ccagent.rollups.buckets import HOUR_MS, IDLE_CUTOFF_MS

MAIN = Place(1, 1, 0)
AGENT = Place(1, 1, 1)


def test_a_gap_of_exactly_five_minutes_counts_and_a_longer_one_does_not() -> None:
    assert active_ms([(0, MAIN), (IDLE_CUTOFF_MS, MAIN)]) == {MAIN: IDLE_CUTOFF_MS}
    assert active_ms([(0, MAIN), (IDLE_CUTOFF_MS + 1, MAIN)]) == {}


def test_a_gap_belongs_to_the_record_that_ends_it() -> None:
    assert active_ms([(0, MAIN), (100, AGENT), (300, MAIN)]) == {AGENT: 100, MAIN: 200}


def test_a_gap_is_cut_at_the_border() -> None:
    records = [(HOUR_MS - 60_000, MAIN), (HOUR_MS + 30_000, MAIN)]

    assert active_ms(records, 0, HOUR_MS) == {MAIN: 60_000}
    assert active_ms(records, HOUR_MS, 2 * HOUR_MS) == {MAIN: 30_000}


def test_one_record_is_no_time() -> None:
    assert active_ms([(5, MAIN)]) == {}


@given(
    st.lists(st.tuples(st.integers(0, 8 * HOUR_MS), st.sampled_from([MAIN, AGENT])), max_size=60),
    st.lists(st.integers(-HOUR_MS, 9 * HOUR_MS), max_size=9),
)
def test_adjoining_periods_add_up_to_the_whole(records: list[tuple[int, Place]], cuts: list[int]) -> None:
    records.sort()
    borders = [-2 * HOUR_MS, *sorted(cuts), 10 * HOUR_MS]

    parts = [active_ms(records, start, end) for start, end in pairwise(borders)]

    summed = {place: sum(part.get(place, 0) for part in parts) for place in (MAIN, AGENT)}
    assert {place: active for place, active in summed.items() if active} == active_ms(records)
