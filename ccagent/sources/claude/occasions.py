"""What rules for single tools and records are told: a call, a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ccagent.facts.model import Context
from ccagent.facts.outcomes import Outcome
from ccagent.facts.partial import Partial
from ccagent.sources.claude.carry import OpenCall
from ccagent.sources.claude.records import Block, Record
from ccagent.sources.claude.standing import Standing


class Call(NamedTuple):
    """A tool call that a line outside agent_progress makes. `call` is what its result's line will find again."""

    name: str
    block: Block
    fact: Partial
    made: bool  # whether this line made the fact within its batch
    call: OpenCall
    context: Context
    rank: int
    turn: str | None


class Answer(NamedTuple):
    """A tool result outside agent_progress. `call` is None where the call was not seen, `record` where the line holds
    several results (toolUseResult is then nobody's)."""

    native: str
    call: OpenCall | None
    outcome: Outcome
    block: Block
    fact: Partial
    record: Record | None
    context: Context
    rank: int
    turn: str | None


Called = Callable[[Standing, Call], None]
Answered = Callable[[Standing, Answer], tuple[Partial, ...]]
Recorded = Callable[[Standing, Record], tuple[Partial, ...] | None]
