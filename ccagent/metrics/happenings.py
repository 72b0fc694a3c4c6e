"""The counters and histograms of what happened in sessions, beside usage, requests and tool calls.

`MEASURED` are those that no single fact tells: they are measured in the store when their subject closes, and booked
then, once and for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ccagent.facts.dangerous import PATTERNS
from ccagent.facts.decisions import ACCEPT, CONFIG, REJECT, UNKNOWN, USER_REJECT, USER_TEMPORARY
from ccagent.facts.model import STATUS_NAMES
from ccagent.facts.quality.kinds import KINDS
from ccagent.facts.targets import TARGET_NAMES
from ccagent.metrics import names
from ccagent.metrics.spec import PROJECT, Kind, MetricSpec

AGENT_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds. Agent work lasts from a file read to an hour's turn; the usual web buckets end at 10 s."""
SESSION_BUCKETS: Final = (60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400)
"""Active seconds of a session: from a question to a day's work."""
DELIVERY_BUCKETS: Final = (60, 300, 900, 3_600, 14_400, 28_800, 86_400, 259_200, 604_800)
"""Seconds from the first prompt to a commit or a pull request: from a minute to a week."""
CALL_BUCKETS: Final = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89)
"""Tool calls of a turn."""
TREE_BUCKETS: Final = (0, 1, 2, 3, 5, 8, 13, 21, 34)
"""Sub-agents of a session, and how deep they launch each other."""
RATIO_BUCKETS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Parts of a whole, and confidence."""
MILLI: Final = 1_000
"""Milliseconds in a second."""

MAIN: Final = "main"
"""`agent_type` of requests of the main thread."""
ACTIVE_TYPES: Final = ("cli", "user")
MODES: Final = ("default", "acceptEdits", "plan", "bypassPermissions", "auto", "dontAsk", "other")
"""Permission modes; `other` is one beyond the list, and none told at all."""
DECISIONS: Final = (ACCEPT, REJECT)
SOURCES: Final = (CONFIG, USER_TEMPORARY, USER_REJECT, UNKNOWN)
"""Who decided on a tool call; transcripts often do not say."""
STALL_TYPES: Final = ("loop", "stall")
TASK_STATES: Final = ("done", "deferred", "completed")
DELIVERY_TYPES: Final = ("commit", "pull_request")
LINK_TYPES: Final = tuple(TARGET_NAMES.values())
HOOK_EVENTS: Final = (
    "PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest", "PermissionDenied", "UserPromptSubmit", "Notification",
    "Stop", "SubagentStart", "SubagentStop", "PreCompact", "PostCompact", "SessionStart", "SessionEnd", "Setup", "TaskCompleted",
    "TeammateIdle", "other",
)  # fmt: skip
EDIT_TOOLS: Final = frozenset(("Edit", "MultiEdit", "Write", "NotebookEdit"))

_TYPE: Final = ("type",)
_STATUS: Final = ("status",)


def _counted(
    name: str,
    unit: str,
    source: str,
    text: str,
    labels: tuple[str, ...] = (),
    *,
    fill: tuple[str, ...] = (),
    buckets: tuple[float, ...] | None = None,
    scale: int = 1,
    **closed: tuple[str, ...],
) -> MetricSpec:
    """A counter, or with `buckets` a histogram, of facts."""
    lists: Mapping[str, tuple[str, ...]] = MappingProxyType(closed)
    return MetricSpec(
        name=name, kind=Kind.HISTOGRAM if buckets else Kind.COUNTER, unit=unit, help=text, source=source, labels=labels,
        closed=lists, fill=fill, buckets=buckets, scale=scale, from_facts=True,
    )  # fmt: skip


HAPPENINGS: Final = (
    # requests and turns
    _counted(names.AGENT_REQUESTS, "{request}", "llm.request",
             "API requests by the type of agent that made them; the main thread is main.", ("agent_type",)),
    _counted(names.TRUNCATED_MESSAGES, "{message}", "llm.request",
             "API responses that ended without a final line: cut off, or never given a stop reason.", ("model",)),
    _counted(names.CONTEXT_UTILIZATION, "1", "llm.request",
             "Part of the context window that a request's prompt filled; windows that the transcript does not state come"
             " from a dated table.", ("model",), buckets=RATIO_BUCKETS),
    _counted(names.MICROCOMPACTIONS, "{compaction}", "microcompaction",
             "Times that old tool results were dropped from the context, without a compaction."),
    _counted(names.ACTIVE, "s", "turn, prompt",
             "Active seconds, estimated: cli from a turn's prompt to its last reply, user from the record before a prompt"
             " to the prompt; gaps of more than five minutes do not count.",
             _TYPE, type=ACTIVE_TYPES, fill=_TYPE, scale=MILLI),
    _counted(names.TURN_TOOL_CALLS, "{call}", "turn", "Tool calls that a turn's main thread made.",
             buckets=CALL_BUCKETS),
    _counted(names.PERMISSION_MODE_TURNS, "{turn}", "turn", "Turns that closed, by permission mode.",
             ("permission_mode",), permission_mode=MODES, fill=("permission_mode",)),
    _counted(names.STALLS, "{turn}", "turn",
             "Turns in which one call was made again and again (loop), or nothing was heard for too long (stall).",
             _TYPE, type=STALL_TYPES, fill=_TYPE),
    # sessions
    _counted(names.SESSION_DURATION, "s", "session.lifecycle",
             "Active seconds of a session until it closed, half an hour after its last record; gaps of more than five"
             " minutes do not count. What comes when it is taken up again is not added.",
             (PROJECT,), buckets=SESSION_BUCKETS),
    _counted(names.SESSION_FANOUT, "{agent}", "session tree",
             "Sub-agents that a session's main thread had launched when the session closed.", buckets=TREE_BUCKETS),
    _counted(names.SESSION_DEPTH, "{level}", "session tree",
             "Levels of sub-agents below a session's main thread when the session closed.", buckets=TREE_BUCKETS),
    _counted(names.LINK_CONFIDENCE, "1", "link",
             "Confidence of what a session was linked to when it closed, one observation a link.",
             _TYPE, type=LINK_TYPES, fill=_TYPE, buckets=RATIO_BUCKETS),
    # tools
    _counted(names.TOOL_RETRIES, "{call}", "tool.call, retry_count",
             "Tool calls that repeated a failed one in the same turn.", ("tool",)),
    _counted(names.TOOL_DECISIONS, "{decision}", "tool.call, permission.change",
             "Decisions on tool calls by outcome and source; unknown where the transcript does not say who decided.",
             ("status", "type"), status=DECISIONS, type=SOURCES, fill=("status", "type")),
    _counted(names.EDIT_DECISIONS, "{decision}", "tool.call", "Decisions on calls of tools that edit files.",
             ("tool", "status"), status=DECISIONS, fill=_STATUS),
    _counted(names.DANGEROUS_CALLS, "{call}", "tool.call",
             "Tool calls whose command matches a dangerous pattern, one for each pattern; the status says whether it ran.",
             ("pattern", "status"), pattern=(*PATTERNS, "other"), status=STATUS_NAMES, fill=("pattern", "status")),
    _counted(names.SKILL_ACTIVATIONS, "{activation}", "skill.activation",
             "Skills activated by the model's tool call or typed by a person.", ("skill",)),
    _counted(names.HOOK_DURATION, "s", "hook.run", "Time that a hook ran, as the client measured it.",
             ("type", "status"), type=HOOK_EVENTS, status=STATUS_NAMES, buckets=AGENT_BUCKETS),
    # what came of it
    _counted(names.COMMITS, "{commit}", "git.commit",
             "Commits made in sessions, as far as the client recorded them or git printed them.", (PROJECT,)),
    _counted(names.PULL_REQUESTS, "{pull}", "pull_request", "Pull requests, each URL once.", (PROJECT,)),
    _counted(names.DELIVERY, "s", "links",
             "Time from the first prompt of the work to a commit, or to the opening of a pull request; measured once, when"
             " the delivery is taken in, of history when all of it was read.",
             _TYPE, type=DELIVERY_TYPES, fill=_TYPE, buckets=DELIVERY_BUCKETS),
    _counted(names.QUALITY_RUNS, "{run}", "quality.run", "Runs of tests, linters, type checks, builds and deployments.",
             ("type", "status"), type=KINDS, status=STATUS_NAMES, fill=("type", "status")),
    _counted(names.TASKS_COMPLETED, "{task}", "task.transition", "Tasks that were finished, by the word that said so.",
             ("type", PROJECT), type=TASK_STATES, fill=_TYPE),
)  # fmt: skip

MEASURED: Final = frozenset(
    (
        names.ACTIVE,
        names.SESSION_DURATION,
        names.SESSION_FANOUT,
        names.SESSION_DEPTH,
        names.LINK_CONFIDENCE,
        names.DELIVERY,
    )
)
"""What a fact alone does not tell: a rebuild takes it from what was derived anew."""
