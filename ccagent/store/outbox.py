"""The exporters' side of the store: closed facts in the order of their closing, cursors, and facts set aside.

Every function takes an apsw connection; those that write belong inside the caller's transaction.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from ccagent.export.otlp.closed import SPAN_TYPES, ClosedFact
from ccagent.facts.model import EventType
from ccagent.store.connection import Connection, scalar

HISTORY_MS: Final = 60 * 60 * 1_000
"""What ended longer than this before a destination was first named is history, sent only on request."""

_TYPES: Final = ", ".join(str(int(kind)) for kind in SPAN_TYPES)

_TIMES: Final = "(COALESCE(f.occurred_at, 0), COALESCE(f.ended_at, 0), COALESCE(f.result_at, 0))"
"""The greatest of these is a fact's own end. A fact without any time counts as history."""

_FACTS: Final = """
SELECT f.closed_seq, f.key, f.type, f.native, f.status, f.flags, f.exit_code, f.occurred_at, f.ended_at, f.result_at,
       f.reported_ms, f.quality, f.token_input, f.token_output, f.token_cache_read, f.token_cache_write,
       f.token_cache_write_1h, f.token_thinking, f.cost,
       c.session, session.value, own_turn.value, context_agent.value, model.value, stop.value, failure.value,
       version.value, entrypoint.value, project.value, cwd.value
FROM fact f
JOIN context c ON c.id = f.context
LEFT JOIN name session ON session.id = c.session
LEFT JOIN name own_turn ON own_turn.id = f.turn
LEFT JOIN name context_agent ON context_agent.id = c.agent
LEFT JOIN name model ON model.id = f.name
LEFT JOIN name stop ON stop.id = f.stop
LEFT JOIN name failure ON failure.id = f.failure
LEFT JOIN name version ON version.id = c.version
LEFT JOIN name entrypoint ON entrypoint.id = c.entrypoint
LEFT JOIN name project ON project.id = c.project
LEFT JOIN name cwd ON cwd.id = c.cwd
WHERE f.closed_host = ? AND f.closed_seq > ? AND f.closed_seq <= ? AND f.type IN ({types}) AND {last_at} >= ?
ORDER BY f.closed_seq LIMIT ?
"""

_TYPE: Final = 2
_NATIVE: Final = 3
_SESSION: Final = 19
_AGENT: Final = 22
"""Places in a row of `_FACTS`."""

_EVERYTHING: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far one destination has one signal of one host: all with a `closed_seq` up to this one is done with."""

    destination: str
    signal: str
    host: int
    named_at: int
    closed_seq: int
    sent: int
    rejected: int

    @property
    def not_before(self) -> int:
        """Facts that ended before this moment (ms) are history for the destination."""
        return self.named_at - HISTORY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A sub-agent's place: its resolved turn, the tool call that launched it, its depth."""

    turn: str | None
    tool: str | None
    depth: int | None


_UNLINKED: Final = _Run(turn=None, tool=None, depth=None)


def _last_at(conn: Connection) -> str:
    return conn.dialect.greatest + _TIMES


def closed_facts(
    conn: Connection, host: int, after_seq: int, limit: int, *, upto_seq: int = _EVERYTHING, not_before: int = 0
) -> list[tuple[int, ClosedFact]]:
    """Facts that `host` closed and that become spans, with their `closed_seq`, in its order: at most `limit`, after
    `after_seq`.

    `upto_seq` bounds the search, `not_before` (ms) leaves out what ended earlier.
    """
    sql = _FACTS.format(types=_TYPES, last_at=_last_at(conn))
    found = conn.execute(sql, (host, after_seq, upto_seq, not_before, limit))
    rows: list[tuple[Any, ...]] = found.fetchall()
    runs = _runs(conn, {agent for row in rows if (agent := _agent(row)) is not None})
    turns = _turns(conn, {row[_SESSION] for row in rows if row[_TYPE] == EventType.TURN and row[_SESSION] is not None})
    return [(row[0], _fact(row, runs, turns)) for row in rows]


def last_closed(conn: Connection, host: int) -> int:
    """The newest `closed_seq` of a host, 0 when it has closed nothing."""
    sql = "SELECT MAX(closed_seq) FROM fact WHERE closed_host = ? AND closed_seq IS NOT NULL"
    return int(scalar(conn, sql, (host,)) or 0)


def backlog(conn: Connection, cursor: Cursor, limit: int) -> int:
    """Facts that wait behind the cursor, history left out; counting stops at `limit`."""
    sql = f"""SELECT COUNT(*) FROM (SELECT 1 FROM fact f WHERE f.closed_host = ? AND f.closed_seq > ?
              AND f.type IN ({_TYPES}) AND {_last_at(conn)} >= ? LIMIT ?) AS waiting"""
    return int(scalar(conn, sql, (cursor.host, cursor.closed_seq, cursor.not_before, limit)))


def count_history(conn: Connection, host: int, after_seq: int, upto_seq: int, not_before: int) -> int:
    """Facts of a stretch that would be spans but ended before `not_before` (ms)."""
    sql = f"""SELECT COUNT(*) FROM fact f WHERE f.closed_host = ? AND f.closed_seq > ? AND f.closed_seq <= ?
              AND f.type IN ({_TYPES}) AND {_last_at(conn)} < ?"""
    return int(scalar(conn, sql, (host, after_seq, upto_seq, not_before)))


def read_cursor(conn: Connection, destination: str, signal: str, host: int) -> Cursor | None:
    """The cursor as it was last committed, None before the destination was first named."""
    row = conn.execute(
        "SELECT named_at, closed_seq, sent, rejected FROM export_cursor WHERE destination=? AND signal=? AND host=?",
        (destination, signal, host),
    ).fetchone()
    if row is None:
        return None
    named_at, closed_seq, sent, rejected = row
    return Cursor(
        destination=destination, signal=signal, host=host,
        named_at=named_at, closed_seq=closed_seq, sent=sent, rejected=rejected,
    )  # fmt: skip


def sent_up_to(conn: Connection, destination: str, signal: str, host: int) -> int:
    """The change number up to which a destination has what that host closed, 0 before its first."""
    found = scalar(
        conn,
        "SELECT closed_seq FROM export_cursor WHERE destination = ? AND signal = ? AND host = ?",
        (destination, signal, host),
    )
    return int(found or 0)


def create_cursor(conn: Connection, destination: str, signal: str, host: int, now_ms: int) -> None:
    """Write down that the destination was named at `now_ms`; a destination that was named before keeps its moment."""
    conn.execute(
        "INSERT INTO export_cursor (destination, signal, host, named_at, closed_seq, updated_at, sent, rejected) "
        "VALUES (?, ?, ?, ?, 0, ?, 0, 0) ON CONFLICT DO NOTHING",
        (destination, signal, host, now_ms, now_ms),
    )


def advance_cursor(
    conn: Connection, cursor: Cursor, closed_seq: int, now_ms: int, *, sent: int = 0, rejected: int = 0
) -> None:
    """Move the cursor to `closed_seq`, never back, and add to what was sent and rejected."""
    conn.execute(
        "UPDATE export_cursor SET closed_seq = CASE WHEN closed_seq < ?1 THEN ?1 ELSE closed_seq END, updated_at = ?2,"
        " sent = sent + ?3, rejected = rejected + ?4 WHERE destination = ?5 AND signal = ?6 AND host = ?7",
        (closed_seq, now_ms, sent, rejected, cursor.destination, cursor.signal, cursor.host),
    )


def bury(conn: Connection, cursor: Cursor, facts: Iterable[bytes], reason: str, now_ms: int) -> None:
    """Set facts (their keys) aside for this destination: they were refused for ever."""
    conn.executemany(
        "INSERT INTO export_dead (destination, signal, key, reason, dropped_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (destination, signal, key) DO UPDATE SET reason = excluded.reason",
        [(cursor.destination, cursor.signal, key, reason, now_ms) for key in facts],
    )


def _agent(row: tuple[Any, ...]) -> str | None:
    """The sub-agent of a row: a run's own, else the one in whose transcript the fact stands."""
    found: str | None = row[_NATIVE] if row[_TYPE] == EventType.SUBAGENT_RUN else row[_AGENT]
    return found


def _runs(conn: Connection, agents: set[str]) -> dict[str, _Run]:
    """Places of the sub-agents that are known, by agent id."""
    runs: dict[str, _Run] = {}
    sql = """SELECT turn.value, tool.native, a.depth FROM name n JOIN agent a ON a.agent = n.id
             LEFT JOIN name turn ON turn.id = a.turn LEFT JOIN fact tool ON tool.key = a.tool WHERE n.value = ?"""
    for agent in agents:
        row = conn.execute(sql, (agent,)).fetchone()
        if row is not None:
            runs[agent] = _Run(turn=row[0], tool=row[1], depth=row[2])
    return runs


def _turns(conn: Connection, sessions: set[int]) -> dict[int, list[tuple[int, str]]]:
    """Start and id of every turn of the sessions, in time order: a turn's predecessor is found in it."""
    sql = """SELECT f.occurred_at, f.native FROM context c JOIN fact f ON f.context = c.id
             WHERE c.session = ? AND f.type = ? AND f.occurred_at IS NOT NULL ORDER BY f.occurred_at, f.native"""
    turns: dict[int, list[tuple[int, str]]] = {}
    for session in sessions:
        found: list[tuple[Any, ...]] = conn.execute(sql, (session, int(EventType.TURN))).fetchall()
        turns[session] = [(at, native) for at, native in found]
    return turns


def _previous(turns: list[tuple[int, str]], occurred_at: int | None, native: str) -> str | None:
    """The turn before this one in its session."""
    if occurred_at is None:
        return None
    place = bisect_left(turns, (occurred_at, native))
    return turns[place - 1][1] if place > 0 else None


def _fact(row: tuple[Any, ...], runs: dict[str, _Run], turns: dict[int, list[tuple[int, str]]]) -> ClosedFact:
    (
        _, key, kind, native, status, flags, exit_code, occurred_at, ended_at, result_at, reported_ms, quality,
        tokens_input, tokens_output, cache_read, cache_write, cache_write_1h, thinking, cost, session_id, session,
        turn, _, name, stop, failure, version, entrypoint, project, cwd,
    ) = row  # fmt: skip
    agent = _agent(row)
    run = _UNLINKED if agent is None else runs.get(agent, _UNLINKED)
    return ClosedFact(
        key=key,
        event_type=EventType(kind),
        native=native,
        status=status,
        flags=flags,
        session=session,
        turn=turn if agent is None else run.turn,
        previous_turn=_previous(turns.get(session_id, []), occurred_at, native) if kind == EventType.TURN else None,
        agent=agent,
        agent_tool=run.tool,
        depth=run.depth,
        name=stop if kind == EventType.SUBAGENT_RUN else name,
        stop=None if kind == EventType.SUBAGENT_RUN else stop,
        failure=failure,
        exit_code=exit_code,
        occurred_at=occurred_at,
        ended_at=ended_at,
        result_at=result_at,
        reported_ms=reported_ms,
        quality=quality,
        token_input=tokens_input,
        token_output=tokens_output,
        token_cache_read=cache_read,
        token_cache_write=cache_write,
        token_cache_write_1h=cache_write_1h,
        token_thinking=thinking,
        cost_microusd=cost,
        version=version,
        entrypoint=entrypoint,
        project=project,
        cwd=cwd,
    )
