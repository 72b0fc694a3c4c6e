"""Assistant messages: one request a message, whatever the number of lines, and the tool calls that it makes."""

from __future__ import annotations

from typing import Final

import orjson

from ccagent.facts import drift as known
from ccagent.facts.model import Context, EventType, Flag
from ccagent.facts.outcomes import api_failure
from ccagent.facts.partial import NO_TIME, Partial, least, most
from ccagent.sources.claude import commands, drift, signals
from ccagent.sources.claude.caching import request_begun
from ccagent.sources.claude.carry import OPEN_CALLS, OpenCall
from ccagent.sources.claude.lines import decode, text_of
from ccagent.sources.claude.occasions import Call
from ccagent.sources.claude.records import Block, FileInput, Message, Record, TaskInput, Usage
from ccagent.sources.claude.standing import Standing
from ccagent.sources.claude.steps import BESIDE, longest_prompt

SYNTHETIC: Final = "<synthetic>"
"""Model of messages that the client wrote itself; no API call."""

AGENT_TOOLS: Final = frozenset(("Task", "Agent"))
FILE_TOOLS: Final = frozenset(("Edit", "MultiEdit", "Write", "NotebookEdit"))
PATH_LENGTH: Final = 4_096
"""Characters of a path that is remembered; no system opens a longer one."""

_DIRECT: Final = int(Flag.DIRECT)
_CUT: Final = Flag.DIRECT | Flag.ABORTED
_LLM: Final = int(EventType.LLM_REQUEST)
_TOOL: Final = int(EventType.TOOL_CALL)
_ADVISOR: Final = "advisor_message"


def derive_reply(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """Facts of one assistant line."""
    message = record.message
    if message is None:
        drift.missing(deriver, "assistant.message")
        return None
    rank, agent = deriver.rank, deriver.chain_agent
    if message.model == SYNTHETIC or record.isApiErrorMessage:
        deriver.advance(agent, None, False, reply=True)
        return _api_failure(deriver, record, message) if record.isApiErrorMessage else None
    carry = deriver.carry
    slash = False
    if agent is None and not record.isSidechain:
        carry.prompted = carry.handed = None
        if carry.waiting_prompt is not None:
            commands.answered(deriver)
            slash = True
            deriver.begin_turn(carry.waiting_prompt, carry.waiting_at if carry.waiting_at is not None else NO_TIME)
        turn = deriver.turn or deriver.open_turn()
        if turn is not None and deriver.at != NO_TIME:
            turn.result_at = most(turn.result_at, deriver.at)
    if carry.incident is not None:
        deriver.close(EventType.API_ERROR, carry.incident)
        carry.incident = None
    if not message.id:  # some gateways write an empty one, which tells no two messages apart
        drift.missing(deriver, "assistant.message.id")
        born = _calls(deriver, message, deriver.context(rank, agent), rank, _DIRECT, None)
        return deriver.unknown("assistant/no_message_id", record) if message.usage is not None else born or None
    native = message.id
    if not record.requestId:
        native = f"{carry.session or ''}/{message.id}"
        if message.model is not None and message.model.startswith("claude-"):  # gateways' models have none
            drift.missing(deriver, "assistant.requestId")
    before = carry.requests.get(agent or "")
    asked: int | None = None
    begun: tuple[Partial, ...] = ()
    if before is None or before[0] != native:
        asked = carry.asked.get(agent or "")
        begun = request_begun(deriver, record, message, native, asked, slash=slash)
    deriver.advance(agent, native, message.stop_reason is not None, reply=True)
    context = deriver.context(rank, agent, record.attributionSkill)
    flags = _CUT if record.isAbortedMidStream else _DIRECT
    extra = orjson.dumps({"effort": record.effort}).decode() if record.effort else None
    return begun + reply_facts(deriver, message, native, context, rank, flags, extra, asked)


def reply_facts(
    deriver: Standing,
    message: Message,
    native: str,
    context: Context,
    rank: int,
    flags: int,
    extra: str | None,
    asked: int | None = None,
) -> tuple[Partial, ...]:
    """The request of a message and its tool calls; `flags` has DIRECT unless the message was relayed. `asked`: time of
    the prompt or result that it answers, where this is the message's first line."""
    turn = deriver.carry.turn if context.agent is None else None
    at = deriver.at
    born: tuple[Partial, ...] = ()
    blocks = message.content if type(message.content) is list else ()
    usage = message.usage
    if usage is not None:
        partial, made = deriver.batch.get(_LLM, native, deriver.file, deriver.offset, deriver.length)
        if made:
            born = (partial,)
        if rank < partial.rank or (rank == partial.rank and at <= partial.owner_at):
            partial.claim(rank, at, context, turn, message.model or "unknown", None, extra)
        _count(partial, usage)
        partial.flags |= flags
        if at != NO_TIME:
            if partial.occurred_at is None or at < partial.occurred_at:
                partial.occurred_at = at
            if partial.ended_at is None or at > partial.ended_at:
                partial.ended_at = at
            if asked is not None and asked <= at:
                partial.result_at = least(partial.result_at, asked)
        if message.stop_reason is not None and message.stop_reason not in known.STOPS:
            drift.unknown_value(deriver, known.Drift.STOP, message.stop_reason)
        if message.stop_reason is not None and (partial.label is None or message.stop_reason > partial.label):
            partial.label = message.stop_reason
        visible = len(message.content) if isinstance(message.content, str) else 0
        for block in blocks:
            visible += len(block.text) + len(block.input)
        if partial.size is None or visible > partial.size:
            partial.size = visible
        if usage.iterations:
            partial.longest = most(partial.longest, longest_prompt(usage))
            born += _beside(deriver, message, usage, native, context, rank, turn, flags)
    else:
        drift.missing(deriver, "assistant.message.usage")
    if message.model is None:
        drift.missing(deriver, "assistant.message.model")
    request = native if usage is not None else None  # without usage this line makes no request to point to
    return born + _calls(deriver, message, context, rank, flags & _DIRECT, request)


def _calls(
    deriver: Standing, message: Message, context: Context, rank: int, direct: int, request: str | None
) -> tuple[Partial, ...]:
    """The tool calls of a message that this line is the first to tell of."""
    turn = deriver.carry.turn if context.agent is None else None
    born: tuple[Partial, ...] = ()
    for block in message.content if type(message.content) is list else ():
        if block.type == "tool_use" and block.id:
            made_call = tool_call(deriver, block, context, rank, turn, direct, request)
            if made_call is not None:
                born += (made_call,)
        elif block.type not in known.BLOCKS:
            drift.block_type(deriver, block)
        elif block.type == "tool_use":
            drift.missing(deriver, "tool_use.id")
            deriver.batch.nameless_calls += 1
    return born


def _count(partial: Partial, usage: Usage) -> None:
    """Counters by field-wise maximum: every line of a message repeats the usage, older clients with placeholders."""
    value = usage.input_tokens
    if value is not None and value > partial.token_input:
        partial.token_input = value
    value = usage.output_tokens
    if value is not None and value > partial.token_output:
        partial.token_output = value
    value = usage.cache_read_input_tokens
    if value is not None and value > partial.token_cache_read:
        partial.token_cache_read = value
    value = usage.cache_creation_input_tokens
    if value is not None and value > partial.token_cache_write:
        partial.token_cache_write = value
    split = usage.cache_creation
    if split is not None:
        hour = split.ephemeral_1h_input_tokens or 0
        if hour > partial.token_cache_write_1h:
            partial.token_cache_write_1h = hour
        # the parts are no more than the whole, else what is left of it would be less than nothing
        hour += split.ephemeral_5m_input_tokens or 0
        if hour > partial.token_cache_write:
            partial.token_cache_write = hour
        if value is not None and hour > value:
            partial.flags |= Flag.TORN_SUM
    details = usage.output_tokens_details
    if details is not None and details.thinking_tokens is not None:
        partial.token_thinking = max(partial.token_thinking, details.thinking_tokens)
    if usage.speed == "fast":
        partial.flags |= Flag.FAST
    if usage.inference_geo == "us":
        partial.flags |= Flag.US_ONLY


def _beside(
    deriver: Standing,
    message: Message,
    usage: Usage,
    native: str,
    context: Context,
    rank: int,
    turn: str | None,
    flags: int,
) -> tuple[Partial, ...]:
    """Steps that are billed and not in the message's top level: requests of their own, an advisor's with its own model."""
    born: tuple[Partial, ...] = ()
    for number, step in enumerate(usage.iterations or ()):
        if step.type not in BESIDE:
            continue
        model = step.model or (message.model if step.type != _ADVISOR else None) or "unknown"
        partial, made = deriver.batch.get(
            EventType.LLM_REQUEST, f"{native}:iter:{number}", deriver.file, deriver.offset, deriver.length
        )
        if made:
            born += (partial,)
        partial.claim(rank, deriver.at, context, turn, model, None, None)
        _count(
            partial,
            Usage(
                input_tokens=step.input_tokens,
                output_tokens=step.output_tokens,
                cache_creation_input_tokens=step.cache_creation_input_tokens,
                cache_read_input_tokens=step.cache_read_input_tokens,
                cache_creation=step.cache_creation,
            ),
        )
        partial.flags |= flags
        partial.label = "end_turn"
        if deriver.at != NO_TIME:
            partial.occurred_at = least(partial.occurred_at, deriver.at)
            partial.ended_at = most(partial.ended_at, deriver.at)
        if flags & _DIRECT:
            partial.closing = True
    return born


def tool_call(
    deriver: Standing,
    block: Block,
    context: Context,
    rank: int,
    turn: str | None,
    direct: int,
    request: str | None,
) -> Partial | None:
    """The call of a tool_use block; the partial fact if this line made it."""
    assert block.id is not None
    name = (block.name or "unknown")[:256]
    if block.name is None:
        drift.missing(deriver, "tool_use.name")
    partial, made = deriver.batch.get(_TOOL, block.id, deriver.file, deriver.offset, deriver.length)
    partial.claim(rank, deriver.at, context, turn, name, request)
    partial.flags |= direct
    at = deriver.at
    if at != NO_TIME and (partial.occurred_at is None or at < partial.occurred_at):
        partial.occurred_at = at
    if direct:
        call = _remember(deriver, block, name, partial)
        signals.called(deriver, Call(name, block, partial, made, call, context, rank, turn))
    return partial if made else None


def _remember(deriver: Standing, block: Block, name: str, partial: Partial) -> OpenCall:
    """What the result's line will not repeat."""
    call = OpenCall(name)
    if name in FILE_TOOLS:
        given = decode(FileInput, block.input)
        if given is not None:
            path = given.file_path or given.notebook_path
            call.path = path if path is None or len(path) <= PATH_LENGTH else None
    elif name in AGENT_TOOLS:
        task = decode(TaskInput, block.input)
        if task is not None:
            call.agent_type = task.subagent_type
            if task.run_in_background:
                partial.flags |= Flag.BACKGROUND
    calls = deriver.carry.calls
    assert block.id is not None
    calls[block.id] = call
    if len(calls) > OPEN_CALLS:
        del calls[next(iter(calls))]
    return call


def _api_failure(deriver: Standing, record: Record, message: Message) -> tuple[Partial, ...]:
    """The request was given up. It ends the run of retries before it, if there is one."""
    carry = deriver.carry
    blocks = message.content if isinstance(message.content, list) else []
    text = message.content if isinstance(message.content, str) else "\n".join(text_of(block.text) for block in blocks)
    kind = bytes(record.error).decode("utf-8", "replace").strip('"') if record.error else None
    native = carry.incident or record.uuid or message.id
    if native is None:
        return deriver.unknown("assistant/no_id", record)
    failure = api_failure(status=record.apiErrorStatus, kind=kind, text=text)
    partial, made = deriver.written(EventType.API_ERROR, native, record, None)
    partial.flags |= Flag.FINAL_FAILURE
    partial.result_at = most(partial.result_at, None if deriver.at == NO_TIME else deriver.at)
    if partial.failure is None or failure > partial.failure:
        partial.failure = failure
    carry.incident = None
    agent = deriver.chain_agent
    if agent is None:
        turn = deriver.turn or deriver.open_turn()
        if turn is not None and deriver.at != NO_TIME:
            turn.error_at = most(turn.error_at, deriver.at)
    return (partial,) if made else ()
