"""The page of the figures: verdicts, and its agreement with the results."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import orjson
import pytest

from benchmarks.figures import Figure, percentile, shown
from benchmarks.report import LATEST, page

SCRIPT = LATEST.parents[1] / "report.py"


def figure(value: float, goal: float | None, bound: str = "at most") -> Figure:
    return Figure(what="it", value=value, unit="s", goal=goal, bound=bound)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (figure(1.0, 1.0), "met"),
        (figure(1.1, 1.0), "missed"),
        (figure(1.0, 1.0, "at least"), "met"),
        (figure(0.9, 1.0, "at least"), "missed"),
        (figure(0.9, None), ""),
    ],
)
def test_a_verdict_follows_from_value_goal_and_bound(one: Figure, verdict: str) -> None:
    assert one.verdict == verdict


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_a_measured_value(share: float, value: int) -> None:
    assert percentile(range(100, 0, -1), share) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (5.0, "5"), (0.012345, "0.0123"), (1.2345, "1.23"), (34.56, "34.6"), (12345.6, "12,346")],
)
def test_values_have_three_digits_or_are_whole(value: float, text: str) -> None:
    assert shown(value) == text


def test_the_page_matches_the_latest_results() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_a_page_that_differs_from_the_results_is_reported(tmp_path: Path) -> None:
    stale = tmp_path / "performance.md"
    stale.write_text("# Performance\n")

    done = subprocess.run([sys.executable, SCRIPT, "--check", "--page", stale], capture_output=True, text=True)

    assert done.returncode == 1
    assert "run benchmarks/report.py" in done.stderr


def test_a_missed_goal_is_on_the_page() -> None:
    results = orjson.loads(LATEST.read_bytes())
    results["benchmarks"]["stop"]["figures"][0] |= {"goal": 0.001, "verdict": "missed", "value": 3.0, "unit": "s"}

    assert "| ≤ 0.001 s | 3 s | missed |" in page(results)


def test_the_hour_of_the_soak_is_on_the_page_with_its_conditions() -> None:
    results = orjson.loads(LATEST.read_bytes())
    hour = {
        "conditions": results["conditions"] | {"load_before": 0.25},
        "details": {"minutes": 60.0, "load_after": 0.5},
        "figures": [asdict(figure(1.5, 2.0)) | {"verdict": "met"}],
    }

    text = page(results, hour)

    assert "## Living on a laptop" in page(results)
    assert "Over 60 minutes on" in text
    assert "load average 0.25 before and 0.5 after" in text
    assert "| it | ≤ 2 s | 1.50 s | met |" in text
