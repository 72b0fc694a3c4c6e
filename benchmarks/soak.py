"""A daemon at work for a long time, with five live sessions: what it uses, and what grows.

    python benchmarks/soak.py [--minutes 60] [--plain] [--no-limits] [--mb 20] [--json FILE]

A daemon that has taken in a history of `--mb` follows five sessions, each a line a second; a session that has become
long ends and a new one begins. A third of the time it runs with default features: nobody asks it, it sends nothing.
Then another one goes on with the same database, is scraped, and has one OTLP destination for traces, logs and metrics.
With `--plain` the first one has all the time. Memory, CPU, descriptors, threads and the sizes of database and
write-ahead log are sampled all the time. At the end of each part every line must be in the database, once, and every
closed call at the receiver.

Ends with 1 where a limit is missed; with `--no-limits`, for machines that have other work, only where something was
lost or doubled, or where descriptors or threads grow. Linux only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson

from benchmarks.figures import MEBIBYTE, MEGABYTE, Figure, conditions, finish, median, options, percentile
from benchmarks.generate import Generator
from benchmarks.ground import DEADLINE_SECONDS, Daemon, Ground, require_linux, running
from benchmarks.live import CALL_USAGE, LiveSession
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
KEPT_SAMPLES: Final = 60
"""Of each part, in the JSON file."""

ARRIVAL_SECONDS: Final = 30.0
"""After the last line: what is not in its place by then is lost."""

PLAIN_SHARE: Final = 1 / 3
"""Of the time, for the part with default features."""

CPU_GOAL: Final = 2.0
TELLING_CPU_GOAL: Final = 3.0
"""Percent of a core that five live sessions may cost with default features, and where it is told as well. That is two
senders that write a request a second each, whatever the number of lines, with the spans and records of these lines, one
that sends all totals a minute, and a page of all totals each 15 s: half of what taking the lines in may cost."""

OLD_SECONDS: Final = 24 * 3_600.0
"""How old the history is: files that were written just now would be looked at like those of live sessions."""

PROGRESS_SECONDS: Final = 60.0

DESCRIPTORS_GOAL: Final = 24.0
"""Files that were written within ten minutes stay open. Sessions begin faster here than in life, 20 in that time."""

MEMORY_GOAL: Final = 80.0
GROWTH_GOAL: Final = 8.0
"""MiB between the first and the last quarter: caches fill in the first minutes, a leak goes on."""

SCRAPE_GOAL_MS: Final = 50.0
DATABASE_GOAL: Final = 12.0
"""Percent of the transcripts' bytes."""

LOG_GOAL: Final = 64.0
"""MiB: where a daemon begins to cut its write-ahead log."""

STOP_GOAL: Final = 2.0

TELLING: Final = "with scrapes and a destination: "
COUNTED: Final = "calls, requests and tokens lost or doubled"
SPANS: Final = "spans that did not arrive"
DESCRIPTORS: Final = "descriptors, growth"
THREADS: Final = "threads, growth"
CORRECT: Final = frozenset({COUNTED, SPANS, DESCRIPTORS, THREADS})
"""What has to hold on any machine, however busy."""


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

    def __init__(self, tree: Path, begun: int = 0) -> None:
        """`begun` sessions were there before: theirs is not written on."""
        self._tree = tree
        self._begun = begun
        self._sessions = [self._fresh() for _ in range(SESSIONS)]
        # Not all at once: the first ones are shorter.
        self._left = [SESSION_LINES * (number + 1) // SESSIONS for number in range(SESSIONS)]
        self._open: list[str | None] = [None] * SESSIONS
        self.lines = 0
        self.calls: list[str] = []
        self.closed: list[str] = []

    @property
    def begun(self) -> int:
        """Sessions so far, with those before."""
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


def work(daemon: Daemon, life: Life, scraper: Scraper | None, seconds: float, what: str = "") -> list[Sample]:
    """Write, scrape and sample for so long; a line of progress a minute, with `what` in front."""
    began = time.perf_counter()
    samples = [sample(daemon, began)]
    next_scrape = next_sample = 0.0
    told = samples[0]
    while (passed := time.perf_counter() - began) < seconds:
        life.line()
        if scraper is not None and passed >= next_scrape:
            scraper.scrape()
            next_scrape += SCRAPE_SECONDS
        if passed >= next_sample:
            samples.append(sample(daemon, began))
            next_sample += SAMPLE_SECONDS
            daemon.check(time.perf_counter() + DEADLINE_SECONDS, "ended")
        if samples[-1].seconds - told.seconds >= PROGRESS_SECONDS:
            print(progress(what, told, samples[-1]), flush=True)
            told = samples[-1]
        due = life.lines * LINE_SECONDS / SESSIONS
        time.sleep(max(0.0, began + due - time.perf_counter()))
    return [*samples, sample(daemon, began)]


def progress(what: str, before: Sample, now: Sample) -> str:
    """How it goes, in a line."""
    return (
        f"{what}, {now.seconds / 60:.0f} min: {share(before, now):.2f} % of a core, {now.memory:.1f} MiB,"
        f" {now.descriptors} descriptors, {now.threads} threads, log {now.log:.1f} MiB, load {os.getloadavg()[0]:.1f}"
    )


def share(first: Sample, last: Sample) -> float:
    """Percent of a core between two samples."""
    return 100 * (last.cpu_seconds - first.cpu_seconds) / (last.seconds - first.seconds)


def usage(ground: Ground) -> dict[str, Any]:
    """The one row of `usage --json`."""
    command = [sys.executable, "-m", "ccagent", "usage", "--json", "--db", str(ground.database)]
    done = subprocess.run(
        command, env=ground.environment(), cwd=ground.home, check=True, stdout=subprocess.PIPE, timeout=DEADLINE_SECONDS
    )
    row: dict[str, Any] = orjson.loads(done.stdout)["rows"][0]
    return row


def miscounted(ground: Ground, before: Mapping[str, Any], life: Life) -> int:
    """How far usage is from what was written, once that has had its time: calls, requests, tokens and bad lines, all
    together."""
    deadline = time.perf_counter() + ARRIVAL_SECONDS
    calls = len(life.calls)
    wanted = {name: number + calls * each for name, number, each in _counts(before)}
    while True:
        amiss = sum(abs(wanted[name] - number) for name, number, _ in _counts(usage(ground)))
        if not amiss or time.perf_counter() >= deadline:
            return amiss
        time.sleep(1)


def _counts(row: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """What is counted: its name, how many, and how many a call of a live session adds."""
    tokens = row["tokens"]
    return [
        ("calls", int(row["tool_calls"]), 1),
        ("requests", int(row["requests"]), 1),
        ("bad lines", int(row["lines_bad"]), 0),
        ("input", int(tokens["input"]), CALL_USAGE.input),
        ("output", int(tokens["output"]), CALL_USAGE.output),
        ("cache_read", int(tokens["cache_read"]), CALL_USAGE.cache_read),
    ]


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


def figures_of(
    samples: list[Sample], scrapes: Sequence[float], cpu_goal: float = CPU_GOAL, where: str = ""
) -> list[Figure]:
    """What the samples say, beside the limits; `where` is put in front of each name."""
    memory = [one.memory for one in samples]
    figures = [
        Figure(what="CPU with five live sessions", value=share(samples[0], samples[-1]), unit="% of a core",
               goal=cpu_goal),
        Figure(what="memory, most", value=max(memory), unit="MiB", goal=MEMORY_GOAL),
        Figure(what="memory, growth", value=growth(samples, "memory"), unit="MiB", goal=GROWTH_GOAL),
        Figure(what=DESCRIPTORS, value=growth(samples, "descriptors"), unit="", goal=DESCRIPTORS_GOAL),
        Figure(what="descriptors, most", value=max(one.descriptors for one in samples), unit=""),
        Figure(what=THREADS, value=growth(samples, "threads"), unit="", goal=1),
        Figure(what="threads, most", value=max(one.threads for one in samples), unit=""),
        Figure(what="write-ahead log, most", value=max(one.log for one in samples), unit="MiB", goal=LOG_GOAL),
    ]  # fmt: skip
    if scrapes:
        figures.append(Figure(what="scrape, p99", value=percentile(scrapes, 0.99), unit="ms", goal=SCRAPE_GOAL_MS))
    return [replace(figure, what=where + figure.what) for figure in figures]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One daemon's time: its figures and the samples behind them, and how many sessions there are by now."""

    figures: list[Figure]
    samples: list[Sample]
    begun: int


def plain_part(ground: Ground, begun: int, seconds: float, settle: float, cpu_goal: float) -> Part:
    """Default features: it follows, rolls up and judges alert rules, and nobody asks."""
    before = usage(ground)
    with running(ground) as daemon:
        daemon.wait_caught_up()
        time.sleep(settle)
        life = Life(ground.tree, begun)
        samples = work(daemon, life, None, seconds, "default features")
        return _ended(daemon, life, samples, before, [], None, cpu_goal, "")


def telling_part(ground: Ground, begun: int, seconds: float, settle: float, cpu_goal: float) -> Part:
    """The same with scrapes, and a destination for every signal."""
    before, arrivals = usage(ground), Arrivals()
    with receiver(arrivals.take) as port, running(
        ground, "--otlp-endpoint", f"http://127.0.0.1:{port}", "--otlp-protocol", "http/protobuf"
    ) as daemon:  # fmt: skip
        daemon.wait_caught_up()
        scraper = Scraper(daemon)
        scraper.scrape()  # the first one makes every text; it is no usual one
        scraper.times.clear()
        time.sleep(settle)
        life = Life(ground.tree, begun)
        samples = work(daemon, life, scraper, seconds, "with scrapes and a destination")
        scraper.close()
        return _ended(daemon, life, samples, before, scraper.times, arrivals, cpu_goal, TELLING)


def _ended(
    daemon: Daemon, life: Life, samples: list[Sample], before: Mapping[str, Any], scrapes: Sequence[float],
    arrivals: Arrivals | None, cpu_goal: float, where: str,
) -> Part:  # fmt: skip
    """Wait for what was written, stop, and tell."""
    amiss = miscounted(daemon.ground, before, life)
    unsent = [] if arrivals is None else [
        Figure(what=where + SPANS, value=missing_spans(arrivals, life), unit="", goal=0)
    ]  # fmt: skip
    stopped = daemon.stop()
    figures = [
        *figures_of(samples, scrapes, cpu_goal, where),
        Figure(what=where + COUNTED, value=amiss, unit="", goal=0),
        *unsent,
        Figure(what=where + "SIGTERM to the end", value=stopped, unit="s", goal=STOP_GOAL),
        Figure(what=where + "lines written", value=life.lines, unit=""),
    ]
    return Part(figures=figures, samples=samples, begun=life.begun)


def soak(
    folder: Path, mb: float, seconds: float, settle: float, *, plain: bool = False,
    cpu_goals: tuple[float, float] = (CPU_GOAL, TELLING_CPU_GOAL),
) -> tuple[list[Figure], dict[str, Any]]:  # fmt: skip
    """One run: its figures, and the samples behind them."""
    ground = Ground.below(folder)
    Generator(ground.tree).write(int(mb * MEGABYTE))
    for path in ground.tree.rglob("*.jsonl"):
        os.utime(path, (path.stat().st_atime, time.time() - OLD_SECONDS))
    ground.take_in()
    first = plain_part(ground, 0, seconds if plain else seconds * PLAIN_SHARE, settle, cpu_goals[0])
    parts = {"plain": first}
    if not plain:
        parts["telling"] = telling_part(ground, first.begun, seconds * (1 - PLAIN_SHARE), settle, cpu_goals[1])
    transcripts = sum(path.stat().st_size for path in ground.tree.rglob("*.jsonl")) / MEBIBYTE
    figures = [
        *(figure for part in parts.values() for figure in part.figures),
        Figure(what="database, of the transcripts", value=100 * _mib(ground.database) / transcripts, unit="%",
               goal=DATABASE_GOAL),
        Figure(what="sessions begun", value=max(part.begun for part in parts.values()), unit=""),
    ]  # fmt: skip
    return figures, {"samples": {name: [asdict(one) for one in thinned(part.samples)] for name, part in parts.items()}}


def thinned(samples: list[Sample]) -> list[Sample]:
    """Some sixty of them, evenly spread: enough for whoever wants to see a curve."""
    return samples[:: max(1, len(samples) // KEPT_SAMPLES)]


def failed(figures: Sequence[Figure], *, limits: bool) -> list[str]:
    """The names of those that were missed; without `limits` only of those that tell of correctness."""
    return [
        figure.what
        for figure in figures
        if figure.verdict == "missed" and (limits or figure.what.removeprefix(TELLING) in CORRECT)
    ]


def _mib(path: Path) -> float:
    return path.stat().st_size / MEBIBYTE if path.exists() else 0.0


def main() -> None:
    """Run it, say what was met, and end with 1 where something was missed."""
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="length of the measured time")
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS, help="seconds before each part of it")
    parser.add_argument("--plain", action="store_true", help="default features only: no scrapes, no destination")
    parser.add_argument(
        "--no-limits", action="store_true", help="end with 1 only where something was lost, doubled or leaked"
    )
    given = parser.parse_args()
    require_linux("soak.py")
    if given.tree is not None:
        parser.error("--tree: sessions are written into the tree, so it is always a generated one")
    taken = conditions()
    with tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder:
        figures, details = soak(Path(folder), given.mb, 60 * given.minutes, given.settle, plain=given.plain)
    load = round(os.getloadavg()[0], 2)
    finish("soak", figures, taken, given.json, minutes=given.minutes, mb=given.mb, load_after=load, **details)
    if missed := failed(figures, limits=not given.no_limits):
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
