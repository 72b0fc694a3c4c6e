"""The first start on a tree and the second one, nothing having changed, and both on one of 10,000 files: time to ready,
files opened, bytes read.

Ready is measured on the real process, from before it is made until `/readyz` says so. Opened files and bytes read are
counted in this process, by the follower itself, over the scan and the first steps of a second start.

    python benchmarks/restart.py [--tree DIR] [--mb N] [--files 10000] [--runs 5] [--json FILE]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import Figure, conditions, finish, median, options
from benchmarks.generate import tree_or_generated
from benchmarks.ground import Ground, running
from ccagent.clock import SystemClock
from ccagent.follow.reader import MAX_LINE
from ccagent.logs import configure
from ccagent.service.following import Following
from ccagent.service.live import Live
from ccagent.store.sqlite import SqliteStore

RUNS: Final = 5
FILES: Final = 10_000
FILE_BYTES: Final = 2_000
"""Of each of the many: a prompt and a reply."""

READY_GOAL: Final = 0.3
READY_MANY_GOAL: Final = 1.0
READY_FIRST_GOAL: Final = 5.0
"""Seconds."""


def measure(ground: Ground, what: str, goal: float, runs: int) -> tuple[list[Figure], dict[str, Any]]:
    """Start on a tree that nothing is known of, take it in, then start again `runs` times."""
    with running(ground) as daemon:
        first = daemon.wait_ready() - daemon.started
        daemon.stop()
    ground.take_in()
    ready, least = [], []
    for _ in range(runs):
        with running(ground) as daemon:
            ready.append(daemon.wait_ready() - daemon.started)
            daemon.stop()
        least.append(_python_start(ground))
    counted = [_second_start(ground) for _ in range(runs)]
    work = median([found["seconds"] for found in counted])
    figures = [
        Figure(
            what=f"{what}: first start to ready, all still to be read", value=first, unit="s", goal=READY_FIRST_GOAL
        ),
        Figure(what=f"{what}: process start to ready", value=median(ready), unit="s", goal=goal),
        Figure(what=f"{what}: of that, Python and the imports of the command line", value=median(least), unit="s"),
        Figure(what=f"{what}: opening the database, scanning, nothing to read", value=work, unit="s"),
        Figure(what=f"{what}: files", value=counted[-1]["files"], unit=""),
        Figure(what=f"{what}: files opened", value=max(found["opens"] for found in counted), unit="", goal=0),
        Figure(what=f"{what}: bytes read", value=max(found["bytes_read"] for found in counted), unit="", goal=0),
    ]
    return figures, {"ready": ready, "second_starts": counted}


def _python_start(ground: Ground) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "ccagent", "--version"], env=ground.environment(), cwd=ground.home, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - began


def _second_start(ground: Ground) -> dict[str, Any]:
    """What a second start does until it has caught up, counted by the follower."""
    live = Live()
    began = time.perf_counter()
    store = SqliteStore(ground.database, clock=SystemClock())
    try:
        following = Following(store, [ground.tree], live, SystemClock(), max_line=MAX_LINE, scan_seconds=60.0)
        while following.turn() or not live.caught_up:
            pass
        seconds = time.perf_counter() - began
        follower = following.follower
        found = {
            "seconds": seconds,
            "files": follower.files,
            "opens": follower.opens,
            "bytes_read": follower.bytes_read,
        }
        follower.close()
        return found
    finally:
        store.close()


def main() -> None:
    """Measure both trees."""
    parser = options(__doc__)
    parser.add_argument("--files", type=int, default=FILES, help="number of files of the tree of many small ones")
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    configure(level="error", format="json")
    taken = conditions()
    many = (None, given.files * FILE_BYTES / 1e6, given.files)
    figures: list[Figure] = []
    details = {}
    for what, goal, (tree, mb, files) in (
        ("unchanged tree", READY_GOAL, (given.tree, given.mb, None)),
        ("many files", READY_MANY_GOAL, many),
    ):
        with (
            tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder,
            tree_or_generated(tree, mb, files) as on,
        ):
            found, details[what] = measure(Ground.below(Path(folder), on), what, goal, given.runs)
            figures += found
    finish("restart", figures, taken, given.json, **details)


if __name__ == "__main__":
    main()
