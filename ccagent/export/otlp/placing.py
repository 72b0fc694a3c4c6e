"""Where a fact stands in its trace, and when: without the messages that carry it."""

from __future__ import annotations

from typing import Final

from ccagent.export.otlp.closed import ClosedFact
from ccagent.facts.model import KEY_PREFIXES, EventType

NANOSECONDS: Final = 1_000_000
"""Nanoseconds in a millisecond."""

LATEST_MS: Final = ((1 << 63) - 1) // NANOSECONDS
"""In April 2262. OTLP keeps a time in 64 bits without a sign, receivers in 64 with one; transcripts may name any year."""


def nanoseconds(moment_ms: int) -> int:
    """A time in ms UTC as OTLP has it: what it cannot say becomes the first or the last moment that it can."""
    return min(max(0, moment_ms), LATEST_MS) * NANOSECONDS


def trace_key(fact: ClosedFact) -> str:
    """The content key whose trace the fact belongs to: its turn, else its unlinked sub-agent, else itself."""
    if fact.event_type is EventType.TURN:
        return fact.source_key
    if fact.turn is not None:
        return KEY_PREFIXES[EventType.TURN] + fact.turn
    if fact.agent is not None:
        return KEY_PREFIXES[EventType.SUBAGENT_RUN] + fact.agent
    # Several roots under one id would be no trace: what has neither turn nor agent is found by its session.
    return fact.source_key


def parent_key(fact: ClosedFact) -> str | None:
    """The content key of the span above, or None for the root of a trace and for what has neither turn nor agent."""
    turn = None if fact.turn is None else KEY_PREFIXES[EventType.TURN] + fact.turn
    match fact.event_type:
        case EventType.TURN:
            return None
        case EventType.SUBAGENT_RUN:
            # An unlinked run is the root of its own trace.
            if turn is None or fact.agent_tool is None:
                return turn
            return KEY_PREFIXES[EventType.TOOL_CALL] + fact.agent_tool
        case _:
            return turn if fact.agent is None else KEY_PREFIXES[EventType.SUBAGENT_RUN] + fact.agent


def interval(fact: ClosedFact) -> tuple[int, int] | None:
    """Start and end in nanoseconds, end never before start; None for a fact without any time.

    A turn lasts as long as the client itself reported, else to its last record; a tool call to its result; a request
    from the record that it answers (where known) to the last line of its reply.
    """
    start = fact.occurred_at if fact.occurred_at is not None else fact.last_at
    if start is None:
        return None
    if fact.event_type is EventType.LLM_REQUEST and fact.result_at is not None:
        start = min(start, fact.result_at)
    if fact.event_type is EventType.TURN and fact.reported_ms is not None:
        end = start + fact.reported_ms
    elif fact.event_type is EventType.TOOL_CALL and fact.result_at is not None:
        end = fact.result_at
    else:
        end = fact.ended_at if fact.ended_at is not None else start
    return nanoseconds(start), nanoseconds(max(start, end))
