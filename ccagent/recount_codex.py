"""The recount's reading of Codex rollouts: plain dictionaries, rules of its own, no code of the parser.

Rules: a file is of the session in its first session_meta. Each growth of total_token_usage is one request of the
model in the last turn_context; what a repeated, copied or missing total tells is none. A copy of another session's
history begins with `forked_from_id` or that session's session_meta and ends with the first turn that is no older than
the session (ids of version 7 tell), where ids tell nothing with a pause of a second, or with the session's own
session_meta. Calls and their outputs count by call id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

from ccagent.recount_lines import Json

FIELDS: Final = (
    "input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens",
    "total_tokens",
)  # fmt: skip
INPUT, CACHED, WRITE, OUTPUT = 0, 1, 2, 3

PAUSE_MS: Final = 1_000
COUNT_LIMIT: Final = 1 << 40

UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
API_CALL: Final = re.compile(r"[A-Za-z]+_[A-Za-z0-9_-]{16,}")
NAMED_FILE: Final = re.compile(
    r"rollout-.*?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.jsonl", re.IGNORECASE | re.DOTALL
)

CALLS: Final = {
    "function_call": "unknown", "custom_tool_call": "unknown", "mcp_tool_call": "unknown",
    "web_search_call": "web_search", "local_shell_call": "local_shell", "tool_search_call": "tool_search",
}  # fmt: skip
"""Kinds of calls, and the name of one that has none."""

OUTPUTS: Final = ("function_call_output", "custom_tool_call_output", "mcp_tool_call_output")
ENDS: Final = ("mcp_tool_call_end", "web_search_end", "exec_command_end")
FAILURES: Final = (
    "command timed out", "unsupported call", "failed to parse function arguments", "apply_patch verification failed",
    "exec_command failed", "write_stdin failed", "execution error", "tool call error",
)  # fmt: skip
FRAMES: Final = ("Chunk ID:", "Wall time:", "Process exited", "Process running", "Exit code:")
EXIT: Final = re.compile(r"(?:Process exited with code|Exit code:) (-?\d+)\b")


class Thing(NamedTuple):
    """Something that a line speaks of. `kind` is one of session, request, call, answer, failure, compaction."""

    kind: str
    identity: str
    name: str | None = None
    counters: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Plain input, output, cache reads, cache writes."""


@dataclass(slots=True, kw_only=True)
class Rollout:
    """What the next lines of one file need of those before. Times are ms UTC."""

    name: str
    """Of the file."""
    session: str | None = None
    met: bool = False
    root: str | None = None
    born: int | None = None
    heir: bool = False
    copying: str = ""
    """"meta" or "turn": why lines count as copies."""
    turn: str | None = None
    model: str | None = None
    total: list[int] | None = None
    compaction: str | None = None
    calls: set[str] = field(default_factory=set)
    """Calls that something was said of."""
    at: int | None = None
    answered: bool = False
    """A piece of a reply stands between the last usage and here."""

    def things(
        self, record: Json, at: int | None, moment: Callable[[object], int | None], content: Callable[[str, str], str]
    ) -> Iterator[Thing]:
        """What a record speaks of. `at`: its own time; `content(kind, session)` is the id of a record without one."""
        if self.copying == "meta" and at is not None and self.at is not None and at - self.at >= PAUSE_MS:
            self.copying = ""
        self.at = self.at if at is None else at
        kind, said = record.get("type"), record.get("payload")
        if not isinstance(said, dict):
            if kind is None and isinstance(record.get("id"), str):
                yield from self._meta({"id": record["id"], "timestamp": record.get("timestamp")}, moment)
            else:
                yield from self._alive()
            return
        what = said.get("type")
        if kind == "session_meta":
            yield from self._meta(said, moment)
            return
        if kind == "turn_context" or what == "task_started":
            self._begin(said.get("turn_id"))
            if kind == "turn_context":
                self.model = _text(said.get("model")) or self.model
        if not self.copying:
            yield from self._alive()
        if kind == "event_msg" and what == "token_count":
            yield from self._tokens(said.get("info"))
        if self.copying:
            return
        reply = what in CALLS or what == "reasoning" or (what == "message" and said.get("role") == "assistant")
        if (kind == "response_item" and reply) or (kind == "event_msg" and what == "agent_message"):
            self.answered = True
        if kind == "compacted" or (kind == "event_msg" and what == "context_compacted"):
            yield from self._compaction("event" if what == "context_compacted" else "record", content)
        elif kind == "response_item" and isinstance(what, str):
            yield from self._item(what, said, content)
        elif kind == "event_msg" and isinstance(what, str):
            yield from self._event(what, said)

    def _alive(self) -> Iterator[Thing]:
        if self.session is None:
            named = NAMED_FILE.fullmatch(self.name)
            if named is None:
                return
            self.session = self.root = named.group(1)
            self.born = made_at(self.session)
        yield Thing("session", self.session)

    def _meta(self, said: Json, moment: Callable[[object], int | None]) -> Iterator[Thing]:
        own = _text(said.get("id")) or _text(said.get("session_id"))
        if own is None:
            return
        before = _text(said.get("forked_from_id")) or _parent(said)
        if not self.met:
            self.met, self.session, self.root, self.heir = True, own, before or own, before is not None
            self.born = made_at(own) or moment(said.get("timestamp")) or self.at
            if _text(said.get("forked_from_id")) is not None:
                self.copying = "meta"
            yield from self._alive()
        elif own == self.session:
            self.copying = ""
            yield from self._alive()
        else:
            self.heir, self.copying, self.turn = True, "meta", None
            if own == self.root and before is not None:
                self.root = before

    def _begin(self, turn: object) -> None:
        made = made_at(turn) if isinstance(turn, str) else None
        if self.heir and made is not None and self.born is not None:
            self.copying = "turn" if made < self.born else ""
        if isinstance(turn, str):
            self.turn = turn

    def _tokens(self, info: object) -> Iterator[Thing]:
        if not isinstance(info, dict) or not isinstance(info.get("total_token_usage"), dict):
            return
        total, last = _vector(info["total_token_usage"]), info.get("last_token_usage")
        request = _vector(last) if isinstance(last, dict) else None
        before, self.total = self.total, total
        answered, self.answered = self.answered, False
        idle = not total[INPUT] and not total[OUTPUT]
        if self.copying or idle or total == before or (before is None and self.heir and not answered):
            return
        if before is None:
            grown = request if self.heir and request is not None else total
        elif total[INPUT] + total[OUTPUT] < before[INPUT] + before[OUTPUT] or total == request:
            grown = total
        else:
            grown = [max(0, now - then) for now, then in zip(total, before, strict=True)]
        if any(grown):
            scope = (
                self.turn if self.turn is not None and UUID.fullmatch(self.turn) else self.root or self.session or ""
            )
            identity = _hash(scope, ",".join(map(str, total)), ",".join(map(str, request or [])))
            cached = min(grown[CACHED], grown[INPUT])
            write = min(grown[WRITE], grown[INPUT] - cached)
            counters = (grown[INPUT] - cached - write, grown[OUTPUT], cached, write)
            yield Thing("request", f"codex:{identity}", self.model or "unknown", counters)

    def _compaction(self, told_by: str, content: Callable[[str, str], str]) -> Iterator[Thing]:
        if self.compaction is not None and self.compaction != told_by:
            self.compaction = None
            return
        self.compaction = told_by
        yield Thing("compaction", content("compacted", self.session or ""))

    def _item(self, what: str, said: Json, content: Callable[[str, str], str]) -> Iterator[Thing]:
        call = _text(said.get("call_id"))
        if what in CALLS:
            call = call or _text(said.get("id"))
            identity = self._call(call) if call else content(what, self.session or "")
            self.calls.add(identity)
            yield Thing("call", identity, _tool(said, what))
            if what == "web_search_call" and said.get("status") in ("completed", "success", "failed", "error"):
                yield Thing("failure" if said["status"] in ("failed", "error") else "answer", identity)
        elif what in OUTPUTS and call:
            self.calls.add(self._call(call))
            yield Thing("failure" if failed(said.get("output")) else "answer", self._call(call))

    def _event(self, what: str, said: Json) -> Iterator[Thing]:
        call = _text(said.get("call_id"))
        if what in ("task_started", "turn_started"):
            self.compaction = None
            self.turn = self.turn if _text(said.get("turn_id")) else None
        elif what in ("task_complete", "turn_complete", "turn_aborted"):
            self.turn = None if said.get("turn_id") in (None, self.turn) else self.turn
        elif what in ENDS and call:
            identity = self._call(call)
            if identity not in self.calls:
                if what != "mcp_tool_call_end":
                    return  # its call stands in a record of its own
                self.calls.add(identity)
                invoked = said.get("invocation")
                if isinstance(invoked, dict) and _text(invoked.get("tool")):
                    yield Thing("call", identity, f"mcp__{invoked.get('server') or 'unknown'}__{invoked['tool']}"[:256])
            code = said.get("exit_code")
            bad = code > 0 if isinstance(code, int) and code >= 0 else _is_error(said.get("result"))
            yield Thing("failure" if bad else "answer", identity)

    def _call(self, call: str) -> str:
        return call if API_CALL.fullmatch(call) else f"{self.session or ''}/{call}"


def made_at(identity: str) -> int | None:
    """ms of a UUID of version 7."""
    if UUID.fullmatch(identity) is None or identity[14] != "7":
        return None
    return int(identity.replace("-", "")[:12], 16)


def failed(output: object) -> bool:
    """Whether a call's output tells of a failure."""
    if isinstance(output, dict):
        return output.get("success") is False
    if isinstance(output, list):
        texts = [each["text"] for each in output if isinstance(each, dict) and isinstance(each.get("text"), str)]
        output = texts[0] if texts else ""
    if not isinstance(output, str):
        return False
    try:
        told = json.loads(output) if output.startswith('{"') else None
    except ValueError:
        told = None
    metadata = told.get("metadata") if isinstance(told, dict) else None
    if isinstance(metadata, dict) and isinstance(metadata.get("exit_code"), int):
        return bool(metadata["exit_code"])
    head = output.split("Output:", 1)[0] if "Output:" in output[:900] else output[:64]
    code = EXIT.search(head) if output.startswith(FRAMES) else None
    return int(code.group(1)) != 0 if code else output.lower().startswith(FAILURES)


def _is_error(result: object) -> bool:
    if not isinstance(result, dict):
        return False
    answer = result.get("Ok", result)
    return "Err" in result or (
        isinstance(answer, dict) and (answer.get("isError") is True or answer.get("is_error") is True)
    )


def _parent(said: Json) -> str | None:
    if parent := _text(said.get("parent_thread_id")):
        return parent
    source = said.get("source")
    agent = source.get("subagent") if isinstance(source, dict) else None
    spawned = agent.get("thread_spawn") if isinstance(agent, dict) else None
    return _text(spawned.get("parent_thread_id")) if isinstance(spawned, dict) else None


def _tool(said: Json, what: str) -> str:
    name, space = _text(said.get("name")) or CALLS[what], _text(said.get("namespace")) or ""
    if space.startswith("mcp__") and not name.startswith("mcp__"):
        name = space.removesuffix("__") + "__" + name
    return name[:256]


def _vector(usage: Json) -> list[int]:
    return [
        value
        if isinstance(value := usage.get(name), int) and not isinstance(value, bool) and 0 < value <= COUNT_LIMIT
        else 0
        for name in FIELDS
    ]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _hash(*parts: str) -> str:
    framed = b"".join(len(data := part.encode()).to_bytes(8, "big") + data for part in parts)
    return blake2b(framed, digest_size=16).hexdigest()
