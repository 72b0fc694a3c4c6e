"""The soak: what it writes arrives, sessions end and begin, and growth is told from noise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from benchmarks.all import FOLDER
from benchmarks.figures import Figure
from benchmarks.ground import Ground
from benchmarks.soak import (
    COUNTED,
    SESSION_LINES,
    SESSIONS,
    SPANS,
    TELLING,
    Life,
    Sample,
    failed,
    figures_of,
    growth,
    miscounted,
    progress,
    usage,
)  # fmt: skip

DEADLINE_SECONDS = 240


def samples(**values: list[float]) -> list[Sample]:
    """Samples a second apart; what is not given stays as it is."""
    still = {"memory": 60.0, "cpu_seconds": 1.0, "descriptors": 20, "threads": 9, "database": 1.0, "log": 0.1}
    count = len(next(iter(values.values())))
    return [
        Sample(seconds=number, **{**still, **{name: series[number] for name, series in values.items()}})  # type: ignore[arg-type]
        for number in range(count)
    ]


def verdicts(taken: list[Sample]) -> dict[str, str]:
    return {figure.what: figure.verdict for figure in figures_of(taken, [5.0])}


def test_what_goes_on_growing_is_a_leak_and_a_single_peak_is_not() -> None:
    peak = samples(memory=[60, 61, 79, 60, 61, 60, 62, 61])
    leak = samples(memory=[50, 52, 54, 56, 58, 60, 62, 64])

    assert growth(peak, "memory") < 2
    assert verdicts(peak)["memory, growth"] == "met"
    assert verdicts(leak)["memory, growth"] == "missed"
    assert verdicts(leak)["memory, most"] == "met"


def test_descriptors_and_threads_that_grow_are_missed() -> None:
    assert verdicts(samples(descriptors=[20, 24, 30, 36, 42, 48, 54, 58]))["descriptors, growth"] == "missed"
    assert verdicts(samples(threads=[9, 9, 10, 10, 11, 11, 12, 12]))["threads, growth"] == "missed"


def test_cpu_is_a_share_of_the_time_that_passed() -> None:
    busy = samples(cpu_seconds=[1.0, 1.01, 1.02, 1.03, 1.2])

    assert {figure.what: figure.value for figure in figures_of(busy, [5.0])}["CPU with five live sessions"] == (
        pytest.approx(5.0)
    )
    assert verdicts(busy)["CPU with five live sessions"] == "missed"


def test_sessions_end_and_others_begin_and_every_call_is_closed_before(tmp_path: Path) -> None:
    life = Life(tmp_path)
    for _ in range(SESSIONS * (SESSION_LINES + 10)):
        life.line()

    assert life.begun >= 2 * SESSIONS
    assert len(list(tmp_path.rglob("*.jsonl"))) == life.begun
    assert len(life.calls) == len(set(life.calls))
    assert set(life.closed) <= set(life.calls)
    assert len(life.calls) - len(life.closed) <= SESSIONS


def test_a_second_life_writes_into_files_of_its_own(tmp_path: Path) -> None:
    first = Life(tmp_path)
    for _ in range(SESSIONS):
        first.line()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    second = Life(tmp_path, first.begun)
    for _ in range(SESSIONS):
        second.line()

    assert second.begun == first.begun + SESSIONS
    assert set(first.calls).isdisjoint(second.calls)
    assert {path: path.read_bytes() for path in before} == before


def test_what_is_missing_or_there_twice_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.soak.ARRIVAL_SECONDS", 0.0)
    ground = Ground.below(tmp_path)
    Life(ground.tree)
    ground.take_in()
    before, life = usage(ground), Life(ground.tree, SESSIONS)
    for _ in range(3 * SESSIONS):
        life.line()
    ground.take_in()

    assert miscounted(ground, before, life) == 0
    life.calls.append("one that was never written")
    assert miscounted(ground, before, life) > 0
    del life.calls[-2:]
    assert miscounted(ground, before, life) > 0


def test_a_busy_machine_fails_only_what_was_lost_or_leaked() -> None:
    def figure(what: str, value: float) -> Figure:
        return Figure(what=what, value=value, unit="", goal=0)

    slow, lost = figure(TELLING + "scrape, p99", 1), figure(TELLING + SPANS, 1)
    figures = [slow, lost, figure(COUNTED, 0)]

    assert failed(figures, limits=True) == [slow.what, lost.what]
    assert failed(figures, limits=False) == [lost.what]
    leaking = figures_of(samples(threads=[9, 9, 10, 10, 11, 11, 12, 12], cpu_seconds=[*range(8)]), [], where=TELLING)
    assert failed(leaking, limits=False) == [TELLING + "threads, growth"]


def test_progress_tells_of_the_time_since_the_last_line() -> None:
    taken = samples(cpu_seconds=[1.0, 1.02, 1.5])

    assert progress("default features", taken[0], taken[1]).startswith("default features, 0 min: 2.00 % of a core")


@pytest.mark.skipif(sys.platform != "linux", reason="soak.py reads /proc")
def test_a_short_one_loses_nothing_and_ends_with_1_only_where_a_limit_is_missed(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    command = [sys.executable, FOLDER / "soak.py", "--minutes", "0.3", "--mb", "0.5", "--settle", "0", "--json", target]

    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)

    document = orjson.loads(target.read_bytes())
    figures = {figure["what"]: figure for figure in document["figures"]}
    missed = [what for what, figure in figures.items() if figure["verdict"] == "missed"]
    parts = document["details"]["samples"]
    assert figures[COUNTED]["value"] == figures[TELLING + COUNTED]["value"] == figures[TELLING + SPANS]["value"] == 0
    assert figures["lines written"]["value"] >= 20
    assert figures[TELLING + "lines written"]["value"] >= 20
    assert {name: len(taken) >= 3 for name, taken in parts.items()} == {"plain": True, "telling": True}
    assert (done.returncode, bool(missed)) in ((0, False), (1, True)), done.stderr
