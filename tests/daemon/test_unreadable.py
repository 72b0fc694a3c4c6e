"""What may not be read, met by processes that have no right to read everything."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.rig import DEADLINE_SECONDS, Ground, small_session

ALONE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Takes from a process of root what makes it read any folder."""


def prefix() -> tuple[str, ...] | None:
    """What a command is to begin with, so that the mode of a folder counts; None where that cannot be had."""
    if os.geteuid() != 0:
        return ()
    try:
        done = subprocess.run((*ALONE, "true"), capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return ALONE if done.returncode == 0 else None


BEGIN = prefix()

pytestmark = pytest.mark.skipif(BEGIN is None, reason="root's rights cannot be dropped without setpriv")


def run(ground: Ground, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a verb over the tree, as somebody whom modes of folders keep out."""
    command = [*(BEGIN or ()), *ground.command(verb, "--source", str(ground.root), *options)]
    return subprocess.run(
        command, env=ground.environment(), cwd=ground.home, text=True, capture_output=True, timeout=DEADLINE_SECONDS,
        check=False,
    )  # fmt: skip


@pytest.fixture
def locked(ground: Ground) -> Iterator[Path]:
    """A folder of transcripts; what a test has made of its mode is undone."""
    ground.tree.write(small_session("one"))
    (folder,) = [path for path in ground.root.iterdir() if path.is_dir()]
    yield folder
    ground.root.parent.chmod(0o700)
    folder.chmod(0o700)


def test_a_root_in_a_folder_that_may_not_be_entered_is_not_called_empty(ground: Ground, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    root = closed / "projects"
    root.mkdir(parents=True)
    closed.chmod(0)
    try:
        once = run(ground, "run", "--once", "--source", str(root))
        doctor = run(ground, "doctor", "--source", str(root), "--offline")
        init = run(ground, "init", "--source", str(root), "--dry-run")
    finally:
        closed.chmod(0o700)

    assert "1 folders cannot be read" in once.stdout
    assert "No transcripts yet" not in once.stderr
    assert "folders of transcripts that may not be read: 1" in once.stderr
    assert "1 file or folder below the roots may not be read" in doctor.stdout
    assert "make what is refused readable" in init.stdout
    assert "Traceback" not in init.stderr


@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_a_verification_tells_of_what_it_cannot_read(ground: Ground, locked: Path, mode: int) -> None:
    manifest = ground.home / "manifest.json"
    assert run(ground, "run", "--once").returncode == 0
    assert run(ground, "verify", "--manifest", str(manifest)).returncode == 0
    locked.chmod(mode)

    plain = run(ground, "verify")
    checked = run(ground, "verify", "--manifest", str(manifest), "--json")

    assert "1 unreadable" in plain.stdout, plain.stderr
    (fault,) = json.loads(checked.stdout)["manifest"]["faults"]
    assert fault["fault"] == "cannot be read: Permission denied"


def test_a_verification_does_not_wait_at_a_pipe_in_the_place_of_a_transcript(ground: Ground) -> None:
    path = ground.tree.write(small_session("one"))
    assert run(ground, "run", "--once").returncode == 0
    path.unlink()
    os.mkfifo(path)

    assert "1 unreadable" in run(ground, "verify").stdout
