"""The prompt of each chain from request to request: misses of the prompt cache, and what a compaction left.

A chain is the main conversation or one sub-agent. Its state stands in the carry, and a request is judged once, on its
first line. Sidechains without any id cannot be told apart and are not judged. The main conversation and each sub-agent have
contexts of their own, which never mix.
"""

from __future__ import annotations

from typing import Final

from ccagent.facts.cache_miss import (
    JUDGED,
    REPORTED,
    Mark,
    has_expired,
    is_compaction,
    likely_cause,
    missed_tokens,
    was_edited,
)
from ccagent.facts.model import EventType, Flag
from ccagent.facts.partial import NO_TIME, Partial, most
from ccagent.facts.windows import window
from ccagent.sources.claude.carry import CHAINS, Chain
from ccagent.sources.claude.lines import decode
from ccagent.sources.claude.occasions import Call
from ccagent.sources.claude.records import Diagnostics, Message, Record
from ccagent.sources.claude.standing import Standing
from ccagent.sources.claude.steps import ends_of, prompt_of

COMPACTING_AGENT: Final = "acompact"
"""Beginning of the id of the sub-agent that writes a compaction's summary."""

COMPACTION_RUN: Final = "compaction"
"""The type of that sub-agent."""

TOOL_LISTS: Final = frozenset(
    ("deferred_tools_delta", "mcp_instructions_delta", "agent_listing_delta", "skill_listing")
)
"""Attachments that tell the model of other tools, servers, agents or skills than before."""

TOOL_COMMANDS: Final = frozenset(("/mcp", "/model", "/clear", "/plugin", "/reload-plugins", "/agents"))
"""Commands that change what every later request begins with."""

_NULL_LENGTH: Final = len(b"null")


def chain_key(deriver: Standing) -> str | None:
    """The chain of the current line; None where it cannot be told."""
    agent = deriver.chain_agent
    if agent is not None:
        return agent
    return "" if deriver.rank == 0 else None


def chain_of(deriver: Standing, key: str) -> Chain:
    """The carried state of a chain, a new one where nothing was seen of it."""
    chains = deriver.carry.chains
    chain = chains.get(key)
    if chain is None:
        chain = chains[key] = Chain()
        if len(chains) > CHAINS:
            del chains[next(name for name in chains if name)]
    return chain


def mark(deriver: Standing, bit: int) -> None:
    """Something happened on the chain of the current line that its next request may pay for."""
    key = chain_key(deriver)
    if key is not None:
        chain_of(deriver, key).marks |= bit


def summary_read(deriver: Standing) -> None:
    """The text that a compaction leaves was read; its boundary stands before it, or nowhere."""
    key = chain_key(deriver)
    if key is not None:
        chain = chain_of(deriver, key)
        if not chain.marks & Mark.COMPACTED:
            chain.marks |= Mark.SUMMARISED


def compacted(deriver: Standing, native: str) -> None:
    """A compaction's boundary was read: the chain's next request tells what it left."""
    key = chain_key(deriver)
    if key is not None:
        chain = chain_of(deriver, key)
        chain.marks |= Mark.COMPACTED
        chain.compaction = native


def skill_called(deriver: Standing, _call: Call) -> None:
    """The reply loads a skill: what follows in this turn is asked in the skill's way."""
    mark(deriver, Mark.SKILL)


def tools_looked_up(deriver: Standing, _call: Call) -> None:
    """The reply asks for tools that it had by name only."""
    mark(deriver, Mark.TOOLS)


def request_begun(
    deriver: Standing, record: Record, message: Message, native: str, asked: int | None, *, slash: bool
) -> tuple[Partial, ...]:
    """A message begins on its chain; the facts that follow from what came before: a miss, a compaction without a record.

    `asked`: time (ms) of what it answers; `slash`: it answers a slash command that loads a skill.
    """
    key = chain_key(deriver)
    usage = message.usage
    if key is None or usage is None:
        return ()
    chain = chain_of(deriver, key)
    if native == chain.request or native == chain.before:
        return ()
    if key and key.startswith(COMPACTING_AGENT):
        run = deriver.touch_agent(key, deriver.at, deriver.rank)
        if run.label is None or run.label < COMPACTION_RUN:
            run.label = COMPACTION_RUN
    first, last = ends_of(usage)
    read = first.cache_read_input_tokens or 0
    prompt = prompt_of(first)
    paid = prompt - read
    if not prompt:
        return ()
    carry = deriver.carry
    started = deriver.at
    if asked is not None and asked <= started and (chain.started is None or asked > chain.started):
        started = asked
    born: tuple[Partial, ...] = ()
    if slash:
        chain.marks |= Mark.SKILL
    in_skill = bool(chain.marks & Mark.SKILL)
    whole, copied = type(message.content) is list and len(message.content) > 1, len(record.forkedFrom) > 0
    if chain.compaction is not None:
        partial, _ = deriver.batch.get(
            EventType.COMPACTION, chain.compaction, deriver.file, deriver.offset, deriver.length
        )
        partial.attempts = most(partial.attempts, prompt)
        chain.compaction = None
    missed = missed_tokens(chain.cached, read, paid)
    kind = None
    if len(message.diagnostics) > _NULL_LENGTH:
        reported = decode(Diagnostics, message.diagnostics)
        reason = reported.cache_miss_reason if reported is not None else None
        if reason is not None:
            kind = reason.type
            if kind in REPORTED:
                missed = reason.cache_missed_input_tokens or missed
    if missed:
        marks = chain.marks
        if chain.request is not None:
            marks |= _compared(deriver, chain, message.model, prompt, started)
            if chain.copied and not copied:
                marks |= Mark.FORKED
            if whole != chain.whole:
                marks |= Mark.RETRIED
        born += _miss(deriver, record, native, missed, likely_cause(marks, kind), kind)
    if chain.request is not None:
        if chain.marks & Mark.SUMMARISED:
            born += _unrecorded(deriver, record, native, message.model, chain.prompt, prompt)
        if chain.turn == carry.turn:
            in_skill = in_skill or chain.skill
        chain.before = chain.request
    wrote = last.cache_creation_input_tokens or 0
    chain.request, chain.model, chain.prompt = native, message.model, prompt_of(last)
    chain.cached = (last.cache_read_input_tokens or 0) + wrote
    chain.started = None if started == NO_TIME else started
    if wrote:
        split = last.cache_creation
        chain.long_lived = split is not None and 2 * (split.ephemeral_1h_input_tokens or 0) >= wrote
    chain.session, chain.version, chain.turn = carry.session, carry.version, carry.turn
    chain.skill, chain.whole, chain.copied = in_skill, whole, copied
    chain.marks = 0
    return born


def _compared(deriver: Standing, chain: Chain, model: str | None, prompt: int, started: int) -> int:
    """What a comparison with the chain's last request shows."""
    carry = deriver.carry
    marks = 0
    if model != chain.model:
        marks |= Mark.MODEL
    if chain.session is not None and carry.session != chain.session:
        marks |= Mark.FORKED
    idle = None if chain.started is None or started == NO_TIME else started - chain.started
    if has_expired(idle, long_lived=chain.long_lived):
        marks |= Mark.EXPIRED
    if chain.version is not None and carry.version != chain.version:
        marks |= Mark.TOOLS
    if was_edited(chain.prompt, prompt):
        marks |= Mark.EDITED
    if chain.skill and carry.turn != chain.turn:
        marks |= Mark.SKILL
    return marks


def _miss(
    deriver: Standing, record: Record, native: str, missed: int, cause: str, reported: str | None
) -> tuple[Partial, ...]:
    partial, made = deriver.written(EventType.CACHE_MISS, native, record, cause)
    partial.size = most(partial.size, missed)
    label = (reported or JUDGED)[:64]
    if partial.label is None or label > partial.label:
        partial.label = label
    if reported not in REPORTED:
        partial.flags |= Flag.INFERRED
    return (partial,) if made else ()


def _unrecorded(
    deriver: Standing, record: Record, native: str, model: str | None, before: int, now: int
) -> tuple[Partial, ...]:
    """The compaction whose summary was read without a boundary: known by the request that follows it."""
    if not is_compaction(before, now, window(model, before, None if deriver.at == NO_TIME else deriver.at)[0]):
        return ()
    partial, made = deriver.written(EventType.COMPACTION, native, record, "inferred")
    partial.flags |= Flag.INFERRED
    partial.size = most(partial.size, before)
    partial.attempts = most(partial.attempts, now)
    return (partial,) if made else ()
