"""A daemon killed at random while four sessions write: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kill import oracle
from tests.kill.harness import Ground, kill_repeatedly, run_once, settle, writing

KILLS = int(os.environ.get("CCAGENT_KILLS", "8"))

SERVED_KILLS = 60
"""At most so many on Postgres, where a start takes longer."""

WRITER_PAUSE_MS = 4.0
"""Between the two halves of a line: about a thousand half-written lines a second over four threads."""


@pytest.mark.slow
def test_random_kills_lose_nothing_and_double_nothing(ground: Ground) -> None:
    kills = KILLS if isinstance(ground.database, Path) else min(KILLS, SERVED_KILLS)
    with writing(ground, seed=1, pause_ms=WRITER_PAUSE_MS):
        busy = kill_repeatedly(ground, kills=kills, seed=1)

    settle(ground)

    assert busy >= kills // 2
    assert oracle.findings(ground.database, ground.tree, ground.manifest) == []
    assert run_once(ground, database=ground.fresh).returncode == 0
    assert oracle.dump(ground.database) == oracle.dump(ground.fresh)
