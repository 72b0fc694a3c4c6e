"""The shapes that are read from a line of a Codex rollout; every field is optional, anything else is skipped undecoded.

A line is {timestamp, type, payload}. One shape holds the fields of all payloads, so that a line is decoded once; what
differs in form between kinds or versions stays `Raw`, a view of its bytes.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

COUNT_LIMIT: Final = 2**40
"""A million millions; more is a broken field, not a count. Sums have to stay within 64 bits: a hundred thousand requests
of so many tokens at the highest price do."""

Count = Annotated[int, Meta(ge=0, le=COUNT_LIMIT)]
NO_RAW: Final = Raw(b"")


class TokenUsage(Struct):
    """Tokens of a session so far, or of its last request. Cached and written tokens are parts of the input, reasoning
    is a part of the output; total = input + output."""

    input_tokens: Count | None = None
    cached_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    output_tokens: Count | None = None
    reasoning_output_tokens: Count | None = None
    total_tokens: Count | None = None


class TokenInfo(Struct):
    total_token_usage: TokenUsage | None = None
    last_token_usage: TokenUsage | None = None
    model_context_window: Count | None = None


class Git(Struct):
    branch: str | None = None


class Payload(Struct):
    """What a line says; names are the client's own."""

    type: str | None = None
    # session_meta
    id: str | None = None
    session_id: str | None = None
    timestamp: str | None = None
    cwd: str | None = None
    originator: str | None = None
    cli_version: str | None = None
    model_provider: str | None = None
    forked_from_id: str | None = None
    parent_thread_id: str | None = None
    agent_role: str | None = None
    git: Git | None = None
    source: Raw = NO_RAW
    # turn_context and turns
    turn_id: str | None = None
    model: str | None = None
    effort: str | None = None
    approval_policy: Raw = NO_RAW
    sandbox_policy: Raw = NO_RAW
    duration_ms: float | None = None
    # token_count
    info: TokenInfo | None = None
    # messages and errors
    kind: str | None = None
    role: str | None = None
    message: Raw = NO_RAW
    codex_error_info: Raw = NO_RAW
    # calls and their ends
    name: str | None = None
    namespace: str | None = None
    call_id: str | None = None
    status: str | None = None
    arguments: Raw = NO_RAW
    input: Raw = NO_RAW
    action: Raw = NO_RAW
    output: Raw = NO_RAW
    success: bool | None = None
    changes: Raw = NO_RAW
    invocation: Raw = NO_RAW
    duration: Raw = NO_RAW
    result: Raw = NO_RAW
    exit_code: int | None = None


class Line(Struct):
    """One line. `id` and `git` stand at the top in the first lines of clients before 0.30 only."""

    timestamp: str | None = None
    type: str | None = None
    payload: Payload | None = None
    id: str | None = None
    git: Git | None = None


class ThreadSpawn(Struct):
    parent_thread_id: str | None = None
    agent_role: str | None = None


class Subagent(Struct):
    thread_spawn: ThreadSpawn | None = None


class SourceOf(Struct):
    """`source` of a sub-agent's session_meta; that of others is a word."""

    subagent: Raw = NO_RAW


class Policy(Struct):
    """`sandbox_policy` and, in some versions, `approval_policy` where they are objects."""

    type: str | None = None
    mode: str | None = None


class Invocation(Struct):
    """Of mcp_tool_call_end."""

    server: str | None = None
    tool: str | None = None


class Duration(Struct):
    secs: float | None = None
    nanos: float | None = None


class Change(Struct):
    """What patch_apply_end says of one file."""

    type: str | None = None
    unified_diff: str | None = None
    content: str | None = None


class Changes(Struct):
    """Wraps the mapping path → change, so that it is decoded like any other shape."""

    files: dict[str, Change] | None = None
