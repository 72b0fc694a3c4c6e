"""Builds Codex rollouts: sessions, forks with a copied history, sub-agents, in the forms of several versions.

Each builder keeps the truth beside its lines: what was really spent, by whom. The lines are invented; their form is
that of docs/codex.md.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

START_MS: Final = 1_780_000_000_000

FIELDS: Final = (
    "input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens",
    "total_tokens",
)  # fmt: skip

Json = dict[str, Any]


@dataclass(frozen=True)
class Version:
    """What differs between clients: ids of turns, events at their beginning, cache writes."""

    name: str
    dated_turns: bool = True
    writes: bool = True
    mcp_namespace: bool = False


VERSIONS: Final = (
    Version("0.133.0-alpha.1", dated_turns=False, writes=False),
    Version("0.142.5"),
    Version("0.145.0", mcp_namespace=True),
    Version("0.146.0", mcp_namespace=True),
)


@dataclass
class Spent:
    """One request that a model really answered: plain input, cached, written, output, reasoning (a part of output)."""

    session: str
    model: str
    input: int
    cached: int
    write: int
    output: int
    reasoning: int


def stamp(ms: int) -> str:
    """A time as Codex writes it."""
    return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Rollout:
    """One file. Its clock `now` moves with what happens."""

    chance: random.Random
    now: int = START_MS
    version: Version = VERSIONS[1]
    cwd: str = "/home/demo/atlas"
    model: str = "gpt-5.5"
    session: str = ""
    lines: list[bytes] = field(default_factory=list)
    truth: list[Spent] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    total: list[int] = field(default_factory=lambda: [0] * 6)
    turn: str | None = None
    turns: int = 0

    def __post_init__(self) -> None:
        self.session = self.session or self.dated()
        self.path = f"2026/05/28/rollout-2026-05-28T20-26-40-{self.session}.jsonl"

    @property
    def content(self) -> bytes:
        """The file's bytes."""
        return b"".join(self.lines)

    def dated(self) -> str:
        """A UUID of version 7 of this moment."""
        high = (self.now << 80) | (0x7 << 76) | (self.chance.getrandbits(12) << 64)
        return str(uuid.UUID(int=high | (0b10 << 62) | self.chance.getrandbits(62)))

    def line(self, kind: str, payload: Json, *, after_ms: int = 300) -> Json:
        """Append a line, so much later."""
        self.now += after_ms
        record = {"timestamp": stamp(self.now), "type": kind, "payload": payload}
        self.lines.append(json.dumps(record).encode() + b"\n")
        return record

    def event(self, kind: str, *, after_ms: int = 300, **payload: Any) -> None:
        self.line("event_msg", {"type": kind, **payload}, after_ms=after_ms)

    def item(self, kind: str, **payload: Any) -> None:
        self.line("response_item", {"type": kind, **payload})

    # ---- sessions and turns ----------------------------------------------------------------------------------------

    def meta(self, **more: Any) -> Rollout:
        payload = {
            "id": self.session, "session_id": self.session, "timestamp": stamp(self.now), "cwd": self.cwd,
            "originator": "codex-tui", "cli_version": self.version.name, "source": "cli", "model_provider": "openai",
            "base_instructions": {"text": "invented"}, "git": {"commit_hash": "0" * 40, "branch": "main"}, **more,
        }  # fmt: skip
        self.line("session_meta", payload)
        return self

    def begin(self, text: str = "do it", *, model: str | None = None) -> str:
        """A turn begins with a prompt."""
        self.turns += 1
        self.model = model or self.model
        self.turn = turn = self.dated() if self.version.dated_turns else str(self.turns)
        self.event("task_started", turn_id=turn, model_context_window=400_000)
        self.line("turn_context", {
            "turn_id": turn, "cwd": self.cwd, "model": self.model, "effort": "high", "approval_policy": "on-request",
            "sandbox_policy": {"type": "workspace-write"}, "summary": "auto",
        })  # fmt: skip
        self.item("message", role="user", content=[{"type": "input_text", "text": text}])
        self.event("user_message", message=text, images=[])
        return turn

    def end(self, duration_ms: int = 5_000) -> None:
        self.event("agent_message", message="done")
        self.event("task_complete", turn_id=self.turn, duration_ms=duration_ms, last_agent_message="done")
        self.turn = None

    def abort(self) -> None:
        self.event("turn_aborted", turn_id=self.turn, reason="interrupted")
        self.turn = None

    # ---- tokens ----------------------------------------------------------------------------------------------------

    def tokens(self, plain: int, cached: int = 0, output: int = 100, reasoning: int = 0, write: int = 0) -> None:
        """A response came to its end."""
        write = write if self.version.writes else 0
        last = [plain + cached + write, cached, write, output, reasoning, plain + cached + write + output]
        self.total = [one + two for one, two in zip(self.total, last, strict=True)]
        self.item("reasoning", summary=[], encrypted_content="none")
        self.counted(last, after_ms=2_000)
        self.truth.append(Spent(self.session, self.model, plain, cached, write, output, reasoning))

    def counted(self, last: list[int], *, total: list[int] | None = None, after_ms: int = 100) -> None:
        """A token_count event, whatever it says."""
        fields = [name for name in FIELDS if self.version.writes or "write" not in name]
        info = {
            "total_token_usage": {name: (total or self.total)[FIELDS.index(name)] for name in fields},
            "last_token_usage": {name: last[FIELDS.index(name)] for name in fields},
            "model_context_window": 400_000,
        }
        limits = {"primary": {"used_percent": 3.0, "window_minutes": 300, "resets_at": 1}}
        self.event("token_count", info=info, rate_limits=limits, after_ms=after_ms)

    def repeated(self) -> None:
        """An event that repeats the total under another last request."""
        self.counted([7, 0, 0, 3, 0, 10])

    def without_info(self) -> None:
        self.event("token_count", info=None, rate_limits={"primary": None})

    def restarted(self) -> None:
        """The client counts from zero again."""
        self.total = [0] * 6

    # ---- tools -----------------------------------------------------------------------------------------------------

    def call_id(self) -> str:
        call = "call_" + "".join(self.chance.choices("abcdefghijkmnpqrstuvwxyzABCDEFGH", k=24))
        self.calls.append(call)
        return call

    def shell(self, output: str = "Chunk ID: a1\nWall time: 0.2500 seconds\nProcess exited with code 0\nOutput:\nok\n",
              *, plain: int = 50) -> str:  # fmt: skip
        """A response that runs a command: the call, its usage, its output."""
        call = self.call_id()
        self.item("function_call", name="exec_command", arguments='{"cmd":"ls"}', call_id=call)
        self.tokens(plain)
        self.item("function_call_output", call_id=call, output=output)
        return call

    def run(
        self, command: str, text: str = "", code: int | None = 0, *, form: str = "exec_command", **more: Any
    ) -> str:
        """A response that runs a command, in one of the forms of clients (FORMS); `more` goes into its input."""
        call = self.call_id()
        kind, given, output = asked_and_answered(form, command, text, code, more)
        self.item(kind, call_id=call, **given)
        self.tokens(self.chance.randint(60, 9_000))
        answer = "custom_tool_call_output" if kind == "custom_tool_call" else "function_call_output"
        self.item(answer, call_id=call, output=output)
        return call

    def answer(self, call: str, output: Any) -> None:
        """A call's output, whatever it says."""
        self.item("function_call_output", call_id=call, output=output)

    def asks(self, name: str, arguments: Json) -> str:
        """A call without its output."""
        call = self.call_id()
        self.item("function_call", name=name, arguments=json.dumps(arguments), call_id=call)
        return call

    def poll(self, session: int, text: str, code: int | None) -> str:
        """More of a process that went on; `code` None: it still goes on."""
        call = self.asks("write_stdin", {"session_id": session, "chars": "", "yield_time_ms": 5_000})
        self.tokens(self.chance.randint(20, 9_000))
        self.answer(call, framed(text, code, session=session))
        return call

    def patch(self, changes: Json, *, success: bool = True) -> str:
        call = self.call_id()
        self.item("custom_tool_call", name="apply_patch", input="*** Begin Patch", call_id=call, status="completed")
        self.tokens(40)
        self.event("patch_apply_end", call_id=call, success=success, changes=changes)
        self.item("custom_tool_call_output", call_id=call, output="Exit code: 0\nWall time: 0.1 seconds\nOutput:\nok")
        return call

    def mcp(self, *, failed: bool = False) -> str:
        call = self.call_id()
        if self.version.mcp_namespace:
            self.item("function_call", name="get_page", namespace="mcp__wiki_docs__", arguments="{}", call_id=call)
        else:
            self.item("function_call", name="mcp__wiki_docs__get_page", arguments="{}", call_id=call)
        self.tokens(30)
        result = {"Err": "refused"} if failed else {"Ok": {"content": [], "isError": False}}
        self.event("mcp_tool_call_end", call_id=call, duration={"secs": 1, "nanos": 500_000_000}, result=result,
                   invocation={"server": "wiki_docs", "tool": "get_page"})  # fmt: skip
        self.item("function_call_output", call_id=call, output="text")
        return call

    def compact(self) -> None:
        history = [{"type": "message", "role": "user", "content": []}]
        self.line("compacted", {"message": "", "replacement_history": history, "window_id": 2})
        self.event("context_compacted")

    # ---- descendants -----------------------------------------------------------------------------------------------

    def replay(self, lines: Iterable[bytes]) -> None:
        """A copy of these lines, stamped with the moment of copying."""
        for raw in lines:
            record = json.loads(raw) | {"timestamp": stamp(self.now)}
            self.lines.append(json.dumps(record).encode() + b"\n")

    def child(self) -> Rollout:
        self.now += 60_000
        return Rollout(self.chance, now=self.now, version=self.version, cwd=self.cwd, model=self.model)

    def fork(self, *, foreign_meta: bool = True) -> Rollout:
        """A session that begins with a copy of this one's history and goes on from its total."""
        child = self.child()
        child.meta(forked_from_id=self.session)
        child.now += 5
        child.replay(self.lines if foreign_meta else self.lines[1:])
        child.total, child.turns = list(self.total), self.turns
        child.now += 4_000  # a person types
        return child

    def agent(self, *, replayed: bool, typed: bool = True) -> Rollout:
        """A sub-agent: the parent's meta, with its history or without, then its own turns from zero or from there."""
        child = self.child()
        spawn = {"subagent": {"thread_spawn": {"parent_thread_id": self.session, "depth": 1, "agent_role": "worker"}}}
        child.meta(source=spawn if typed else "cli", parent_thread_id=self.session, session_id=self.session)
        child.now += 5
        child.replay(self.lines if replayed else self.lines[:1])
        if replayed:
            child.total, child.turns = list(self.total), self.turns
        child.now += 1_500  # until its first turn
        return child


FORMS: Final = ("exec_command", "shell", "shell_command", "container.exec", "local_shell", "script", "script/output")
"""Ways in which clients run a command; the last one does not tell its exit code."""


def framed(text: str, code: int | None, *, session: int = 7) -> str:
    """An output within the frame of newer clients."""
    end = f"Process running with session ID {session}" if code is None else f"Process exited with code {code}"
    return f"Chunk ID: a1b2\nWall time: 0.5000 seconds\n{end}\nOriginal token count: 9\nOutput:\n{text}"


def asked_and_answered(
    form: str, command: str, text: str, code: int | None, more: Json
) -> tuple[str, Json, str | list[Json]]:
    """Type of the call, its fields, its output."""
    words = ["bash", "-lc", command]
    if form == "exec_command":
        return "function_call", {"name": form, "arguments": json.dumps({"cmd": command, **more})}, framed(text, code)
    if form == "shell":
        output = json.dumps({"output": text, "metadata": {"exit_code": code, "duration_seconds": 0.5}})
        return "function_call", {"name": form, "arguments": json.dumps({"command": words, **more})}, output
    if form in ("shell_command", "container.exec"):
        given = {"command": command} if form == "shell_command" else {"cmd": words}
        output = f"Exit code: {code}\nWall time: 0.5 seconds\nOutput:\n{text}"
        return "function_call", {"name": form, "arguments": json.dumps({**given, **more})}, output
    if form == "local_shell":
        action = {"type": "exec", "command": words, "timeout_ms": 1_000, **more}
        return "local_shell_call", {"status": "completed", "action": action}, f"Exit code: {code}\nOutput:\n{text}"
    given = json.dumps({"cmd": command, **more})
    shown = text if form == "script/output" else json.dumps({"chunk_id": "a", "exit_code": code, "output": text})
    output = [
        {"type": "input_text", "text": part} for part in ("Script completed\nWall time 0.5 seconds\nOutput:\n", shown)
    ]
    return (
        "custom_tool_call",
        {"name": "exec", "input": f"const r = await tools.exec_command({given}); text(r);"},
        output,
    )


def files_of(*rollouts: Rollout) -> dict[str, bytes]:
    """Path → bytes."""
    return {rollout.path: rollout.content for rollout in rollouts}


def amounts(spent: Iterable[Spent]) -> dict[tuple[str, str], tuple[int, ...]]:
    """(session, model) → requests, plain input, cached, written, output, reasoning."""
    found: dict[tuple[str, str], list[int]] = {}
    for one in spent:
        row = found.setdefault((one.session, one.model), [0] * 6)
        for place, amount in enumerate((1, one.input, one.cached, one.write, one.output, one.reasoning)):
            row[place] += amount
    return {key: tuple(row) for key, row in found.items()}
