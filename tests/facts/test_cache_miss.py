"""When a request lost its cache, and the likely cause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.cache_miss import (
    CAUSE_NAMES,
    CAUSES,
    LONG_LIFE_MS,
    MISSED_TOKENS,
    REPORTED,
    SHORT_LIFE_MS,
    UNEXPLAINED,
    Mark,
    has_expired,
    is_compaction,
    likely_cause,
    missed_tokens,
    was_edited,
)

COUNT = st.integers(0, 2_000_000)


@pytest.mark.parametrize(
    ("had", "read", "paid", "missed"),
    [
        (0, 0, 50_000, 0),  # nothing was cached
        (50_000, 50_000, 900, 0),
        (50_000, 60_000, 900, 0),  # more than was known
        (3_000, 1_000, 5_000, 0),  # as much as is normal
        (3_000, 999, 5_000, 2_001),
        (100_000, 95_000, 9_000, 0),  # one part in twenty
        (100_000, 94_999, 9_000, 5_001),
        (160_000, 16_000, 30_000, 30_000),  # a context that was cut is not sent again
        (160_000, 0, 0, 0),
    ],
)
def test_what_was_missed(had: int, read: int, paid: int, missed: int) -> None:
    assert missed_tokens(had, read, paid) == missed


@given(COUNT, COUNT, COUNT)
def test_no_more_is_missed_than_was_there_or_was_paid(had: int, read: int, paid: int) -> None:
    missed = missed_tokens(had, read, paid)

    assert 0 <= missed <= min(had, paid)
    assert not missed or had - read > MISSED_TOKENS


@pytest.mark.parametrize(
    ("idle", "long_lived", "expired"),
    [
        (None, False, False),
        (-5_000, False, False),
        (SHORT_LIFE_MS, False, False),
        (SHORT_LIFE_MS + 1, False, True),
        (SHORT_LIFE_MS + 1, True, False),
        (LONG_LIFE_MS, True, False),
        (LONG_LIFE_MS + 1, True, True),
    ],
)
def test_an_entry_lives_as_long_as_it_was_written_for(idle: int | None, long_lived: bool, expired: bool) -> None:
    assert has_expired(idle, long_lived=long_lived) is expired


@pytest.mark.parametrize(("mask", "cause"), CAUSES)
def test_each_mark_has_its_cause(mask: int, cause: str) -> None:
    for mark in Mark:
        if mark & mask:
            assert likely_cause(mark) == cause


def test_every_mark_leads_to_a_cause_and_none_leads_to_none() -> None:
    assert all(likely_cause(mark) != UNEXPLAINED for mark in Mark)
    assert likely_cause(0) == UNEXPLAINED


@given(st.integers(0, 2 * max(Mark) - 1), st.none() | st.sampled_from([*REPORTED, "unavailable", "new"]))
def test_the_strongest_evidence_decides(marks: int, reported: str | None) -> None:
    cause = likely_cause(marks, reported)

    assert cause in CAUSE_NAMES
    if reported in REPORTED and REPORTED[reported] is not None:
        assert cause == REPORTED[reported]
    elif cause == UNEXPLAINED:
        assert marks == 0
    else:
        before = CAUSES[: [name for _, name in CAUSES].index(cause)]
        assert not any(marks & mask for mask, _ in before)


@pytest.mark.parametrize(("before", "now", "edited"), [(50_000, 48_000, False), (50_000, 47_999, True), (9, 99, False)])
def test_a_chain_that_only_grows_does_not_become_shorter(before: int, now: int, edited: bool) -> None:
    assert was_edited(before, now) is edited


@pytest.mark.parametrize(("now", "judged"), [(130_000, False), (129_999, True), (40_000, True), (170_000, False)])
def test_a_compaction_takes_more_than_its_part_of_the_window(now: int, judged: bool) -> None:
    assert is_compaction(160_000, now, 200_000) is judged
