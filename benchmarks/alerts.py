"""Alert rules over a million facts, with five sessions at work: one evaluation of the default pack when nothing has changed
and after a change, what a refresh of rollups costs more, the first evaluation of all, and the hours of a backtest. On SQLite
and on Postgres.

    python benchmarks/alerts.py [--facts 1000000] [--rounds 30] [--database URL] [--json FILE]

All rules of the pack are evaluated, enabled or not. Without `--database` a Postgres server of the development packages is
started, where they carry one.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.databases import fill, on_both
from benchmarks.facts import COLUMNS, HOUR, ZONE
from benchmarks.figures import Figure, percentile
from ccagent.alerts.evaluate import evaluate
from ccagent.alerts.pack import PACK
from ccagent.alerts.parsing import parse
from ccagent.alerts.rule import Operand, Scope
from ccagent.alerts.states import Standing
from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType, Flag, Status
from ccagent.store import measured, rollups
from ccagent.store.alert_hours import load_hours
from ccagent.store.alert_series import StoreSeries
from ccagent.store.connection import Connection, SqliteConnection, scalar
from ccagent.store.schema import SCHEMA_VERSION

FACTS: Final = 1_000_000
ROUNDS: Final = 30
AWAKE: Final = 5
"""Sessions that are at work."""

ADDED: Final = 50
"""Calls that come in before each evaluation after a change."""

QUIET_GOAL: Final = 20.0
CHANGED_GOAL: Final = 100.0
"""Milliseconds, the median of rounds."""

RULES: Final = tuple(parse(document) for document in PACK)


@dataclass(slots=True)
class Place:
    """A filled database: how it is called, who reads and who writes, and the moment after its last fact."""

    name: str
    reader: Connection
    writer: Connection
    now: int
    standings: dict[str, dict[str, Standing]] = field(default_factory=dict)
    added: int = 0

    def write(self, work: Callable[[Connection], Any]) -> None:
        """One transaction."""
        self.writer.execute("BEGIN")
        work(self.writer)
        self.writer.execute("COMMIT")

    def evaluate(self, times: dict[str, list[float]] | None = None) -> float:
        """Evaluate all rules; milliseconds. `times` takes those of each rule."""
        began = time.perf_counter()
        series = StoreSeries(self.reader, ZoneInfo(ZONE), self.now, write=self.write)
        for rule in RULES:
            before = time.perf_counter()
            outcome = evaluate(rule, series, self.standings.get(rule.id, {}), self.now, ZoneInfo(ZONE))
            self.standings[rule.id] = dict(outcome.standings)
            if times is not None:
                times.setdefault(rule.id, []).append((time.perf_counter() - before) * 1_000)
        return (time.perf_counter() - began) * 1_000

    def add(self) -> None:
        """Calls in the present hour, as the ingest leaves them."""
        context = scalar(self.writer, "SELECT MAX(context) FROM fact WHERE occurred_at >= ?", (self.now - HOUR,))
        tool = scalar(self.writer, "SELECT id FROM name WHERE value = 'Tool1'")
        rows = []
        for _ in range(ADDED):
            self.added += 1
            native, at = f"added-{self.added}", self.now - 1 - self.added % 60_000
            values = {
                "key": fact_key(EventType.TOOL_CALL, native), "type": int(EventType.TOOL_CALL), "native": native,
                "context": context, "name": tool, "occurred_at": at, "ended_at": at, "result_at": at,
                "status": int(Status.OK), "flags": int(Flag.DIRECT | Flag.RESULT), "parser": 1, "host": 1, "seq": 1,
                "closed_host": 1, "closed_seq": 1,
            }  # fmt: skip
            rows.append(tuple(values.get(column) for column in COLUMNS))
        insert = f"INSERT INTO fact ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
        quarter = (self.now - 1) - (self.now - 1) % (HOUR // 4)

        def work(conn: Connection) -> None:
            conn.executemany(insert, rows)
            conn.execute("INSERT INTO dirty (quarter, host, seq) VALUES (?, 1, 0) ON CONFLICT DO NOTHING", (quarter,))

        self.write(work)

    def wake(self) -> None:
        """Let the last sessions have a record in the last minute: rules of single sessions look at those."""
        kind = int(EventType.SESSION)
        self.writer.execute(
            "UPDATE fact SET ended_at = ? WHERE key IN (SELECT key FROM fact WHERE type = ? AND occurred_at < ?"
            " ORDER BY occurred_at DESC LIMIT ?)",
            (self.now - 60_000, kind, self.now, AWAKE),
        )

    def forget(self) -> None:
        """As if no rule asked for metrics of facts."""
        self.write(lambda conn: measured.keep_only(conn, ()))

    def refresh(self) -> float:
        """Bring the rollups of hours up to date; milliseconds."""
        began = time.perf_counter()
        self.write(lambda conn: rollups.refresh(conn, ZoneInfo(ZONE), points=False))
        return (time.perf_counter() - began) * 1_000


@contextlib.contextmanager
def sqlite(facts: int) -> Iterator[Place]:
    """A file of its own."""
    with tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder:
        path = Path(folder) / "ccagent.db"
        writer = SqliteConnection(str(path))
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", f"user_version = {SCHEMA_VERSION}"):
            writer.execute(f"PRAGMA {pragma}")
        now = fill(writer, facts)
        reader = SqliteConnection(str(path))
        yield Place(name="SQLite", reader=reader, writer=writer, now=now)
        reader.close()
        writer.close()


@contextlib.contextmanager
def postgres(url: str, facts: int) -> Iterator[Place]:
    """An empty database on a server."""
    from ccagent.store.pgconnection import connect

    writer = connect(url, application_name="ccagent benchmark", create=True)
    with writer.unhurried():
        now = fill(writer, facts)
    reader = connect(url, application_name="ccagent benchmark")
    yield Place(name="Postgres", reader=reader, writer=writer, now=now)
    reader.close()
    writer.close()


def measure(place: Place, rounds: int) -> tuple[list[Figure], dict[str, list[float]]]:
    """Refreshes with and without measured hours take turns, since the hour that they make anew grows."""
    place.wake()
    first = place.evaluate()
    by_rule: dict[str, list[float]] = {}
    quiet = [place.evaluate(by_rule) for _ in range(rounds)]
    plain, dearer, changed = [], [], []
    for _ in range(rounds):
        place.add()
        dearer.append(place.refresh())
        changed.append(place.evaluate())
        place.forget()
        place.add()
        plain.append(place.refresh())
        place.evaluate()
    began = time.perf_counter()
    operands = [Operand(metric="session_cost"), Operand(metric="tool.failures")]
    load_hours(place.reader, ZoneInfo(ZONE), operands, Scope.GLOBAL, 0, place.now)
    loaded = time.perf_counter() - began
    slowest = max(by_rule, key=lambda rule: percentile(by_rule[rule], 0.5))
    rows = int(scalar(place.reader, "SELECT COUNT(*) FROM measured"))
    figures = [
        _figure(place, "evaluation, nothing has changed", quiet, QUIET_GOAL),
        _figure(place, f"of that the slowest rule ({slowest})", by_rule[slowest], None),
        _figure(place, f"evaluation after {ADDED} calls", changed, CHANGED_GOAL),
        _figure(place, f"refresh after {ADDED} calls, nothing measured", plain, None),
        _figure(place, f"refresh after {ADDED} calls, with measured hours", dearer, None),
        Figure(what=f"{place.name}: the first evaluation of all", value=first / 1_000, unit="s"),
        Figure(what=f"{place.name}: rows of measured hours", value=rows, unit=""),
        Figure(what=f"{place.name}: hours of two metrics for a backtest of all time", value=loaded, unit="s"),
    ]
    return figures, {f"{place.name}, quiet": quiet, f"{place.name}, changed": changed} | {
        f"{place.name}, {rule}": times for rule, times in by_rule.items()
    }


def _figure(place: Place, what: str, times: list[float], goal: float | None) -> Figure:
    return Figure(what=f"{place.name}: {what}, p50", value=percentile(times, 0.5), unit="ms", goal=goal)


def main() -> None:
    """Measure both."""
    rules = Figure(what="rules", value=len(RULES), unit="")
    on_both("alerts", __doc__, FACTS, ROUNDS, (sqlite, postgres), measure, rules)


if __name__ == "__main__":
    main()
