"""One session, whole: where it comes from, its times, turns, sub-agents, files, errors, tokens and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from ccagent.facts.model import EVENT_NAMES, STATUS_NAMES, EventType
from ccagent.facts.rework import rewritten
from ccagent.rollups.activity import Place, active_ms
from ccagent.rollups.buckets import IDLE_CUTOFF_MS
from ccagent.store.closing import SESSION_IDLE_MS
from ccagent.store.connection import Connection, snapshot
from ccagent.store.copies import Origin, origin
from ccagent.store.session_facts import SessionFact, session_facts
from ccagent.store.threads import Threads, threads_of
from ccagent.store.turns import Amounts, Turn, amounts_of, turns_of

_ANYWHERE: Final = Place(0, 0, 0)


class File(NamedTuple):
    """A file that the session wrote or deleted. `rewritten`: a later turn took lines out of it."""

    path: str
    writes: int
    added: int
    removed: int
    created: bool
    rewritten: bool
    deleted: bool


class Event(NamedTuple):
    """One fact on the session's timeline. Times in ms UTC."""

    at: int | None
    event: str
    name: str | None
    detail: str | None
    status: str
    failure: str | None
    duration_ms: int | None
    agent: str | None
    turn: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """state: active, idle or ended; outcome: that of the last turn. Wall time is last minus first record; active time
    leaves gaps beyond the idle cut-off out. Times in ms UTC."""

    id: str
    origin: Origin
    project: str | None
    branches: tuple[str, ...]
    state: str
    outcome: str | None
    started_at: int | None
    ended_at: int | None
    wall_ms: int
    active_ms: int
    amounts: Amounts
    compactions: int
    api_errors: Counter[str]
    turns: tuple[Turn, ...]
    threads: Threads
    files: tuple[File, ...]
    timeline: tuple[Event, ...]


def session_view(reader: Connection, session: str, now_ms: int) -> SessionView:
    """Everything of one session; `session` is its whole id."""
    with snapshot(reader):
        facts = session_facts(reader, session)
        whole = next((fact for fact in facts if fact.type == EventType.SESSION), None)
        turns = turns_of(facts)
        started = whole.occurred_at if whole is not None else None
        ended = whole.ended_at if whole is not None else None
        return SessionView(
            id=session,
            origin=origin(reader, session),
            # rows before the first prompt name no folder
            project=next((fact.project for fact in (whole, *facts) if fact is not None and fact.project), None),
            branches=tuple(dict.fromkeys(fact.branch for fact in facts if fact.branch)),
            state=state_of(ended, now_ms),
            outcome=turns[-1].status if turns else None,
            started_at=started,
            ended_at=ended,
            wall_ms=ended - started if started is not None and ended is not None else 0,
            active_ms=_active(facts),
            amounts=amounts_of(facts),
            compactions=sum(fact.type == EventType.COMPACTION for fact in facts),
            api_errors=Counter(fact.failure or "unknown" for fact in facts if fact.type == EventType.API_ERROR),
            turns=tuple(turns),
            threads=threads_of(reader, session, facts),
            files=tuple(files_of(facts)),
            timeline=tuple(
                sorted(
                    (_event(fact) for fact in facts if fact.type != EventType.SESSION), key=lambda event: event.at or 0
                )
            ),
        )


def state_of(ended_at: int | None, now_ms: int) -> str:
    """active: a record within the idle cut-off; ended: none for so long that a session counts as over; else idle."""
    silent = now_ms - (ended_at or 0)
    if silent <= IDLE_CUTOFF_MS:
        return "active"
    return "ended" if silent >= SESSION_IDLE_MS else "idle"


def files_of(facts: Iterable[SessionFact]) -> list[File]:
    """Files that the session wrote or deleted, the most written first. Only what has a path is told."""
    by_path: dict[str, list[SessionFact]] = {}
    for fact in facts:
        if fact.type == EventType.FILE_UPDATE and fact.extra:
            path = orjson.loads(fact.extra).get("path")
            if isinstance(path, str):
                by_path.setdefault(path, []).append(fact)
    return sorted((_file(path, facts) for path, facts in by_path.items()), key=lambda file: (-file.writes, file.path))


def _file(path: str, updates: Sequence[SessionFact]) -> File:
    writes = [fact for fact in updates if fact.label != "delete"]
    return File(
        path,
        len(writes),
        sum(fact.added or 0 for fact in writes),
        sum(fact.removed or 0 for fact in writes),
        created=any(fact.label == "create" for fact in writes),
        rewritten=rewritten((fact.turn, fact.removed) for fact in writes),
        deleted=len(writes) < len(updates),
    )


def _active(facts: Sequence[SessionFact]) -> int:
    """Active time by the first and last lines of the facts and the results of calls."""
    moments = {
        moment
        for fact in facts
        if fact.type != EventType.SESSION
        for moment in (fact.occurred_at, fact.ended_at, fact.result_at)
        if moment is not None
    }
    return active_ms([(moment, _ANYWHERE) for moment in sorted(moments)]).get(_ANYWHERE, 0)


def _event(fact: SessionFact) -> Event:
    end = fact.result_at if fact.type == EventType.TOOL_CALL else fact.ended_at
    start = fact.started
    return Event(
        at=start,
        event=EVENT_NAMES[fact.type],
        name=fact.name,
        detail=fact.label,
        status=STATUS_NAMES[fact.status],
        failure=fact.failure,
        duration_ms=end - start if start is not None and end is not None else None,
        agent=fact.agent,
        turn=fact.native if fact.type == EventType.TURN else fact.turn,
    )
