"""However the same bytes are cut, ordered or repeated, the facts are the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.feed import Feed
from tests.sources.orders import cut, shuffled, whole
from tests.sources.trees import trees

pytestmark = pytest.mark.usefixtures("either_store")

MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(trees(), st.integers(1, 40), st.integers(0, 2**32))
def test_any_cut_and_any_order_of_files_give_the_same_facts(files: dict[str, bytes], cuts: int, seed: int) -> None:
    feed = Feed()

    for batch in shuffled(files, cuts, random.Random(seed)):
        feed.take(*batch)

    assert feed.dump() == whole(files)


@MANY
@given(trees(), st.integers(1, 12), st.integers(0, 2**32))
def test_reading_files_again_changes_nothing(files: dict[str, bytes], cuts: int, seed: int) -> None:
    chance = random.Random(seed)
    feed = Feed()
    for batch in shuffled(files, cuts, chance):
        feed.take(*batch)
    first = feed.dump()

    for path in chance.sample(sorted(files), chance.randint(1, len(files))):
        feed.take((path, files[path]), again=True)

    assert feed.dump() == first


@MANY
@given(trees(), st.integers(0, 2**32))
def test_a_rewritten_file_that_is_read_again_in_the_middle_ends_in_the_same_facts(
    files: dict[str, bytes], seed: int
) -> None:
    chance = random.Random(seed)
    feed = Feed()
    for path in chance.sample(sorted(files), len(files)):
        pieces = cut(files[path], 3, chance)
        for piece in pieces[: chance.randint(1, len(pieces))]:
            feed.take((path, piece))
        for number, piece in enumerate(cut(files[path], 3, chance)):
            feed.take((path, piece), again=number == 0)

    assert feed.dump() == whole(files)
