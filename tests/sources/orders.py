"""The same bytes in other pieces and other orders."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.sources.feed import Feed, Piece


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


def repeated(files: dict[str, bytes], cuts: int, chance: random.Random) -> Iterator[tuple[list[Piece], bool]]:
    """As `shuffled`, but every fourth file is rewritten somewhere on the way: batches, and whether they begin anew."""
    left: dict[str, list[tuple[bytes, bool]]] = {}
    for path, data in files.items():
        pieces = [(piece, False) for piece in cut(data, cuts, chance)]
        if chance.random() < 0.25:
            again = cut(data, cuts, chance)
            pieces = pieces[: chance.randint(1, len(pieces))] + [(each, not n) for n, each in enumerate(again)]
        left[path] = pieces
    while left:
        chosen = chance.sample(sorted(left), chance.randint(1, min(6, len(left))))
        batch = [(path, *left[path].pop(0)) for path in chosen]
        for anew in (False, True):
            pieces_of = [(path, piece) for path, piece, begins in batch if begins == anew]
            if pieces_of:
                yield pieces_of, anew
        left = {path: pieces for path, pieces in left.items() if pieces}


def whole(files: dict[str, bytes]) -> list[str]:
    """The dump of the files, taken in one by one."""
    feed = Feed()
    for path in sorted(files):
        feed.take((path, files[path]))
    return feed.dump()
