"""Threads: the sub-agents of a session, what never ended, what nobody launched, and which session came from which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ccagent.facts.lineage import depths
from ccagent.facts.model import STATUS_NAMES, EventType, Flag, Status
from ccagent.store.connection import Connection
from ccagent.store.session_facts import SessionFact, session_facts, session_number
from ccagent.store.turns import Amounts, amounts_of

CLIENT_AGENTS: Final = ("acompact-", "aprompt_suggestion", "aside_question")
"""Beginnings of the ids of sub-agents that the client starts for itself; no call launches them. The names of their files
say so: `agent-acompact-….jsonl`."""

SHELLS: Final = ("Bash", "PowerShell")
"""Tools that start shells in the background."""

UNTYPED: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One sub-agent. `depth`: 1 = launched by the main chain, None = by nobody that is known; `parent`: the sub-agent that
    launched it. `launched`: its call is known; `own`: the client's own, which no call launches. Times in ms UTC.

    Rule: `orphaned` if its call is not found and it is not the client's own; `unresolved` if it was launched and no record
    tells its end: no result of its call, no notification. Reason: only records say who launched it, folders do not.
    """

    agent: str
    type: str
    parent: str | None
    depth: int | None
    turn: str | None
    started_at: int | None
    ended_at: int | None
    status: str
    background: bool
    launched: bool
    own: bool
    amounts: Amounts

    @property
    def orphaned(self) -> bool:
        """Its launching call is not found."""
        return not self.launched and not self.own

    @property
    def unresolved(self) -> bool:
        """It was launched, and no record tells its end."""
        return self.launched and self.status == STATUS_NAMES[Status.OPEN]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """`fan_out`: sub-agents launched by the main chain; `unresolved`: runs and background shells without an end."""

    runs: tuple[Run, ...]
    fan_out: int
    depth: int
    unresolved: int
    orphaned: int


_LAUNCHED: Final = (
    "SELECT name.value, above.value, f.occurred_at FROM context c JOIN agent a ON a.agent = c.agent"
    " JOIN name ON name.id = a.agent JOIN fact f ON f.key = a.tool JOIN context place ON place.id = f.context"
    " LEFT JOIN name above ON above.id = place.agent WHERE c.session = ? AND a.linked_at IS NOT NULL"
    " GROUP BY name.value, above.value, f.occurred_at ORDER BY name.value"
)


def threads(reader: Connection, session: str) -> Threads:
    """The sub-agents of a session and how they hang together; nothing where it is not known.

    Rule: orphaned is whose launching call is not known, unresolved whose end no record tells; a guess at either would
    hide that a file is missing.
    """
    return threads_of(reader, session, session_facts(reader, session))


def threads_of(reader: Connection, session: str, facts: Sequence[SessionFact]) -> Threads:
    """The same, of facts that were read already."""
    number = session_number(reader, session)
    launched: dict[str, tuple[str | None, int | None]] = {}
    if number is not None:
        launched = {str(row[0]): (row[1], row[2]) for row in reader.execute(_LAUNCHED, (number,))}
    parents = {agent: above for agent, (above, _) in launched.items()}
    deep = depths(parents, parents)
    members: dict[str, list[SessionFact]] = {}
    for fact in facts:
        if fact.agent is not None and fact.type != EventType.SUBAGENT_RUN:
            members.setdefault(fact.agent, []).append(fact)
    runs = []
    for fact in facts:
        if fact.type != EventType.SUBAGENT_RUN:
            continue
        above, called_at = launched.get(fact.native, (None, None))
        runs.append(_run(fact, above, called_at, deep.get(fact.native), fact.native in launched, members))
    shells = sum(_unended_shell(fact) for fact in facts)
    return Threads(
        runs=tuple(runs),
        fan_out=sum(run.depth == 1 for run in runs),
        depth=max((run.depth or 0 for run in runs), default=0),
        unresolved=sum(run.unresolved for run in runs) + shells,
        orphaned=sum(run.orphaned for run in runs),
    )


def _run(
    fact: SessionFact,
    above: str | None,
    called_at: int | None,
    depth: int | None,
    launched: bool,
    members: dict[str, list[SessionFact]],
) -> Run:
    started = fact.occurred_at
    if called_at is not None and started is not None:
        # a fork's file begins with lines older than itself; clocks of two files may differ
        started = max(started, min(called_at, called_at if fact.ended_at is None else fact.ended_at))
    return Run(
        agent=fact.native,
        type=fact.label or UNTYPED,
        parent=above,
        depth=depth,
        turn=fact.turn,
        started_at=started,
        ended_at=fact.ended_at,
        status=STATUS_NAMES[fact.status],
        background=fact.has(Flag.BACKGROUND),
        launched=launched,
        own=fact.native.startswith(CLIENT_AGENTS),
        amounts=amounts_of(members.get(fact.native, ())),
    )


def _unended_shell(fact: SessionFact) -> bool:
    """A shell in the background of which no notification told the end; its call alone is over."""
    return fact.is_call and fact.ok and fact.has(Flag.BACKGROUND) and fact.name in SHELLS and not fact.ended_at
