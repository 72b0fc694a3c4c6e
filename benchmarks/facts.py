"""Invented facts, written straight into the tables of an empty store: how a million of them lie after months of work.

Sessions are spread over working hours, most of them a few hours long, some over several days; requests make up to four
calls, of which a few end in another hour; some work goes to sub-agents. The same seed makes the same facts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType, Flag, Quality, Status
from ccagent.store import rollups
from ccagent.store.connection import Connection, scalar

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

START: Final = 1_767_225_600_000
"""2026-01-01 00:00 UTC, the first day."""

ZONE: Final = "Europe/Berlin"
"""Of the rollups."""

DAYS: Final = 120
PROJECTS: Final = 12
MODELS: Final = 8
TOOLS: Final = 40
FACTS_A_SESSION: Final = 200
TOOLS_A_SESSION: Final = 10
"""Most of them the same few; real sessions of that length call eight."""

BATCH: Final = 20_000
"""Facts of one transaction."""

COLUMNS: Final = (
    "key", "type", "native", "context", "name", "request", "occurred_at", "ended_at", "result_at", "status", "flags",
    "quality", "token_input", "token_output", "token_cache_read", "token_cache_write", "token_cache_write_1h", "cost",
    "added", "removed", "parser", "host", "seq", "closed_host", "closed_seq",
)  # fmt: skip
_HOST: Final = 1
_CONTEXT: Final = ("session", "project", "branch", "agent", "skill", "rank")
_SEEN: Final = int(Flag.DIRECT | Flag.RESULT)


@dataclass(slots=True)
class Filler:
    """Fills the store behind `conn`, whose schema is made and which is empty. Call `fill`."""

    conn: Connection
    facts: int
    seed: int = 1
    days: int = DAYS

    def fill(self) -> int:
        """Write the facts, mark all of them stale; the moment after the last (ms UTC)."""
        chance = random.Random(self.seed)
        self.conn.execute(
            "INSERT INTO host (id, host_id, instance_id, seq, commits, created_at)"
            " VALUES (?, 'benchmark', 'x', ?, 0, 0) ON CONFLICT DO NOTHING",
            (_HOST, self.facts),
        )
        self.conn.execute("INSERT INTO meta (name, value) VALUES ('zone', ?) ON CONFLICT DO NOTHING", (ZONE,))
        models = [self._name(f"claude-model-{number}") for number in range(MODELS)]
        tools = [self._name(f"Tool{number}") for number in range(TOOLS)]
        rows = islice(self._rows(chance, models, tools), self.facts)
        insert = f"INSERT INTO fact ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
        while batch := list(islice(rows, BATCH)):
            self.conn.execute("BEGIN")
            self.conn.executemany(insert, batch)
            self.conn.execute("COMMIT")
        self.conn.execute("BEGIN")
        rollups.mark_everything(self.conn)
        self.conn.execute("COMMIT")
        return int(scalar(self.conn, "SELECT MAX(occurred_at) FROM fact")) + 1

    def refresh(self) -> None:
        """Bring all rollups up to date, and the planner's statistics."""
        zone = ZoneInfo(ZONE)
        done = 1
        while done:
            self.conn.execute("BEGIN")
            done = rollups.refresh(self.conn, zone)
            self.conn.execute("COMMIT")
        self.conn.execute("ANALYZE")

    def touch(self, now: int) -> None:
        """As after a line that just came in: the last quarter hour is stale."""
        quarter = now - now % (15 * MINUTE)
        self.conn.execute(
            "INSERT INTO dirty (quarter, host, seq) VALUES (?, ?, 0) ON CONFLICT DO NOTHING", (quarter, _HOST)
        )

    def _name(self, text: str) -> int:
        return int(scalar(self.conn, "INSERT INTO name (value) VALUES (?) RETURNING id", (text,)))

    def _context(self, *values: int | None) -> int:
        marks = ", ".join("?" * len(_CONTEXT))
        insert = f"INSERT INTO context ({', '.join(_CONTEXT)}) VALUES ({marks}) RETURNING id"
        return int(scalar(self.conn, insert, values))

    def _rows(self, chance: random.Random, models: list[int], tools: list[int]) -> Iterator[tuple[Any, ...]]:
        sessions = max(1, self.facts // FACTS_A_SESSION)
        projects = [self._name(f"/home/somebody/project-{number}") for number in range(PROJECTS)]
        branches = [self._name(f"branch-{number}") for number in range(3 * PROJECTS)]
        skills = [self._name(f"skill-{number}") for number in range(6)]
        for number in range(sessions):
            # In the order of time, as they come in.
            day = number * self.days // sessions
            at = START + day * DAY + chance.randrange(8 * HOUR, 19 * HOUR)
            project = chance.randrange(PROJECTS)
            session = self._name(f"session-{self.seed}-{number}")
            branch = branches[3 * project + chance.randrange(3)]
            main = self._context(session, projects[project], branch, None, None, 0)
            places = [main] * 4
            if chance.random() < 0.3:
                places.append(self._context(session, projects[project], branch, None, chance.choice(skills), 0))
            for agent in range(chance.choice([0, 0, 0, 1, 2])):
                name = self._name(f"agent-{self.seed}-{number}-{agent}")
                places.append(self._context(session, projects[project], branch, name, None, 1))
            yield from self._session(chance, f"{self.seed}-{number}", at, main, places, models, tools)

    def _session(
        self, chance: random.Random, native: str, at: int, main: int, places: list[int], models: list[int],
        tools: list[int],
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        first, wanted, made = at, int(chance.gauss(FACTS_A_SESSION - 1, 60)), 0
        used_tools = [tools[min(int(chance.expovariate(0.12)), TOOLS - 1)] for _ in range(TOOLS_A_SESSION)]
        model = chance.choice(models[: 1 + chance.randrange(MODELS)])
        turn = 0
        while made < max(wanted, 10):
            turn += 1
            begun, prompt = at, f"{native}-{turn}"
            place = chance.choice(places)
            yield self._fact(EventType.PROMPT, prompt, main, at)
            made += 2
            for step in range(chance.randrange(2, 14)):
                used = model if chance.random() < 0.95 else chance.choice(models)
                request, message = self._request(chance, f"{prompt}-{step}", place, at, used)
                yield request
                made += 1
                for call in range(chance.choice([0, 1, 1, 1, 2, 4])):
                    took = chance.choice([200, 2_000, 30_000, 200_000])
                    tool = used_tools[min(int(chance.expovariate(0.4)), TOOLS_A_SESSION - 1)]
                    yield self._fact(
                        EventType.TOOL_CALL, f"{prompt}-{step}-{call}", place, at + 3_000, at + took, name=tool,
                        request=message, result_at=at + 3_000 + took, flags=_SEEN,
                    )  # fmt: skip
                    made += 1
                    if chance.random() < 0.15:
                        yield self._fact(
                            EventType.FILE_UPDATE, f"{prompt}-{step}-{call}", place, at + took, added=12, removed=3
                        )
                        made += 1
                at += chance.randrange(10_000, 90_000)
            yield self._fact(EventType.TURN, prompt, main, begun, at)
            at += chance.choice([MINUTE, 3 * MINUTE, 10 * MINUTE, 40 * MINUTE if turn % 5 else 16 * HOUR])
        yield self._fact(EventType.SESSION, native, main, first, at)

    def _request(
        self, chance: random.Random, native: str, place: int, at: int, model: int
    ) -> tuple[tuple[Any, ...], bytes]:
        written = chance.randrange(6_000)
        row = self._fact(
            EventType.LLM_REQUEST, native, place, at, at + 5_000, name=model, quality=int(chance.choice(list(Quality))),
            token_input=chance.randrange(50), token_output=chance.randrange(2_000),
            token_cache_read=chance.randrange(150_000), token_cache_write=written, token_cache_write_1h=written // 3,
            cost=None if chance.random() < 0.02 else chance.randrange(90_000), flags=int(Flag.DIRECT),
        )  # fmt: skip
        return row, row[0]

    def _fact(
        self, kind: EventType, native: str, context: int, at: int, ended_at: int | None = None, **more: Any
    ) -> tuple[Any, ...]:
        values = {
            "key": fact_key(kind, native), "type": int(kind), "native": native, "context": context, "occurred_at": at,
            "ended_at": at if ended_at is None else ended_at, "status": int(Status.OK), "flags": 0, "parser": 1,
            "host": _HOST, "seq": 1, "closed_host": _HOST, "closed_seq": 1, **more,
        }  # fmt: skip
        return tuple(values.get(column) for column in COLUMNS)
