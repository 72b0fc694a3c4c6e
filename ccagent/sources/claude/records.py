"""The shapes that are read from a transcript line; every field is optional and anything else is skipped undecoded.

Fields whose shape varies between clients stay `Raw` (a view of their bytes) and are decoded only where a rule needs
them. See docs/transcripts.md for what they mean.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Raw, Struct

COUNT_LIMIT: Final = 2**53
"""Largest count that every JSON reader keeps exact; more is a broken field, not a count."""

Count = Annotated[int, Meta(ge=0, le=COUNT_LIMIT)]
NO_RAW: Final = Raw(b"")


class CacheCreation(Struct):
    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class OutputDetails(Struct):
    thinking_tokens: Count | None = None


class Iteration(Struct):
    """One step inside a response; only `advisor_message` is billed beyond the top level."""

    type: str | None = None
    model: str | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None


class Usage(Struct):
    """Tokens as in the API's usage block; `input_tokens` excludes cache reads and writes."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    speed: str | None = None
    inference_geo: str | None = None
    service_tier: str | None = None
    iterations: list[Iteration] | None = None


class Block(Struct):
    type: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = NO_RAW
    tool_use_id: str | None = None
    is_error: bool | None = None
    content: Raw = NO_RAW
    text: Raw = NO_RAW


class Message(Struct):
    id: str | None = None
    model: str | None = None
    content: str | list[Block] | None = None
    stop_reason: str | None = None
    usage: Usage | None = None


class RelayedRecord(Struct):
    """A sub-agent's record as `agent_progress` repeats it in the main file."""

    type: str | None = None
    timestamp: str | None = None
    requestId: str | None = None
    message: Message | None = None
    isApiErrorMessage: bool | None = None


class ProgressData(Struct):
    type: str | None = None
    agentId: str | None = None
    message: Raw = NO_RAW


class CompactMetadata(Struct):
    trigger: str | None = None
    preTokens: Count | None = None


class Record(Struct):
    """One line. Names are the client's own."""

    type: str | None = None
    uuid: str | None = None
    timestamp: str | None = None
    sessionId: str | None = None
    cwd: str | None = None
    version: str | None = None
    gitBranch: str | None = None
    entrypoint: str | None = None
    isSidechain: bool | None = None
    agentId: str | None = None
    requestId: str | None = None
    message: Message | None = None
    data: ProgressData | None = None
    toolUseResult: Raw = NO_RAW
    parentToolUseID: str | None = None
    isMeta: bool | None = None
    isCompactSummary: bool | None = None
    isApiErrorMessage: bool | None = None
    isAbortedMidStream: bool | None = None
    apiErrorStatus: int | None = None
    attributionSkill: str | None = None
    permissionMode: str | None = None
    promptSource: str | None = None
    toolDenialKind: str | None = None
    effort: str | None = None
    subtype: str | None = None
    durationMs: float | None = None
    pendingBackgroundAgentCount: int | None = None
    compactMetadata: CompactMetadata | None = None
    retryAttempt: Count | None = None
    retryInMs: float | None = None
    origin: Raw = NO_RAW
    error: Raw = NO_RAW


class TaskInput(Struct):
    """Input of the call that launches a sub-agent."""

    subagent_type: str | None = None
    run_in_background: bool | None = None


class FileInput(Struct):
    file_path: str | None = None
    notebook_path: str | None = None


class Hunk(Struct):
    lines: list[str] | None = None


class FileResult(Struct):
    """What Edit, MultiEdit, Write and NotebookEdit report."""

    type: str | None = None
    filePath: str | None = None
    notebook_path: str | None = None
    structuredPatch: list[Hunk] | None = None
    content: Raw = NO_RAW


class AgentResult(Struct):
    """What the call that launched a sub-agent reports."""

    status: str | None = None
    agentId: str | None = None
    agentType: str | None = None
    totalDurationMs: float | None = None
    totalToolUseCount: Count | None = None


class Origin(Struct):
    kind: str | None = None


class ErrorDetail(Struct):
    """`error` of a system/api_error line."""

    status: int | None = None
    error: Any = None
