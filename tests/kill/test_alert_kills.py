"""A process killed around the change of an alert's state: each change is there once, with one key, and is told."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent import failpoints
from tests.daemon.rig import Ground, grounds, now_ms, small_session, until
from tests.transcripts import Session, Usage, text

POINTS = ("after_standing", "after_history", "before_commit", "after_commit")

FAST = "[alerts]\ninterval_seconds = 1\ngroup_seconds = 0\n"

KILLS = 40 if os.environ.get("CCAGENT_KILLS") else 6
"""Daemons that are killed at random moments."""

MOST = 12
"""Transactions of one run that are killed at a point."""


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with grounds(tmp_path / "ground") as found:
        found.config.write_text(FAST)
        found.tree.write(small_session("past"))
        assert found.once("--config", str(found.config)).returncode == 0
        yield found


def costly(name: str) -> Session:
    """A session that is over its bound, and has taken place."""
    session = Session(seed=name, start=now_ms())
    session.prompt("hello")
    session.assistant(text("a reply"), usage=Usage(input=10, output=250_000))
    return session


def findings(ground: Ground, sessions: list[Session]) -> list[str]:
    """What is not as it should be: one firing a session, a key each, and each told on its channel."""
    fired = ground.rows("SELECT subject, COUNT(*) FROM alert_history WHERE after = 'firing' GROUP BY 1 ORDER BY 1")
    keys = [row[0] for row in ground.rows("SELECT key FROM alert_history WHERE key IS NOT NULL")]
    loose = ground.rows("SELECT COUNT(*) FROM alert_delivery WHERE history NOT IN (SELECT id FROM alert_history)")
    told = ground.rows("SELECT channel, state, COUNT(*) FROM alert_delivery GROUP BY 1, 2")
    standing = ground.rows("SELECT COUNT(*) FROM alert_state WHERE state = 'firing' AND episode = 1")
    wanted = sorted((session.session_id, 1) for session in sessions)
    return [
        f"{what}: {found}"
        for what, found, right in (
            ("fired", fired, wanted), ("keys", len(set(keys)), len(keys)), ("loose", loose, [(0,)]),
            ("told", told, [("log", "sent", len(wanted))]), ("standing", standing, [(len(wanted),)]),
        )
        if found != right
    ]  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_a_step_of_the_change_loses_and_doubles_nothing(ground: Ground, point: str) -> None:
    session = costly("live")
    ground.tree.write(session)
    until(lambda: now_ms() > session.now, "the session has taken place")

    killed = 0
    while killed < MOST:
        done = ground.once("--config", str(ground.config), **{failpoints.VARIABLE: f"{point}:kill:{killed + 1}"})
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        killed += 1
    assert ground.once("--config", str(ground.config)).returncode == 0

    assert killed > 0, "the fault did not happen"
    assert findings(ground, [session]) == []


def test_kills_at_random_moments_leave_one_firing_a_session_and_each_is_told(ground: Ground) -> None:
    chance, sessions = random.Random(7), []
    for number in range(KILLS):
        daemon = ground.start("--config", str(ground.config))
        daemon.until_caught_up()
        session = costly(f"live-{number}")
        sessions.append(session)
        ground.tree.write(session)
        time.sleep(chance.uniform(0.3, 3.0))
        daemon.kill()

    daemon = ground.start("--config", str(ground.config))
    daemon.until(lambda: not findings(ground, sessions), "everything fired and was told")

    assert findings(ground, sessions) == []
