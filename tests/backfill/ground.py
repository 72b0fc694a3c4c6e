"""A tree of transcripts and a store beside it, of either kind, for jobs that run in the test's own process."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ccagent.backfill import backfill
from ccagent.config import Config, load
from ccagent.facts.model import EventType
from ccagent.facts.parser import PARSER_VERSION
from ccagent.facts.partial import least
from ccagent.metrics import names
from ccagent.rebuild import rebuild
from ccagent.selection import Selection
from ccagent.sources.claude.derive import Deriver
from ccagent.store import provenance, rows, totals
from ccagent.store.connection import Connection
from ccagent.store.open import open_reader
from ccagent.store.view import canonical_dump
from ccagent.verify import verify
from tests.sources.trees import act
from tests.transcripts import Session, Tree

ACTIONS = (
    "prompt", "reply", "streamed", "bash", "failed", "edit", "mcp", "turn end", "prompt", "agent", "nested agent",
    "relayed agent", "background agent", "retries", "compaction", "interrupt", "slash", "gateway", "unknown", "splice",
    "again", "no time",
)  # fmt: skip
"""One of nearly everything that a transcript may hold."""

START = 1_770_714_000_000

KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


def session(
    number: int, *, actions: Sequence[str] = ACTIONS, project: str | None = None, start: int | None = None
) -> Session:
    """A session of its own, with all that hangs on it."""
    made = Session(
        f"session-{number}", version="2.1.229", seed=number, cwd=project or f"/home/me/work/project{number % 3}",
        start=START + number * 3_600_000 if start is None else start,
    )  # fmt: skip
    act(made, list(actions), random.Random(number))
    return made


def fork(of: Session, number: int, lines: int) -> Session:
    """A session whose file begins with copies of another's first lines, under its own id."""
    made = Session(f"fork-{number}", version="2.1.229", seed=1_000 + number, start=of.now, cwd=of.cwd)
    for line in of.lines[:lines]:
        made.raw(line.raw.replace(of.session_id.encode(), made.session_id.encode()))
    act(made, ["prompt", "reply", "bash"], random.Random(number))
    return made


class Tomorrow(Deriver):
    """The rules of a later version: fewer output tokens, another name for a tool, no compactions, new facts."""

    def feed(self, data: bytes, start: int) -> int:
        """As today's, with what changed."""
        count = super().feed(data, start)
        facts = self.batch.facts
        for request in facts[EventType.LLM_REQUEST].values():
            request.token_output = min(request.token_output, 7)
        for call in facts[EventType.TOOL_CALL].values():
            if call.name == "Bash":
                call.name = "Shell"
        facts[EventType.COMPACTION].clear()
        for native, prompt in list(facts[EventType.PROMPT].items()):
            made, _ = self.batch.get(EventType.UNKNOWN, f"prompt {native}", self.file, prompt.offset, prompt.length)
            made.claim(prompt.rank, prompt.owner_at, prompt.context, prompt.turn, "noted")
            made.occurred_at = least(made.occurred_at, prompt.occurred_at)
            made.closing = True
        return count


class Generous(Deriver):
    """The rules of a version that finds more output tokens."""

    def feed(self, data: bytes, start: int) -> int:
        """As today's, with at least 100,000 of them a request."""
        count = super().feed(data, start)
        for request in self.batch.facts[EventType.LLM_REQUEST].values():
            request.token_output = max(request.token_output, 100_000)
        return count


@contextmanager
def tomorrow(rules: type[Deriver] = Tomorrow) -> Iterator[None]:
    """Within, lines mean what they mean to a later version."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccagent.sources.claude.source.Deriver", rules)
        patch.setattr(rows, "PARSER_VERSION", PARSER_VERSION + 1)
        patch.setattr(provenance, "PARSER_VERSION", PARSER_VERSION + 1)
        yield


@dataclass
class Ground:
    """One tree and one store. `database` is a path or a URL."""

    folder: Path
    database: str
    host_id: str = "test-host"

    def __post_init__(self) -> None:
        self.tree = Tree(self.folder / "projects")

    @property
    def env(self) -> dict[str, str]:
        return {"HOME": str(self.folder / "home"), "TZ": "UTC", "CCAGENT_HOST_ID": self.host_id}

    def config(self, **flags: object) -> Config:
        """The configuration of every job here."""
        return load({"database": self.database, "sources": (str(self.tree.root),), **flags}, self.env)

    def take_in(self, **selection: Any) -> dict[str, Any]:
        """`ccagent backfill`."""
        return backfill(self.config(), self.env, Selection(**selection))

    def rebuild(self) -> dict[str, Any]:
        """`ccagent backfill --rebuild`."""
        return rebuild(self.config(), self.env)

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """The store, for reading."""
        with open_reader(self.config().database) as conn:
            yield conn

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a question."""
        with self.reader() as conn:
            return conn.execute(sql, values).fetchall()

    def dump(self) -> dict[str, str]:
        """The canonical dump by source key."""
        with self.reader() as conn:
            return {json.loads(line)[0]: line for line in canonical_dump(conn)}

    def counters(self, *, booked: bool = False) -> dict[str, int]:
        """Every counter over all labels: what is exported, or all that was ever booked."""
        with self.reader() as conn:
            read = totals.read(conn, booked=booked)
        found: dict[str, int] = {}
        for row in read.totals:
            found[row.metric] = found.get(row.metric, 0) + row.value
        for histogram in read.histograms:
            found[histogram.metric] = found.get(histogram.metric, 0) + sum(histogram.counts)
        return found

    def closed(self) -> dict[str, tuple[int, int]]:
        """Who closed each closed fact, and with which number."""
        found = self.rows("SELECT key, closed_host, closed_seq FROM fact WHERE closed_seq IS NOT NULL")
        return {bytes(key).hex(): (host, seq) for key, host, seq in found}

    def faults(self, *, recount: bool = True) -> list[str]:
        """What `verify --full` finds at fault; without `recount` only within the tables, which later rules fill otherwise."""
        report = verify(self.config(), self.env, full=True)
        found = [row for row in (*report["totals"], *report["checks"]) if row["verdict"] == "fault"]
        if recount:
            return [str(row) for row in found] or ([] if report["equal"] else [report["status"]])
        within = [row for row in report["totals"] if row["name"].startswith("booked ")] + report["checks"]
        return [str(row) for row in found if row in within and row["name"] not in ("by session", "by day")]

    def labels(self, metric: str) -> dict[str, int]:
        """All that was ever booked of a metric, by labels."""
        found = self.rows("SELECT labels, SUM(value) FROM total WHERE metric = ? GROUP BY 1", metric)
        return {str(labels): int(value) for labels, value in found if value}


def tokens_of_facts(ground: Ground) -> tuple[int, ...]:
    """The tokens of all facts, by kind."""
    sql = (
        "SELECT SUM(token_input), SUM(token_output), SUM(token_cache_read),"
        " SUM(token_cache_write - token_cache_write_1h), SUM(token_cache_write_1h) FROM fact WHERE type = 4"
    )
    return tuple(int(value or 0) for value in ground.rows(sql)[0])


def tokens_booked(ground: Ground) -> tuple[int, ...]:
    """The tokens that were ever booked, by kind."""
    labels = ground.labels(names.TOKENS)
    return tuple(sum(value for key, value in labels.items() if json.loads(key)[1] == kind) for kind in KINDS)


def cost_of_facts(ground: Ground) -> int:
    """The booked cost of all facts, in micro-dollars."""
    return int(ground.rows("SELECT SUM(COALESCE(cost_booked, cost, 0)) FROM fact")[0][0] or 0)
