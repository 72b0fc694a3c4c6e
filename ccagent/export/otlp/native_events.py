"""Closed facts as the events of Claude Code's own telemetry, as far as a transcript has plain evidence of them.

Names and attributes are the native ones. An event follows from its fact alone, so a resend is the same; that is why
`event.sequence` is left out: natively it counts what a process has sent, and nothing in a transcript tells that number.
Identifiers of accounts and requests, and contents, are not in the facts and never here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from ccagent.export.otlp.attributes import MICROUSD, AttributeValue, error_type
from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.privacy import NATIVE_EVENT_ATTRIBUTES, permit
from ccagent.facts.builtin_commands import built_in
from ccagent.facts.decisions import ACCEPT, decision_of
from ccagent.facts.model import EventType, Flag, Status
from ccagent.metrics.compat import of_claude_code, query_source

Attributes = dict[str, AttributeValue | None]

PROMPTS: Final = frozenset(("human", "command"))
"""Kinds of prompts that are natively told of."""

CUSTOM: Final = "custom"
"""Natively stands for the name of a command that a user made."""

COMPACTION_TRIGGERS: Final = frozenset(("auto", "manual"))

INVOCATIONS: Final = {"typed": "user-slash", "tool": "claude-proactive"}
"""How a skill was activated: in a fact's words, and natively."""


class NativeEvent(NamedTuple):
    """One event: its name without the prefix `claude_code.`, and its attributes, ready to be sent."""

    name: str
    attributes: dict[str, AttributeValue]


def native_events(fact: ClosedFact) -> list[NativeEvent]:
    """The events that Claude Code would have sent of this fact, none for facts of other clients or without a time."""
    at, make = fact.last_at, _MAKERS.get(fact.event_type)
    if at is None or make is None or not of_claude_code(fact.provider, fact.entrypoint):
        return []
    standing: Attributes = {
        "event.timestamp": datetime.fromtimestamp(at / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "session.id": fact.session,
        "app.version": fact.version,
        "app.entrypoint": fact.entrypoint,
    }  # fmt: skip
    found = []
    for name, own in make(fact):
        given = {"event.name": name, **standing, **own}
        told = {key: value for key, value in given.items() if value is not None}
        found.append(NativeEvent(name, permit(told, NATIVE_EVENT_ATTRIBUTES)))
    return found


Made = list[tuple[str, Attributes]]


def _prompt(fact: ClosedFact) -> Made:
    if fact.label not in PROMPTS:
        return []
    # A command of one's own may be named after anything.
    command = (fact.name if built_in(fact.name) else CUSTOM) if fact.label == "command" else None
    return [("user_prompt", {"prompt_length": fact.size, "command_name": command})]


def _request(fact: ClosedFact) -> Made:
    cost = fact.cost_microusd
    own: Attributes = {
        "model": fact.shown_model,
        "cost_usd": None if cost is None else cost / MICROUSD,
        "cost_usd_micros": cost,
        "duration_ms": _request_ms(fact),
        "input_tokens": fact.token_input,
        "output_tokens": fact.token_output,
        "cache_read_tokens": fact.token_cache_read,
        "cache_creation_tokens": fact.token_cache_write,
        "speed": "fast" if fact.flags & Flag.FAST else "normal",
        "query_source": query_source(fact.agent),
    }
    return [("api_request", own)]


def _error(fact: ClosedFact) -> Made:
    retries = fact.attempts or 0
    own: Attributes = {
        "error": fact.failure or "unknown",
        "duration_ms": _between(fact.occurred_at, fact.result_at),
        "attempt": retries + 1 if fact.flags & Flag.FINAL_FAILURE else max(1, retries),
    }
    return [("api_error", own)]


def _tool(fact: ClosedFact) -> Made:
    """The decision, and the result of what was accepted: natively a rejected call has no result."""
    if fact.name is None or not fact.flags & Flag.DIRECT:
        return []
    decided = decision_of(fact.name, fact.status, fact.failure, fact.flags, fact.permission_mode)
    decision, source = decided if decided is not None else (None, None)
    call: Attributes = {"tool_name": fact.name, "tool_use_id": fact.native}
    found: Made = []
    if decided is not None:
        found.append(("tool_decision", {**call, "decision": decision, "source": source}))
    if fact.flags & Flag.RESULT and fact.status != Status.REJECTED:
        own: Attributes = {
            **call,
            "success": "true" if fact.status == Status.OK else "false",
            "duration_ms": _between(fact.occurred_at, fact.result_at),
            "decision": decision,
            "source": source,
            "decision_type": ACCEPT if decided is not None else None,
            "decision_source": source,
            "error_type": error_type(fact),
            "tool_result_size_bytes": fact.size,
        }
        found.append(("tool_result", own))
    return found


def _compaction(fact: ClosedFact) -> Made:
    if fact.name not in COMPACTION_TRIGGERS:
        return []
    own: Attributes = {
        "trigger": fact.name,
        "success": "true",
        "duration_ms": fact.reported_ms,
        "pre_tokens": fact.size,
        "post_tokens": fact.attempts,
    }
    return [("compaction", own)]


def _permission(fact: ClosedFact) -> Made:
    planned = fact.extra is not None and '"ExitPlanMode"' in fact.extra
    own: Attributes = {
        "from_mode": fact.label,
        "to_mode": fact.name,
        "trigger": "exit_plan_mode" if planned else None,
    }
    return [("permission_mode_changed", own)]


def _skill(fact: ClosedFact) -> Made:
    if fact.status in (Status.ERROR, Status.REJECTED):
        return []
    return [("skill_activated", {"skill.name": fact.name, "invocation_trigger": INVOCATIONS.get(fact.label or "")})]


def _agent(fact: ClosedFact) -> Made:
    if fact.status == Status.OPEN:
        return []
    own: Attributes = {
        "agent_type": fact.name,
        "is_async": bool(fact.flags & Flag.BACKGROUND),
        "total_tool_uses": fact.size,
        "duration_ms": fact.reported_ms if fact.reported_ms is not None else _between(fact.occurred_at, fact.ended_at),
    }
    return [("subagent_completed", own)]


def _hook(fact: ClosedFact) -> Made:
    """One event for each run: natively those of one moment are summed up in one."""
    if fact.status == Status.OPEN:
        return []
    own: Attributes = {
        "hook_event": fact.name,
        "num_hooks": 1,
        "num_success": int(fact.status == Status.OK),
        "num_blocking": int(fact.status == Status.REJECTED),
        "num_non_blocking_error": int(fact.status in (Status.ERROR, Status.TIMEOUT)),
        "num_cancelled": int(fact.status == Status.INTERRUPTED),
        "total_duration_ms": fact.reported_ms,
    }
    return [("hook_execution_complete", own)]


def _request_ms(fact: ClosedFact) -> int | None:
    """From what the request answers, where it is known, to the last line of its reply."""
    began = fact.occurred_at
    if began is not None and fact.result_at is not None:
        began = min(began, fact.result_at)
    return _between(began, fact.ended_at)


def _between(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else max(0, end - start)


_MAKERS: Final[dict[EventType, Callable[[ClosedFact], Made]]] = {
    EventType.PROMPT: _prompt,
    EventType.LLM_REQUEST: _request,
    EventType.API_ERROR: _error,
    EventType.TOOL_CALL: _tool,
    EventType.COMPACTION: _compaction,
    EventType.PERMISSION: _permission,
    EventType.SKILL: _skill,
    EventType.SUBAGENT_RUN: _agent,
    EventType.HOOK: _hook,
}
