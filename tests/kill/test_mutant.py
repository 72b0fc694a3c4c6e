"""The oracle is put to the test: a build that commits offsets before facts must be caught."""

from __future__ import annotations

import os
import signal

import pytest

from ccagent import failpoints
from tests.kill import oracle
from tests.kill.harness import MUTANT, Ground, kill_repeatedly, run_once, settle, write_turns, writing

KILLS = int(os.environ.get("CCAGENT_KILLS", "0"))
ROUND = 25
"""Kills between two looks of the oracle."""


def test_the_oracle_sees_what_two_commits_lose(ground: Ground) -> None:
    write_turns(ground, seed=1, turns=6)
    killed = run_once(ground, module=MUTANT, **{failpoints.VARIABLE: "after_files:kill"})

    settle(ground, module=MUTANT)

    assert killed.returncode == -signal.SIGKILL
    assert any("keys lost" in finding for finding in oracle.findings(ground.database, ground.tree, ground.manifest))


def test_the_oracle_finds_nothing_where_the_mutant_is_not_killed(ground: Ground) -> None:
    write_turns(ground, seed=1, turns=6)

    settle(ground, module=MUTANT)

    assert oracle.findings(ground.database, ground.tree, ground.manifest) == []


@pytest.mark.slow
@pytest.mark.skipif(KILLS < ROUND, reason=f"needs CCAGENT_KILLS of {ROUND} or more: chance must have room")
def test_random_kills_catch_two_commits(ground: Ground) -> None:
    found: list[str] = []
    for number in range(0, KILLS, ROUND):
        with writing(ground, seed=number + 1, pause_ms=4.0):
            kill_repeatedly(ground, kills=ROUND, seed=number, module=MUTANT)
        settle(ground, module=MUTANT)
        found = oracle.findings(ground.database, ground.tree, ground.manifest)
        if found:
            break

    assert any("keys lost" in finding for finding in found)
