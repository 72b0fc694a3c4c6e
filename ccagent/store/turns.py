"""Turns of a session: what each took, and what its time went into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ccagent.facts.model import STATUS_NAMES, EventType, Flag, Status
from ccagent.facts.turn_parts import Interval, Parts, turn_parts
from ccagent.store.connection import Connection
from ccagent.store.queries import TOKEN_KINDS
from ccagent.store.session_facts import SessionFact, session_facts


@dataclass(slots=True, kw_only=True)
class Amounts:
    """What some facts amount to, sub-agents' included. `cost_microusd` is None where no request has a price."""

    requests: int = 0
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOKEN_KINDS, 0))
    cost_microusd: int | None = None
    unpriced_requests: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    retries: int = 0
    repeated: int = 0
    rejected: int = 0
    timeouts: int = 0
    files: int = 0
    lines_added: int = 0
    lines_removed: int = 0
    agents: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, fact: SessionFact) -> None:
        """Add one fact."""
        if fact.type == EventType.LLM_REQUEST:
            self.requests += 1
            for kind, amount in zip(TOKEN_KINDS, fact.tokens, strict=True):
                self.tokens[kind] += amount
            if fact.cost is None:
                self.unpriced_requests += 1
            else:
                self.cost_microusd = (self.cost_microusd or 0) + fact.cost
        elif fact.is_call:
            self.tool_calls += 1
            self.tool_errors += fact.status in (Status.ERROR, Status.TIMEOUT)
            self.retries += (fact.attempts or 0) > 0
            self.repeated += fact.has(Flag.REPEATED)
            self.rejected += fact.status == Status.REJECTED
            self.timeouts += fact.has(Flag.TIMED_OUT)
            if fact.failure is not None:
                self.failures[fact.failure] += 1
        elif fact.type == EventType.FILE_UPDATE and fact.label != "delete":
            self.files += not fact.has(Flag.INFERRED)  # deletions by shell commands are no writes
            self.lines_added += fact.added or 0
            self.lines_removed += fact.removed or 0
        elif fact.type == EventType.SUBAGENT_RUN:
            self.agents += 1


@dataclass(slots=True, kw_only=True)
class Turn:
    """One turn. Times in ms UTC; `parts` of the main chain's time; `reported_ms` is the client's own measure of it."""

    id: str
    started_at: int | None
    ended_at: int | None
    status: str
    parts: Parts
    calls: int
    """Of the main chain; `amounts` has the sub-agents' too."""
    loop: bool
    stall: bool
    reported_ms: int | None
    amounts: Amounts


def turns(reader: Connection, session: str) -> list[Turn]:
    """The session's turns by time; empty where it is not known."""
    return turns_of(session_facts(reader, session))


def turns_of(facts: Sequence[SessionFact]) -> list[Turn]:
    """The turns among the facts of a session."""
    members: dict[str, list[SessionFact]] = {}
    for fact in facts:
        if fact.turn is not None and fact.type != EventType.TURN:
            members.setdefault(fact.turn, []).append(fact)
    return [_turn(fact, members.get(fact.native, [])) for fact in facts if fact.type == EventType.TURN]


def amounts_of(facts: Iterable[SessionFact]) -> Amounts:
    """What facts amount to."""
    amounts = Amounts()
    for fact in facts:
        amounts.add(fact)
    return amounts


def _turn(turn: SessionFact, members: Sequence[SessionFact]) -> Turn:
    main = [fact for fact in members if fact.agent is None and fact.rank == 0]
    requests = _intervals((fact.started, fact.ended_at) for fact in main if fact.type == EventType.LLM_REQUEST)
    calls = [fact for fact in main if fact.is_call]
    tools = _intervals((fact.occurred_at, fact.result_at) for fact in calls if not fact.has(Flag.HUMAN))
    human = _intervals((fact.occurred_at, fact.result_at) for fact in calls if fact.has(Flag.HUMAN))
    start, end = turn.occurred_at, turn.ended_at
    parts = (
        Parts() if start is None or end is None else turn_parts(start, end, requests=requests, tools=tools, human=human)
    )
    return Turn(
        id=turn.native,
        started_at=start,
        ended_at=end,
        status=STATUS_NAMES[turn.status],
        parts=parts,
        calls=turn.attempts or 0,
        loop=turn.has(Flag.LOOP),
        stall=turn.has(Flag.STALL),
        reported_ms=turn.reported_ms,
        amounts=amounts_of(members),
    )


def _intervals(pairs: Iterable[tuple[int | None, int | None]]) -> list[Interval]:
    return [(first, last) for first, last in pairs if first is not None and last is not None]
