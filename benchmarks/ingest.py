"""Cold ingest of a tree into a fresh database, beside the limit: orjson.loads of each line, reading included.

Both run in turn, each time in a process of its own with the files in the page cache; medians are compared. The parts
of the work (reading and splitting, parsing, deriving) are measured in the same turns, so that the difference between
two lines of the table is what a part costs.

    python benchmarks/ingest.py [--tree DIR] [--mb N] [--runs 5] [--json FILE] [--profile]
"""

from __future__ import annotations

import cProfile
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson

from benchmarks.figures import MEGABYTE, Figure, conditions, finish, median, options
from benchmarks.generate import tree_or_generated
from benchmarks.ground import memory_mib
from ccagent.logs import configure

RUNS: Final = 5
STEP_BYTES: Final = 1_048_576
"""Bytes that are derived into one batch, as the daemon does."""

PROFILE_LINES: Final = 25
SHARE_GOAL: Final = 35.0
DATABASE_GOAL: Final = 12.0
"""Percent: of the limit's speed, at least; of the transcripts' bytes, at most."""

Work = Callable[[Path, Path], dict[str, Any]]


def lines(tree: Path) -> Iterator[list[bytes]]:
    """Each file's lines, read whole."""
    for path in sorted(tree.rglob("*.jsonl")):
        yield path.read_bytes().split(b"\n")


def split(tree: Path, folder: Path) -> dict[str, Any]:
    """Read and split."""
    return {"lines": sum(len(found) for found in lines(tree))}


def loads(tree: Path, folder: Path) -> dict[str, Any]:
    """The limit: orjson on every line."""
    good = 0
    for found in lines(tree):
        for line in found:
            if line:
                try:
                    orjson.loads(line)
                    good += 1
                except ValueError:
                    pass
    return {"lines": good}


def parse(tree: Path, folder: Path) -> dict[str, Any]:
    """Lines to records, as ingest reads them."""
    from ccagent.sources.claude.lines import parse as parse_line

    count = 0
    for found in lines(tree):
        for line in found:
            if line:
                parse_line(line)
                count += 1
    return {"lines": count}


def derive(tree: Path, folder: Path) -> dict[str, Any]:
    """Lines to merged partial facts, without a database."""
    from ccagent.facts.batch import Batch
    from ccagent.sources.claude.carry import Carry
    from ccagent.sources.claude.derive import Deriver
    from ccagent.sources.claude.files import agent_of

    batch, facts = Batch(), 0
    for number, path in enumerate(sorted(tree.rglob("*.jsonl"))):
        data, start = path.read_bytes(), 0
        carry, agent = Carry(), agent_of(str(path).encode())
        while start < len(data):
            end = len(data) if len(data) - start <= STEP_BYTES else data.rfind(b"\n", start, start + STEP_BYTES) + 1
            end = end if end > start else (data.find(b"\n", start) + 1 or len(data))
            Deriver(batch, carry, file=number, agent=agent).feed(data[start:end], start)
            start = end
            if batch.bytes >= STEP_BYTES:
                facts += batch.size()
                batch = Batch()
    return {"facts": facts + batch.size()}


def ingest(tree: Path, folder: Path) -> dict[str, Any]:
    """Everything: scan, read, derive, store, close; then rollups and the folding of the log, timed apart."""
    from ccagent.clock import SystemClock
    from ccagent.follow.reader import MAX_LINE
    from ccagent.service.following import Following
    from ccagent.service.live import Live
    from ccagent.service.scheduling import Scheduling, keep_zone
    from ccagent.store.sqlite import SqliteStore

    clock, live, database = SystemClock(), Live(), folder / "ingest.db"
    store = SqliteStore(database, clock=clock)
    following = Following(store, [tree], live, clock, max_line=MAX_LINE, scan_seconds=60.0)
    following.once()
    following.follower.close()
    taken_in, cpu = time.perf_counter(), time.process_time()
    Scheduling(store, keep_zone(store, "UTC"), live, clock, None).refresh()
    facts = next(iter(store.conn.execute("SELECT count(*) FROM fact")))[0]
    store.close()
    after = {"after_wall": time.perf_counter() - taken_in, "after_cpu": time.process_time() - cpu}
    return {"facts": facts, "database_bytes": database.stat().st_size, **after}


WORKS: Final[dict[str, Work]] = {"split": split, "loads": loads, "parse": parse, "derive": derive, "ingest": ingest}


def work(name: str, tree: Path) -> dict[str, Any]:
    """One piece of work in this process, timed; imports are warm before the clock starts."""
    configure(level="error", format="json")
    with tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder:
        spare = Path(folder)
        warm_up(WORKS[name], spare)
        wall, cpu = time.perf_counter(), time.process_time()
        found = WORKS[name](tree, spare)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found["wall"] = wall - found.get("after_wall", 0.0)
    found["cpu"] = cpu - found.get("after_cpu", 0.0)
    found["peak_mib"] = peak_mib()
    return found


def peak_mib() -> float:
    """The most memory that this process had."""
    try:
        return memory_mib("VmHWM")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / STEP_BYTES  # bytes on macOS


def warm_up(piece: Work, spare: Path) -> None:
    """Do it once on an empty tree, which imports all it needs; `spare` is a scratch folder."""
    (spare / "empty").mkdir()
    piece(spare / "empty", spare)
    for path in spare.glob("*.db*"):
        path.unlink()


def apart(name: str, tree: Path) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--worker", name, "--tree", str(tree)]
    found: dict[str, Any] = orjson.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def measure(tree: Path, runs: int) -> tuple[list[Figure], dict[str, Any]]:
    """All works in turn, `runs` times."""
    size = sum(len(path.read_bytes()) for path in tree.rglob("*.jsonl"))
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in WORKS}
    for _ in range(runs):
        for name, times in taken.items():
            times.append(apart(name, tree))
    middle = {
        name: {key: median([run[key] for run in times]) for key in times[0]} for name, times in taken.items()
    }  # fmt: skip
    whole, limit = middle["ingest"], middle["loads"]
    end_to_end = whole["wall"] + whole["after_wall"]
    figures = [
        Figure(
            what="cold ingest, speed as a share of the limit", value=100 * limit["wall"] / whole["wall"], unit="%",
            goal=SHARE_GOAL, bound="at least",
        ),
        Figure(
            what="the same, CPU time", value=100 * limit["cpu"] / whole["cpu"], unit="%",
        ),
        Figure(
            what="the same, rollups and closing of the database included", value=100 * limit["wall"] / end_to_end,
            unit="%",
        ),
        Figure(
            what="database as a share of the transcripts", value=100 * whole["database_bytes"] / size, unit="%",
            goal=DATABASE_GOAL,
        ),
        Figure(what="transcripts", value=size / MEGABYTE, unit="MB"),
        *(
            Figure(what=what, value=size / MEGABYTE / middle[name]["wall"], unit="MB/s")
            for name, what in (
                ("split", "read and split"), ("loads", "limit: orjson.loads on each line"), ("parse", "parse only"),
                ("derive", "parse and derive, no database"), ("ingest", "ingest"),
            )
        ),
        Figure(what="ingest, facts", value=whole["facts"] / whole["wall"], unit="rows/s"),
        Figure(what="ingest, CPU time", value=whole["cpu"], unit="s"),
        Figure(what="rollups and closing, CPU time", value=whole["after_cpu"], unit="s"),
        Figure(what="ingest, peak memory", value=whole["peak_mib"], unit="MiB"),
    ]  # fmt: skip
    return figures, {"runs": taken, "bytes": size}


def profile(tree: Path) -> None:
    """Where the time of one ingest goes; imports are warm."""
    configure(level="error", format="json")
    with tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder:
        spare, profiler = Path(folder), cProfile.Profile()
        warm_up(ingest, spare)
        profiler.runcall(ingest, tree, spare)
        pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(PROFILE_LINES)


def main() -> None:
    """Measure, or do one piece of the work."""
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="turns; medians are compared")
    parser.add_argument("--profile", action="store_true", help="print the profile of one ingest instead")
    parser.add_argument("--worker", choices=tuple(WORKS), help="do this piece once and print it as JSON")
    given = parser.parse_args()
    if given.worker:
        print(orjson.dumps(work(given.worker, given.tree)).decode())
        return
    taken = conditions()
    with tree_or_generated(given.tree, given.mb) as tree:
        if given.profile:
            profile(tree)
            return
        figures, details = measure(tree, given.runs)
    finish("ingest", figures, taken, given.json, **details)


if __name__ == "__main__":
    main()
