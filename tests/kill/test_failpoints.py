"""A daemon killed at each step of the ingest transaction: the next start ends in the same table."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ccagent import failpoints
from tests.kill import oracle
from tests.kill.harness import Ground, run_once, settle, write_turns

INGEST_POINTS = ("before_begin", "after_facts", "after_files", "before_commit", "after_commit")

MOST_KILLS = 4
"""Transactions of one run that are killed at a point; a run on so small a tree has few."""

LONG = bool(os.environ.get("CCAGENT_KILLS"))


@pytest.fixture
def half_read(ground: Ground) -> Ground:
    """A tree of which the store took in the first half of each file, cut inside a line; the rest is there since."""
    write_turns(ground, seed=1, turns=12)
    whole = {path: path.read_bytes() for path in ground.tree.rglob("*.jsonl")}
    for path, content in whole.items():
        path.write_bytes(content[: len(content) // 2])
    settle(ground)
    for path, content in whole.items():
        with path.open("ab") as file:
            file.write(content[len(content) // 2 :])
    return ground


@pytest.mark.parametrize("point", INGEST_POINTS)
def test_a_kill_at_a_step_of_the_transaction_loses_and_doubles_nothing(half_read: Ground, point: str) -> None:
    """At its first time in a run, at its second in the next …: each transaction of a run is met once (with a server in
    full only under .ci/run)."""
    kills, most = 0, MOST_KILLS if LONG or isinstance(half_read.database, Path) else 1
    while kills < most:
        killed = run_once(half_read, **{failpoints.VARIABLE: f"{point}:kill:{kills + 1}"})
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
        kills += 1

    settle(half_read)

    assert kills > 0, "the fault did not happen"
    assert oracle.findings(half_read.database, half_read.tree, half_read.manifest) == []


@pytest.mark.parametrize("point", ["after_facts", "after_files"])
def test_a_kill_before_the_commit_leaves_the_offsets_where_they_were(half_read: Ground, point: str) -> None:
    before = oracle.progress(half_read.database)

    killed = run_once(half_read, **{failpoints.VARIABLE: f"{point}:kill"})

    assert killed.returncode == -signal.SIGKILL
    assert oracle.progress(half_read.database) == before


def test_an_unexpected_fault_ends_the_process_and_the_next_start_goes_on(half_read: Ground) -> None:
    failed = run_once(half_read, **{failpoints.VARIABLE: "after_files:raise"})

    settle(half_read)

    assert failed.returncode not in (0, -signal.SIGKILL)
    assert failpoints.InjectedFaultError.__name__ in failed.stderr or "after_files" in failed.stderr
    assert oracle.findings(half_read.database, half_read.tree, half_read.manifest) == []


def test_a_replay_of_a_killed_store_equals_a_fresh_one(half_read: Ground) -> None:
    run_once(half_read, **{failpoints.VARIABLE: "after_files:kill"})
    settle(half_read)

    assert run_once(half_read, database=half_read.fresh).returncode == 0

    assert oracle.dump(half_read.database) == oracle.dump(half_read.fresh)
