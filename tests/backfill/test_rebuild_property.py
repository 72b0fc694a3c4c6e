"""Whatever was read, in whatever order, and whatever of it is gone: what a rebuild does to the facts."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.job import Job
from ccagent.metrics import names
from ccagent.store.generation import OF_FACTS
from ccagent.store.retention import Pruning
from ccagent.store.retention_rules import Rules
from tests.backfill.ground import Generous, Ground, cost_of_facts, tokens_booked, tokens_of_facts, tomorrow
from tests.sources.feed import START_MS
from tests.sources.trees import trees
from tests.store.pruned import DAY_MS, histories

SOME = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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
def test_under_the_same_rules_no_fact_changes_whatever_is_gone(files: dict[str, bytes], seed: int, gone: float) -> None:
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


def prune(ground: Ground, now_ms: int) -> int:
    """Remove the facts of sessions that were over a month before; how many."""
    with Job(ground.config(), ground.env) as job:
        rules = Rules(payload_days=0, fact_months=1, max_bytes=0)
        return Pruning(job.store, ground.reader, rules, job.zone, job.refresh_rollups, now_ms).run().facts


def rolled(ground: Ground, column: str) -> dict[int, int]:
    """The sum of a column over the rollups of requests, by period."""
    found = ground.rows(f"SELECT period, SUM({column}) FROM rollup WHERE family = 4 GROUP BY 1")
    return {int(period): int(amount or 0) for period, amount in found}


def facts_of(ground: Ground, column: str) -> dict[int, int]:
    """What the rollups ought to hold of the facts that are there: those without a time are in no bucket of time."""
    timed, untimed = (
        int(ground.rows(f"SELECT SUM({column}) FROM fact WHERE type = 4 AND occurred_at IS {which} NULL")[0][0] or 0)
        for which in ("NOT", "")
    )
    return {1: timed, 2: timed, 3: timed, 4: timed + untimed}


@SOME
@given(histories(), st.integers(START_MS - 100 * DAY_MS, START_MS + 60 * DAY_MS))
def test_what_retention_sealed_stays_under_the_same_rules(files: dict[str, bytes], moment: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder), f"{folder}/ccagent.db")
        for path, data in files.items():
            ground.tree.put(path, data)
        ground.take_in()
        prune(ground, moment)
        rollups = (
            "SELECT * FROM rollup ORDER BY period, family, bucket, project, branch, session_type, name, agent, skill"
        )
        before, rows = ground.dump(), ground.rows(rollups)
        booked = {name: ground.labels(name) for name in OF_FACTS}

        report = ground.rebuild()

        assert (report["facts"]["added"], report["facts"]["dropped"]) == (0, 0)
        assert ground.dump() == before
        assert ground.rows(rollups) == rows
        assert {name: ground.labels(name) for name in OF_FACTS} == booked
        assert ground.faults() == []


@SOME
@given(histories(), st.integers(START_MS - 100 * DAY_MS, START_MS + 60 * DAY_MS))
def test_sealed_rollups_follow_the_facts_that_are_left(files: dict[str, bytes], moment: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder), f"{folder}/ccagent.db")
        for path, data in files.items():
            ground.tree.put(path, data)
        ground.take_in()
        prune(ground, moment)
        gone = {
            period: amount - facts_of(ground, "token_output")[period]
            for period, amount in rolled(ground, "token_output").items()
        }

        with tomorrow(Generous):
            ground.rebuild()

        left = facts_of(ground, "token_output")
        assert rolled(ground, "token_output") == {period: left[period] + amount for period, amount in gone.items()}
        assert ground.faults(recount=False) == []
