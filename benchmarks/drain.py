"""A destination that comes back after a long outage: how fast its backlog leaves, and what following pays for it.

A tree is taken in while nobody listens, and counts as missed by the destination. Then a real daemon follows a live
session twice: with nothing to send, and while the whole backlog leaves to a receiver in another process.

    python benchmarks/drain.py [--tree DIR] [--mb N] [--appends 100] [--json FILE]
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import apsw

from benchmarks.figures import MEGABYTE, Figure, conditions, finish, options, percentile
from benchmarks.generate import tree_or_generated
from benchmarks.ground import POLL_SECONDS, Daemon, Ground, running
from benchmarks.latency import WARM_UP, Watch, wait
from benchmarks.live import LiveSession
from benchmarks.spans import collector
from ccagent.export.otlp.closed import SPAN_TYPES

APPENDS: Final = 100
PAUSE_SECONDS: Final = (0.0, 0.1)

SENT_GOAL: Final = 5_000
"""Spans a second, while lines are followed."""

QUERYABLE_GOAL: Final = 0.5
"""Seconds, p99, also while the backlog leaves."""

KINDS: Final = ",".join(str(int(kind)) for kind in SPAN_TYPES)
WAITING: Final = f"""SELECT count(*) FROM fact WHERE type IN ({KINDS}) AND closed_seq >
    coalesce((SELECT max(closed_seq) FROM export_cursor WHERE signal = 'traces'), 0)"""
REACHED: Final = "SELECT coalesce(max(closed_seq), 0) FROM export_cursor WHERE signal = 'traces'"


def missed(ground: Ground) -> int:
    """Make all that is in the store a backlog of the destination, as if it had been named before; how many spans."""
    conn = apsw.Connection(str(ground.database))
    conn.execute(
        "INSERT INTO export_cursor (destination, signal, host, named_at, closed_seq, updated_at, sent, rejected) "
        "SELECT 'otlp', 'traces', id, 1, 0, 1, 0, 0 FROM host"
    )
    waiting = int(conn.execute(WAITING).get)
    conn.close()
    return waiting


def patient(ground: Ground) -> None:
    """Configure that nothing is too old to be sent: the tree may be older than any outage."""
    file = ground.home / ".config" / "ccagent" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[otlp]\nmax_age_days = 3650\n")


def follow(ground: Ground, daemon: Daemon, seed: int, least: int, until_sent: bool) -> tuple[list[float], float]:
    """Append to a live session `least` times, and until the backlog is gone: seconds to be queryable, and a span of it."""
    draw, session, watch = random.Random(seed), LiveSession(ground.tree, seed), Watch(daemon)
    conn = apsw.Connection(str(ground.database), flags=apsw.SQLITE_OPEN_READONLY)
    conn.set_busy_timeout(1_000)
    waiting = int(conn.execute(WAITING).get)
    target = int(conn.execute("SELECT max(closed_seq) FROM fact").get)
    began, drained, seconds = time.perf_counter(), 0.0, []
    while len(seconds) < least or (until_sent and not drained):
        time.sleep(draw.uniform(*PAUSE_SECONDS))
        at = time.perf_counter()
        tool_id = session.call()
        seconds.append(wait(lambda: watch.queryable(tool_id), POLL_SECONDS, "queryable") - at)  # noqa: B023
        session.result()
        if until_sent and not drained and int(conn.execute(REACHED).get) >= target:
            drained = (time.perf_counter() - began) / waiting
    conn.close()
    watch.close()
    return seconds[0 if until_sent else WARM_UP :], drained


def main() -> None:
    """Measure on a tree of its own."""
    parser = options(__doc__)
    parser.add_argument("--appends", type=int, default=APPENDS)
    given = parser.parse_args()
    taken = conditions()
    with (
        tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder,
        tree_or_generated(given.tree, given.mb) as on,
        collector() as (port, got),
    ):
        ground = Ground.below(Path(folder), on)
        patient(ground)
        ground.take_in()
        with running(ground) as daemon:
            daemon.wait_caught_up()
            quiet, _ = follow(ground, daemon, 1, given.appends + WARM_UP, until_sent=False)
            quiet_memory = daemon.memory_mib("VmHWM")
            daemon.stop()
        waiting = missed(ground)
        with running(
            ground, "--otlp-endpoint", f"http://127.0.0.1:{port}", "--otlp-protocol", "http/protobuf"
        ) as daemon:
            daemon.wait_ready()
            busy, drained = follow(ground, daemon, 2, 1, until_sent=True)
            busy_memory = daemon.memory_mib("VmHWM")
            daemon.stop()
    if got["spans"] < waiting:
        raise RuntimeError(f"{waiting} spans waited and {got['spans']} came")
    figures = [
        Figure(what="spans that waited", value=waiting, unit=""),
        Figure(what="spans sent while lines were followed", value=1 / drained, unit="spans/s", goal=SENT_GOAL,
               bound="at least"),
        Figure(what="appends during the drain", value=len(busy), unit=""),
        Figure(what="append to queryable with nothing to send, p50", value=percentile(quiet, 0.5), unit="s"),
        Figure(what="append to queryable with nothing to send, p99", value=percentile(quiet, 0.99), unit="s"),
        Figure(what="append to queryable during the drain, p50", value=percentile(busy, 0.5), unit="s"),
        Figure(what="append to queryable during the drain, p99", value=percentile(busy, 0.99), unit="s",
               goal=QUERYABLE_GOAL),
        Figure(what="most memory with nothing to send", value=quiet_memory, unit="MiB"),
        Figure(what="most memory during the drain", value=busy_memory, unit="MiB"),
        Figure(what="largest request, uncompressed", value=got["largest_bytes"] / MEGABYTE, unit="MB", goal=1.1),
    ]  # fmt: skip
    finish("drain", figures, taken, given.json, quiet=quiet, busy=busy, receiver=got)


if __name__ == "__main__":
    main()
