"""What stands now, for the gauges of facts: asked at intervals, not at a scrape. Nothing here is added up twice.

Costs and cache hits come from rollups, links from their table; sessions, tasks and threads from facts, in groups by the
folder in which they worked, so that the caller can tell what may leave the machine.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ccagent.facts.links import LOW
from ccagent.facts.model import EventType, Flag, Status
from ccagent.facts.targets import TARGET_NAMES, Target
from ccagent.rollups.metrics import Period
from ccagent.store.connection import Connection, scalar
from ccagent.store.tasks import LATEST
from ccagent.store.threads import CLIENT_AGENTS, SHELLS

_LLM: Final = int(EventType.LLM_REQUEST)

_PLACE: Final = "LEFT JOIN name p ON p.id = c.project LEFT JOIN name w ON w.id = c.cwd"

_ACTIVE: Final = (
    f"SELECT p.value, w.value, COUNT(*) FROM fact f JOIN context c ON c.id = f.context {_PLACE}"
    f" WHERE f.type = {int(EventType.SESSION)} AND f.ended_at >= ? GROUP BY 1, 2"
)
_TASKS: Final = (
    "SELECT p.value, w.value, l.target, COUNT(*),"
    f" COUNT(*) FILTER (WHERE (t.flags & {int(Flag.TERMINAL)}) <> 0 AND t.status <> {int(Status.INTERRUPTED)}),"
    f" COUNT(*) FILTER (WHERE t.status = {int(Status.INTERRUPTED)})"
    f" FROM ({LATEST.format(key='f.context')}) AS t JOIN context c ON c.id = t.place {_PLACE}"
    f" LEFT JOIN link l ON l.kind = {int(Target.SESSION)} AND l.source = c.session"
    f" AND l.target_kind = {int(Target.FEATURE)} AND l.place = 1 WHERE t.turn = 1 GROUP BY 1, 2, 3"
)
_LAUNCHED: Final = (
    "EXISTS (SELECT 1 FROM name n JOIN agent a ON a.agent = n.id JOIN fact call ON call.key = a.tool"
    " WHERE n.value = f.native AND a.linked_at IS NOT NULL)"
)
_OWN: Final = " OR ".join(f"SUBSTR(f.native, 1, {len(word)}) = '{word}'" for word in CLIENT_AGENTS)
_THREADS: Final = (
    "SELECT p.value, w.value, COUNT(*) FILTER (WHERE r.launched = 1 AND r.status ="
    f" {int(Status.OPEN)}), COUNT(*) FILTER (WHERE r.launched = 0 AND r.own = 0) FROM (SELECT f.context, f.status,"
    f" CASE WHEN {_LAUNCHED} THEN 1 ELSE 0 END AS launched, CASE WHEN {_OWN} THEN 1 ELSE 0 END AS own FROM fact f"
    f" WHERE f.type = {int(EventType.SUBAGENT_RUN)}) r JOIN context c ON c.id = r.context"
    f" {_PLACE} WHERE c.session IS NOT NULL GROUP BY 1, 2"
)
_SHELLS: Final = (
    "SELECT p.value, w.value, COUNT(*), 0 FROM fact f JOIN name tool ON tool.id = f.name JOIN context c ON c.id = f.context"
    f" {_PLACE} WHERE f.type = {int(EventType.TOOL_CALL)} AND f.status = {int(Status.OK)}"
    f" AND (f.flags & {int(Flag.DIRECT | Flag.BACKGROUND)}) = {int(Flag.DIRECT | Flag.BACKGROUND)}"
    f" AND COALESCE(f.ended_at, 0) = 0 AND c.session IS NOT NULL AND tool.value IN {SHELLS} GROUP BY 1, 2"
)
_LOW_LINKS: Final = (
    f"SELECT target_kind, COUNT(*) FROM link WHERE kind = {int(Target.SESSION)} AND confidence < {LOW} GROUP BY 1"
)
_COSTS: Final = (
    "SELECT r.bucket, p.value, SUM(r.cost) FROM rollup r LEFT JOIN name p ON p.id = r.project"
    f" WHERE r.period = ? AND r.family = {_LLM} AND r.bucket >= ? GROUP BY 1, 2"
)


class Active(NamedTuple):
    """Sessions of one project and folder."""

    project: str | None
    cwd: str | None
    sessions: int


class Tasks(NamedTuple):
    """Tasks of one project, folder and feature (its name's number): all, finished ones, dropped ones."""

    project: str | None
    cwd: str | None
    feature: int | None
    known: int
    finished: int
    dropped: int


class Loose(NamedTuple):
    """Threads of one project and folder: those without an end, and those without a beginning."""

    project: str | None
    cwd: str | None
    unresolved: int
    orphaned: int


class Cost(NamedTuple):
    """Micro-dollars of one bucket (its start, ms UTC) and project."""

    bucket: int
    project: str | None
    cost: int


def commits(conn: Connection) -> int:
    """How many transactions all hosts have written: while it stays nothing changes but the time."""
    return int(scalar(conn, "SELECT COALESCE(SUM(commits), 0) FROM host"))


def active(conn: Connection, since_ms: int) -> list[Active]:
    """Sessions with a record at or after `since_ms`. Costs the sessions that it counts."""
    return [Active(*row) for row in conn.execute(_ACTIVE, (since_ms,))]


def tasks(conn: Connection, at_ms: int) -> list[Tasks]:
    """All tasks by their last state at `at_ms`. A session's tasks belong to the feature that it is linked to first."""
    return [Tasks(*row) for row in conn.execute(_TASKS, (at_ms,))]


def loose(conn: Connection) -> list[Loose]:
    """Threads whose end or beginning is not known, by the rules of store/threads.py over all sessions."""
    return [Loose(*row) for sql in (_THREADS, _SHELLS) for row in conn.execute(sql)]


def low_links(conn: Connection) -> dict[str, int]:
    """Links of sessions with low confidence, by what they lead to."""
    return {TARGET_NAMES[kind]: int(number) for kind, number in conn.execute(_LOW_LINKS)}


def costs(conn: Connection, period: Period, since_ms: int) -> list[Cost]:
    """Costs by bucket and project of the rollups from `since_ms` on, in no order."""
    return [Cost(int(bucket), project, int(cost)) for bucket, project, cost in conn.execute(_COSTS, (period, since_ms))]
