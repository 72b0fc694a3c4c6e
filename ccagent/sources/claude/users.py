"""User lines: tool results, prompts, and what the client writes in the user's name."""

from __future__ import annotations

from typing import Final

import orjson

from ccagent.facts.cache_miss import Mark
from ccagent.facts.model import Context, EventType, Flag, Status
from ccagent.facts.outcomes import PLAIN_OK, SHELL_OK, SHELL_TOOLS, tool_outcome
from ccagent.facts.partial import NO_TIME, RESULT_ONLY, Partial, Result, most
from ccagent.facts.prompts import PROMPT_FACTS, PromptKind, classify, command_name, typed_words
from ccagent.facts.times import whole_ms
from ccagent.sources.claude import caching, commands, evidence, permissions, queues, signals, skills
from ccagent.sources.claude.background import agent_ended, notified
from ccagent.sources.claude.calls import at_limit
from ccagent.sources.claude.carry import BACKGROUND_AGENTS, OpenCall
from ccagent.sources.claude.lines import decode, text_of
from ccagent.sources.claude.occasions import Answer
from ccagent.sources.claude.records import AgentResult, Block, FileResult, Message, Origin, Record
from ccagent.sources.claude.replies import FILE_TOOLS, tool_call
from ccagent.sources.claude.standing import Standing

PLAIN_TOOLS: Final = FILE_TOOLS | {"Bash", "Read", "Grep", "Glob", "LS", "TodoWrite", "WebFetch", "WebSearch"}
"""Tools that launch no sub-agent, whose (large) results need not be searched for one."""

_TOOL: Final = int(EventType.TOOL_CALL)
_RESULT: Final = int(Flag.RESULT)
MESSAGE_TEXT: Final = 1_000_000
"""Characters of a prompt that are looked at; its length is counted up to there."""


def derive_user(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """Facts of one user line."""
    before = permissions.stated(deriver, record.permissionMode)
    born = _said(deriver, record)
    deriver.carry.anchor = record.uuid or deriver.carry.anchor
    return born if before is None else (born or ()) + permissions.changed(deriver, record, before)


def _said(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    message = record.message
    rank, agent = deriver.rank, deriver.chain_agent
    deriver.advance(agent, None, False, reply=False)
    if message is None:
        return None
    if deriver.at != NO_TIME:
        deriver.carry.asked[agent or ""] = deriver.at
    blocks = message.content if isinstance(message.content, list) else []
    context = deriver.context(rank, agent)
    if any(block.type in ("tool_result", "tool_use") for block in blocks):
        born = tool_results(deriver, message, context, rank, direct=True, record=record)
        _interrupted(deriver, blocks, agent)
        return born
    if rank != 0:
        return None
    if isinstance(message.content, str):
        return _prompt(deriver, record, typed_words((message.content,)))
    texts = (text_of(block.text, MESSAGE_TEXT) for block in blocks if block.type == "text")
    return _prompt(deriver, record, typed_words(texts))


def _interrupted(deriver: Standing, blocks: list[Block], agent: str | None) -> None:
    if agent is not None:
        return
    for block in blocks:
        if block.type == "text" and text_of(block.text, 64).startswith("[Request interrupted"):
            caching.mark(deriver, Mark.INTERRUPTED)
            turn = deriver.turn or deriver.open_turn()
            if turn is not None:
                turn.flags |= Flag.INTERRUPTED


def _prompt(deriver: Standing, record: Record, text: str) -> tuple[Partial, ...] | None:
    origin = decode(Origin, record.origin) if record.origin else None
    kind = classify(
        text,
        is_meta=bool(record.isMeta),
        is_summary=bool(record.isCompactSummary),
        origin=origin.kind if origin is not None else None,
        source=record.promptSource,
    )
    if kind == PromptKind.META:
        return skills.typed_skill(deriver, record, text) or None
    if kind == PromptKind.OUTPUT:
        commands.printed(deriver, text)
        return None
    if kind == PromptKind.INTERRUPT:
        commands.interrupted(deriver)
        caching.mark(deriver, Mark.INTERRUPTED)
        turn = deriver.turn or deriver.open_turn()
        if turn is not None:
            turn.flags |= Flag.INTERRUPTED
        return None
    if kind == PromptKind.NOTIFICATION:
        notified(deriver, text)
    elif kind == PromptKind.SUMMARY:
        caching.summary_read(deriver)
    if kind not in PROMPT_FACTS or record.uuid is None:
        return None
    born: tuple[Partial, ...] = ()
    queues.arrived(deriver, text)
    if kind == PromptKind.HUMAN:
        known = EventType.TURN in deriver.batch.facts and record.uuid in deriver.batch.facts[EventType.TURN]
        turn = deriver.begin_turn(record.uuid, deriver.at)
        if not known:
            born += (turn,)
        if queues.handed_over(deriver, text):
            return born
    elif kind == PromptKind.COMMAND:
        evidence.commanded(deriver, text)
        born += commands.typed(deriver, record, text)
        born += skills.marked_skill(deriver, text)
    name = command_name(text) if kind == PromptKind.COMMAND else None
    prompt, made = deriver.written(EventType.PROMPT, record.uuid, record, name)
    if prompt.label is None or kind.value > prompt.label:
        prompt.label = kind.value
    prompt.size = most(prompt.size, len(text))
    if made:
        born += (prompt,)
    return born


# ---- tool results ------------------------------------------------------------------------------------------------


def tool_results(
    deriver: Standing,
    message: Message,
    context: Context,
    rank: int,
    *,
    direct: bool,
    record: Record | None = None,
) -> tuple[Partial, ...]:
    """Facts of the tool_result blocks of one line (and of a tool_use block, which some clients write there)."""
    blocks = message.content if isinstance(message.content, list) else []
    results = [block for block in blocks if block.type == "tool_result" and block.tool_use_id]
    turn = deriver.carry.turn if context.agent is None else None
    born: tuple[Partial, ...] = ()
    for block in blocks:
        if block.type == "tool_use" and block.id:
            made = tool_call(deriver, block, context, rank, turn, int(direct), None)
            if made is not None:
                born += (made,)
    alone = len(results) == 1
    for block in results:
        born += _result(deriver, block, context, rank, turn, direct=direct, record=record if alone else None)
    return born


def _result(
    deriver: Standing,
    block: Block,
    context: Context,
    rank: int,
    turn: str | None,
    *,
    direct: bool,
    record: Record | None,
) -> tuple[Partial, ...]:
    native = block.tool_use_id
    assert native is not None
    at = deriver.at
    call = deriver.carry.calls.pop(native, None) if direct else None
    failed = bool(block.is_error)
    tool = call.name if call is not None else None
    denial = record.toolDenialKind if record is not None else None
    if failed or denial:
        outcome = tool_outcome(
            is_error=failed, text=text_of(block.content) if failed else "", denial=denial, tool=tool,
            at_limit=at_limit(call, at), raw_shell=(deriver.carry.version or "").startswith(("0.", "1.")),
        )  # fmt: skip
    else:
        outcome = SHELL_OK if tool in SHELL_TOOLS else PLAIN_OK
    partial, made = deriver.batch.get(_TOOL, native, deriver.file, deriver.offset, deriver.length)
    partial.claim(rank + RESULT_ONLY, at, context, turn, None)
    partial.flags |= _RESULT
    if failed and direct:
        partial.flags |= Flag.ERROR
    launched = _launched(deriver, record, native, call) if record is not None and direct else None
    reported = whole_ms(launched.totalDurationMs) if launched is not None else None
    result = Result(
        outcome.status,
        -1 if at == NO_TIME else at,
        outcome.failure,
        outcome.exit_code,
        len(block.content),
        -1 if reported is None else reported,
    )
    if partial.result is None or result > partial.result:
        partial.result = result
    if direct:
        deriver.batch.closes[_TOOL, native] = None
    born: tuple[Partial, ...] = (partial,) if made else ()
    if outcome.status == Status.OK and record is not None and direct:
        update = _file_update(deriver, record, native, call, context, rank, turn)
        if update is not None:
            born += (update,)
    if direct:
        answer = Answer(native, call, outcome, block, partial, record, context, rank, turn)
        born += signals.answered(deriver, answer)
    return born


def _launched(deriver: Standing, record: Record, tool: str, call: OpenCall | None) -> AgentResult | None:
    """The sub-agent that this result speaks of: link it, and end it unless it went to the background."""
    raw = record.toolUseResult
    if not raw or (call is not None and call.name in PLAIN_TOOLS) or b'"agentId"' not in bytes(raw):
        return None
    launched = decode(AgentResult, raw)
    if launched is None or launched.agentId is None:
        return None
    agent = launched.agentId
    deriver.batch.link(agent, tool)
    run = deriver.touch_agent(agent, deriver.at, 2)
    kind = launched.agentType or (call.agent_type if call is not None else None)
    if kind is not None and (run.label is None or kind > run.label):
        run.label = kind
    if launched.status == "async_launched":
        run.flags |= Flag.BACKGROUND
        background = deriver.carry.background
        if agent not in background:
            background.append(agent)
            del background[:-BACKGROUND_AGENTS]
    else:
        duration = whole_ms(launched.totalDurationMs)
        calls = -1 if launched.totalToolUseCount is None else launched.totalToolUseCount
        at = -1 if deriver.at == NO_TIME else deriver.at
        agent_ended(deriver, agent, Result(Status.OK, at, "", -1, calls, -1 if duration is None else duration))
    return launched


def _file_update(
    deriver: Standing,
    record: Record,
    native: str,
    call: OpenCall | None,
    context: Context,
    rank: int,
    turn: str | None,
) -> Partial | None:
    """A file that a successful call changed: lines added and removed as the client's own patch says, NULL without."""
    raw = record.toolUseResult
    if call is not None:
        if call.name not in FILE_TOOLS:
            return None
    elif not raw or b'"structuredPatch"' not in bytes(raw):
        return None
    said = decode(FileResult, raw) if raw else None
    added = removed = -1
    change, path = "update", call.path if call is not None else None
    if said is not None:
        path = said.filePath or said.notebook_path or path
        if said.type == "create":
            change = "create"
            added, removed = _line_count(text_of(said.content, 64_000_000)), 0
        elif said.structuredPatch is not None:
            lines = [line for hunk in said.structuredPatch for line in hunk.lines or ()]
            added = sum(line[:1] == "+" for line in lines)
            removed = sum(line[:1] == "-" for line in lines)
    name = call.name if call is not None else ("Write" if said is not None and said.type else "Edit")
    update, made = deriver.batch.get(EventType.FILE_UPDATE, native, deriver.file, deriver.offset, deriver.length)
    extra = orjson.dumps({"path": path}).decode() if path else None
    update.claim(rank, deriver.at, context, turn, name, None, extra)
    update.flags |= Flag.DIRECT
    at = deriver.at
    if at != NO_TIME and (update.occurred_at is None or at < update.occurred_at):
        update.occurred_at = at
    if update.label is None or change > update.label:
        update.label = change
    result = Result(Status.OK, -1 if at == NO_TIME else at, "", -1, -1, -1, added, removed)
    if update.result is None or result > update.result:
        update.result = result
    update.closing = True
    return update if made else None


def _line_count(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n")) if text else 0
