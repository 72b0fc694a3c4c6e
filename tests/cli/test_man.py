"""The man page: made from the command line, read by roff without a complaint."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ccagent.cli import VERBS, cli

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "generate_man.py"
PAGE = ROOT / "ccagent" / "packaging" / "man" / "ccagent.1"


def test_a_stale_page_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name in (SCRIPT.name, "generate_docs.py"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    shutil.copytree(ROOT / "ccagent", tmp_path / "ccagent", ignore=shutil.ignore_patterns("__pycache__", PAGE.name))
    run = [sys.executable, str(tmp_path / "scripts" / SCRIPT.name)]

    stale = subprocess.run([*run, "--check"], capture_output=True, text=True, timeout=60, check=False)
    made = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    fresh = subprocess.run([*run, "--check"], capture_output=True, text=True, timeout=60, check=False)

    assert (stale.returncode, made.returncode, fresh.returncode) == (1, 0, 0)
    assert "ccagent.1 is stale" in stale.stderr
    assert (tmp_path / PAGE.relative_to(ROOT)).read_text() == PAGE.read_text()


@pytest.mark.skipif(not (shutil.which("groff") or shutil.which("mandoc")), reason="there is neither groff nor mandoc")
def test_roff_reads_it_without_a_complaint_and_shows_every_verb() -> None:
    command = ["groff", "-man", "-ww", "-Tutf8", "-P-c"] if shutil.which("groff") else ["mandoc", "-Tutf8", "-Wwarning"]
    done = subprocess.run([*command, str(PAGE)], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    for verb in VERBS:
        assert f"Usage: ccagent {verb} " in done.stdout
    group = cli.get_command(click.Context(cli), "db")
    assert isinstance(group, click.Group)
    assert [name for name in group.commands if f"ccagent db {name}" not in done.stdout] == []


@pytest.mark.skipif(shutil.which("man") is None, reason="there is no man")
def test_man_finds_it_beside_a_program_on_the_path(tmp_path: Path) -> None:
    """As pip, pipx and a system's package lay it: `share/man` beside the `bin` that is on the PATH."""
    place = tmp_path / "share" / "man" / "man1"
    place.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    shutil.copy(PAGE, place)
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    done = subprocess.run(["man", "-w", "ccagent"], capture_output=True, text=True, timeout=60, check=False, env=env)

    assert (done.returncode, done.stdout.strip()) == (0, str(place / PAGE.name)), done.stderr


@pytest.mark.skipif(shutil.which("man") is None, reason="there is no man")
def test_the_words_for_uv_find_it_beside_the_pages_of_other_tools(tmp_path: Path) -> None:
    words = re.findall(r"`man (-M .+? ccagent)`", (ROOT / "docs" / "quick-start.md").read_text(encoding="utf-8"))
    for tool in ("another", "ccagent"):
        (tmp_path / tool / "share" / "man" / "man1").mkdir(parents=True)
    (tmp_path / "another" / "share" / "man" / "man1" / "another.1").write_text(".TH ANOTHER 1\n")
    page = shutil.copy(PAGE, tmp_path / "ccagent" / "share" / "man" / "man1")

    assert len(words) == 1
    done = subprocess.run(
        ["sh", "-c", f'uv() {{ echo "{tmp_path}"; }}; man -w {words[0]}'], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout.strip()) == (0, str(page)), done.stderr
