"""The attribute names that Claude Code's own spans have, in addition to ours and only where asked for.

So boards and queries made for the client's own traces find their fields on these spans. Only what a transcript holds:
no ids of HTTP requests, no time to the first token, no status codes. Numbers are the client's own: `input_tokens`
leaves the cache out.
"""

from __future__ import annotations

from ccagent.export.otlp.attributes import AttributeValue, error_type
from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.span_events import decision
from ccagent.facts.model import EventType, Flag, Status

Native = dict[str, AttributeValue | None]


def native_attributes(fact: ClosedFact, duration_ms: int) -> dict[str, AttributeValue]:
    """The additional attributes of a span that lasts `duration_ms`; none for a sub-agent's run, which has no span there."""
    match fact.event_type:
        case EventType.TURN:
            own = _interaction(fact, duration_ms)
        case EventType.LLM_REQUEST:
            own = _request(fact, duration_ms)
        case EventType.TOOL_CALL:
            own = _tool(fact, duration_ms)
        case _:
            own = {}
    return {key: value for key, value in own.items() if value is not None}


def _interaction(fact: ClosedFact, duration_ms: int) -> Native:
    return {
        "span.type": "interaction",
        "interaction.sequence": fact.turn_index,
        "interaction.duration_ms": duration_ms,
        "user_prompt_length": fact.prompt_length,
    }


def _request(fact: ClosedFact, duration_ms: int) -> Native:
    retries = [mark.attempts or 1 for mark in fact.marks if mark.kind == "retry"]
    return {
        "span.type": "llm_request",
        "model": fact.shown_model,
        "query_source": "main" if fact.agent is None else "subagent",
        "agent_id": fact.agent,
        "parent_agent_id": fact.parent_agent,
        "speed": "fast" if fact.flags & Flag.FAST else None,
        "duration_ms": duration_ms,
        "input_tokens": fact.token_input,
        "output_tokens": fact.token_output,
        "cache_read_tokens": fact.token_cache_read,
        "cache_creation_tokens": fact.token_cache_write,
        # Old clients wrote no failed attempts: that none is known does not make it the first.
        "attempt": max(retries) + 1 if retries else None,
        "success": not fact.flags & Flag.ABORTED,
        "stop_reason": fact.stop,
        "response.has_tool_call": None if fact.stop is None else fact.stop == "tool_use",
    }


def _tool(fact: ClosedFact, duration_ms: int) -> Native:
    return {
        "span.type": "tool",
        "tool_name": fact.name,
        "tool_use_id": fact.native,
        "agent_id": fact.agent,
        "parent_agent_id": fact.parent_agent,
        "duration_ms": duration_ms,
        "success": None if fact.status == Status.OPEN else fact.status == Status.OK,
        "error": error_type(fact),
        "decision": decision(fact),
    }
