"""A daemon at work for a long time: five live sessions, scrapes and one OTLP destination; what it uses, and what grows.

    python benchmarks/soak.py [--minutes 60] [--mb 20] [--json FILE]

A daemon that has taken in a history of `--mb` follows five sessions, each a line a second; a session that has become
long ends and a new one begins. Memory, CPU, descriptors, threads and the sizes of database and write-ahead log are
sampled all the time. At the end every line must be in the database and every closed call at the receiver. Ends with 1
where a limit is missed. Linux only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson

from benchmarks.figures import MEBIBYTE, MEGABYTE, Figure, conditions, finish, median, options, percentile
from benchmarks.generate import Generator
from benchmarks.ground import DEADLINE_SECONDS, Daemon, Ground, require_linux, running
from benchmarks.live import LiveSession
from benchmarks.receiver import Arrivals, receiver

MINUTES: Final = 60.0
SETTLE_SECONDS: Final = 15.0
"""After the catch-up, before anything is measured: timers close what is over, rollups are computed."""

SESSIONS: Final = 5
LINE_SECONDS: Final = 1.0
"""Five live sessions, each a line a second: more than five people who work with as many agents."""

SESSION_LINES: Final = 150
"""Then a session ends and another begins in a file of its own: what a daemon keeps of sessions would grow with them."""

SCRAPE_SECONDS: Final = 15.0
"""As a Prometheus usually asks."""

SAMPLE_SECONDS: Final = 5.0
ARRIVAL_SECONDS: Final = 30.0
"""After the last line: what is not in its place by then is lost."""

CPU_GOAL: Final = 2.0
"""What five live sessions may cost with default features; scrapes and a destination, which are none, come on top here."""

DESCRIPTORS_GOAL: Final = 16.0
"""Files that were written lately stay open until they have cooled, and sessions begin faster here than in life."""

MEMORY_GOAL: Final = 80.0
GROWTH_GOAL: Final = 8.0
"""MiB between the first and the last quarter: caches fill in the first minutes, a leak goes on."""

SCRAPE_GOAL_MS: Final = 50.0
DATABASE_GOAL: Final = 12.0
"""Percent of the transcripts' bytes."""

LOG_GOAL: Final = 64.0
"""MiB: where a daemon begins to cut its write-ahead log."""

STOP_GOAL: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the system says of the daemon, so many seconds after the start; sizes in MiB, CPU in seconds so far."""

    seconds: float
    memory: float
    cpu_seconds: float
    descriptors: int
    threads: int
    database: float
    log: float


class Life:
    """The sessions that are being written, and what was written; a call counts as closed with its result."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._begun = 0
        self._sessions = [self._fresh() for _ in range(SESSIONS)]
        # Not all at once: the first ones are shorter.
        self._left = [SESSION_LINES * (number + 1) // SESSIONS for number in range(SESSIONS)]
        self._open: list[str | None] = [None] * SESSIONS
        self.lines = 0
        self.calls: list[str] = []
        self.closed: list[str] = []

    @property
    def begun(self) -> int:
        """Sessions so far."""
        return self._begun

    def line(self) -> None:
        """The next line of the next session."""
        number = self.lines % SESSIONS
        opened = self._open[number]
        if opened is None and self._left[number] <= 0:
            self._sessions[number], self._left[number] = self._fresh(), SESSION_LINES
        tool_id = self._sessions[number].line()
        if opened is None:
            self.calls.append(tool_id)
            self._open[number] = tool_id
        else:
            self.closed.append(tool_id)
            self._open[number] = None
        self._left[number] -= 1
        self.lines += 1

    def _fresh(self) -> LiveSession:
        self._begun += 1
        return LiveSession(self._tree, self._begun)


class Scraper:
    """One connection to the page, as a Prometheus keeps it; times in ms."""

    def __init__(self, daemon: Daemon) -> None:
        self._connection = daemon.connection()
        self.times: list[float] = []

    def scrape(self) -> None:
        """Ask once. RuntimeError where the answer is no page."""
        began = time.perf_counter()
        self._connection.request("GET", "/metrics")
        answer = self._connection.getresponse()
        answer.read()
        self.times.append(1_000 * (time.perf_counter() - began))
        if answer.status != 200:
            raise RuntimeError(f"a scrape was answered with {answer.status}")

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def sample(daemon: Daemon, began: float) -> Sample:
    """What it uses now."""
    process = Path("/proc") / str(daemon.process.pid)
    database = daemon.ground.database
    return Sample(
        seconds=round(time.perf_counter() - began, 1),
        memory=daemon.memory_mib("VmRSS"),
        cpu_seconds=daemon.cpu_seconds(),
        descriptors=len(os.listdir(process / "fd")),  # noqa: PTH208 - names are counted, no paths are made
        threads=len(os.listdir(process / "task")),  # noqa: PTH208
        database=_mib(database),
        log=_mib(database.with_name(database.name + "-wal")),
    )


def work(daemon: Daemon, life: Life, scraper: Scraper, seconds: float) -> list[Sample]:
    """Write, scrape and sample for so long."""
    began = time.perf_counter()
    samples = [sample(daemon, began)]
    next_scrape = next_sample = 0.0
    while (passed := time.perf_counter() - began) < seconds:
        life.line()
        if passed >= next_scrape:
            scraper.scrape()
            next_scrape += SCRAPE_SECONDS
        if passed >= next_sample:
            samples.append(sample(daemon, began))
            next_sample += SAMPLE_SECONDS
            daemon.check(time.perf_counter() + DEADLINE_SECONDS, "ended")
        due = life.lines * LINE_SECONDS / SESSIONS
        time.sleep(max(0.0, began + due - time.perf_counter()))
    return [*samples, sample(daemon, began)]


def usage(ground: Ground) -> dict[str, Any]:
    """The one row of `usage --json`."""
    command = [sys.executable, "-m", "ccagent", "usage", "--json", "--db", str(ground.database)]
    done = subprocess.run(
        command, env=ground.environment(), cwd=ground.home, check=True, stdout=subprocess.PIPE, timeout=DEADLINE_SECONDS
    )
    row: dict[str, Any] = orjson.loads(done.stdout)["rows"][0]
    return row


def missing_calls(ground: Ground, before: int, life: Life) -> int:
    """Calls that were written and are not in the database, once they have had their time."""
    deadline = time.perf_counter() + ARRIVAL_SECONDS
    while True:
        missing = before + len(life.calls) - int(usage(ground)["tool_calls"])
        if missing <= 0 or time.perf_counter() >= deadline:
            return abs(missing)
        time.sleep(1)


def missing_spans(arrivals: Arrivals, life: Life) -> int:
    """Closed calls whose spans the receiver has not got, once they have had their time."""
    deadline = time.perf_counter() + ARRIVAL_SECONDS
    missing = 0
    for tool_id in life.closed:
        try:
            arrivals.wait_for(tool_id, max(0.0, deadline - time.perf_counter()))
        except TimeoutError:
            missing += 1
    return missing


def growth(samples: list[Sample], field: str) -> float:
    """How much larger the middle value of the last quarter is than that of the first."""
    values = [float(getattr(one, field)) for one in samples]
    quarter = max(1, len(values) // 4)
    return median(values[-quarter:]) - median(values[:quarter])


def figures_of(samples: list[Sample], scrapes: list[float], cpu_goal: float = CPU_GOAL) -> list[Figure]:
    """What the samples say, beside the limits."""
    first, last = samples[0], samples[-1]
    share = 100 * (last.cpu_seconds - first.cpu_seconds) / (last.seconds - first.seconds)
    memory = [one.memory for one in samples]
    return [
        Figure(what="CPU with five live sessions", value=share, unit="% of a core", goal=cpu_goal),
        Figure(what="memory, most", value=max(memory), unit="MiB", goal=MEMORY_GOAL),
        Figure(what="memory, growth", value=growth(samples, "memory"), unit="MiB", goal=GROWTH_GOAL),
        Figure(what="descriptors, growth", value=growth(samples, "descriptors"), unit="", goal=DESCRIPTORS_GOAL),
        Figure(what="descriptors, most", value=max(one.descriptors for one in samples), unit=""),
        Figure(what="threads, growth", value=growth(samples, "threads"), unit="", goal=1),
        Figure(what="threads, most", value=max(one.threads for one in samples), unit=""),
        Figure(what="write-ahead log, most", value=max(one.log for one in samples), unit="MiB", goal=LOG_GOAL),
        Figure(what="scrape, p99", value=percentile(scrapes, 0.99), unit="ms", goal=SCRAPE_GOAL_MS),
    ]


def soak(
    folder: Path, mb: float, seconds: float, settle: float, cpu_goal: float = CPU_GOAL
) -> tuple[list[Figure], dict[str, Any]]:
    """One run: its figures, and the samples behind them."""
    ground = Ground.below(folder)
    Generator(ground.tree).write(int(mb * MEGABYTE))
    ground.take_in()
    before = int(usage(ground)["tool_calls"])
    arrivals = Arrivals()
    with receiver(arrivals.take) as port, running(
        ground, "--otlp-endpoint", f"http://127.0.0.1:{port}", "--otlp-protocol", "http/protobuf"
    ) as daemon:  # fmt: skip
        daemon.wait_caught_up()
        life, scraper = Life(ground.tree), Scraper(daemon)
        scraper.scrape()  # the first one makes every text; it is no usual one
        scraper.times.clear()
        time.sleep(settle)
        samples = work(daemon, life, scraper, seconds)
        scraper.close()
        lost, unsent = missing_calls(ground, before, life), missing_spans(arrivals, life)
        stopped = daemon.stop()
    transcripts = sum(path.stat().st_size for path in ground.tree.rglob("*.jsonl")) / MEBIBYTE
    figures = [
        *figures_of(samples, scraper.times, cpu_goal),
        Figure(what="database, of the transcripts", value=100 * _mib(ground.database) / transcripts, unit="%",
               goal=DATABASE_GOAL),
        Figure(what="calls lost or doubled", value=lost, unit="", goal=0),
        Figure(what="spans that did not arrive", value=unsent, unit="", goal=0),
        Figure(what="SIGTERM to the end", value=stopped, unit="s", goal=STOP_GOAL),
        Figure(what="lines written", value=life.lines, unit=""),
        Figure(what="sessions begun", value=life.begun, unit=""),
    ]  # fmt: skip
    return figures, {"samples": [asdict(one) for one in samples]}


def _mib(path: Path) -> float:
    return path.stat().st_size / MEBIBYTE if path.exists() else 0.0


def main() -> None:
    """Run it, say what was met, and end with 1 where something was missed."""
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="length of the measured time")
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS, help="seconds before it")
    parser.add_argument("--cpu", type=float, default=CPU_GOAL, help="what may be used, in percent of a core")
    given = parser.parse_args()
    require_linux("soak.py")
    if given.tree is not None:
        parser.error("--tree: sessions are written into the tree, so it is always a generated one")
    taken = conditions()
    with tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder:
        figures, details = soak(Path(folder), given.mb, 60 * given.minutes, given.settle, given.cpu)
    finish("soak", figures, taken, given.json, minutes=given.minutes, mb=given.mb, **details)
    missed = [figure.what for figure in figures if figure.verdict == "missed"]
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
