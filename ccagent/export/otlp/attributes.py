"""Names and attributes of spans, after the GenAI semantic conventions (state of 2026-11, all in development).

Every attribute name of a span stands in this module, and in the allow-list of `ccagent.export.privacy`, which has the
last word. Values are metadata: names of models and tools, counts, times, ids; never text that somebody wrote.
"""

from __future__ import annotations

from typing import Final

from ccagent.export.otlp.closed import ClosedFact
from ccagent.facts.model import QUALITY_NAMES, STATUS_NAMES, EventType, Flag, Status
from ccagent.facts.naming import provider_of

AttributeValue = str | int | float | bool | tuple[str, ...]

AGENT_NAME: Final = "claude-code"
"""The agent whose turns are traced."""

MICROUSD: Final = 1_000_000
"""Micro-dollars in a dollar."""

ANTHROPIC: Final = "anthropic"


def span_name(fact: ClosedFact) -> str:
    """The span's name: the operation, then what it was applied to, as far as it is known."""
    match fact.event_type:
        case EventType.TURN:
            return f"invoke_agent {AGENT_NAME}"
        case EventType.LLM_REQUEST:
            words = ("chat", fact.name)
        case EventType.TOOL_CALL:
            words = ("execute_tool", fact.name)
        case _:
            words = ("invoke_agent", fact.name)
    return " ".join(word for word in words if word)


def span_attributes(fact: ClosedFact) -> dict[str, AttributeValue]:
    """The span's attributes, None left out, in a fixed order; the same for the same fact."""
    match fact.event_type:
        case EventType.TURN:
            own = _turn(fact)
        case EventType.LLM_REQUEST:
            own = _request(fact)
        case EventType.TOOL_CALL:
            own = _tool(fact)
        case _:
            own = _agent(fact)
    own["gen_ai.conversation.id"] = fact.session
    own["session.id"] = fact.session
    own["ccagent.status"] = STATUS_NAMES[fact.status]
    own["ccagent.client.version"] = fact.version
    own["ccagent.client.entrypoint"] = fact.entrypoint
    own["error.type"] = error_type(fact)
    return {key: value for key, value in own.items() if value is not None}


def error_type(fact: ClosedFact) -> str | None:
    """The class of a failure, never its message; None for what did not fail (a rejection is somebody's wish)."""
    if fact.status not in (Status.ERROR, Status.TIMEOUT):
        return None
    if fact.failure:
        return fact.failure
    if fact.status == Status.TIMEOUT:
        return "timeout"
    return "tool_error" if fact.mcp else "_OTHER"


def _turn(fact: ClosedFact) -> dict[str, AttributeValue | None]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": ANTHROPIC,
        "gen_ai.agent.name": AGENT_NAME,
        "gen_ai.agent.version": fact.version,
    }


def _agent(fact: ClosedFact) -> dict[str, AttributeValue | None]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": ANTHROPIC,
        "gen_ai.agent.name": fact.name,
        "gen_ai.agent.id": fact.agent,
        "ccagent.agent.depth": fact.depth,
    }


def _request(fact: ClosedFact) -> dict[str, AttributeValue | None]:
    write, write_1h = fact.token_cache_write, fact.token_cache_write_1h
    parts = (fact.token_input, fact.token_cache_read, write)
    # The conventions count cached input as input; the client's own number leaves it out and stands under ccagent.*.
    whole = None if fact.token_input is None else sum(part or 0 for part in parts)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider_of(fact.name),
        "gen_ai.request.model": fact.name,
        "gen_ai.response.model": fact.name,
        "gen_ai.response.id": fact.native if fact.native.startswith("msg_") else None,
        "gen_ai.response.finish_reasons": (fact.stop,) if fact.stop else None,
        "gen_ai.agent.id": fact.agent,
        "gen_ai.usage.input_tokens": whole,
        "gen_ai.usage.output_tokens": fact.token_output,
        "gen_ai.usage.cache_read.input_tokens": fact.token_cache_read,
        # Renamed in 2026; most receivers still read the old name.
        "gen_ai.usage.cache_write.input_tokens": write,
        "gen_ai.usage.cache_creation.input_tokens": write,
        "gen_ai.usage.reasoning.output_tokens": fact.token_thinking,
        "ccagent.tokens.input": fact.token_input,
        "ccagent.tokens.output": fact.token_output,
        "ccagent.tokens.cache_read": fact.token_cache_read,
        "ccagent.tokens.cache_write_5m": None if write is None else write - (write_1h or 0),
        "ccagent.tokens.cache_write_1h": write_1h,
        "ccagent.cost.usd": None if fact.cost_microusd is None else fact.cost_microusd / MICROUSD,
        "ccagent.quality": None if fact.quality is None else QUALITY_NAMES[fact.quality],
        # From what it answers to the last line of the reply: the moment of sending is not in a transcript.
        "ccagent.duration.estimated": True,
    }


def _tool(fact: ClosedFact) -> dict[str, AttributeValue | None]:
    mcp = fact.mcp
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": fact.name,
        "gen_ai.tool.call.id": fact.native,
        "gen_ai.tool.type": "function",
        "gen_ai.agent.id": fact.agent,
        "mcp.method.name": "tools/call" if mcp else None,
        "ccagent.mcp.server": mcp[0] if mcp else None,
        "ccagent.mcp.tool": mcp[1] if mcp else None,
        "ccagent.exit_code": fact.exit_code,
        "ccagent.background": True if fact.flags & Flag.BACKGROUND else None,
    }
