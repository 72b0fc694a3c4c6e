"""A scrape of a page with 5,000 series from a real daemon, at rest and with totals that change, beside an answer that
reads nothing (`/healthz`).

python benchmarks/scrape.py [--series 5000] [--scrapes 300] [--json FILE]
"""

from __future__ import annotations

import http.client
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import Figure, conditions, finish, options, percentile
from benchmarks.ground import Ground, running
from ccagent.clock import SystemClock
from ccagent.facts.model import STATUS_NAMES
from ccagent.logs import configure
from ccagent.metrics import names
from ccagent.store.ingest import Ingest
from ccagent.store.sqlite import SqliteStore

SERIES: Final = 5_000
SCRAPES: Final = 300
WARM_UP: Final = 10
ACCEPT: Final = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
"""As a Prometheus server asks."""

TIMED: Final = 8
"""One tool of so many has a histogram too: a page is mostly counters."""

CHANGE: Final = f"UPDATE total SET value = value + 1 WHERE metric = '{names.TOOL_CALLS}' AND labels LIKE ? ESCAPE '\\'"
"""What a tool call changes, as another process that writes as this host would leave it."""

SCRAPE_GOAL: Final = 50.0
"""Milliseconds, p99."""


def fill(ground: Ground, tools: int) -> None:
    """Book totals as if so many tools had been called, each with every outcome."""
    store = SqliteStore(ground.database, clock=SystemClock())
    store.catch_up_done()

    def book(state: Ingest) -> None:
        for number in range(tools):
            for status in STATUS_NAMES:
                tool = f"mcp__server{number % 50}__tool_{number}"
                state.booking.count(names.TOOL_CALLS, (tool, status, ""), number + 1)
                if number % TIMED == 0 and status == STATUS_NAMES[0]:
                    state.booking.observe(names.TOOL_DURATION, (tool, status), number / 10)

    store.run(book)
    store.close()


def scrape(connection: http.client.HTTPConnection, path: str) -> tuple[float, bytes]:
    """Milliseconds to the whole answer, and the answer."""
    began = time.perf_counter()
    connection.request("GET", path, headers={"Accept": ACCEPT})
    page = connection.getresponse().read()
    return (time.perf_counter() - began) * 1_000, page


def series(page: bytes) -> int:
    """Lines that are samples; `_created` is part of the series whose start it tells."""
    return sum(1 for line in page.splitlines() if line[:1] != b"#" and b"_created" not in line.split(b"{")[0])


def measure(folder: Path, wanted: int, scrapes: int) -> list[Figure]:
    """Fill, start, scrape."""
    per_tool = len(STATUS_NAMES) + 2
    ground = Ground.below(folder)
    fill(ground, wanted // per_tool + 1)
    with running(ground) as daemon:
        daemon.wait_caught_up()
        connection = daemon.connection()
        for _ in range(WARM_UP):
            page = scrape(connection, "/metrics")[1]
            scrape(connection, "/healthz")
        before = daemon.cpu_seconds() if sys.platform == "linux" else 0.0
        times = [scrape(connection, "/metrics")[0] for _ in range(scrapes)]
        cpu = (daemon.cpu_seconds() - before) * 1_000 / scrapes if sys.platform == "linux" else 0.0
        changed = []
        before = daemon.cpu_seconds() if sys.platform == "linux" else 0.0
        with closing(apsw.Connection(str(ground.database))) as beside:
            for number in range(scrapes):
                beside.execute(CHANGE, (f'%tool\\_{number % 500}"%',))
                changed.append(scrape(connection, "/metrics")[0])
        cpu_changed = (daemon.cpu_seconds() - before) * 1_000 / scrapes if sys.platform == "linux" else 0.0
        floor = [scrape(connection, "/healthz")[0] for _ in range(scrapes)]
        connection.close()
        daemon.stop()
    if series(page) < wanted:
        raise RuntimeError(f"the page has {series(page)} series, {wanted} were wanted: label values were dropped")
    return [
        Figure(what="scrape, p50", value=percentile(times, 0.5), unit="ms"),
        Figure(what="scrape, p99", value=percentile(times, 0.99), unit="ms", goal=SCRAPE_GOAL),
        Figure(what="with a change in the largest family each time, p50", value=percentile(changed, 0.5), unit="ms"),
        Figure(what="with such a change, p99", value=percentile(changed, 0.99), unit="ms", goal=SCRAPE_GOAL),
        Figure(what="the same beside /healthz, ratio of p50", value=percentile(times, 0.5) / percentile(floor, 0.5),
               unit="times"),
        Figure(what="CPU time of one scrape", value=cpu, unit="ms"),
        Figure(what="CPU time of one with such a change", value=cpu_changed, unit="ms"),
        Figure(what="series on the page", value=series(page), unit=""),
        Figure(what="size of the page", value=len(page) / 1_000, unit="kB"),
    ]  # fmt: skip


def main() -> None:
    """Measure one page."""
    parser = options(__doc__)
    parser.add_argument("--series", type=int, default=SERIES)
    parser.add_argument("--scrapes", type=int, default=SCRAPES)
    given = parser.parse_args()
    configure(level="error", format="json")
    taken = conditions()
    with tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder:
        figures = measure(Path(folder), given.series, given.scrapes)
    finish("scrape", figures, taken, given.json)


if __name__ == "__main__":
    main()
