"""However the same bytes are cut, ordered or repeated, the facts are the same."""

from __future__ import annotations

import os
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.feed import Feed, Piece
from tests.sources.trees import trees

EXAMPLES = int(os.environ.get('EX', '30'))
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cut(data: bytes, cuts: int, chance: random.Random) -> list[bytes]:
    """The bytes in pieces of whole lines, as a reader delivers them that stops at random places."""
    ends = sorted({data.rfind(b"\n", 0, chance.randrange(1, len(data) + 1)) + 1 for _ in range(cuts)} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]


def shuffled(files: dict[str, bytes], cuts: int, chance: random.Random) -> list[list[Piece]]:
    """Batches of pieces of different files, each file's own in order, the files' in any."""
    left = {path: cut(data, cuts, chance) for path, data in files.items()}
    batches = []
    while left:
        chosen = chance.sample(sorted(left), chance.randint(1, min(3, len(left))))
        batches.append([(path, left[path].pop(0)) for path in chosen])
        left = {path: pieces for path, pieces in left.items() if pieces}
    return batches


def whole(files: dict[str, bytes]) -> list[str]:
    """The dump of the files, taken in one by one."""
    feed = Feed()
    for path in sorted(files):
        feed.take((path, files[path]))
    return feed.dump()


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
