"""The script that runs before a change is taken: nothing of its caller gets into it, and nothing of it stays behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.collector.stage import packaged
from tests.daemon.rig import until
from tests.house.source import ROOT

GATE = ROOT / ".ci" / "run"
NEEDED = ("awk", "bash", "cat", "dirname", "id", "mkdir", "mktemp", "rm", "sleep")

CALLERS = {
    "CCAGENT_CONFIG": "/home/me/mine.toml",
    "CCAGENT_DATABASE_URL": "/home/me/mine.db",
    "CCAGENT_KILLS": "1",
    "CCAGENT_NO_SKIPS": "",
    "CCAGENT_OTLP_ENDPOINT": "https://receiver.example",
    "CLAUDE_CONFIG_DIR": "/home/me/claude",
    "CODEX_HOME": "/home/me/codex",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "https://receiver.example",
    "PGSSLMODE": "require",
    "PYTHONPATH": "/home/me/another/checkout",
    "XDG_CONFIG_HOME": "/home/me/config",
}
"""What somebody who uses ccagent may have set."""

pytestmark = pytest.mark.skipif(not GATE.exists(), reason="a source distribution has no automation")


def gate(folder: Path, clone: str, **variables: str) -> subprocess.Popen[str]:
    """The script, started; `clone` is what git does in the place of cloning, with the folder as its last argument."""
    programs = folder / "bin"
    programs.mkdir()
    for name in NEEDED:
        (programs / name).symlink_to(packaged(name))
    git = programs / "git"
    git.write_text(f'#!/bin/bash\nif [[ "$*" == *rev-parse* ]]; then echo "{ROOT}"; exit; fi\n{clone}\n')
    git.chmod(0o755)
    return subprocess.Popen(
        [packaged("bash"), str(GATE)], env={"PATH": str(programs), "TMPDIR": str(folder), **variables}, cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def left(folder: Path) -> list[str]:
    """Folders that mktemp has made and nobody has removed."""
    return [path.name for path in folder.iterdir() if path.name.startswith("tmp.")]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_its_caller_has_set_reaches_nothing_that_it_runs(tmp_path: Path) -> None:
    seen, corpus = tmp_path / "seen", tmp_path / "corpus"
    (corpus / "projects").mkdir(parents=True)
    started = gate(
        tmp_path, f'/usr/bin/env -0 >"{seen}"; exit 9', HOME="/home/me", CCAGENT_TEST_CORPUS=str(corpus), **CALLERS
    )

    said, _ = started.communicate(timeout=60)

    assert started.returncode == 9, said
    found = dict(line.partition("=")[::2] for line in seen.read_text().split("\0") if line)
    assert CALLERS.keys() & found.keys() == set()
    assert found["CCAGENT_TEST_CORPUS"] == str(corpus)
    assert Path(found["HOME"]).is_relative_to(tmp_path)
    assert left(tmp_path) == []


def test_the_command_that_it_waits_for_ends_with_it(tmp_path: Path) -> None:
    """With a README whose first command goes on for ever and never becomes a daemon."""
    noted = tmp_path / "pid"
    readme = f"<!-- command: run -->\\n```sh\\ntrue && echo $BASHPID >{noted} && sleep 1000\\n```\\n"
    started = gate(tmp_path, f'mkdir -p "${{@: -1}}" && printf \'{readme}\' >"${{@: -1}}/README.md"', HOME="/home/me")

    until(lambda: noted.exists() and noted.read_text().strip(), "the command runs")
    pid = int(noted.read_text())
    assert lives(pid)
    started.terminate()
    started.communicate(timeout=60)

    until(lambda: not lives(pid), "it has ended")
    assert left(tmp_path) == []
