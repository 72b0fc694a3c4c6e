"""What ccagent knows of transcripts by name, and what may be told of a record that it does not know: its shape.

Clients add record types, tools and fields in nearly every release, and drop some. What is not in these lists becomes a
fact of the kind `record.unknown` whose `detail` says what is new; nothing fails. A name is in a list when it stands in
docs/signals.md and docs/transcripts.md or was seen in real transcripts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from ccagent.facts.hooks import HOOK_ENDS
from ccagent.facts.naming import MCP_PREFIX


class Drift(StrEnum):
    """What kind of thing is new, or gone."""

    RECORD = "record"  # a record type
    SYSTEM = "system"  # subtype of a system record
    PROGRESS = "progress"  # data.type of a progress record
    ATTACHMENT = "attachment"
    BLOCK = "block"  # content block of a message
    TOOL = "tool"
    MCP = "mcp"  # a tool whose name begins like an MCP server's and goes on otherwise
    KEY = "key"  # a field of a known record
    MISSING = "missing"  # a field that a known record always had
    MODE = "mode"  # permission mode
    STOP = "stop"  # stop reason
    SOURCE = "source"  # where a prompt comes from
    VALUE = "value"  # another closed field: entrypoint, speed, tier …
    MISMATCH = "mismatch"  # what a line holds is not what was made of it


TOOLS: Final = frozenset(
    """Agent AskUserQuestion Bash BashOutput CronCreate CronDelete CronList Edit EnterPlanMode EnterWorktree ExitPlanMode
    ExitWorktree Glob Grep KillBash KillShell LS LSP ListMcpResourcesTool MultiEdit NotebookEdit NotebookRead PowerShell
    Read ReadMcpResourceTool ScheduleWakeup SendMessage Skill SlashCommand StructuredOutput Task TaskCreate TaskGet
    TaskList TaskOutput TaskStop TaskUpdate TodoRead TodoWrite ToolSearch WebFetch WebSearch Workflow Write
    exit_plan_mode""".split()
)
"""Tools that clients bring along. Those of MCP servers are anybody's."""

BLOCKS: Final = frozenset(
    """text thinking redacted_thinking tool_use tool_result image document search_result container_upload
    server_tool_use web_search_tool_result web_fetch_tool_result code_execution_tool_result advisor_tool_result
    mcp_tool_use mcp_tool_result""".split()
)

PROGRESS: Final = frozenset(
    """bash_progress hook_progress agent_progress mcp_progress query_update search_results_received
    waiting_for_task""".split()
)

ATTACHMENTS: Final = HOOK_ENDS | frozenset(
    """total_tokens_reminder task_reminder deferred_tools_delta agent_listing_delta skill_listing structured_output
    todo_reminder hook_additional_context mcp_instructions_delta command_permissions
    hook_system_message auto_mode edited_text_file read_truncation_notice plan_mode queued_command nested_memory
    ultra_effort_enter""".split()
)

MODES: Final = frozenset(("default", "acceptEdits", "plan", "bypassPermissions", "auto", "dontAsk"))
STOPS: Final = frozenset(
    """tool_use end_turn stop_sequence max_tokens refusal pause_turn model_context_window_exceeded""".split()
)
SOURCES: Final = frozenset(("typed", "queued", "sdk", "system"))

VALUES: Final[Mapping[str, frozenset[str]]] = {
    "entrypoint": frozenset(("cli", "sdk-py", "sdk-ts", "sdk-cli", "claude-desktop", "claude-vscode")),
    "userType": frozenset(("external",)),
    "effort": frozenset(("low", "medium", "high", "xhigh", "max")),
    "usage.speed": frozenset(("standard", "fast")),
    "usage.service_tier": frozenset(("standard", "priority", "batch")),
    "usage.inference_geo": frozenset(("", "not_available", "global", "us")),
    "origin": frozenset(("human", "task-notification")),
    "toolDenialKind": frozenset(("user-rejected", "permission-rule")),
    "iteration": frozenset(("message", "advisor_message", "fallback_message", "compaction")),
}
"""Fields with few values. Of speed, place and iterations a new one may have another price."""

_ENVELOPE: Final = frozenset(
    """type uuid parentUuid timestamp sessionId session_id cwd version isSidechain userType gitBranch slug agentId
    entrypoint""".split()
)

_OWN: Final[Mapping[str, str]] = {
    "assistant": """message requestId isApiErrorMessage error apiErrorStatus apiErrorIsTransient isAbortedMidStream effort
        advisorModel attributionSkill attributionPlugin attributionMcpServer attributionMcpTool attributionAgent
        apiBlockIndex isMeta costUSD durationMs""",
    "user": """message toolUseResult sourceToolAssistantUUID permissionMode todos thinkingMetadata isMeta isCompactSummary
        isVisibleInTranscriptOnly sourceToolUseID planContent imagePasteIds promptId promptSource origin toolDenialKind
        userFeedback toolEndsTurn interruptedByShutdown classifierMetaLines queuePriority turnCompanion""",
    "progress": "data toolUseID parentToolUseID",
    "system": """subtype level content isMeta toolUseID hookCount hookInfos hookErrors preventedContinuation stopReason
        hasOutput hookAdditionalContext durationMs messageCount pendingBackgroundAgentCount compactMetadata
        logicalParentUuid microcompactMetadata error retryInMs retryAttempt maxRetries cause""",
    "attachment": "attachment",
}

KEYS: Final[Mapping[str, frozenset[str]]] = {
    **{kind: _ENVELOPE | frozenset(own.split()) for kind, own in _OWN.items()},
    "file-history-snapshot": frozenset("type messageId snapshot isSnapshotUpdate".split()),
    "file-history-delta": frozenset("type messageId snapshotMessageId trackingPath backup timestamp".split()),
    "queue-operation": frozenset("type operation content timestamp sessionId".split()),
    "last-prompt": frozenset("type lastPrompt leafUuid sessionId".split()),
    "ai-title": frozenset("type aiTitle sessionId".split()),
    "custom-title": frozenset("type customTitle sessionId".split()),
    "mode": frozenset("type mode sessionId".split()),
    "permission-mode": frozenset("type permissionMode sessionId".split()),
    "summary": frozenset("type summary leafUuid".split()),
    "pr-link": frozenset("type prNumber prUrl prRepository timestamp sessionId".split()),
    "bridge-session": frozenset("type bridgeSessionId lastSequenceNum sessionId".split()),
    "atis-latch": frozenset("type atis sessionId".split()),
}
"""Fields of each record type, of all clients together."""

MESSAGE_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "assistant": frozenset(
        """id type role model content stop_reason stop_sequence stop_details usage container context_management
        diagnostics""".split()
    ),
    "user": frozenset("role content".split()),
}

USAGE_KEYS: Final = frozenset(
    """input_tokens output_tokens cache_creation_input_tokens cache_read_input_tokens service_tier cache_creation
    inference_geo server_tool_use iterations speed output_tokens_details""".split()
)
"""A new one may be a kind of token that nobody counts yet."""

COUNTERS: Final = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
"""Fields that every usage has had."""

_DATED: Final = ("uuid", "timestamp", "sessionId", "version", "cwd")

REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "assistant": (*_DATED, "message"),
    "user": (*_DATED, "message"),
    "progress": (*_DATED, "data"),
    "system": (*_DATED, "subtype"),
    "attachment": (*_DATED, "attachment"),
    "queue-operation": ("operation", "timestamp", "sessionId"),
    "pr-link": ("prUrl", "sessionId"),
}
"""Fields that every record of a type had, from version 1.0.17 to 2.1.237."""

SUBTYPES: Final[Mapping[str, str]] = {
    "turn_duration": "durationMs",
    "compact_boundary": "compactMetadata",
    "microcompact_boundary": "microcompactMetadata",
    "api_error": "retryAttempt",
}
"""The field of a system record for whose sake it is read, by subtype."""

NAME_LENGTH: Final = 64
"""Characters of a name; longer ones are no names."""

ODD: Final = "(odd)"
"""Stands for what does not look like a name of the client's: it may be somebody's text, and there may be many."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_DATE: Final = re.compile(r"_20\d{6}$")
_VERSION: Final = re.compile(r"\d{1,4}(?:\.\d{1,6}){1,3}(?:-[a-z]{1,10}(?:\.\d{1,4})?)?")
_DIGITS: Final = 4


@lru_cache(maxsize=2_048)
def named(text: str) -> str:
    """A name as the client gives them, else `ODD`.

    Rule: letters, digits, `_` and `-`, no more than NAME_LENGTH, with fewer than four digits apart from a date at the
    end. Why: what is shown and counted by name must neither be somebody's text nor as many as there are ids. Not seen:
    a single word that is somebody's text.
    """
    plain = _DATE.sub("", text)
    if not _NAME.fullmatch(plain) or len(text) > NAME_LENGTH or sum(map(str.isdigit, plain)) >= _DIGITS:
        return ODD
    return text


@lru_cache(maxsize=512)
def client_version(text: str | None) -> str:
    """A client version as it is told to others: `unknown` without one, `ODD` for what is none."""
    if not text:
        return "unknown"
    return text if _VERSION.fullmatch(text) else ODD


@lru_cache(maxsize=512)
def version_order(text: str | None) -> tuple[int, ...]:
    """Sorts client versions by age; what is none comes before all."""
    numbers = (text or "").partition("-")[0].split(".")
    return tuple(int(part) for part in numbers) if all(part.isdecimal() for part in numbers) else ()


@lru_cache(maxsize=2_048)
def tool_drift(name: str) -> tuple[Drift, str] | None:
    """What is new in the name of a tool; None where nothing is.

    Rule: a name that begins with `mcp__` must have a server and a tool, parted by the first `__` after it; any other must
    be in TOOLS. Why: such a tool would have no server, and a tool that nobody knows no rules. What the server's name is
    does not stand in the fact. Not seen: a server whose name holds `__`.
    """
    if not name.startswith(MCP_PREFIX):
        return None if name in TOOLS else (Drift.TOOL, named(name))
    server, separator, tool = name[len(MCP_PREFIX) :].partition("__")
    if server and tool:
        return None
    if not separator:
        return Drift.MCP, "no_separator"
    return Drift.MCP, "no_tool" if server else "no_server"


_LISTS: Final[Mapping[str, frozenset[str]]] = {
    Drift.PROGRESS: PROGRESS,
    Drift.ATTACHMENT: ATTACHMENTS,
    Drift.BLOCK: BLOCKS,
    Drift.TOOL: TOOLS,
    Drift.MODE: MODES,
    Drift.STOP: STOPS,
    Drift.SOURCE: SOURCES,
}


def known_by_now(kind: str, name: str) -> bool:
    """Whether what an earlier version found is in today's lists: its facts stay until a rebuild."""
    if kind in _LISTS:
        return name in _LISTS[kind]
    if kind == Drift.VALUE:
        field, _, value = name.partition("=")
        return value in VALUES.get(field, ())
    if kind != Drift.KEY:
        return False
    place, _, field = name.rpartition(".")
    if place == "usage":
        return field in USAGE_KEYS
    return field in (KEYS.get(place) or MESSAGE_KEYS.get(place.removesuffix(".message")) or ())


# ---- shapes --------------------------------------------------------------------------------------------------------

SHAPE_KEYS: Final = 24
"""Fields of an object that are told."""

SHAPE_DEPTH: Final = 3
"""Levels of objects that are told; clients' own records have no more that matter."""

WORDS: Final = frozenset().union(*KEYS.values(), *MESSAGE_KEYS.values(), USAGE_KEYS) | frozenset(
    """trigger preTokens status name input id tool_use_id is_error text thinking signature caller data output
        command hookEvent hookName exitCode stdout stderr interrupted filePath structuredPatch replaceAll userModified
        numFiles filenames numLines totalLines startLine durationMs success error result results query url code bytes
        questions answers tasks task taskId agentId agentType prompt totalTokens totalToolUseCount totalDurationMs
        toolStats kind commit push pr sha branch number action headers retryInMs ephemeral_5m_input_tokens
        ephemeral_1h_input_tokens thinking_tokens web_search_requests web_fetch_requests""".split()
)
"""Names of fields that are told at any depth: all are the clients' own."""


def shape(value: Any, *, keys: bool = True, depth: int = SHAPE_DEPTH) -> Any:
    """What a value is made of, without any of its values: JSON of field names, types and lengths.

    Rule: a text becomes `text N`, a list `list N` with the shape of its first item, numbers and the rest their type. Of
    an object's own fields (`keys`) those are named that look like names (`named`), of the objects within only WORDS: an
    object may be a map whose keys are paths, questions or people's names; the others are counted. Why: a shape is made to
    be sent to strangers. Not seen: order, and what lies deeper than `depth`.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return f"text {len(value)}"
    if isinstance(value, list):
        if not value or depth <= 0:
            return f"list {len(value)}"
        return [f"list {len(value)}", shape(value[0], keys=False, depth=depth - 1)]
    if not isinstance(value, dict):
        return "other"
    if depth <= 0:
        return f"object {len(value)}"
    told: dict[str, Any] = {}
    for key in sorted(key for key in value if key in WORDS or (keys and named(key) != ODD))[:SHAPE_KEYS]:
        told[key] = shape(value[key], keys=False, depth=depth - 1)
    if len(told) < len(value):
        told["(more)"] = len(value) - len(told)
    return told


SAMPLE_LENGTH: Final = 800
"""Characters of a sample. One is kept a session, kind and name, so that a strange client cannot fill the database."""


def sample(value: Any, *, keys: bool = True) -> str:
    """The shape of a value as JSON of at most SAMPLE_LENGTH characters: with fewer levels where it would be longer."""
    text = ""
    for depth in range(SHAPE_DEPTH, -1, -1):
        text = json.dumps(shape(value, keys=keys, depth=depth), separators=(",", ":"))
        if len(text) <= SAMPLE_LENGTH:
            break
    return text
