"""Closed facts as the exporters get them: rows of numbers, and the names behind these read once a batch.

What a span needs to know of its surroundings (the turn before, who launched the agent, what went wrong meanwhile) is
read in `ccagent.store.surroundings`, for the kinds that need it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ccagent.export.otlp.closed import SPAN_TYPES, ClosedFact
from ccagent.facts.model import EventType
from ccagent.store import surroundings
from ccagent.store.connection import Connection
from ccagent.store.interning import names_of
from ccagent.store.surroundings import NO_SURROUNDINGS, UNLINKED, Asked, Run, Surroundings

EVERYTHING: Final = (1 << 63) - 1

LABELLED: Final = frozenset((EventType.LLM_REQUEST, EventType.SUBAGENT_RUN))
"""Kinds whose label has a field of its own: the stop reason, the agent's type."""

PLACED: Final = frozenset((EventType.TURN, EventType.LLM_REQUEST, EventType.SUBAGENT_RUN))
"""Kinds whose surroundings are always looked at."""

EDITORS: Final = frozenset(("Edit", "MultiEdit", "Write", "NotebookEdit"))
"""Calls that leave a file.update under their own id."""

_TIMES: Final = "(COALESCE(f.occurred_at, 0), COALESCE(f.ended_at, 0), COALESCE(f.result_at, 0))"
"""The greatest of these is a fact's own end. A fact without any time counts as history."""

_COLUMNS: Final = """SELECT f.closed_seq, f.key, f.type, f.native, f.context, f.turn, f.name, f.stop, f.failure, f.status, f.flags,
       f.occurred_at, f.ended_at, f.result_at, f.error_at, f.exit_code, f.attempts, f.reported_ms, f.size, f.added,
       f.removed, f.quality, f.token_input, f.token_output, f.token_cache_read, f.token_cache_write,
       f.token_cache_write_1h, f.token_thinking, f.cost, f.extra
"""
_FACTS: Final = """{columns}FROM fact f
WHERE f.closed_host = ? AND f.closed_seq > ? AND f.closed_seq <= ? AND f.type IN ({types}) AND {last_at} >= ?
ORDER BY f.closed_seq LIMIT ?
"""

_TYPE, _NATIVE, _CONTEXT, _NAME, _BEGAN, _ANSWERED = 2, 3, 4, 6, 11, 13
_NAMED: Final = slice(5, 9)
"""Places in a row of `_COLUMNS`."""


class Place(NamedTuple):
    """Where facts stand: a row of the table `context`, by numbers of names."""

    session: int | None
    project: int | None
    cwd: int | None
    version: int | None
    entrypoint: int | None
    permission_mode: int | None
    agent: int | None
    skill: int | None
    provider: int | None


NOWHERE: Final = Place(*(None,) * 9)


class Texts(NamedTuple):
    """The same, read."""

    session: str | None
    project: str | None
    cwd: str | None
    version: str | None
    entrypoint: str | None
    permission_mode: str | None
    agent: str | None
    skill: str | None
    provider: str | None


NO_TEXTS: Final = Texts(*(None,) * 9)


def listed(types: Iterable[int]) -> str:
    """Kinds as SQL: `2, 4, 5`."""
    return ", ".join(str(int(kind)) for kind in types)


def last_at(conn: Connection) -> str:
    """SQL of a fact's own end, over `fact f`."""
    return conn.dialect.greatest + _TIMES


def closed_facts(
    conn: Connection,
    host: int,
    after_seq: int,
    limit: int,
    *,
    upto_seq: int = EVERYTHING,
    not_before: int = 0,
    types: Collection[EventType] = SPAN_TYPES,
) -> list[tuple[int, ClosedFact]]:
    """Facts of `types` that `host` closed, with their `closed_seq`, in its order: at most `limit`, after `after_seq`.

    `upto_seq` bounds the search, `not_before` (ms) leaves out what ended earlier. By default what becomes spans.
    """
    sql = _FACTS.format(columns=_COLUMNS, types=listed(types), last_at=last_at(conn))
    rows = conn.execute(sql, (host, after_seq, upto_seq, not_before, limit)).fetchall()
    return [(row[0], fact) for row, fact in zip(rows, facts_of(conn, rows), strict=True)]


_OF_SESSION: Final = """{columns}FROM context c JOIN fact f ON f.context = c.id
WHERE c.session = ? AND f.type IN ({types}){closed} ORDER BY f.closed_seq
"""
_CLOSED_BY: Final = " AND f.closed_host = ? AND f.closed_seq IS NOT NULL"

_ACTIVE: Final = """SELECT c.session FROM fact f JOIN context c ON c.id = f.context
WHERE f.occurred_at >= ? AND f.closed_host = ? AND f.type IN ({types}) AND c.session IS NOT NULL
GROUP BY c.session ORDER BY MIN(f.occurred_at), c.session
"""


def active_sessions(
    conn: Connection, host: int, since_ms: int, *, types: Collection[EventType] = SPAN_TYPES
) -> list[int]:
    """Numbers of the sessions with facts of `types` since a moment, that `host` closed, by the first of these."""
    return [int(row[0]) for row in conn.execute(_ACTIVE.format(types=listed(types)), (since_ms, host))]


def session_facts(
    conn: Connection, host: int | None, session: int, *, types: Collection[EventType] = SPAN_TYPES
) -> list[ClosedFact]:
    """All facts of `types` of one session that `host` closed, in its order; the session by its number.

    Without a host everybody's, and those that are still open, too.
    """
    sql = _OF_SESSION.format(columns=_COLUMNS, types=listed(types), closed="" if host is None else _CLOSED_BY)
    return facts_of(conn, conn.execute(sql, (session,) if host is None else (session, host)).fetchall())


def facts_of(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> list[ClosedFact]:
    """Rows of `_COLUMNS` with everything that is told by number read."""
    if not rows:
        return []
    places = _places(conn, {row[_CONTEXT] for row in rows})
    wanted = {number for place in places.values() for number in place}
    for row in rows:
        wanted.update(row[_NAMED])
    names = names_of(conn, wanted)
    agents = [_agent(row, places, names) for row in rows]
    runs = surroundings.runs(conn, {agent for agent in agents if agent is not None})
    editors = {number for number, name in names.items() if name in EDITORS}
    around = surroundings.surroundings(
        conn,
        [_asked(row, places, row[_NAME] in editors) for row in rows if row[_TYPE] in PLACED or row[_NAME] in editors],
    )
    read = {
        number: Texts(*(None if name is None else names.get(name) for name in place))
        for number, place in places.items()
    }
    return [
        _fact(row, read, names, UNLINKED if agent is None else runs[agent], around.get(row[1], NO_SURROUNDINGS), agent)
        for row, agent in zip(rows, agents, strict=True)
    ]


def _places(conn: Connection, contexts: set[int]) -> dict[int, Place]:
    dialect = conn.dialect
    sql = (
        "SELECT c.id, c.session, c.project, c.cwd, c.version, c.entrypoint, c.permission_mode, c.agent, c.skill,"
        f" c.provider FROM {dialect.numbers} JOIN context c ON c.id = k.value"
    )
    return {row[0]: Place(*row[1:]) for row in conn.execute(sql, (dialect.listed(sorted(contexts)),))}


def _asked(row: tuple[Any, ...], places: Mapping[int, Place], edits: bool) -> Asked:
    place = places.get(row[_CONTEXT], NOWHERE)
    return Asked(row[1], row[_TYPE], row[_NATIVE], place.session, place.agent, row[_BEGAN], row[_ANSWERED], edits)


def _agent(row: tuple[Any, ...], places: Mapping[int, Place], names: Mapping[int, str]) -> str | None:
    """The sub-agent of a row: a run's own, else the one in whose transcript the fact stands."""
    if row[_TYPE] == EventType.SUBAGENT_RUN:
        return str(row[_NATIVE])
    number = places.get(row[_CONTEXT], NOWHERE).agent
    return None if number is None else names.get(number)


def _fact(
    row: tuple[Any, ...],
    places: Mapping[int, Texts],
    names: Mapping[int, str],
    run: Run,
    around: Surroundings,
    agent: str | None,
) -> ClosedFact:
    (
        _, key, kind, native, context, turn, name, stop, failure, status, flags, occurred_at, ended_at, result_at,
        error_at, exit_code, attempts, reported_ms, size, added, removed, quality, tokens_input, tokens_output,
        cache_read, cache_write, cache_write_1h, thinking, cost, extra,
    ) = row  # fmt: skip
    session, project, cwd, version, entrypoint, mode, _, skill, provider = places.get(context, NO_TEXTS)
    label = names.get(stop)
    is_run = kind == EventType.SUBAGENT_RUN
    if around.lines is not None:
        added, removed = around.lines
    return ClosedFact(
        key=key,
        event_type=EventType(kind),
        native=native,
        status=status,
        flags=flags,
        session=session,
        turn=names.get(turn) if agent is None else run.turn,
        agent=agent,
        agent_tool=run.tool,
        agent_type=label if is_run else run.type,
        parent_agent=run.parent,
        depth=run.depth,
        name=label if is_run else names.get(name),
        stop=label if kind == EventType.LLM_REQUEST else None,
        label=None if kind in LABELLED else label,
        failure=names.get(failure),
        exit_code=exit_code,
        occurred_at=occurred_at,
        ended_at=ended_at,
        result_at=result_at,
        error_at=error_at,
        attempts=attempts,
        reported_ms=reported_ms,
        size=size,
        added=added,
        removed=removed,
        quality=quality,
        token_input=tokens_input,
        token_output=tokens_output,
        token_cache_read=cache_read,
        token_cache_write=cache_write,
        token_cache_write_1h=cache_write_1h,
        token_thinking=thinking,
        cost_microusd=cost,
        extra=extra,
        permission_mode=mode,
        skill=skill,
        provider=provider,
        version=version,
        entrypoint=entrypoint,
        project=project,
        cwd=cwd,
        previous_turn=around.previous,
        turn_index=around.place,
        turn_link=around.link,
        origin_turn=around.origin,
        prompt_length=around.prompt_length,
        model=around.model,
        compacted=around.compacted,
        marks=around.marks,
    )
