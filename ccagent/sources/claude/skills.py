"""Skills: called by the model through the tool `Skill`, or typed by a person as a slash command."""

from __future__ import annotations

from ccagent.facts.model import EventType, Flag, Rank, Status
from ccagent.facts.partial import NO_TIME, Partial, Result
from ccagent.facts.skills import brings_skill, marked_as_skill, same_skill, skill_name
from ccagent.sources.claude.lines import decode
from ccagent.sources.claude.occasions import Answer, Call
from ccagent.sources.claude.records import Record, SkillInput
from ccagent.sources.claude.standing import Standing


def called(deriver: Standing, call: Call) -> None:
    """The model activates a skill: open until the result comes."""
    given = decode(SkillInput, call.block.input)
    name = skill_name(given.skill or given.command or "") if given is not None else ""
    if not name or call.block.id is None or _was_typed(deriver, call.turn, name):
        return
    skill, _ = deriver.batch.get(EventType.SKILL, call.block.id, deriver.file, deriver.offset, deriver.length)
    skill.claim(call.rank, deriver.at, call.context, call.turn, name)
    skill.flags |= Flag.DIRECT
    skill.label = "tool"
    if deriver.at != NO_TIME and (skill.occurred_at is None or deriver.at < skill.occurred_at):
        skill.occurred_at = deriver.at
    call.call.skill = name


def answered(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """The result of the call says whether the skill was there."""
    if answer.call is None or answer.call.skill is None:
        return ()
    skill, made = deriver.batch.get(EventType.SKILL, answer.native, deriver.file, deriver.offset, deriver.length)
    at, outcome = deriver.at, answer.outcome
    result = Result(outcome.status, -1 if at == NO_TIME else at, outcome.failure)
    if skill.result is None or result > skill.result:
        skill.result = result
    skill.closing = True
    return (skill,) if made else ()


def typed_skill(deriver: Standing, record: Record, text: str) -> tuple[Partial, ...]:
    """The line behind a typed command that brings a skill's text: the command was the skill.

    A call of the tool brings the same text, but no command waits then.
    """
    return _typed(deriver) if brings_skill(text, called_by=record.sourceToolUseID) else ()


def marked_skill(deriver: Standing, text: str) -> tuple[Partial, ...]:
    """A command whose own line says that it is a skill."""
    return _typed(deriver) if marked_as_skill(text) else ()


def forget_typed(deriver: Standing) -> None:
    """Another command is typed: the skill of the one before is over."""
    deriver.carry.typed_skill = None


def _typed(deriver: Standing) -> tuple[Partial, ...]:
    carry = deriver.carry
    native, name = carry.waiting_prompt, skill_name(carry.command or "")
    if native is None or not name:
        return ()
    at = NO_TIME if carry.waiting_at is None else carry.waiting_at
    carry.typed_skill = (native, name)
    skill, made = deriver.batch.get(EventType.SKILL, native, deriver.file, deriver.offset, deriver.length)
    skill.claim(Rank.MAIN, at, deriver.context(Rank.MAIN, None), native, name)
    skill.flags |= Flag.DIRECT
    skill.label = "typed"
    if at != NO_TIME and (skill.occurred_at is None or at < skill.occurred_at):
        skill.occurred_at = at
    result = Result(Status.OK, -1 if at == NO_TIME else at)
    if skill.result is None or result > skill.result:
        skill.result = result
    skill.closing = True
    return (skill,) if made else ()


def _was_typed(deriver: Standing, turn: str | None, name: str) -> bool:
    """Whether a person typed that skill to begin this turn: the model that then calls the tool for it activates
    nothing further. A name counts with or without its plugin."""
    known = deriver.carry.typed_skill
    return known is not None and turn == known[0] and same_skill(name, known[1])
