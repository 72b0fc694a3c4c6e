"""Writes the lines of one invented session, in the dialect of the client version that it names.

The lines are complete enough for any reader: envelope, chain of parents, one content block a line, usage repeated on
every line of a response. Deterministic: the same calls with the same seed give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

from ccagent.demo.lines import (
    Ids,
    Json,
    Line,
    Usage,
    encode,
    folder_of,
    joined,
    patch,
    stamp,
    tool_use,
    version_tuple,
)

FINAL_ON_EVERY_LINE: Final = (2, 1, 98)
"""From here on each line of a response carries its final usage; before, only the last one may."""

STOP_REASON_SINCE: Final = (2, 1, 98)
"""The clients of 2.0.76 to 2.1.9x write no stop reason at all."""

NEW_LAYOUT: Final = (2, 1, 202)
"""First client with prompt ids, entry points and the Agent tool."""

SUBAGENTS_FOLDER_SINCE: Final = (2, 1, 20)
"""Older clients put agent files beside the main file (from 2.0 on) or their lines into it (1.x)."""

DENIAL_KIND_SINCE: Final = (2, 1, 220)
"""First client that says outright why a call was refused and how a request failed."""

PERMISSION_MODE_SINCE: Final = (2, 1, 15)
SOURCE_UUID_SINCE: Final = (2, 1, 1)
BRANCH_SINCE: Final = (1, 0, 98)

REJECTED_TEXT: Final = "The user doesn't want to proceed with this tool use. The tool use was rejected."
"""What a client of the generation before toolDenialKind writes as the result of a refused call."""


class Session:
    """The lines of one session file or, through `agent()`, of one sub-agent file.

    Times: `start` is ms UTC; each method first lets `after_ms` pass. `lines` holds what was written so far.
    """

    def __init__(
        self,
        session_id: str | None = None,
        *,
        cwd: str = "/home/demo/atlas",
        version: str = "2.1.229",
        branch: str = "main",
        start: int = 1_770_714_000_000,
        model: str = "claude-opus-4-6",
        seed: int | str | None = None,
        ids: Ids | None = None,
        agent_id: str | None = None,
        inline_agent: bool = False,
    ) -> None:
        self.ids = ids or Ids(seed if seed is not None else session_id or 1)
        self.session_id = session_id or self.ids.uuid()
        self.cwd = cwd
        self.version = version
        self.generation = version_tuple(version)
        self.branch = branch
        self.model = model
        self.now = start
        self.agent_id = agent_id
        self.inline_agent = inline_agent
        self.last_uuid: str | None = None
        self.permission_mode = "default"
        self.lines: list[Line] = []
        self.agents: list[Session] = []
        self._tool_lines: dict[str, str | None] = {}

    @property
    def content(self) -> bytes:
        """The bytes of the file so far."""
        return joined(self.lines)

    @property
    def path(self) -> str:
        """Path of the file below `projects`, by the layout of the client's generation."""
        folder = folder_of(self.cwd)
        if self.agent_id is None or self.inline_agent:
            return f"{folder}/{self.session_id}.jsonl"
        if self.generation < SUBAGENTS_FOLDER_SINCE:
            return f"{folder}/agent-{self.agent_id}.jsonl"
        return f"{folder}/{self.session_id}/subagents/agent-{self.agent_id}.jsonl"

    def wait(self, duration_ms: int) -> None:
        """Let time pass without a line."""
        self.now += duration_ms

    def raw(self, data: bytes, *, after_ms: int = 0) -> None:
        """Append bytes as they are (they should end with a newline)."""
        self.now += after_ms
        self.lines.append(Line(at_ms=self.now, raw=data))

    def row(self, record: Json, *, after_ms: int = 0) -> None:
        """Append a record without an envelope, as the metadata rows are."""
        self.raw(encode(record), after_ms=after_ms)

    def record(self, kind: str, fields: Json, *, after_ms: int = 1_000, root: bool = False) -> str:
        """Append a record with its envelope and return its uuid; `root` starts a new chain of parents."""
        self.now += after_ms
        uuid = self.ids.uuid()
        self.raw(encode(self.envelope(kind, uuid, root=root) | fields))
        self.last_uuid = uuid
        return uuid

    def envelope(self, kind: str, uuid: str, *, root: bool = False) -> Json:
        """The keys that all records of the conversation share."""
        envelope: Json = {
            "parentUuid": None if root else self.last_uuid,
            "isSidechain": self.agent_id is not None,
            "userType": "external",
            "cwd": self.cwd,
            "sessionId": self.session_id,
            "version": self.version,
        }
        if self.generation >= BRANCH_SINCE:
            envelope["gitBranch"] = self.branch
        if self.generation >= NEW_LAYOUT:
            envelope["entrypoint"] = "cli"
        if self.agent_id is not None and not self.inline_agent:
            envelope["agentId"] = self.agent_id
        return envelope | {"type": kind, "uuid": uuid, "timestamp": stamp(self.now)}

    def prompt(self, words: str, *, after_ms: int = 1_000, **fields: object) -> str:
        """A line typed by the user (or given to a sub-agent); returns its uuid."""
        extra: Json = {"message": {"role": "user", "content": words}}
        if self.generation >= PERMISSION_MODE_SINCE and self.agent_id is None:
            extra["permissionMode"] = self.permission_mode
        if self.generation >= NEW_LAYOUT and self.agent_id is None:
            extra |= {"promptId": self.ids.uuid(), "promptSource": "typed", "origin": {"kind": "human"}}
        return self.record("user", extra | fields, after_ms=after_ms)

    def assistant(
        self,
        *blocks: Json,
        usage: Usage | None = None,
        model: str | None = None,
        message_id: str | None = None,
        request_id: str | None = "",
        stop_reason: str | None = "",
        outputs: Sequence[int] | None = None,
        placeholder: bool = False,
        after_ms: int = 2_000,
        step_ms: int = 300,
        **fields: object,
    ) -> str:
        """One API response, a line for each block, all with the same ids; returns the message id.

        `request_id` None leaves it out (a gateway), "" invents one. `stop_reason` "" writes what the client's
        generation writes. `outputs` are the output counts line by line; `placeholder` writes 1 on every line, as the
        clients do that never wrote the final count; without either, the generation decides.
        """
        usage = usage or Usage()
        message_id = message_id or self.ids.message()
        request = self.ids.request() if request_id == "" else request_id
        if stop_reason == "":
            ending = "tool_use" if any(block.get("type") == "tool_use" for block in blocks) else "end_turn"
            stop_reason = ending if self.generation >= STOP_REASON_SINCE else None
        for number, block in enumerate(blocks):
            message: Json = {
                "model": model or self.model,
                "id": message_id,
                "type": "message",
                "role": "assistant",
                "content": [block],
                "stop_reason": stop_reason,
                "stop_sequence": None,
                "usage": usage.record(
                    self.generation, self._output(usage, number, len(blocks), outputs, placeholder=placeholder)
                ),
            }
            extra: Json = {"message": message}
            if request is not None:
                extra["requestId"] = request
            uuid = self.record("assistant", extra | fields, after_ms=step_ms if number else after_ms)
            if block.get("type") == "tool_use":
                self._tool_lines[str(block["id"])] = uuid
        return message_id

    def _output(
        self, usage: Usage, number: int, count: int, outputs: Sequence[int] | None, *, placeholder: bool
    ) -> int:
        if outputs is not None:
            return outputs[number]
        if placeholder:
            return 1
        if self.generation >= FINAL_ON_EVERY_LINE or number == count - 1:
            return usage.output
        return min(usage.output, 2 + number)

    def result(
        self,
        tool_id: str,
        output: object = "done",
        *,
        is_error: bool | None = None,
        details: object = None,
        after_ms: int = 800,
        **fields: object,
    ) -> str:
        """The result of a call; `details` becomes toolUseResult. Returns the uuid of the line."""
        block: Json = {"tool_use_id": tool_id, "type": "tool_result", "content": output}
        if is_error is not None:
            block["is_error"] = is_error
        extra: Json = {"message": {"role": "user", "content": [block]}}
        if details is not None:
            extra["toolUseResult"] = details
        if self.generation >= SOURCE_UUID_SINCE and tool_id in self._tool_lines:
            extra["sourceToolAssistantUUID"] = self._tool_lines[tool_id]
        return self.record("user", extra | fields, after_ms=after_ms)

    def tool(
        self,
        name: str,
        tool_input: Json | None = None,
        output: object = "done",
        *,
        details: object = None,
        is_error: bool | None = None,
        took_ms: int = 800,
        usage: Usage | None = None,
        **fields: object,
    ) -> str:
        """A response that makes one call, and its result; returns the tool_use id."""
        tool_id = self.ids.tool()
        self.assistant(tool_use(tool_id, name, tool_input), usage=usage, **fields)  # type: ignore[arg-type]
        self.result(tool_id, output, details=details, is_error=is_error, after_ms=took_ms)
        return tool_id

    def bash(self, command: str, *, exit_code: int = 0, took_ms: int = 800, usage: Usage | None = None) -> str:
        """A shell call; an exit code other than 0 makes it a failed one."""
        output = f"Exit code {exit_code}\nit went wrong" if exit_code else "fine"
        details: object = {"stdout": output, "stderr": "", "interrupted": False, "isImage": False}
        if exit_code:
            details = f"Error: {output}"
        command_input: Json = {"command": command}
        failed = exit_code != 0
        return self.tool("Bash", command_input, output, details=details, is_error=failed, took_ms=took_ms, usage=usage)

    def edit(self, path: str, *, added: int, removed: int, usage: Usage | None = None) -> str:
        """A successful Edit with so many lines added and removed."""
        edit_input: Json = {"file_path": path, "old_string": "old line", "new_string": "new line", "replace_all": False}
        details: Json = {"filePath": path, "oldString": "old line", "newString": "new line", "userModified": False}
        details["structuredPatch"] = patch(added, removed)
        return self.tool("Edit", edit_input, f"The file {path} has been updated.", details=details, usage=usage)

    def rejected(self, name: str = "Bash", tool_input: Json | None = None) -> str:
        """A call that the user refuses, as the client's generation says it."""
        tool_id = self.ids.tool()
        self.assistant(tool_use(tool_id, name, tool_input))
        denial = {"toolDenialKind": "user-rejected"} if self.generation >= DENIAL_KIND_SINCE else {}
        self.result(tool_id, REJECTED_TEXT, is_error=True, details="User rejected tool use", after_ms=800, **denial)
        return tool_id

    def agent(self, *, agent_id: str | None = None, model: str | None = None, inline: bool = False) -> Self:
        """A sub-agent's own file, starting now; `inline` makes it lines of this file (see `adopt`)."""
        child = type(self)(
            self.session_id,
            cwd=self.cwd,
            version=self.version,
            branch=self.branch,
            start=self.now,
            model=model or self.model,
            ids=self.ids,
            agent_id=agent_id or self.ids.agent(),
            inline_agent=inline,
        )
        self.agents.append(child)
        return child

    def adopt(self, child: Session) -> None:
        """Put the lines of an inline sub-agent behind the lines written so far, as the 1.x clients do."""
        self.lines += child.lines
        self.now = max(self.now, child.now)
        self.agents.remove(child)

    def launch(self, *, kind: str = "general-purpose", words: str = "look into it", usage: Usage | None = None) -> str:
        """The call that launches a sub-agent, without its result; returns the tool_use id."""
        tool_id = self.ids.tool()
        name = "Agent" if self.generation >= NEW_LAYOUT else "Task"
        task: Json = {"description": words[:30], "prompt": words, "subagent_type": kind}
        self.assistant(tool_use(tool_id, name, task), usage=usage)
        return tool_id

    def landed(self, tool_id: str, child: Session, *, kind: str = "general-purpose", context: int = 9_000) -> str:
        """The result of a finished sub-agent; its totalTokens is a context size, never an amount consumed."""
        duration = max(0, child.now - self.now)
        self.now = max(self.now, child.now)
        details: Json = {
            "status": "completed",
            "agentId": child.agent_id,
            "agentType": kind,
            "content": [{"type": "text", "text": "looked"}],
            "totalDurationMs": duration,
            "totalTokens": context,
            "totalToolUseCount": 1,
        }
        return self.result(tool_id, [{"type": "text", "text": "looked"}], details=details, after_ms=50)

    def turn_duration(self, duration_ms: int, *, pending_agents: int | None = None) -> str:
        """The row that newer clients write when a turn ends."""
        fields: Json = {"subtype": "turn_duration", "durationMs": duration_ms, "isMeta": False}
        if pending_agents is not None:
            fields["pendingBackgroundAgentCount"] = pending_agents
        return self.record("system", fields, after_ms=5)

    def compaction(self, pre_tokens: int = 160_000, *, trigger: str = "auto") -> str:
        """A compaction: the boundary and the summary that starts the new chain; returns the boundary's uuid."""
        fields: Json = {
            "logicalParentUuid": self.last_uuid,
            "subtype": "compact_boundary",
            "content": "Conversation compacted",
            "isMeta": False,
            "level": "info",
            "compactMetadata": {"trigger": trigger, "preTokens": pre_tokens},
        }
        uuid = self.record("system", fields, root=True)
        summary: Json = {
            "message": {"role": "user", "content": "What went before, in short."},
            "isCompactSummary": True,
            "isVisibleInTranscriptOnly": True,
        }
        self.record("user", summary, after_ms=0)
        return uuid

    def api_error(self, *, attempt: int = 1, status: int = 529, wait_ms: float = 500.5, retries: int = 10) -> str:
        """One failed attempt that the client repeats by itself."""
        error: Json = {"status": status, "headers": {"x-should-retry": "true"}, "requestID": self.ids.request()}
        error["error"] = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        fields: Json = {"subtype": "api_error", "level": "error", "error": error, "retryInMs": wait_ms}
        return self.record("system", fields | {"retryAttempt": attempt, "maxRetries": retries})

    def api_failure(self, *, words: str = "API Error: 529", error: str = "overloaded", status: int = 529) -> str:
        """The line of a request that the client gave up; its model is `<synthetic>`, its usage zero."""
        message: Json = {
            "model": "<synthetic>",
            "id": self.ids.uuid(),
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": words}],
            "stop_reason": "stop_sequence",
            "stop_sequence": "",
            "usage": Usage(input=0, output=0).record(self.generation),
        }
        fields: Json = {"message": message, "isApiErrorMessage": True, "error": error}
        if self.generation >= DENIAL_KIND_SINCE:
            fields |= {"apiErrorStatus": status, "apiErrorIsTransient": True}
        return self.record("assistant", fields)
