"""token_count events: each growth of the running total is one request.

`total_token_usage` is the sum over the session and only grows; its growth is what was spent, whatever the event calls
its last request: some events repeat a total under another `last`. A total that fell began anew.
"""

from __future__ import annotations

from typing import Final

from ccagent.facts.model import EventType, Flag, Rank
from ccagent.facts.partial import NO_TIME, Partial, least, most
from ccagent.sources.codex.identity import is_uuid, request_native
from ccagent.sources.codex.records import TokenInfo, TokenUsage
from ccagent.sources.codex.standing import Standing

COMPLETED: Final = "completed"
"""Stands for a stop reason: usage is told when a response is complete, so it is final."""

_FIELDS: Final = (
    "input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens",
    "total_tokens",
)  # fmt: skip


def vector(usage: TokenUsage | None) -> tuple[int, ...] | None:
    """The counts of a usage block in one order, what it does not say as 0; None without a block."""
    return None if usage is None else tuple(getattr(usage, field) or 0 for field in _FIELDS)


def spent(
    before: tuple[int, ...] | None, total: tuple[int, ...], last: tuple[int, ...] | None, *, heir: bool
) -> tuple[int, ...]:
    """What a new total adds to the one before it.

    Rule: the difference, each count at least 0; a total whose input and output together fell counts whole, as it began
    anew, and so does one that is its last request and nothing more. The first total of a file counts whole too, but in
    the file of a session with an ancestor, which may go on from the ancestor's total without telling it: there the last
    request counts, if anything was answered before.
    """
    if before is None:
        return last if heir and last is not None else total
    if total[0] + total[3] < before[0] + before[3] or total == last:
        return total
    return tuple(max(0, now - then) for now, then in zip(total, before, strict=True))


def derive_tokens(deriver: Standing, info: TokenInfo | None) -> tuple[Partial, ...] | None:
    """The request of a token_count event; None where it tells of none."""
    total = vector(info.total_token_usage) if info is not None else None
    if info is None or total is None:
        return None
    carry = deriver.carry
    last = vector(info.last_token_usage)
    before, carry.total = carry.total, total
    replied, carry.replied = carry.replied, False
    if last is not None:
        carry.context_tokens = last[5] or last[0] + last[3]
    if not total[0] + total[3]:
        # a client that was told that the window is full begins anew, with the window for a sum that nothing makes up
        carry.context_tokens = total[5] or carry.context_tokens
        return None
    if carry.replaying or before == total:
        return None
    if before is None and carry.heir and not replied:
        return None  # nothing was answered here yet: the ancestor's total, told once more
    grown = spent(before, total, last, heir=carry.heir)
    if not any(grown):
        return None
    scope = carry.turn_id if carry.turn_id is not None and is_uuid(carry.turn_id) else carry.root or carry.session or ""
    request = request_native(scope, total, last)
    fact, made = _request(deriver, request, grown, info.model_context_window)
    _adopt(deriver, request)
    if carry.incident is not None:
        deriver.batch.closes[EventType.API_ERROR, carry.incident] = None
        carry.incident = None
    deriver.heard()
    return (fact,) if made else ()


def _request(deriver: Standing, native: str, grown: tuple[int, ...], window: int | None) -> tuple[Partial, bool]:
    carry = deriver.carry
    told: dict[str, object] = {} if carry.effort is None else {"effort": carry.effort}
    fact, made = deriver.written(EventType.LLM_REQUEST, native, carry.model or "unknown", told)
    if window:
        fact.attempts, fact.size = most(fact.attempts, window), most(fact.size, carry.context_tokens)
    taken, cached, write, output, reasoning, _ = grown
    cached = min(cached, taken)
    write = min(write, taken - cached)
    fact.token_input = max(fact.token_input, taken - cached - write)
    fact.token_cache_read = max(fact.token_cache_read, cached)
    fact.token_cache_write = max(fact.token_cache_write, write)
    fact.token_output = max(fact.token_output, output)
    fact.token_thinking = max(fact.token_thinking, min(reasoning, output))
    fact.label = COMPLETED
    if deriver.at != NO_TIME:
        fact.ended_at = most(fact.ended_at, deriver.at)
        if carry.asked is not None and carry.asked <= deriver.at:
            fact.result_at = least(fact.result_at, carry.asked)
    carry.asked = None
    return fact, made


def _adopt(deriver: Standing, request: str) -> None:
    """The calls of the response, which were written before its usage, belong to this request."""
    carry, context = deriver.carry, deriver.context()
    for native, at, name in carry.pending:
        call, made = deriver.batch.get(EventType.TOOL_CALL, native, deriver.file, deriver.offset, deriver.length)
        alike = call.owner_at == at and call.context is context and call.turn == carry.turn and call.name == name
        if alike and call.request is None and not made:
            call.request = request  # what the claim below comes to, without comparing all attributes
        else:
            call.claim(Rank.MAIN, at, context, carry.turn, name, request)
        call.flags |= Flag.DIRECT
        if at != NO_TIME:
            call.occurred_at = least(call.occurred_at, at)
    carry.pending.clear()
