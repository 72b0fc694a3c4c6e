"""Names and attributes of spans, after the GenAI semantic conventions (state of 2026-11, all in development).

Every attribute name of a span stands in this module, and in the allow-list of `ccagent.export.privacy`, which has the
last word. Values are metadata: names of models and tools, counts, times, ids; never text that somebody wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ccagent.export.otlp.closed import ClosedFact
from ccagent.facts.model import QUALITY_NAMES, STATUS_NAMES, EventType, Flag, Status
from ccagent.facts.naming import PROVIDERS, UNNAMED_PROVIDER, provider_of
from ccagent.facts.windows import window

if TYPE_CHECKING:
    from ccagent.export.privacy import Policy

AttributeValue = str | int | float | bool | tuple[str, ...]

CLAUDE_CODE: Final = "claude-code"
CODEX: Final = "codex"
"""The agents whose turns are traced."""

MICROUSD: Final = 1_000_000
"""Micro-dollars in a dollar."""


def agent_name(fact: ClosedFact) -> str:
    """The agent that did it: a sub-agent's type, else the client.

    Only transcripts of Codex name their provider; those of its clients that do not have an entrypoint that begins with
    its name.
    """
    if fact.agent is not None and fact.agent_type:
        return fact.agent_type
    codex = fact.provider is not None or (fact.entrypoint or "").lower().startswith(CODEX)
    return CODEX if codex else CLAUDE_CODE


def provider(fact: ClosedFact, model: str | None) -> str | None:
    """Who serves the model: what the transcript names, else by the form of the model's id.

    A provider that the user set up has a name of the user's own, which stays here.
    """
    if fact.provider in PROVIDERS:
        return fact.provider
    return provider_of(model) or (None if fact.provider is None else "_OTHER")


def span_name(fact: ClosedFact) -> str:
    """The span's name: the operation, then what it was applied to, as far as it is known."""
    match fact.event_type:
        case EventType.TURN:
            return f"invoke_agent {agent_name(fact)}"
        case EventType.LLM_REQUEST:
            words = ("chat", fact.shown_model)
        case EventType.TOOL_CALL:
            words = ("execute_tool", fact.name)
        case _:
            words = ("invoke_agent", fact.name)
    return " ".join(word for word in words if word)


def span_attributes(fact: ClosedFact, policy: Policy | None = None) -> dict[str, AttributeValue]:
    """The span's attributes, None left out, in a fixed order; the same for the same fact and policy.

    `policy` gives the names under which the work leaves; without one there are none.
    """
    names = (None, None, None) if policy is None else (policy.project, policy.team, policy.identity)
    every = own_attributes(fact) | common_attributes(
        fact.session, fact.status, fact.version, fact.entrypoint, fact.permission_mode, fact.skill, *names
    )
    every["error.type"] = error_type(fact)
    return {key: value for key, value in every.items() if value is not None}


def own_attributes(fact: ClosedFact) -> dict[str, AttributeValue | None]:
    """What only its kind of span has; None for what is not known. These come first."""
    match fact.event_type:
        case EventType.TURN:
            return _turn(fact)
        case EventType.LLM_REQUEST:
            return _request(fact)
        case EventType.TOOL_CALL:
            return _tool(fact)
        case _:
            return _agent(fact)


def common_attributes(
    session: str | None,
    status: int,
    version: str | None,
    entrypoint: str | None,
    permission_mode: str | None,
    skill: str | None,
    project: str | None,
    team: str | None,
    identity: str | None,
) -> dict[str, AttributeValue | None]:
    """What every kind of span has: mostly the same for all of a session. These come second, before the error."""
    return {
        "gen_ai.conversation.id": session,
        "session.id": session,
        "ccagent.status": STATUS_NAMES[status],
        "ccagent.client.version": version,
        "ccagent.client.entrypoint": entrypoint,
        "ccagent.permission_mode": permission_mode,
        "ccagent.skill": skill,
        "ccagent.project": project,
        "ccagent.team": team,
        "enduser.id": identity,
    }


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
    name = agent_name(fact)
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": provider(fact, fact.model) or ("openai" if name == CODEX else UNNAMED_PROVIDER),
        "gen_ai.agent.name": name,
        "gen_ai.agent.version": fact.version,
        "gen_ai.request.model": fact.shown_model,
        "ccagent.turn.index": fact.turn_index,
    }


def _agent(fact: ClosedFact) -> dict[str, AttributeValue | None]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": provider(fact, fact.model) or UNNAMED_PROVIDER,
        "gen_ai.agent.name": fact.name,
        "gen_ai.agent.id": fact.agent,
        "gen_ai.agent.version": fact.version,
        "gen_ai.request.model": fact.shown_model,
        "ccagent.agent.depth": fact.depth,
        # The call that launched it is not known, so it lies below no tool span.
        "ccagent.agent.unlinked": True if fact.agent_tool is None else None,
        "ccagent.background": True if fact.flags & Flag.BACKGROUND else None,
    }


def _request(fact: ClosedFact) -> dict[str, AttributeValue | None]:
    write, write_1h = fact.token_cache_write, fact.token_cache_write_1h
    parts = (fact.token_input, fact.token_cache_read, write)
    # The conventions count cached input as input; the client's own number leaves it out and stands under ccagent.*.
    whole = None if fact.token_input is None else sum(part or 0 for part in parts)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider(fact, fact.name),
        "gen_ai.request.model": fact.shown_model,
        "gen_ai.response.model": fact.shown_model,
        "gen_ai.response.id": fact.native if fact.native.startswith("msg_") else None,
        "gen_ai.response.finish_reasons": (fact.stop,) if fact.stop else None,
        "gen_ai.agent.name": agent_name(fact),
        "gen_ai.agent.id": fact.agent,
        "gen_ai.conversation.compacted": True if fact.compacted else None,
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
        "ccagent.context.utilization_ratio": None if whole is None else utilization(fact, whole),
        "ccagent.retry_count": max((mark.attempts or 1 for mark in fact.marks if mark.kind == "retry"), default=None),
        # From what it answers to the last line of the reply: the moment of sending is not in a transcript.
        "ccagent.duration.estimated": True,
    }


def utilization(fact: ClosedFact, used: int) -> float | None:
    """How full a request made its context: `used` tokens of its window (of several steps, those of the longest prompt),
    or what the transcript states of both."""
    stated = fact.attempts
    used = used if fact.added is None else fact.added
    size, _ = window(fact.name, used, fact.occurred_at, stated)
    if stated is not None and fact.size is not None:
        used = fact.size
    return used / size if size else None


def _tool(fact: ClosedFact) -> dict[str, AttributeValue | None]:
    mcp = fact.mcp
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": fact.name,
        "gen_ai.tool.call.id": fact.native,
        "gen_ai.tool.type": "function",
        "gen_ai.agent.name": agent_name(fact),
        "gen_ai.agent.id": fact.agent,
        "mcp.method.name": "tools/call" if mcp else None,
        "ccagent.mcp.server": mcp[0] if mcp else None,
        "ccagent.mcp.tool": mcp[1] if mcp else None,
        "ccagent.exit_code": fact.exit_code,
        "ccagent.retry_count": fact.attempts,
        "ccagent.tool.result_size": fact.size,
        "ccagent.lines.added": fact.added,
        "ccagent.lines.removed": fact.removed,
        "ccagent.background": True if fact.flags & Flag.BACKGROUND else None,
    }
