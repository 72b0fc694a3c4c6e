"""What stands around a closed fact: the turn before, the session it goes on from, who launched its agent, what went
wrong meanwhile.

All of it is what was known when the fact was read. Only what comes later with an earlier time (a transcript found
afterwards) could change it, as it could change the fact itself; what comes later in the ordinary way changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from ccagent.export.otlp.closed import LinkType, Mark
from ccagent.facts.keys import fact_key
from ccagent.facts.lineage import FORKED, kind_of
from ccagent.facts.model import EventType, Flag
from ccagent.store.connection import Connection
from ccagent.store.copies import origin
from ccagent.store.interning import names_of

WAIT_LIMIT_MS: Final = 60 * 60 * 1_000
"""Failed attempts are looked for in waits up to this: whoever waited longer had closed the lid."""

NEAR_MS: Final = 60 * 1_000
"""Waits with less than this between them are looked through at once."""

COMPACTED_MS: Final = 5 * 1_000
"""A compaction so shortly before what a request answers: the summary follows the boundary at once."""

_ROWS: Final = (EventType.TURN, EventType.LLM_REQUEST, EventType.COMPACTION, EventType.API_ERROR)
_TROUBLES: Final = (EventType.COMPACTION, EventType.API_ERROR)


class Run(NamedTuple):
    """A sub-agent's place: its resolved turn, the call that launched it, its depth, its type, and the sub-agent in whose
    transcript that call stands."""

    turn: str | None = None
    tool: str | None = None
    depth: int | None = None
    type: str | None = None
    parent: str | None = None


UNLINKED: Final = Run()


class Surroundings(NamedTuple):
    """What a fact's row does not say itself; each kind has some of it."""

    previous: str | None = None
    place: int | None = None
    link: LinkType | None = None
    origin: str | None = None
    prompt_length: int | None = None
    model: str | None = None
    compacted: bool = False
    marks: tuple[Mark, ...] = ()
    lines: tuple[int | None, int | None] | None = None


NO_SURROUNDINGS: Final = Surroundings()


class Asked(NamedTuple):
    """A fact whose surroundings are wanted: session and agent by the numbers of their names, times in ms UTC."""

    key: bytes
    type: int
    native: str
    session: int | None
    agent: int | None
    occurred_at: int | None
    result_at: int | None
    edits: bool


class _Trouble(NamedTuple):
    """A compaction, or failed attempts that were repeated: `at` the first, `last` the last of them."""

    type: int
    at: int
    last: int
    turn: int | None
    session: int | None
    agent: int | None
    name: int | None
    failure: int | None
    attempts: int | None
    size: int | None
    flags: int


class _Request(NamedTuple):
    """A request of a turn: when what it answers was there, and when its reply came."""

    turn: int | None
    agent: int | None
    model: int | None
    asked: int
    at: int


def runs(conn: Connection, agents: Collection[str]) -> dict[str, Run]:
    """Places of the sub-agents that are known, by agent id."""
    found: dict[str, Run] = {}
    sql = (
        "SELECT turn.value, tool.native, a.depth, above.value FROM name n JOIN agent a ON a.agent = n.id"
        " LEFT JOIN name turn ON turn.id = a.turn LEFT JOIN fact tool ON tool.key = a.tool"
        " LEFT JOIN context place ON place.id = tool.context LEFT JOIN name above ON above.id = place.agent"
        " WHERE n.value = ?"
    )
    types = _by_key(conn, EventType.SUBAGENT_RUN, agents, "stop.value", " LEFT JOIN name stop ON stop.id = f.stop")
    for agent in agents:
        row = conn.execute(sql, (agent,)).fetchone()
        turn, tool, depth, above = row if row is not None else (None, None, None, None)
        (kind,) = types.get(agent, (None,))
        found[agent] = Run(turn, tool, depth, kind, above)
    return found


def surroundings(conn: Connection, asked: Sequence[Asked]) -> dict[bytes, Surroundings]:
    """What stands around these facts, by their keys; those around which nothing stands are left out."""
    found = _around_turns(conn, [one for one in asked if one.type == EventType.TURN])
    found |= _around_runs(conn, [one for one in asked if one.type == EventType.SUBAGENT_RUN])
    found |= _around_requests(conn, [one for one in asked if one.type == EventType.LLM_REQUEST])
    found |= _around_edits(conn, [one for one in asked if one.edits])
    return found


# ---- turns -----------------------------------------------------------------------------------------------------------

_OF_SESSION: Final = (
    "SELECT f.type, f.native, f.turn, c.agent, f.name, f.occurred_at, f.result_at, f.failure, f.attempts, f.size,"
    " f.flags FROM context c JOIN fact f ON f.context = c.id WHERE {scope} = ? AND f.occurred_at IS NOT NULL"
    f" AND f.type IN ({', '.join(str(int(kind)) for kind in _ROWS)})"
)


class _Scene(NamedTuple):
    """The turns of a session by time, its requests and its troubles; or those of a sub-agent, which has no turns."""

    turns: list[tuple[int, str]]
    requests: list[_Request]
    troubles: list[_Trouble]


def _scene(conn: Connection, scope: Literal["c.session", "c.agent"], number: int) -> _Scene:
    scene = _Scene([], [], [])
    for kind, native, turn, agent, name, at, result, failure, attempts, size, flags in conn.execute(
        _OF_SESSION.format(scope=scope), (number,)
    ):
        if kind == EventType.TURN:
            scene.turns.append((at, native))
        elif kind == EventType.LLM_REQUEST:
            scene.requests.append(_Request(turn, agent, name, at if result is None else min(at, result), at))
        else:
            last = at if result is None else max(at, result)
            scene.troubles.append(_Trouble(kind, at, last, turn, number, agent, name, failure, attempts, size, flags))
    scene.turns.sort()
    return scene


def _around_turns(conn: Connection, turns: Sequence[Asked]) -> dict[bytes, Surroundings]:
    if not turns:
        return {}
    dialect = conn.dialect
    natives = sorted({turn.native for turn in turns})
    numbers = dict(
        conn.execute(
            f"SELECT n.value, n.id FROM {dialect.texts} JOIN name n ON n.value = k.value", (dialect.listed(natives),)
        ).fetchall()
    )
    prompts = _by_key(conn, EventType.PROMPT, natives, "f.size")
    by_session: dict[int, list[Asked]] = defaultdict(list)
    for turn in turns:
        if turn.session is not None:
            by_session[turn.session].append(turn)
    found: dict[bytes, Surroundings] = {}
    for session, members in by_session.items():
        scene = _scene(conn, "c.session", session)
        own = {numbers.get(turn.native) for turn in members}
        names = names_of(
            conn,
            {request.model for request in scene.requests if request.turn in own and request.agent is None}
            | _named(scene.troubles)
            | {session},
        )
        for turn in members:
            number = numbers.get(turn.native)
            inside = [request for request in scene.requests if request.turn == number and request.agent is None]
            place = _place(scene.turns, turn)
            before = _before(conn, scene.turns, place, names.get(session), turn)
            found[turn.key] = Surroundings(
                **before,
                prompt_length=prompts.get(turn.native, (None,))[0],
                model=_only({request.model for request in inside}, names),
                marks=_marks(_unanswered(scene, number, None), names),
            )
    return found


def _place(turns: list[tuple[int, str]], turn: Asked) -> int | None:
    """The turn's place among those of its session, from 0 on; None for one without a time."""
    return None if turn.occurred_at is None else bisect_left(turns, (turn.occurred_at, turn.native))


def _before(
    conn: Connection, turns: list[tuple[int, str]], place: int | None, session: str | None, turn: Asked
) -> dict[str, Any]:
    """The turn before; for a session's first one the last turn, before it began, of the session it goes on from."""
    if place is None:
        return {}
    if place > 0:
        return {"place": place + 1, "previous": turns[place - 1][1], "link": "previous"}
    if session is None:
        return {"place": 1}
    source = origin(conn, session)
    last = None if source.parent in (None, session) else _last_turn(conn, source.parent, turn)
    if last is None:
        return {"place": 1}
    link: LinkType = "spawn" if source.strategy == "spawned" else "fork" if source.kind == kind_of(FORKED) else "resume"
    return {"place": 1, "origin": last, "link": link}


_LAST_TURN: Final = (
    "SELECT f.native FROM name n JOIN context c ON c.session = n.id JOIN fact f ON f.context = c.id"
    f" WHERE n.value = ? AND f.type = {int(EventType.TURN)} AND f.occurred_at <= ? AND f.native <> ?"
    " ORDER BY f.occurred_at DESC, f.native DESC LIMIT 1"
)


def _last_turn(conn: Connection, session: str | None, turn: Asked) -> str | None:
    row = conn.execute(_LAST_TURN, (session, turn.occurred_at, turn.native)).fetchone()
    return None if row is None else str(row[0])


def _unanswered(scene: _Scene, turn: int | None, agent: int | None) -> Iterator[_Trouble]:
    """Compactions of a turn or sub-agent, and its failed attempts that no reply followed."""
    requests = [request for request in scene.requests if request.agent == agent]
    for trouble in scene.troubles:
        if trouble.agent != agent or (agent is None and (turn is None or trouble.turn != turn)):
            continue
        if trouble.type == EventType.COMPACTION or not any(
            request.asked <= trouble.at and trouble.last <= request.at for request in requests
        ):
            yield trouble


def _only(models: set[int | None], names: dict[int, str]) -> str | None:
    """The one model there is, None where there are several or none."""
    if len(models) != 1:
        return None
    (model,) = models
    return None if model is None else names.get(model)


# ---- sub-agents ------------------------------------------------------------------------------------------------------


def _around_runs(conn: Connection, runs: Sequence[Asked]) -> dict[bytes, Surroundings]:
    found: dict[bytes, Surroundings] = {}
    for run in runs:
        if run.agent is None:
            continue
        scene = _scene(conn, "c.agent", run.agent)
        models = {request.model for request in scene.requests}
        names = names_of(conn, models | _named(scene.troubles))
        found[run.key] = Surroundings(
            model=_only(models, names), marks=_marks(_unanswered(scene, None, run.agent), names)
        )
    return found


# ---- requests --------------------------------------------------------------------------------------------------------

_TROUBLES_OF: Final = (
    "SELECT f.type, f.occurred_at, f.result_at, f.turn, c.session, c.agent, f.name, f.failure, f.attempts, f.size,"
    " f.flags FROM fact f JOIN context c ON c.id = f.context WHERE f.occurred_at >= ? AND f.occurred_at <= ?"
    f" AND f.type IN ({', '.join(str(int(kind)) for kind in _TROUBLES)})"
)


def _around_requests(conn: Connection, requests: Sequence[Asked]) -> dict[bytes, Surroundings]:
    """Failed attempts between what a request answers and its reply, and whether the conversation was compacted there."""
    waits = [
        (request.result_at - COMPACTED_MS, request.occurred_at, request)
        for request in requests
        if request.occurred_at is not None
        and request.result_at is not None
        and 0 <= request.occurred_at - request.result_at <= WAIT_LIMIT_MS
    ]
    troubles: list[_Trouble] = []
    for first, last in _stretches(sorted((first, last) for first, last, _ in waits)):
        for kind, at, result, *rest in conn.execute(_TROUBLES_OF, (first, last)):
            troubles.append(_Trouble(kind, at, at if result is None else max(at, result), *rest))
    if not troubles:
        return {}
    names = names_of(conn, _named(troubles))
    by_place: dict[tuple[int | None, int | None], list[_Trouble]] = defaultdict(list)
    for trouble in troubles:
        by_place[trouble.session, trouble.agent].append(trouble)
    found: dict[bytes, Surroundings] = {}
    for first, last, request in waits:
        near = [one for one in by_place.get((request.session, request.agent), ()) if first <= one.at <= last]
        failed = [
            one
            for one in near
            if one.type == EventType.API_ERROR
            and one.at >= first + COMPACTED_MS
            and one.last <= last
            and not _replied_before(conn, one, last)
        ]
        compacted = any(one.type == EventType.COMPACTION for one in near)
        if failed or compacted:
            found[request.key] = Surroundings(compacted=compacted, marks=_marks(failed, names))
    return found


_REPLIES: Final = (
    "SELECT c.session, c.agent FROM fact f JOIN context c ON c.id = f.context"
    f" WHERE f.occurred_at >= ? AND f.occurred_at < ? AND f.type = {int(EventType.LLM_REQUEST)}"
)


def _replied_before(conn: Connection, trouble: _Trouble, at: int) -> bool:
    """Whether another reply of the conversation followed before that time: the attempts were of its request."""
    place = trouble.session, trouble.agent
    return any(tuple(row) == place for row in conn.execute(_REPLIES, (trouble.last, at)))


def _stretches(waits: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Waits in order of their beginnings, those near one another taken together."""
    first = last = None
    for begin, end in waits:
        if first is None or last is None:
            first, last = begin, end
        elif begin <= last + NEAR_MS:
            last = max(last, end)
        else:
            yield first, last
            first, last = begin, end
    if first is not None and last is not None:
        yield first, last


# ---- calls -----------------------------------------------------------------------------------------------------------


def _around_edits(conn: Connection, calls: Sequence[Asked]) -> dict[bytes, Surroundings]:
    """Lines that calls added and removed."""
    lines = _by_key(conn, EventType.FILE_UPDATE, {call.native for call in calls}, "f.added, f.removed")
    return {call.key: Surroundings(lines=lines[call.native]) for call in calls if call.native in lines}


# ---- shared ----------------------------------------------------------------------------------------------------------


def _by_key(
    conn: Connection, kind: EventType, natives: Collection[str], columns: str, joins: str = ""
) -> dict[str, tuple[Any, ...]]:
    """`columns` of the facts of one kind, by their ids; those that are not there are left out."""
    keys = {fact_key(kind, native): native for native in natives}
    if not keys:
        return {}
    dialect = conn.dialect
    sql = f"SELECT f.key, {columns} FROM {dialect.blobs} JOIN fact f ON f.key = k.value{joins}"
    return {keys[bytes(row[0])]: tuple(row[1:]) for row in conn.execute(sql, (dialect.listed(sorted(keys)),))}


def _named(troubles: Iterable[_Trouble]) -> set[int | None]:
    return {number for trouble in troubles for number in (trouble.name, trouble.failure)}


def _marks(troubles: Iterable[_Trouble], names: dict[int, str]) -> tuple[Mark, ...]:
    """Moments for a span's events, by time. Of a run of attempts the first and the last have a time of their own."""
    marks = []
    for one in troubles:
        if one.type == EventType.COMPACTION:
            name = None if one.name is None else names.get(one.name)
            marks.append(Mark(kind="compaction", at=one.at, name=name, before=one.size, after=one.attempts))
            continue
        failure = None if one.failure is None else names.get(one.failure)
        count, given_up = one.attempts, bool(one.flags & Flag.FINAL_FAILURE)
        if count is not None or not given_up:
            first = None if count is None else 1
            marks.append(Mark(kind="retry", at=one.at, name=failure, attempt=first, attempts=count))
        if given_up:
            marks.append(Mark(kind="failure", at=one.last, name=failure, attempts=count))
        elif count is not None and count > 1:
            marks.append(Mark(kind="retry", at=one.last, name=failure, attempt=count, attempts=count))
    return tuple(sorted(marks, key=lambda mark: (mark.at, mark.kind, mark.attempt or 0)))
