"""Prometheus' own tool finds the rules sound and runs their unit tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.rule_files import DEPLOY, RULE_FILES, TEST_FILES


def promtool(*arguments: str, folder: Path = DEPLOY) -> tuple[int, str]:
    """Exit code and words of promtool; skips where it is not installed."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed; it comes with Prometheus")
    done = subprocess.run(
        [program, *arguments], cwd=folder, text=True, capture_output=True, timeout=300, check=False
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the files, to be spoilt."""
    return shutil.copytree(DEPLOY, tmp_path / "prometheus")


def test_the_rules_are_sound() -> None:
    code, said = promtool("check", "rules", *(path.name for path in RULE_FILES))

    assert code == 0, said
    assert said.count("SUCCESS") == len(RULE_FILES)


def test_the_configuration_is_sound_with_all_rule_files(copied: Path) -> None:
    assert promtool("check", "config", "prometheus.yml")[0] == 0

    words = (copied / "prometheus.yml").read_text()
    (copied / "prometheus.yml").write_text(
        words.replace("# - ccagent.alerts-optional.yml", "- ccagent.alerts-optional.yml")
    )
    code, said = promtool("check", "config", "prometheus.yml", folder=copied)
    assert (code, f"{len(RULE_FILES)} rule files found" in said) == (0, True), said


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_their_unit_tests_pass(path: Path) -> None:
    code, said = promtool("test", "rules", path.name)

    assert code == 0, said


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("ccagent.alerts.yml", "(ccagent_ingest_lag_seconds) > 300", "(ccagent_ingest_lag_seconds) > 3000"),
        ("ccagent.alerts.yml", "        for: 10m", "        for: 5m"),
        ("ccagent.recording.yml", "            or 0 * sum by (job, instance) (ccagent_microcompactions_total)\n", ""),
        ("ccagent.recording.yml", "increase(instance:ccagent_cost_usd:total[1d])", "instance:ccagent_cost_usd:total"),
    ],
)
def test_they_would_have_found_a_mistake(copied: Path, file: str, right: str, wrong: str) -> None:
    words = (copied / file).read_text()
    assert right in words
    (copied / file).write_text(words.replace(right, wrong))

    assert promtool("test", "rules", "ccagent.alerts.test.yml", folder=copied)[0] != 0
