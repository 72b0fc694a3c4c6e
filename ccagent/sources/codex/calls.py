"""Tool calls of a rollout: calls, outputs, what their end events add, and the files that a patch changed.

What shell commands say (tests, commits …): shells.py, which is told of each call and of its output.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from msgspec import Raw

from ccagent.facts.evidence import of_path
from ccagent.facts.exec_output import ExecOutcome, diff_lines, exec_outcome, line_count
from ccagent.facts.keys import content_native
from ccagent.facts.model import EventType, Flag, Rank, Status
from ccagent.facts.partial import NO_TIME, RESULT_ONLY, Partial, Result, least
from ccagent.facts.times import whole_ms
from ccagent.sources.codex.carry import OPEN_CALLS, PENDING_CALLS, Call
from ccagent.sources.codex.identity import call_native
from ccagent.sources.codex.records import Change, Changes, Duration, Invocation, Payload
from ccagent.sources.codex.shells import PATCH, answered, called
from ccagent.sources.codex.standing import Standing
from ccagent.sources.evidence import write
from ccagent.sources.lines import decode
from ccagent.sources.places import Place

NAME_LENGTH: Final = 256
MCP: Final = "mcp__"

NAMES: Final = {"web_search_call": "web_search", "local_shell_call": "local_shell", "tool_search_call": "tool_search"}
"""Calls that name no tool."""

_CHANGES: Final = {"add": "create", "update": "update", "delete": "delete"}
_TOUCHED: Final = {"add": "create", "update": "write", "delete": "other"}
_FAILED: Final = frozenset((Status.ERROR, Status.TIMEOUT))
_DONE: Final = frozenset(("completed", "success"))
_UNDONE: Final = frozenset(("failed", "error"))


def derive_call(deriver: Standing, said: Payload) -> tuple[Partial, ...]:
    """A call; one without an id that its output could name is over at once."""
    carry = deriver.carry
    kind = said.type or ""
    name = tool_name(said)
    call = said.call_id or said.id
    native = call_native(call, carry.session) if call else content_native(kind, carry.session, deriver.raw)
    fact, made = deriver.batch.get(EventType.TOOL_CALL, native, deriver.file, deriver.offset, deriver.length)
    fact.claim(Rank.MAIN, deriver.at, deriver.context(), carry.turn, name)
    fact.flags |= Flag.DIRECT
    if deriver.at != NO_TIME:
        fact.occurred_at = least(fact.occurred_at, deriver.at)
    carry.pending.append((native, deriver.at, name))
    del carry.pending[:-PENDING_CALLS]
    known = Call(name)
    remember(deriver, native, known)
    called(deriver, said, fact, known)
    if kind == "web_search_call" and said.status in _DONE | _UNDONE:
        known.status = Status.OK if said.status in _DONE else Status.ERROR
        known.failure = "" if said.status in _DONE else "other"
        ended(deriver, native, known)
    return (fact,) if made else ()


def tool_name(said: Payload) -> str:
    """The tool of a call; one of an MCP server is `mcp__<server>__<tool>` however it is written."""
    name = said.name or NAMES.get(said.type or "", "unknown")
    space = said.namespace or ""
    if space.startswith(MCP) and not name.startswith(MCP):
        name = f"{space.removesuffix('__')}__{name}"
    return name[:NAME_LENGTH]


def remember(deriver: Standing, native: str, call: Call) -> None:
    """Keep what later lines will not repeat."""
    calls = deriver.carry.calls
    calls[native] = call
    if len(calls) > OPEN_CALLS:
        del calls[next(iter(calls))]


def ended(deriver: Standing, native: str, call: Call) -> tuple[Partial, ...]:
    """The result of a call, with all that was said of it up to this line."""
    fact, made = deriver.batch.get(EventType.TOOL_CALL, native, deriver.file, deriver.offset, deriver.length)
    fact.claim(Rank.MAIN + RESULT_ONLY, deriver.at, deriver.context(), deriver.carry.turn, None)
    fact.flags |= Flag.RESULT
    if call.status in _FAILED:
        fact.flags |= Flag.ERROR
    at = -1 if deriver.at == NO_TIME else deriver.at
    result = Result(call.status, at, call.failure, call.exit_code, call.size, call.reported_ms)
    if fact.result is None or result > fact.result:
        fact.result = result
    deriver.batch.closes[EventType.TOOL_CALL, native] = None
    return (fact,) if made else ()


def derive_output(deriver: Standing, said: Payload) -> tuple[Partial, ...] | None:
    """The output of a call."""
    carry = deriver.carry
    if not said.call_id:
        return None
    native = call_native(said.call_id, carry.session)
    known = carry.calls.get(native)
    if known is None:
        known = Call("")
        remember(deriver, native, known)
    output = bytes(said.output)
    outcome = exec_outcome(output)
    known.size = max(known.size, len(output))
    if outcome.exit_code >= 0 or known.exit_code < 0:
        known.exit_code = outcome.exit_code
    if outcome.status >= known.status:
        known.status, known.failure = outcome.status, outcome.failure
    known.reported_ms = max(known.reported_ms, outcome.wall_ms)
    if deriver.at != NO_TIME:
        carry.asked = deriver.at
    born = ended(deriver, native, known)
    if outcome.running:
        deriver.batch.facts[EventType.TOOL_CALL][native].flags |= Flag.BACKGROUND
    whole = ExecOutcome(Status(known.status), known.failure, known.exit_code, outcome.wall_ms, outcome.process)
    return born + answered(deriver, native, known, output, whole)


def derive_end(deriver: Standing, said: Payload) -> tuple[Partial, ...] | None:
    """The end event of a call (MCP, search, command): its duration and its own outcome."""
    carry = deriver.carry
    if not said.call_id:
        return None
    native = call_native(said.call_id, carry.session)
    known = carry.calls.get(native)
    born: tuple[Partial, ...] = ()
    if known is None:
        if said.type != "mcp_tool_call_end":
            return None  # its call stands in a record of its own
        known = Call("")
        remember(deriver, native, known)
        born = _invoked(deriver, native, said)
    spent = decode(Duration, said.duration) if said.duration else None
    if spent is not None:
        ms = whole_ms((spent.secs or 0.0) * 1_000 + (spent.nanos or 0.0) / 1_000_000)
        known.reported_ms = max(known.reported_ms, -1 if ms is None else ms)
    if said.exit_code is not None and said.exit_code >= 0:
        known.exit_code = said.exit_code
        status, failure = (Status.OK, "") if said.exit_code == 0 else (Status.ERROR, "nonzero_exit")
    elif said.result and _is_failure(bytes(said.result)):
        status, failure = Status.ERROR, "mcp_error"
    else:
        status, failure = Status.OK, ""
    if status >= known.status:
        known.status, known.failure = status, failure
    return born + ended(deriver, native, known)


def _is_failure(result: bytes) -> bool:
    """Whether an MCP server's answer is an error: `Err`, or an answer flagged as one at its end or beginning."""
    head, tail = result[:256].replace(b" ", b""), result[-256:].replace(b" ", b"")
    flags = (b'"isError":true', b'"is_error":true')
    return head.startswith(b'{"Err"') or any(flag in part for flag in flags for part in (head, tail))


def _invoked(deriver: Standing, native: str, said: Payload) -> tuple[Partial, ...]:
    """The call of an MCP tool that only its end event tells of."""
    invoked = decode(Invocation, said.invocation) if said.invocation else None
    if invoked is None or not invoked.tool:
        return ()
    fact, made = deriver.batch.get(EventType.TOOL_CALL, native, deriver.file, deriver.offset, deriver.length)
    name = f"{MCP}{invoked.server or 'unknown'}__{invoked.tool}"[:NAME_LENGTH]
    fact.claim(Rank.MAIN, deriver.at, deriver.context(), deriver.carry.turn, name)
    fact.flags |= Flag.DIRECT
    if deriver.at != NO_TIME:
        fact.occurred_at = least(fact.occurred_at, deriver.at)
    return (fact,) if made else ()


def derive_patch(deriver: Standing, said: Payload) -> tuple[Partial, ...] | None:
    """The files that a patch added, changed or deleted, each with the lines of its diff."""
    if said.success is False or not said.changes:
        return None
    wrapped = decode(Changes, Raw(b'{"files":' + bytes(said.changes) + b"}"))
    if wrapped is None or not wrapped.files:
        return None
    call = (
        call_native(said.call_id, deriver.carry.session)
        if said.call_id
        else content_native("patch", deriver.carry.session, deriver.raw)
    )
    born: tuple[Partial, ...] = ()
    for path, change in sorted(wrapped.files.items()):
        native = f"{call}/{blake2b(path.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"
        fact, made = deriver.written(EventType.FILE_UPDATE, native, PATCH, {"path": path})
        if ".m" in path:
            mentions = of_path(path, _TOUCHED.get(change.type or "", "write"))
            write(deriver, deriver.carry.session, mentions, Place(deriver.context(), Rank.MAIN, deriver.carry.turn, ""))
        label = _CHANGES.get(change.type or "", "update")
        fact.label = label if fact.label is None else max(fact.label, label)
        at = -1 if deriver.at == NO_TIME else deriver.at
        result = Result(Status.OK, at, "", -1, -1, -1, *_amounts(change))
        if fact.result is None or result > fact.result:
            fact.result = result
        if made:
            born += (fact,)
    return born


def _amounts(change: Change) -> tuple[int, int]:
    """Lines added and removed; -1 where the record does not say."""
    if change.unified_diff is not None:
        return diff_lines(change.unified_diff)
    if change.content is None:
        return -1, -1
    lines = line_count(change.content)
    return (0, lines) if change.type == "delete" else (lines, 0)
