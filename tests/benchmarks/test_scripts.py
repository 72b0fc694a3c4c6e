"""Every benchmark runs, on the smallest input; what it measures is not judged here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from benchmarks.all import FOLDER, QUICK, plan
from benchmarks.report import TITLES

DEADLINE_SECONDS = 120


def script(name: str, *options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, FOLDER / f"{name}.py", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS)


@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_runs_and_writes_its_figures(name: str, tmp_path: Path) -> None:
    if name == "idle" and sys.platform != "linux":
        pytest.skip("idle.py reads /proc")
    target = tmp_path / "result.json"

    done = script(name, "--mb", "0.5", "--json", target, *QUICK[name])

    assert done.returncode == 0, done.stderr
    document = orjson.loads(target.read_bytes())
    assert all(figure["value"] >= 0 for figure in document["figures"])
    assert any(figure["goal"] is not None for figure in document["figures"])


def test_results_hold_no_path_of_the_machine(tmp_path: Path) -> None:
    target = tmp_path / "result.json"

    script("spans", "--mb", "0.5", "--json", target, *QUICK["spans"])

    assert str(FOLDER.parent) not in target.read_text()
    assert str(tmp_path) not in target.read_text()


def test_a_restart_opens_no_file_and_reads_no_byte(tmp_path: Path) -> None:
    target = tmp_path / "result.json"

    script("restart", "--mb", "0.5", "--json", target, *QUICK["restart"])

    figures = {figure["what"]: figure["value"] for figure in orjson.loads(target.read_bytes())["figures"]}
    assert figures["many files: files"] >= 50
    for tree in ("unchanged tree", "many files"):
        assert figures[f"{tree}: files opened"] == figures[f"{tree}: bytes read"] == 0


def test_the_profile_names_functions_of_ccagent() -> None:
    done = script("ingest", "--mb", "0.5", "--profile")

    assert any(path.name in done.stdout for path in (FOLDER.parent / "ccagent" / "sources").rglob("*.py")), done.stderr


def test_every_script_is_part_of_the_whole_run(tmp_path: Path) -> None:
    planned = {run.script for run in plan(tmp_path, tmp_path)}

    assert planned == set(QUICK)
    assert {run.key for run in plan(tmp_path, tmp_path)} == set(TITLES)
