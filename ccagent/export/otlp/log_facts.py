"""What a log record says of a fact: its attributes, severity and sentence, by the kind of the fact.

`RECORDS` is the whole list; docs/logs.md shows it, and a test compares both. Values are metadata, and names leave only
where they cannot be somebody's own: no branch, hash, address, number of a pull request, path, or name of a command
that a user made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from ccagent.export.otlp.attributes import AttributeValue, error_type, span_attributes
from ccagent.export.otlp.closed import SPAN_TYPES, ClosedFact
from ccagent.export.otlp.log_record import Severity
from ccagent.export.privacy import LOG_ATTRIBUTES, permit
from ccagent.facts.builtin_commands import built_in
from ccagent.facts.model import EVENT_NAMES, STATUS_NAMES, EventType, Flag, Status
from ccagent.facts.tasks import state_of
from ccagent.metrics.labels import sanitised

if TYPE_CHECKING:
    from ccagent.export.privacy import Policy

Attributes = dict[str, AttributeValue | None]

CUSTOM: Final = "custom"
"""Stands for the name of a command that a user made."""

UNATTENDED: Final = "bypassPermissions"
"""The mode in which nobody is asked for anything."""

MATCHED_BY_TOOL: Final = frozenset((
    "PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest", "PermissionDenied"
))  # fmt: skip
"""Events whose hooks are named after a tool; those of other events may be named after a file or a server."""


class Record(NamedTuple):
    """One kind of record: what it holds beside the common attributes, and which of them its sentence names."""

    own: Callable[[ClosedFact], Attributes]
    subject: tuple[str, ...] = ()


def log_attributes(fact: ClosedFact, policy: Policy) -> dict[str, AttributeValue]:
    """The record's attributes in a fixed order, what is not known left out; the same for the same fact and policy."""
    took = duration_ms(fact)
    common: Attributes = {
        "session.id": fact.session,
        "gen_ai.conversation.id": fact.session,
        "gen_ai.agent.id": fact.agent,
        "gen_ai.agent.name": fact.agent_type,
        "ccagent.status": STATUS_NAMES[fact.status],
        "ccagent.duration.seconds": None if took is None else took / 1_000,
        "ccagent.inferred": _flag(fact, Flag.INFERRED),
        "ccagent.permission_mode": fact.permission_mode,
        "ccagent.skill": fact.skill,
        "ccagent.client.version": fact.version,
        "ccagent.client.entrypoint": fact.entrypoint,
        "ccagent.project": policy.project,
        "ccagent.team": policy.team,
        "enduser.id": policy.identity,
        "error.type": error_type(fact),
    }
    own = RECORDS[fact.event_type].own(fact)
    known = {key: value for part in (common, own) for key, value in part.items() if value is not None}
    return permit(known, LOG_ATTRIBUTES)


def severity(fact: ClosedFact) -> Severity:
    """ERROR for what failed or ran out of time, WARN for what was refused, stopped, repeated or risky, else INFO.

    A client's failed attempts are a warning until it gives up; a task that is dropped is nothing bad.
    """
    match fact.event_type:
        case EventType.API_ERROR:
            return Severity.ERROR if fact.flags & Flag.FINAL_FAILURE else Severity.WARN
        case EventType.TASK:
            return Severity.INFO
        case EventType.UNKNOWN:
            return Severity.WARN
        case EventType.PERMISSION if fact.name == UNATTENDED:
            return Severity.WARN
        case EventType.TOOL_CALL if not _failed(fact) and (fact.attempts or fact.label or _timed_out(fact)):
            return Severity.WARN
    if _failed(fact):
        return Severity.ERROR
    stopped = fact.status in (Status.REJECTED, Status.INTERRUPTED) or fact.flags & Flag.ABORTED
    return Severity.WARN if stopped else Severity.INFO


def body(fact: ClosedFact, attributes: Mapping[str, AttributeValue]) -> str:
    """One line for people: the kind of fact, what it was about, and how it ended where that is not well."""
    words = [EVENT_NAMES[fact.event_type]]
    # A name may hold anything that a model or a server wrote: the line stays one line, and short.
    words += [sanitised(str(attributes[key])) for key in RECORDS[fact.event_type].subject if attributes.get(key)]
    if fact.status not in (Status.OK, Status.OPEN) and fact.event_type is not EventType.TASK:
        words.append(STATUS_NAMES[fact.status])
    return " ".join(words)


def duration_ms(fact: ClosedFact) -> int | None:
    """How long it took, as the column `duration_ms` of `telemetry_events` has it, never below 0."""
    start, end = fact.occurred_at, fact.ended_at
    if fact.event_type is EventType.TOOL_CALL:
        end = fact.result_at
    elif fact.event_type is EventType.LLM_REQUEST:
        start = start if start is None or fact.result_at is None else min(start, fact.result_at)
    elif fact.reported_ms is not None:
        return fact.reported_ms
    return None if start is None or end is None else max(0, end - start)


def _failed(fact: ClosedFact) -> bool:
    return fact.status in (Status.ERROR, Status.TIMEOUT)


def _timed_out(fact: ClosedFact) -> bool:
    return fact.status == Status.TIMEOUT or bool(fact.flags & Flag.TIMED_OUT)


def _flag(fact: ClosedFact, flag: Flag) -> bool | None:
    """True or nothing: most flags are not set."""
    return True if fact.flags & flag else None


def _command(fact: ClosedFact) -> Attributes:
    """The name of a client's own command; a skill has a record of its own, with its name."""
    if fact.name is None:
        return {}
    known = built_in(fact.name)
    return {
        "ccagent.command.name": fact.name if known else CUSTOM,
        "ccagent.command.source": "builtin" if known else CUSTOM,
    }


def _span(fact: ClosedFact) -> Attributes:
    return {**span_attributes(fact)} if fact.event_type in SPAN_TYPES else {}


def _prompt(fact: ClosedFact) -> Attributes:
    return {
        "ccagent.prompt.kind": fact.label,
        "ccagent.prompt.length": fact.size,
        **_command(fact),
    }


def _tool(fact: ClosedFact) -> Attributes:
    return {
        **_span(fact),
        "ccagent.tool.timed_out": True if _timed_out(fact) else None,
        "ccagent.tool.danger": tuple(fact.label.split("+")) if fact.label else None,
        "ccagent.tool.repeated": _flag(fact, Flag.REPEATED),
        "ccagent.tool.waited_for_human": _flag(fact, Flag.HUMAN),
    }


def _api_error(fact: ClosedFact) -> Attributes:
    return {"ccagent.error.attempts": fact.attempts, "ccagent.error.final": bool(fact.flags & Flag.FINAL_FAILURE)}


def _compaction(fact: ClosedFact) -> Attributes:
    known = fact.size is not None and fact.attempts is not None
    return {
        "ccagent.compaction.trigger": fact.name,
        "ccagent.compaction.tokens_before": fact.size,
        "ccagent.compaction.tokens_after": fact.attempts,
        "ccagent.compaction.tokens_saved": fact.size - fact.attempts if known else None,  # type: ignore[operator]
    }


def _microcompaction(fact: ClosedFact) -> Attributes:
    return {
        "ccagent.compaction.trigger": fact.name,
        "ccagent.compaction.tokens_before": fact.size,
        "ccagent.compaction.tokens_saved": fact.attempts,
    }


def _permission(fact: ClosedFact) -> Attributes:
    return {"ccagent.permission_mode": fact.name, "ccagent.previous_permission_mode": fact.label}


def _hook(fact: ClosedFact) -> Attributes:
    _, _, tool = (fact.label or "").partition(":")
    return {
        "ccagent.hook.event": fact.name,
        "gen_ai.tool.name": tool if tool and fact.name in MATCHED_BY_TOOL else None,
        "ccagent.exit_code": fact.exit_code,
    }


def _skill(fact: ClosedFact) -> Attributes:
    return {"ccagent.skill": fact.name, "ccagent.skill_trigger": fact.label}


def _command_run(fact: ClosedFact) -> Attributes:
    return {**_command(fact), "ccagent.command.local": bool(fact.flags & Flag.LOCAL)}


def _subagent(fact: ClosedFact) -> Attributes:
    return {**_span(fact), "ccagent.background": _flag(fact, Flag.BACKGROUND)}


def _quality(fact: ClosedFact) -> Attributes:
    return {
        "ccagent.run.kind": fact.label,
        "ccagent.run.framework": fact.name,
        "ccagent.run.passed": fact.added,
        "ccagent.run.failed": fact.removed,
        "ccagent.run.skipped": fact.size,
        "ccagent.exit_code": fact.exit_code,
    }


def _confidence(fact: ClosedFact) -> float | None:
    return None if fact.attempts is None else fact.attempts / 100


def _commit(fact: ClosedFact) -> Attributes:
    return {
        "ccagent.git.kind": fact.label,
        "ccagent.git.files": fact.size,
        "ccagent.lines.added": fact.added,
        "ccagent.lines.removed": fact.removed,
        "ccagent.git.confidence": _confidence(fact),
    }


def _delivery(fact: ClosedFact) -> Attributes:
    return {"ccagent.git.kind": fact.label, "ccagent.git.confidence": _confidence(fact)}


def _task(fact: ClosedFact) -> Attributes:
    state = state_of(fact.name or "")
    return {
        # A model may write any word there.
        "ccagent.task.state": "other" if state is None else str(state),
        "ccagent.task.terminal": bool(fact.flags & Flag.TERMINAL),
    }


def _session(fact: ClosedFact) -> Attributes:
    return {"ccagent.session.kind": (fact.label or "").rpartition(" ")[2] or "fresh"}


def _cache_miss(fact: ClosedFact) -> Attributes:
    return {
        "ccagent.cache.cause": fact.name,
        "ccagent.cache.tokens_missed": fact.size,
        "ccagent.cache.judged": fact.label == "judged",
    }


def _unknown(fact: ClosedFact) -> Attributes:
    return {"ccagent.record.type": fact.name}


RECORDS: Final[Mapping[EventType, Record]] = {
    EventType.PROMPT: Record(_prompt, ("ccagent.prompt.kind", "ccagent.command.name")),
    EventType.LLM_REQUEST: Record(_span, ("gen_ai.request.model",)),
    EventType.TOOL_CALL: Record(_tool, ("gen_ai.tool.name", "error.type")),
    EventType.API_ERROR: Record(_api_error, ("error.type",)),
    EventType.COMPACTION: Record(_compaction, ("ccagent.compaction.trigger",)),
    EventType.MICROCOMPACTION: Record(_microcompaction, ("ccagent.compaction.trigger",)),
    EventType.PERMISSION: Record(_permission, ("ccagent.permission_mode",)),
    EventType.HOOK: Record(_hook, ("ccagent.hook.event", "gen_ai.tool.name")),
    EventType.SKILL: Record(_skill, ("ccagent.skill",)),
    EventType.COMMAND: Record(_command_run, ("ccagent.command.name",)),
    EventType.SUBAGENT_RUN: Record(_subagent, ("gen_ai.agent.name",)),
    EventType.QUALITY: Record(_quality, ("ccagent.run.kind", "ccagent.run.framework")),
    EventType.COMMIT: Record(_commit, ("ccagent.git.kind",)),
    EventType.PUSH: Record(_delivery, ("ccagent.git.kind",)),
    EventType.PULL_REQUEST: Record(_delivery, ("ccagent.git.kind",)),
    EventType.TASK: Record(_task, ("ccagent.task.state",)),
    EventType.SESSION: Record(_session, ("ccagent.session.kind",)),
    EventType.CACHE_MISS: Record(_cache_miss, ("ccagent.cache.cause",)),
    EventType.UNKNOWN: Record(_unknown, ("ccagent.record.type",)),
}
"""Every kind of fact that becomes a record."""

LOG_TYPES: Final = tuple(RECORDS)
"""Facts that become log records."""
