"""What a recount has counted, in memory or on disk: the same whatever the limit and the order."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent.errors import StoreError
from ccagent.tally import NEVER, NO_TEXT, Entry, Kind, Seen, Tally

SIGHTS = 600
THINGS = 97


def sights() -> Iterator[tuple[bytes, Entry]]:
    """Many looks at few things, each a little different."""
    chance = random.Random(7)
    for place in range(SIGHTS):
        number = place % THINGS
        counters = [chance.randrange(1 << 40) for _ in range(6)]
        owner = [chance.randrange(3), chance.choice((5, 6, NEVER)), 1 + number % 5, chance.choice((NO_TEXT, 1, 2))]
        yield bytes([number]) * 16, [int(Kind.CALL), 1 << chance.randrange(5), *owner, chance.randrange(9), *counters]


def counted(looks: list[tuple[bytes, Entry]], limit: int) -> list[tuple[bytes, Entry]]:
    tally = Tally(limit)
    for text in ("b", "a", "c", "d", "e"):
        tally.texts.number(text)
    for key, entry in looks:
        tally.add(key, list(entry))
    once, again = list(tally.sorted()), list(tally.sorted())
    tally.close()
    assert once == again
    return once


@pytest.mark.parametrize("limit", [1, 2, 10, 50])
def test_spilling_changes_nothing(limit: int) -> None:
    looks = list(sights())

    assert counted(looks, limit) == counted(looks, 10_000)


def test_the_order_of_adding_changes_nothing() -> None:
    looks = list(sights())
    mixed = looks[:]
    random.Random(3).shuffle(mixed)

    assert counted(mixed, 40) == counted(looks, 10_000)


def test_things_come_once_and_in_the_order_of_their_keys() -> None:
    keys = [key for key, _ in counted(list(sights()), 20)]

    assert keys == sorted(set(keys))
    assert len(keys) == THINGS


def test_counters_take_the_largest_and_times_the_first_while_the_owner_is_taken_whole() -> None:
    tally = Tally()
    first, second = tally.texts.number("z"), tally.texts.number("m")
    tally.add(b"k", [int(Kind.REQUEST), int(Seen.CALLED), 1, 50, first, second, 50, 1, 9, 0, 0, 0, 0])
    tally.add(b"k", [int(Kind.REQUEST), int(Seen.FAILED), 0, 70, second, NO_TEXT, 70, 5, 2, 0, 0, 0, 0])

    ((_, entry),) = tally.sorted()

    assert entry == [Kind.REQUEST, Seen.CALLED | Seen.FAILED, 0, 70, second, NO_TEXT, 50, 5, 9, 0, 0, 0, 0]


def test_no_room_for_the_runs_is_told_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    with pytest.raises(StoreError, match="TMPDIR"):
        counted(list(sights()), 10)


def test_of_owners_at_the_same_moment_the_session_that_sorts_first_wins() -> None:
    """The numbers of texts depend on the order of reading, so they decide nothing."""
    for names in (("a", "b"), ("b", "a")):
        tally = Tally()
        for name in names:
            tally.add(b"k", [int(Kind.REQUEST), 0, 0, 5, tally.texts.number(name), NO_TEXT, 5, 0, 0, 0, 0, 0, 0])
        ((_, entry),) = tally.sorted()
        assert tally.texts.text(entry[4]) == "a"
