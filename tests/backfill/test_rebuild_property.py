"""Whatever was read, in whatever order, and whatever of it is gone: what a rebuild does to the facts."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.metrics import names
from tests.backfill.ground import Ground, cost_of_facts, tokens_booked, tokens_of_facts, tomorrow
from tests.sources.trees import trees

SOME = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def grown(ground: Ground, files: dict[str, bytes], chance: random.Random) -> None:
    """Write the files in two parts, each taken in, so that facts have a history."""
    cuts = {path: chance.randrange(len(data) + 1) for path, data in files.items()}
    for path, data in files.items():
        ground.tree.put(path, data[: cuts[path]])
    ground.take_in()
    for path, data in files.items():
        ground.tree.put(path, data)
    ground.take_in()


def laws(ground: Ground) -> None:
    """What must hold in any store."""
    # What moved from one kind of tokens to another was not booked anew, so the kinds alone may differ.
    assert sum(tokens_booked(ground)) == sum(tokens_of_facts(ground))
    assert sum(ground.labels(names.COST_USD).values()) == cost_of_facts(ground)
    assert ground.faults(recount=False) == []


@SOME
@given(trees(), st.integers(0, 2**32), st.floats(0, 1))
def test_under_the_same_rules_no_fact_changes_whatever_is_gone(
    files: dict[str, bytes], seed: int, gone: float
) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder), f"{folder}/ccagent.db")
        grown(ground, files, chance)
        before = ground.dump()
        for path in files:
            if chance.random() < gone:
                (ground.tree.root / path).unlink()

        ground.rebuild()

        assert ground.dump() == before
        laws(ground)


@SOME
@given(trees(), st.integers(0, 2**32))
def test_under_other_rules_facts_are_those_of_a_new_store(files: dict[str, bytes], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as second:
        ground, other = Ground(Path(folder), f"{folder}/ccagent.db"), Ground(Path(second), f"{second}/ccagent.db")
        grown(ground, files, random.Random(seed))
        for path, data in files.items():
            other.tree.put(path, data)

        with tomorrow():
            ground.rebuild()
            other.take_in()

        assert ground.dump() == other.dump()
        laws(ground)
