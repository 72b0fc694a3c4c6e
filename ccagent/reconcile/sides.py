"""The two sides of a reconciliation in one shape: requests by their request id, tool calls by their tool_use id."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, Final

KINDS: Final = ("input", "output", "cache_read", "cache_creation")
"""Kinds of tokens, in the order in which they are kept; natively both write tiers are one."""

Tokens = tuple[int, int, int, int]
NO_TOKENS: Final[Tokens] = (0, 0, 0, 0)


@dataclass(slots=True)
class Request:
    """One answered request. `cost` in micro-dollars, None where it has none; `at` ms UTC of its last sign."""

    session: str | None
    at: int | None
    tokens: Tokens = NO_TOKENS
    cost: int | None = None

    def merge(self, session: str | None, at: int | None, tokens: Tokens, cost: int | None) -> None:
        """Another sign of the same request: each counter's maximum, the later time."""
        self.session = self.session or session
        self.at = later(self.at, at)
        ours = self.tokens
        self.tokens = (
            max(ours[0], tokens[0]), max(ours[1], tokens[1]), max(ours[2], tokens[2]), max(ours[3], tokens[3])
        )  # fmt: skip
        if cost is not None and (self.cost is None or cost > self.cost):
            self.cost = cost


@dataclass(slots=True)
class Tool:
    """One tool call that came to an end, or to a decision."""

    session: str | None
    at: int | None


@dataclass(slots=True)
class Side:
    """What one side has seen. `unnamed`: requests without a request id, which nothing can be joined to."""

    requests: dict[str, Request] = field(default_factory=dict)
    tools: dict[str, Tool] = field(default_factory=dict)
    unnamed: int = 0

    def request(self, id: str, session: str | None, at: int | None, tokens: Tokens, cost: int | None) -> None:
        """A sign of a request."""
        known = self.requests.get(id)
        if known is None:
            self.requests[id] = Request(session, at, tokens, cost)
        else:
            known.merge(session, at, tokens, cost)

    def tool(self, id: str, session: str | None, at: int | None) -> None:
        """A sign of a tool call."""
        known = self.tools.get(id)
        if known is None:
            self.tools[id] = Tool(session, at)
        else:
            known.session = known.session or session
            known.at = later(known.at, at)

    def leave_out(self, other: Side, since: int, until: int) -> None:
        """Forget what lies outside of these times and the other side does not know."""
        for mine, theirs in ((self.requests, other.requests), (self.tools, other.tools)):
            _leave_out(mine, theirs, since, until)

    @property
    def sessions(self) -> set[str]:
        """The sessions that it names."""
        every: list[Request | Tool] = [*self.requests.values(), *self.tools.values()]
        return {one.session for one in every if one.session is not None}

    @property
    def window(self) -> tuple[int, int] | None:
        """First and last time (ms UTC) of what it has seen, None where nothing has one."""
        every: list[Request | Tool] = [*self.requests.values(), *self.tools.values()]
        times = [one.at for one in every if one.at is not None]
        return (min(times), max(times)) if times else None


def _leave_out(mine: dict[str, Any], theirs: Container[str], since: int, until: int) -> None:
    outside = [id for id, one in mine.items() if id not in theirs and not since <= (one.at or 0) <= until]
    for id in outside:
        del mine[id]


def later(one: int | None, two: int | None) -> int | None:
    """The later of two times, None counting as unknown."""
    if one is None:
        return two
    return one if two is None or one >= two else two
