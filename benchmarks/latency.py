"""How long after a line is appended it is queryable, on `/metrics`, and, when it closes a call, a span at a collector.

A real daemon follows a tree, with a listener and an OTLP destination in this process. One line at a time is appended
after a random pause, so that no poll of the daemon's falls into step with it; each wait ends before the next begins.

    python benchmarks/latency.py [--tree DIR] [--mb N] [--appends 200] [--json FILE]
"""

from __future__ import annotations

import http.client
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import apsw

from benchmarks.figures import Figure, conditions, finish, options, percentile
from benchmarks.generate import tree_or_generated
from benchmarks.ground import POLL_SECONDS, Daemon, Ground, running
from benchmarks.live import LiveSession
from benchmarks.receiver import Arrivals, receiver
from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType
from ccagent.metrics import names
from ccagent.metrics.catalogue import METRICS

APPENDS: Final = 200
WARM_UP: Final = 5
"""First appends that are not counted: imports and connections happen once."""

PAUSE_SECONDS: Final = (0.05, 0.35)
SCRAPE_PAUSE_SECONDS: Final = 0.01
WAIT_SECONDS: Final = 20.0
"""A line that is not seen by then is lost."""

QUERYABLE_GOALS: Final = (0.15, 0.5)
METRICS_GOAL: Final = 1.0
SPAN_GOAL: Final = 3.0
"""Seconds: p50 and p99; p99; p99."""

TOKENS: Final = METRICS[names.TOKENS].prometheus_name.encode()


class Watch:
    """Looks at one daemon's database and page."""

    def __init__(self, daemon: Daemon) -> None:
        self._store = apsw.Connection(str(daemon.ground.database), flags=apsw.SQLITE_OPEN_READONLY)
        self._store.set_busy_timeout(1_000)
        self._page: http.client.HTTPConnection = daemon.connection()

    def queryable(self, tool_id: str) -> bool:
        """Whether the call is a fact."""
        key = fact_key(EventType.TOOL_CALL, tool_id)
        return self._store.execute("SELECT 1 FROM fact WHERE key = ?", (key,)).fetchone() is not None

    def tokens(self) -> float:
        """All tokens that the page shows."""
        self._page.request("GET", "/metrics")
        page = self._page.getresponse().read()
        return sum(float(line.rsplit(b" ", 1)[1]) for line in page.splitlines() if line.startswith(TOKENS))

    def close(self) -> None:
        """Let go of both."""
        self._store.close()
        self._page.close()


def wait(seen: Callable[[], bool], pause: float, what: str) -> float:
    """The steady time at which `seen` is first true; TimeoutError names `what` never came."""
    deadline = time.perf_counter() + WAIT_SECONDS
    while not seen():
        if time.perf_counter() > deadline:
            raise TimeoutError(f"an appended line was not {what} within {WAIT_SECONDS:g} s")
        time.sleep(pause)
    return time.perf_counter()


def measure(ground: Ground, appends: int, seed: int = 1) -> dict[str, list[float]]:
    """Seconds of every append, by what was waited for."""
    draw, arrivals = random.Random(seed), Arrivals()
    found: dict[str, list[float]] = {"queryable": [], "metrics": [], "span": []}
    with receiver(arrivals.take) as port, running(ground, *_sends_to(port)) as daemon:
        daemon.wait_caught_up()
        session, watch = LiveSession(ground.tree, seed), Watch(daemon)
        for number in range(WARM_UP + appends):
            time.sleep(draw.uniform(*PAUSE_SECONDS))
            before = watch.tokens()
            began = time.perf_counter()
            tool_id = session.call()
            queryable = wait(lambda: watch.queryable(tool_id), POLL_SECONDS, "queryable") - began  # noqa: B023
            shown = wait(lambda: watch.tokens() > before, SCRAPE_PAUSE_SECONDS, "on /metrics") - began  # noqa: B023
            time.sleep(draw.uniform(*PAUSE_SECONDS))
            began = time.perf_counter()
            span = arrivals.wait_for(session.result(), WAIT_SECONDS) - began
            if number >= WARM_UP:
                for name, seconds in (("queryable", queryable), ("metrics", shown), ("span", span)):
                    found[name].append(seconds)
        watch.close()
        daemon.stop()
    return found


def _sends_to(port: int) -> tuple[str, ...]:
    return ("--otlp-endpoint", f"http://127.0.0.1:{port}", "--otlp-protocol", "http/protobuf")


def main() -> None:
    """Measure on a copy of the tree: lines are appended to it."""
    parser = options(__doc__)
    parser.add_argument("--appends", type=int, default=APPENDS)
    given = parser.parse_args()
    taken = conditions()
    with (
        tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder,
        tree_or_generated(given.tree, given.mb) as on,
    ):
        ground = Ground.below(Path(folder))
        shutil.copytree(on, ground.tree, dirs_exist_ok=True)
        found = measure(ground, given.appends)
    middle, late = ({name: percentile(times, share) for name, times in found.items()} for share in (0.5, 0.99))
    figures = [
        Figure(what="append to queryable, p50", value=middle["queryable"], unit="s", goal=QUERYABLE_GOALS[0]),
        Figure(what="append to queryable, p99", value=late["queryable"], unit="s", goal=QUERYABLE_GOALS[1]),
        Figure(what="append to /metrics, p50", value=middle["metrics"], unit="s"),
        Figure(what="append to /metrics, p99", value=late["metrics"], unit="s", goal=METRICS_GOAL),
        Figure(what="closing line to span at the collector, p50", value=middle["span"], unit="s"),
        Figure(what="closing line to span at the collector, p99", value=late["span"], unit="s", goal=SPAN_GOAL),
    ]
    finish("latency", figures, taken, given.json, seconds=found)


if __name__ == "__main__":
    main()
