"""What a daemon costs that has nothing, or little, to do, and its memory: CPU with many files, with live sessions, MiB.

    python benchmarks/idle.py [--tree DIR] [--mb N] [--files 10000] [--seconds 120] [--json FILE]

`--tree` and `--mb` name the tree of the backfill. The idle time spans several scans of all files, which come once a
minute. Linux only.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import MEBIBYTE, Figure, conditions, finish, options
from benchmarks.generate import tree_or_generated
from benchmarks.ground import Daemon, Ground, require_linux, running
from benchmarks.live import LiveSession

FILES: Final = 10_000
FILE_BYTES: Final = 2_000
SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 15.0
"""After the catch-up: timers close what is over, rollups are computed, files cease to be hot."""

OLD_SECONDS: Final = 24 * 3_600.0

SESSIONS: Final = 5
LINE_SECONDS: Final = 1.0
"""Five live sessions, each a line a second: more than five people who work with as many agents."""

IDLE_GOAL: Final = 0.15
LIVE_GOAL: Final = 2.0
"""Percent of one core."""

STEADY_GOAL: Final = 80.0
BACKFILL_GOAL: Final = 120.0
"""MiB."""


def share(daemon: Daemon, seconds: float) -> float:
    """Percent of a core over so many seconds."""
    began, before = time.perf_counter(), daemon.cpu_seconds()
    time.sleep(seconds)
    return 100 * (daemon.cpu_seconds() - before) / (time.perf_counter() - began)


def live_share(daemon: Daemon, tree: Path, seconds: float) -> float:
    """The same while sessions are written, their lines spread over the second."""
    sessions = [LiveSession(tree, seed) for seed in range(SESSIONS)]
    began, before = time.perf_counter(), daemon.cpu_seconds()
    number = 0
    while (now := time.perf_counter()) - began < seconds:
        sessions[number % SESSIONS].line()
        number += 1
        time.sleep(max(0.0, began + number * LINE_SECONDS / SESSIONS - now))
    return 100 * (daemon.cpu_seconds() - before) / (time.perf_counter() - began)


def many_files(folder: Path, files: int, seconds: float, settle: float) -> list[Figure]:
    """Idle and live CPU, and the memory that stays, of a daemon that follows many files."""
    with tree_or_generated(None, files * FILE_BYTES / 1e6, files) as tree:
        for path in tree.rglob("*.jsonl"):
            os.utime(path, (path.stat().st_atime, time.time() - OLD_SECONDS))  # idle files were not written just now
        ground = Ground.below(folder, tree)
        ground.take_in()
        with running(ground) as daemon:
            daemon.wait_caught_up()
            time.sleep(settle)
            idle = share(daemon, seconds)
            live = live_share(daemon, tree, seconds)
            steady = daemon.memory_mib("VmRSS")
            daemon.stop()
    return [
        Figure(what="idle CPU, 10,000 files" if files == FILES else f"idle CPU, {files} files", value=idle,
               unit="% of a core", goal=IDLE_GOAL),
        Figure(what="CPU with five live sessions", value=live, unit="% of a core", goal=LIVE_GOAL),
        Figure(what="memory, steady, after that", value=steady, unit="MiB", goal=STEADY_GOAL),
    ]  # fmt: skip


def backfill(folder: Path, tree: Path, settle: float) -> list[Figure]:
    """The most memory while a whole tree is taken in, and what stays of it."""
    size = sum(path.stat().st_size for path in tree.rglob("*.jsonl"))
    ground = Ground.below(folder, tree)
    with running(ground) as daemon:
        daemon.wait_caught_up()
        most = daemon.memory_mib("VmHWM")
        took = time.perf_counter() - daemon.started
        cpu = daemon.cpu_seconds()
        time.sleep(settle)
        after = daemon.memory_mib("VmRSS")
        daemon.stop()
    return [
        Figure(what="memory during a backfill, most", value=most, unit="MiB", goal=BACKFILL_GOAL),
        Figure(what="memory after the backfill, steady", value=after, unit="MiB", goal=STEADY_GOAL),
        Figure(what="backfill, size", value=size / MEBIBYTE, unit="MiB"),
        Figure(what="backfill by the daemon, start and rollups included", value=took, unit="s"),
        Figure(what="backfill by the daemon, CPU time", value=cpu, unit="s"),
    ]


def main() -> None:
    """Measure both daemons."""
    parser = options(__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of each measured time")
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS, help="pause before each of them")
    given = parser.parse_args()
    require_linux("idle.py")
    taken = conditions()
    with tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder:
        figures = many_files(Path(folder), given.files, given.seconds, given.settle)
    with (
        tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder,
        tree_or_generated(given.tree, given.mb) as on,
    ):
        figures += backfill(Path(folder), on, given.settle)
    finish("idle", figures, taken, given.json, seconds=given.seconds, files=given.files)


if __name__ == "__main__":
    main()
