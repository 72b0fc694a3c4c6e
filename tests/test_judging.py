"""The sample that people judge rules by: the same for everybody, with the lines that a fact was read from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CORPUS_VARIABLE
from tests.judging import RULES, sampled, shortened
from tests.sources.feed import Feed
from tests.transcripts import Session, Tree

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    session = Session("s")
    for exit_code in (1, 2, 3):
        session.bash("false", exit_code=exit_code)
    Tree(tmp_path / "projects").write(session)
    return tmp_path


def judging(tree: Path, *options: str) -> str:
    env = {**os.environ, CORPUS_VARIABLE: str(tree)}
    command = [sys.executable, "-m", "tests.judging", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT, env=env).stdout


def test_a_sample_is_the_same_whatever_the_order_of_the_keys() -> None:
    keys = [f"key-{number}" for number in range(1_000)]

    assert sampled(keys, 50) == sampled(keys[::-1], 50)
    assert len(set(sampled(keys, 50))) == 50
    assert sampled(keys[:3], 50) == keys[:3]


def test_a_fact_is_shown_with_its_own_line_and_those_that_name_it(tree: Path) -> None:
    shown = judging(tree, "failure_class")

    assert shown.startswith("3 facts judged; a sample of 3 (seed 4)")
    assert shown.count("failure_class=nonzero_exit") == 3
    assert shown.count("\n> ") == 3
    assert shown.count("\n~ ") == 3
    assert "Exit code 2" in shown


def test_a_sample_comes_in_pages(tree: Path) -> None:

    shown = [judging(tree, "tool.call", "--part", f"{number}/3").count("\n> ") for number in (1, 2, 3)]

    assert shown == [1, 1, 1]


@pytest.mark.parametrize("rule", sorted(RULES))
def test_the_condition_of_every_rule_can_be_asked(rule: str) -> None:
    feed = Feed()

    feed.store.conn.execute(f"SELECT COUNT(*) FROM telemetry_events WHERE {RULES[rule]}")


def test_long_texts_are_cut() -> None:
    assert len(shortened(b'{"a": "' + b"x" * 10_000 + b'"}', 60)) < 100
