"""How full a session's context is: what its main chain's prompts say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ccagent.facts.pricing import PriceTable
from ccagent.facts.windows import window


class Prompt(NamedTuple):
    """The prompt of one request: tokens of input, cache reads and cache writes; `at` in ms UTC; the window that the
    transcript states, and then the tokens that it states, too."""

    model: str | None
    at: int | None
    tokens: int
    stated: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fullness:
    """Of the prompts of one chain: the last one's tokens, window, what says so and the part of it that is used (0 to 1);
    the longest one's tokens, and the highest part."""

    tokens: int
    window: int
    window_source: str
    utilization: float
    highest_tokens: int
    highest_utilization: float


def fullness(prompts: Sequence[Prompt]) -> Fullness | None:
    """What the prompts of one chain (in the order of their requests) say together; None without any.

    Rule: a session does not change its window from one request to the next, so a window that one prompt has taught holds
    for all requests of that model, the shorter ones before it too. Single requests keep their own (the view's columns).
    Never mix chains: each sub-agent has a context of its own.
    """
    if not prompts:
        return None
    longest: dict[str | None, int] = {}
    for prompt in prompts:
        longest[prompt.model] = max(prompt.tokens, longest.get(prompt.model, 0))
    last = prompts[-1]
    tokens, source = window(last.model, longest[last.model], last.at, last.stated)
    return Fullness(
        tokens=last.tokens,
        window=tokens,
        window_source=source,
        utilization=last.tokens / tokens,
        highest_tokens=max(longest.values()),
        highest_utilization=max(
            each.tokens / window(each.model, longest[each.model], each.at, each.stated)[0] for each in prompts
        ),
    )


def hit_ratio(tokens: Mapping[str, int]) -> float | None:
    """The part of the prompts' tokens that was read from the cache: read / (input + read + writes), 0 to 1; None where
    there is no prompt. `tokens` as usage has them: input, cache_read, cache_write_5m, cache_write_1h."""
    read = tokens["cache_read"]
    whole = tokens["input"] + read + tokens["cache_write_5m"] + tokens["cache_write_1h"]
    return read / whole if whole else None


class Paid(NamedTuple):
    """What decides a request's price: its model, time and the five counts; `cache_write` includes `cache_write_1h`;
    `longest` as in `facts.partial`."""

    model: str | None
    at: int | None
    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    fast: bool
    us_only: bool
    longest: int | None = None


def price_of_miss(paid: Paid, missed: int, prices: PriceTable) -> int | None:
    """Micro-dollars that a request cost more because `missed` tokens were not read from the cache; None when unpriced.

    Rule: its cost less its cost with these tokens as reads, by the prices of its own time. They are taken from the
    writes for an hour first, then from the other writes, then from the plain input: what lives longer stands before
    what lives shorter, and what is cached before what is not, so the lost beginning was paid in that order.
    """
    hour = min(missed, paid.cache_write_1h)
    short = min(missed - hour, max(paid.cache_write - paid.cache_write_1h, 0))
    plain = min(missed - hour - short, paid.input)
    costs = [
        prices.cost(
            paid.model,
            paid.at,
            paid.input - moved[2],
            paid.output,
            paid.cache_read + sum(moved),
            paid.cache_write - moved[0] - moved[1],
            paid.cache_write_1h - moved[0],
            fast=paid.fast,
            us_only=paid.us_only,
            longest=paid.longest,
        )
        for moved in ((0, 0, 0), (hour, short, plain))
    ]
    actual, warm = costs
    return None if actual is None or warm is None else actual.microusd - warm.microusd
