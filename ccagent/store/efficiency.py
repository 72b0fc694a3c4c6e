"""Efficiency and rework in a span of time: retries, repeated calls, loops, stalls, rewritten files, tokens a task.

Everything is asked of the facts, by the time of their first line. A ratio whose denominator is nothing is None, never 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import orjson

from ccagent.facts.model import EventType, Flag, Status
from ccagent.facts.rework import rewritten
from ccagent.store.connection import Connection, snapshot
from ccagent.store.coverage import Window


class ToolRework(NamedTuple):
    """What a tool's calls amount to. `retries`: calls that follow a failed one of the same input in their turn;
    `repeated`: the same without a failure or a change of a file in between."""

    tool: str
    calls: int
    ok: int
    failed: int
    rejected: int
    timeouts: int
    retries: int
    repeated: int

    @property
    def retries_per_success(self) -> float | None:
        """Retries per successful call; None without one."""
        return self.retries / self.ok if self.ok else None


class TurnRework(NamedTuple):
    """Turns, and how many of them held a loop or a stall; `calls`: tool calls of their main chains."""

    turns: int
    loops: int
    stalls: int
    calls: int


class Rewritten(NamedTuple):
    """files: files that were written, counted in each session; rewritten: those of which a later turn took lines out
    (facts.rework.rewritten); writes: all writes."""

    files: int
    rewritten: int
    writes: int

    @property
    def ratio(self) -> float | None:
        """Share of the files that were written again; None where none was written."""
        return self.rewritten / self.files if self.files else None


class TaskTokens(NamedTuple):
    """Tokens of the sessions that have tasks, and the transitions that finished one."""

    tokens: int
    finished: int
    sessions: int

    @property
    def tokens_per_task(self) -> float | None:
        """Tokens a finished task; None without one."""
        return self.tokens / self.finished if self.finished else None


class Efficiency(NamedTuple):
    """All of it."""

    tools: tuple[ToolRework, ...]
    turns: TurnRework
    rewritten: Rewritten
    tasks: TaskTokens


_SPAN: Final = "f.occurred_at >= ? AND f.occurred_at < ?"
_TOOLS: Final = (
    "SELECT n.value, COUNT(*),"
    f" COUNT(*) FILTER (WHERE f.status = {int(Status.OK)}),"
    f" COUNT(*) FILTER (WHERE f.status IN ({int(Status.ERROR)}, {int(Status.TIMEOUT)})),"
    f" COUNT(*) FILTER (WHERE f.status = {int(Status.REJECTED)}),"
    f" COUNT(*) FILTER (WHERE f.flags & {int(Flag.TIMED_OUT)} <> 0),"
    f" COUNT(*) FILTER (WHERE f.attempts > 0), COUNT(*) FILTER (WHERE f.flags & {int(Flag.REPEATED)} <> 0)"
    f" FROM fact f JOIN name n ON n.id = f.name WHERE f.type = {int(EventType.TOOL_CALL)}"
    f" AND f.flags & {int(Flag.DIRECT)} <> 0 AND {_SPAN} GROUP BY n.value ORDER BY 2 DESC, 1"
)
_TURNS: Final = (
    f"SELECT COUNT(*), COUNT(*) FILTER (WHERE f.flags & {int(Flag.LOOP)} <> 0),"
    f" COUNT(*) FILTER (WHERE f.flags & {int(Flag.STALL)} <> 0), COALESCE(SUM(f.attempts), 0)"
    f" FROM fact f WHERE f.type = {int(EventType.TURN)} AND {_SPAN}"
)
_WRITES: Final = (
    "SELECT c.session, COALESCE(f.turn, link.turn), f.removed, f.extra FROM fact f JOIN context c ON c.id = f.context"
    f" LEFT JOIN agent link ON link.agent = c.agent WHERE f.type = {int(EventType.FILE_UPDATE)}"
    f" AND f.flags & {int(Flag.INFERRED)} = 0"  # deletions by shell commands
    f" AND f.extra IS NOT NULL AND {_SPAN} ORDER BY f.occurred_at, f.native"
)
_WITH_TASKS: Final = (
    f"SELECT DISTINCT c.session FROM fact f JOIN context c ON c.id = f.context WHERE f.type = {int(EventType.TASK)}"
    f" AND c.session IS NOT NULL AND {_SPAN}"
)
_FINISHED: Final = f"SELECT COUNT(*) FROM fact f WHERE f.type = {int(EventType.TASK)} AND f.flags & {int(Flag.TERMINAL)} <> 0 AND {_SPAN}"
_TOKENS: Final = (
    "SELECT COALESCE(SUM(f.token_input + f.token_output + f.token_cache_read + f.token_cache_write), 0)"
    " FROM fact f JOIN context c ON c.id = f.context"
    f" WHERE f.type = {int(EventType.LLM_REQUEST)} AND {_SPAN} AND c.session IN (SELECT value FROM {{numbers}})"
)


def efficiency(reader: Connection, since_ms: int | None = None, until_ms: int | None = None) -> Efficiency:
    """Efficiency and rework in [since_ms, until_ms), of all sessions."""
    bounds = Window(since_ms, until_ms).bounds
    with snapshot(reader):
        return Efficiency(
            tuple(ToolRework(*row) for row in reader.execute(_TOOLS, bounds)),
            TurnRework(*map(int, reader.execute(_TURNS, bounds).fetchone() or (0, 0, 0, 0))),
            _rewritten(reader, bounds),
            _tasks(reader, bounds),
        )


def _rewritten(reader: Connection, bounds: tuple[int, int]) -> Rewritten:
    writes: dict[tuple[int | None, str], list[tuple[int | None, int | None]]] = {}
    for session, turn, removed, extra in reader.stream(_WRITES, bounds):
        path = orjson.loads(extra).get("path")
        if isinstance(path, str):
            writes.setdefault((session, path), []).append((turn, removed))
    return Rewritten(len(writes), sum(map(rewritten, writes.values())), sum(map(len, writes.values())))


def _tasks(reader: Connection, bounds: tuple[int, int]) -> TaskTokens:
    sessions = [int(row[0]) for row in reader.execute(_WITH_TASKS, bounds)]
    if not sessions:
        return TaskTokens(0, 0, 0)
    finished = reader.execute(_FINISHED, bounds).fetchone() or (0,)
    dialect = reader.dialect
    sql = _TOKENS.format(numbers=dialect.numbers)
    tokens = reader.execute(sql, (*bounds, dialect.listed(sessions))).fetchone() or (0,)
    return TaskTokens(int(tokens[0]), int(finished[0]), len(sessions))
