"""SIGTERM to exit, of daemons that take in a tree just then and of daemons that have nothing to do.

python benchmarks/stop.py [--tree DIR] [--mb N] [--tries 30] [--json FILE]
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import Figure, conditions, finish, options, percentile
from benchmarks.generate import tree_or_generated
from benchmarks.ground import Ground, running

TRIES: Final = 30
BUSY_SECONDS: Final = 0.5
"""Longest random time after ready at which a busy daemon is told to end."""

STOP_GOAL: Final = 2.0
"""Seconds, p99: what a service manager that is in a hurry gives."""


def measure(ground: Ground, tries: int) -> dict[str, list[float]]:
    """Seconds from the signal to the exit, busy and idle in turn. RuntimeError on an exit code other than 0."""
    draw = random.Random(1)
    found: dict[str, list[float]] = {"busy": [], "idle": []}
    for number in range(tries):
        state = ("busy", "idle")[number % 2]
        if state == "busy":
            ground.forget()
        with running(ground) as daemon:
            if state == "busy":
                daemon.wait_ready()
                time.sleep(draw.uniform(0.0, BUSY_SECONDS))
            else:
                daemon.wait_caught_up()
            found[state].append(daemon.stop())
    return found


def main() -> None:
    """Measure on one tree."""
    parser = options(__doc__)
    parser.add_argument("--tries", type=int, default=TRIES)
    given = parser.parse_args()
    taken = conditions()
    with (
        tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder,
        tree_or_generated(given.tree, given.mb) as on,
    ):
        found = measure(Ground.below(Path(folder), on), given.tries)
    times = found["busy"] + found["idle"]
    figures = [
        Figure(what="SIGTERM to exit, p50", value=percentile(times, 0.5), unit="s"),
        Figure(what="SIGTERM to exit, p99", value=percentile(times, 0.99), unit="s", goal=STOP_GOAL),
        Figure(what="the same while a tree is taken in, p99", value=percentile(found["busy"], 0.99), unit="s"),
        Figure(what="tries", value=len(times), unit=""),
    ]
    finish("stop", figures, taken, given.json, seconds=found)


if __name__ == "__main__":
    main()
