"""What follows from a merged fact: outcome, quality and cost. Derived anew at each merge, never merged itself."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from ccagent.facts.model import WITH_RESULT, EventType, Flag, Quality, Status
from ccagent.facts.partial import Partial, status_of
from ccagent.facts.pricing import PriceTable

FINAL_SINCE: Final = (2, 1, 98)
"""Clients from here on write the final usage on every line of a message."""

PLACEHOLDER_TOKENS: Final = 10
"""A reply of no more output tokens, without a stop reason, is what the stream had counted when the line was written."""

PLACEHOLDER_RATIO: Final = 12
"""Visible bytes an output token beyond which the count cannot be final; text has about 4."""


class Settled(NamedTuple):
    """Derived values of one fact. Money in micro-dollars; `parts` in the order of pricing.KINDS."""

    status: int
    quality: int | None = None
    cost: int | None = None
    parts: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)


def settle(fact: Partial, prices: PriceTable) -> Settled:
    """The derived values of `fact`, by its merged raw fields alone."""
    kind = fact.type
    if kind == EventType.LLM_REQUEST:
        priced = prices.cost(
            fact.name,
            fact.occurred_at,
            fact.token_input,
            fact.token_output,
            fact.token_cache_read,
            fact.token_cache_write,
            fact.token_cache_write_1h,
            fast=bool(fact.flags & Flag.FAST),
            us_only=bool(fact.flags & Flag.US_ONLY),
            longest=fact.longest,
        )
        status = Status.INTERRUPTED if fact.flags & Flag.ABORTED else Status.OK
        if priced is None:
            return Settled(status, quality_of(fact))
        return Settled(status, quality_of(fact), priced.microusd, priced.parts)
    if kind in WITH_RESULT:
        return Settled(status_of(fact))
    if kind == EventType.TURN:
        return Settled(_turn_status(fact))
    if kind == EventType.API_ERROR:
        return Settled(Status.ERROR)
    return Settled(Status.OK)


def _turn_status(fact: Partial) -> Status:
    """Interrupted if the user said so; an error if the last thing heard was a final failure; ok with a reply."""
    if fact.flags & Flag.INTERRUPTED:
        return Status.INTERRUPTED
    if fact.error_at is not None and (fact.result_at is None or fact.error_at >= fact.result_at):
        return Status.ERROR
    return Status.OPEN if fact.result_at is None else Status.OK


def quality_of(fact: Partial) -> Quality:
    """How final a request's usage is.

    Rule: a stop reason, or a client that writes final usage on each line, makes it `final`; else few output tokens, or
    more visible bytes than so many tokens can hold, make it a `placeholder`; the rest is `partial`. Why: clients up to
    2.1.97 wrote down what the stream had counted when a line was written, and often never the final count. Cannot see:
    output that was cut after more than PLACEHOLDER_TOKENS and shows nothing (thinking that the client left out).
    """
    if fact.label is not None or _version(fact.context.version) >= FINAL_SINCE:
        return Quality.FINAL
    output = fact.token_output
    if output <= PLACEHOLDER_TOKENS or (fact.size or 0) > PLACEHOLDER_RATIO * output:
        return Quality.PLACEHOLDER
    return Quality.PARTIAL


@lru_cache(maxsize=256)
def _version(text: str | None) -> tuple[int, ...]:
    """Numbers of a client version; () for what is none, which sorts before all."""
    numbers = []
    for part in (text or "").split("-")[0].split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)
