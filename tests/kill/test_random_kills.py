"""A daemon killed at random while four sessions write: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os

import pytest

from tests.kill import oracle
from tests.kill.harness import Ground, kill_repeatedly, run_once, settle, writing

KILLS = int(os.environ.get("CCAGENT_KILLS", "8"))

WRITER_PAUSE_MS = 4.0
"""Between the two halves of a line: about a thousand half-written lines a second over four threads."""


@pytest.mark.slow
def test_random_kills_lose_nothing_and_double_nothing(ground: Ground) -> None:
    with writing(ground, seed=1, pause_ms=WRITER_PAUSE_MS):
        busy = kill_repeatedly(ground, kills=KILLS, seed=1)

    settle(ground)

    assert busy >= KILLS // 2
    assert oracle.findings(ground.database, ground.tree, ground.manifest) == []
    assert run_once(ground, database=ground.fresh).returncode == 0
    assert oracle.dump(ground.database) == oracle.dump(ground.fresh)
