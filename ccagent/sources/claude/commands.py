"""Slash commands: one fact each, and whether they led to a request or were the client's own business."""

from __future__ import annotations

from typing import Final

from ccagent.facts.cache_miss import Mark
from ccagent.facts.commands import command_end
from ccagent.facts.model import EventType, Flag, Rank, Status
from ccagent.facts.outcomes import PLAIN_OK, Outcome
from ccagent.facts.partial import NO_TIME, Partial, Result
from ccagent.facts.prompts import command_name
from ccagent.sources.claude.caching import TOOL_COMMANDS, mark
from ccagent.sources.claude.lines import text_of
from ccagent.sources.claude.records import Record
from ccagent.sources.claude.skills import forget_typed
from ccagent.sources.claude.standing import Standing

_INTERRUPTED: Final = Outcome(Status.INTERRUPTED, "interrupted")


def typed(deriver: Standing, record: Record, text: str) -> tuple[Partial, ...]:
    """A line that holds a slash command. Until a reply, an output or another prompt comes it is open."""
    carry = deriver.carry
    name = command_name(text)
    if name in TOOL_COMMANDS:
        mark(deriver, Mark.TOOLS)
    forget_typed(deriver)
    carry.waiting_prompt, carry.command = record.uuid, name
    carry.waiting_at = None if deriver.at == NO_TIME else deriver.at
    if record.uuid is None or name is None:
        return ()
    command, made = _command(deriver, record.uuid, name, deriver.at, None)
    return (command,) if made else ()


def answered(deriver: Standing) -> None:
    """A reply comes while a command waits: it was the command's, and the command opens a turn."""
    carry = deriver.carry
    native, name = carry.waiting_prompt, carry.command
    if native is not None and name is not None:
        at = NO_TIME if carry.waiting_at is None else carry.waiting_at
        _ended(deriver, native, name, at, PLAIN_OK, turn=native)


def interrupted(deriver: Standing) -> None:
    """The user stopped what the waiting command had begun before a reply came."""
    carry = deriver.carry
    if carry.waiting_prompt is not None and carry.command is not None:
        at = NO_TIME if carry.waiting_at is None else carry.waiting_at
        _ended(deriver, carry.waiting_prompt, carry.command, at, _INTERRUPTED)


def printed(deriver: Standing, text: str) -> None:
    """The output of a local command follows it: it led to no request, and later replies are not its own."""
    carry = deriver.carry
    native, name = carry.waiting_prompt, carry.command
    end = command_end(name, text) if native is not None and name is not None else None
    if native is None or name is None or end is None:
        return
    outcome = PLAIN_OK if end.status == Status.OK else Outcome(end.status, "other")
    at = NO_TIME if carry.waiting_at is None else carry.waiting_at
    command = _ended(deriver, native, name, at, outcome)
    if end.local:
        command.flags |= Flag.LOCAL
    carry.waiting_prompt = carry.waiting_at = carry.command = None


def derive_local(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """A system line `local_command`: the command itself, or its output."""
    text = text_of(record.content)
    name = command_name(text)
    if name is None:
        printed(deriver, text)
        return None
    if name in TOOL_COMMANDS:
        mark(deriver, Mark.TOOLS)
    if record.uuid is None:
        return None
    command, made = _command(deriver, record.uuid, name, deriver.at, None)
    command.flags |= Flag.LOCAL
    result = Result(Status.OK, -1 if deriver.at == NO_TIME else deriver.at)
    if command.result is None or result > command.result:
        command.result = result
    command.closing = True
    return (command,) if made else ()


def _command(deriver: Standing, native: str, name: str, at: int, turn: str | None) -> tuple[Partial, bool]:
    """The fact of that command. Its turn is known when a reply comes: a claim at the same moment that names a turn is
    the smaller one, so it wins in any order."""
    command, made = deriver.batch.get(EventType.COMMAND, native, deriver.file, deriver.offset, deriver.length)
    rank = Rank.MAIN if deriver.chain_agent is None else deriver.rank
    command.claim(rank, at, deriver.context(rank, deriver.chain_agent), turn, name)
    command.flags |= Flag.DIRECT
    if at != NO_TIME and (command.occurred_at is None or at < command.occurred_at):
        command.occurred_at = at
    return command, made


def _ended(deriver: Standing, native: str, name: str, at: int, outcome: Outcome, turn: str | None = None) -> Partial:
    command, _ = _command(deriver, native, name, at, turn)
    result = Result(outcome.status, -1 if deriver.at == NO_TIME else deriver.at, outcome.failure)
    if command.result is None or result > command.result:
        command.result = result
    command.closing = True
    return command
