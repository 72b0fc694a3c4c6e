"""The shapes that are read from a transcript line; every field is optional and anything else is skipped undecoded.

Fields whose shape varies between clients stay `Raw` (a view of their bytes) and are decoded only where a rule needs
them. See docs/transcripts.md for what they mean.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Raw, Struct

COUNT_LIMIT: Final = 2**40
"""A million millions; more is a broken field, not a count. Sums have to stay within 64 bits: a hundred thousand requests
of so many tokens at the highest price do."""

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


class MissReason(Struct):
    type: str | None = None
    cache_missed_input_tokens: Count | None = None


class Diagnostics(Struct):
    """What the API tells of a request, 2.1.220 and later."""

    cache_miss_reason: MissReason | None = None


class Message(Struct):
    id: str | None = None
    model: str | None = None
    content: str | list[Block] | None = None
    stop_reason: str | None = None
    usage: Usage | None = None
    diagnostics: Raw = NO_RAW


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
    hookEvent: str | None = None
    hookName: str | None = None
    command: str | None = None
    elapsedTimeMs: float | None = None
    elapsedTimeSeconds: float | None = None
    timeoutMs: float | None = None


class CompactMetadata(Struct):
    """Of compactions and microcompactions."""

    trigger: str | None = None
    preTokens: Count | None = None
    tokensSaved: Count | None = None
    durationMs: float | None = None


class HookInfo(Struct):
    """One hook of a stop_hook_summary."""

    command: str | None = None
    durationMs: float | None = None


class Attachment(Struct):
    """What the rules for attachments read: of hooks, and of prompts that were typed ahead."""

    type: str | None = None
    hookEvent: str | None = None
    hookName: str | None = None
    toolUseID: str | None = None
    command: str | None = None
    blockingError: Raw = NO_RAW
    exitCode: int | None = None
    durationMs: float | None = None
    prompt: Raw = NO_RAW
    commandMode: str | None = None
    source_uuid: str | None = None


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
    toolUseID: str | None = None
    sourceToolUseID: str | None = None
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
    microcompactMetadata: CompactMetadata | None = None
    retryAttempt: Count | None = None
    retryInMs: float | None = None
    operation: str | None = None
    attachment: Attachment | None = None
    hookInfos: list[HookInfo] | None = None
    hookErrors: Raw = NO_RAW
    preventedContinuation: bool | None = None
    content: Raw = NO_RAW
    origin: Raw = NO_RAW
    error: Raw = NO_RAW
    parentUuid: str | None = None
    session_id: str | None = None
    forkedFrom: Raw = NO_RAW
    userFeedback: Raw = NO_RAW
    prUrl: str | None = None


class TaskInput(Struct):
    """Input of the call that launches a sub-agent."""

    subagent_type: str | None = None
    prompt: Raw = NO_RAW
    run_in_background: bool | None = None


class ShellInput(Struct):
    """What the input of a shell call says of its running."""

    timeout: float | None = None
    run_in_background: bool | None = None


class ShellResult(Struct):
    """What a shell's result says beyond its output."""

    interrupted: bool | None = None
    backgroundTaskId: str | None = None
    persistedOutputSize: Count | None = None


class TimedResult(Struct):
    """A result with its tool's own clock."""

    durationMs: float | None = None
    durationSeconds: float | None = None


class Companion(Struct):
    """`agent-<id>.meta.json` beside a sub-agent's file."""

    agentType: str | None = None
    toolUseId: str | None = None
    spawnDepth: int | None = None
    isFork: bool | None = None


class ForkedFrom(Struct):
    """The session that a record was copied from."""

    sessionId: str | None = None


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


class CommandInput(Struct):
    """The command line of a shell call."""

    command: str | None = None


class RecordedCommit(Struct):
    sha: str | None = None
    kind: str | None = None


class RecordedPush(Struct):
    branch: str | None = None


class RecordedPull(Struct):
    number: int | None = None
    url: str | None = None
    action: str | None = None


class GitOperation(Struct):
    """What the client itself noted of a command of git or gh (2.1.220 and later)."""

    commit: RecordedCommit | None = None
    push: RecordedPush | None = None
    pr: RecordedPull | None = None


class GitResult(Struct):
    gitOperation: GitOperation | None = None


class SkillInput(Struct):
    """Input of the tool Skill; `command` is what older clients called it."""

    skill: str | None = None
    command: str | None = None


class HookBlock(Struct):
    """`blockingError` of a hook's attachment."""

    command: str | None = None


class Todo(Struct):
    """An entry of a todo list; 1.x clients add `id` and `priority`, which do not outlive the list."""

    content: str | None = None
    status: str | None = None


class TodoInput(Struct):
    todos: list[Todo] | None = None


class TodoResult(Struct):
    oldTodos: list[Todo] | None = None
    newTodos: list[Todo] | None = None


class TaskUpdate(Struct):
    """Input of the tool TaskUpdate."""

    taskId: str | None = None
    status: str | None = None


class TaskRef(Struct):
    id: str | None = None


class StatusChange(Struct):
    to: str | None = None


class TaskResult(Struct):
    """What TaskCreate (`task`) and TaskUpdate report."""

    task: TaskRef | None = None
    taskId: str | None = None
    statusChange: StatusChange | None = None
    updatedFields: list[str] | None = None
