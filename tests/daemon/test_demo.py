"""The demo from end to end: it shows something, ends by itself, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ccagent.demo.session import ALERT
from tests.daemon.rig import STOP_SECONDS, Ground, until


@pytest.fixture
def temporary(ground: Ground) -> Path:
    """Where the demo puts its folder."""
    folder = ground.folder / "temporary"
    folder.mkdir()
    return folder


def start(ground: Ground, temporary: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ccagent", "demo", *options], env=ground.environment(TMPDIR=str(temporary)),
        cwd=ground.home, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("listener", [[], ["--listen", "off"]], ids=["port", "off"])
def test_it_shows_a_week_and_a_live_session_and_leaves_nothing(
    ground: Ground, temporary: Path, listener: list[str]
) -> None:
    demo = start(ground, temporary, "--seconds", "1.5", *listener)

    shown, said = demo.communicate(timeout=60)

    assert demo.returncode == 0, said
    assert "invented transcripts of the past week" in said
    assert "A live session begins" in said
    assert ("/metrics" in said) is not bool(listener)
    assert "claude-opus-4-6" in shown
    assert f"{ALERT} fires at $" in shown
    assert list(temporary.iterdir()) == []
    assert list(ground.home.iterdir()) == []


def test_ended_from_outside_it_leaves_neither_files_nor_a_daemon(ground: Ground, temporary: Path) -> None:
    demo = start(ground, temporary)
    try:
        until(lambda: any(temporary.glob("*/demo.db.status.json")), "the demo's daemon is at work")
        daemon = int(next(temporary.glob("*/demo.db.lock")).read_text())

        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=2 * STOP_SECONDS)
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.communicate()

    assert demo.returncode == 0
    assert list(temporary.iterdir()) == []
    assert not Path(f"/proc/{daemon}").exists()


def test_kept_files_are_named_and_agree_with_a_recount(ground: Ground, temporary: Path) -> None:
    demo = start(ground, temporary, "--seconds", "1", "--keep")

    _, said = demo.communicate(timeout=60)

    home = next(temporary.iterdir())
    assert f"ccagent usage --db {home / 'demo.db'}" in said
    ground.database = home / "demo.db"
    verdict = ground.verb("verify", "--source", str(home / "projects"))
    assert verdict.returncode == 0, verdict.stdout
