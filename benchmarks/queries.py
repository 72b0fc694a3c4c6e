"""Usage of a million facts, by everything it can be asked by, on SQLite and on Postgres, with the last hour stale.

    python benchmarks/queries.py [--facts 1000000] [--rounds 60] [--database URL]… [--json FILE]

SQLite is asked as the command line asks it, over a connection of each question's own; Postgres over a connection that
is kept, as the daemon keeps one. Without `--database` a Postgres server of the development packages is started, where
they carry one.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.databases import fill, on_both
from benchmarks.facts import DAY, ZONE
from benchmarks.figures import Figure, percentile
from ccagent.rollups.buckets import bucket_start
from ccagent.store.connection import Connection, SqliteConnection
from ccagent.store.open import open_reader
from ccagent.store.queries import BY, usage
from ccagent.store.schema import SCHEMA_VERSION

FACTS: Final = 1_000_000
ROUNDS: Final = 60
WARM_UP: Final = 2

GOAL: Final = 100.0
"""Milliseconds, p99."""

Opener = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A filled database: how it is called, how it is opened for a question, and the moment after its last fact."""

    name: str
    open: Opener
    now: int


@contextlib.contextmanager
def sqlite(facts: int) -> Iterator[Place]:
    """A file of its own."""
    with tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder:
        path = Path(folder) / "ccagent.db"
        conn = SqliteConnection(str(path))
        for pragma in ("journal_mode = WAL", "synchronous = OFF", f"user_version = {SCHEMA_VERSION}"):
            conn.execute(f"PRAGMA {pragma}")
        now = fill(conn, facts)
        conn.close()
        yield Place(name="SQLite", open=lambda: open_reader(path), now=now)


@contextlib.contextmanager
def postgres(url: str, facts: int) -> Iterator[Place]:
    """An empty database on a server."""
    from ccagent.store.pgconnection import connect

    conn = connect(url, application_name="ccagent benchmark", create=True)
    with conn.unhurried():
        now = fill(conn, facts)
    yield Place(name="Postgres", open=lambda: contextlib.nullcontext(conn), now=now)
    conn.close()


def ask(place: Place, by: str, since: int | None, rounds: int) -> list[float]:
    """Milliseconds of each answer."""
    times = []
    for _ in range(WARM_UP + rounds):
        began = time.perf_counter()
        with place.open() as reader:
            usage(reader, by=by, since_ms=since, until_ms=None, timezone=None)
        times.append((time.perf_counter() - began) * 1_000)
    return times[WARM_UP:]


def measure(place: Place, rounds: int) -> tuple[list[Figure], dict[str, list[float]]]:
    """All time grouping by grouping; shorter windows by their slowest one."""
    windows = {
        "all time": None,
        "30 days": place.now - 30 * DAY,
        "today": bucket_start(ZoneInfo(ZONE), "day", place.now),
    }
    samples = {(name, by): ask(place, by, since, rounds) for name, since in windows.items() for by in BY}
    figures = []
    for by in BY:
        figures += _figures(f"{place.name}: by {by}, all time", samples["all time", by])
    for name in list(windows)[1:]:
        slowest = max(BY, key=lambda by: percentile(samples[name, by], 0.99))
        figures += _figures(f"{place.name}: {name}, the slowest (by {slowest})", samples[name, slowest])
    return figures, {f"{place.name}, {name}, by {by}": times for (name, by), times in samples.items()}


def _figures(what: str, times: list[float]) -> list[Figure]:
    return [
        Figure(what=f"{what}, p50", value=percentile(times, 0.5), unit="ms"),
        Figure(what=f"{what}, p99", value=percentile(times, 0.99), unit="ms", goal=GOAL),
    ]


def main() -> None:
    """Measure both."""
    on_both("queries", __doc__, FACTS, ROUNDS, (sqlite, postgres), measure)


if __name__ == "__main__":
    main()
