"""What Claude Code's own telemetry says: of its events and spans those of requests and tool calls.

Its metrics cannot be joined by an id and are passed over; so are processes that only show a list of agents, and what
ccagent itself has rebuilt from transcripts, which would be compared with itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ccagent.reconcile.sides import KINDS, Side, Tokens

Value = str | int | float | bool | None
Attributes = Mapping[str, Value]

PREFIX: Final = "claude_code."
REQUEST_EVENT: Final = "api_request"
REQUEST_SPAN: Final = "llm_request"
TOOL_EVENTS: Final = frozenset(("tool_result", "tool_decision"))
TOOL_SPAN: Final = "tool"

AGENTS_VIEW: Final = "agents_view"
"""The start type of a process that shows agents and holds no conversation."""

TOKEN_NAMES: Final = tuple(f"{kind}_tokens" for kind in KINDS)

COUNT_LIMIT: Final = 1 << 40
MICROUSD: Final = 1_000_000


class Native:
    """Takes log records and spans, in whatever order and however often; `side` is what they say.

    `records`: events and spans that were of use. `rebuilt`: those that ccagent itself had sent, left out.
    """

    def __init__(self) -> None:
        self.side = Side()
        self.records = 0
        self.rebuilt = 0

    def log(self, resource: Attributes, attributes: Attributes, names: tuple[Value, ...], at: int | None) -> None:
        """A log record; `names` are its body and its event name, where the event's name may stand too."""
        name = _bare(attributes.get("event.name"), *names)
        if name == REQUEST_EVENT:
            self._request(resource, attributes, at)
        elif name in TOOL_EVENTS:
            self._tool(resource, attributes, at)

    def span(self, resource: Attributes, attributes: Attributes, name: str, at: int | None) -> None:
        """A span; `at` is its end."""
        bare = name.removeprefix(PREFIX) if name.startswith(PREFIX) else None
        if bare == REQUEST_SPAN:
            if attributes.get("success") not in (False, "false"):  # a failed attempt has no answer
                self._request(resource, attributes, at)
        elif bare == TOOL_SPAN:
            self._tool(resource, attributes, at)

    def _request(self, resource: Attributes, attributes: Attributes, at: int | None) -> None:
        if not self._takes(resource, attributes):
            return
        id = _text(attributes.get("request_id")) or _text(attributes.get("gen_ai.response.id"))
        if id is None:
            self.side.unnamed += 1
            return
        first, second, third, fourth = (_count(attributes.get(name)) for name in TOKEN_NAMES)
        tokens: Tokens = (first, second, third, fourth)
        self.side.request(id, _text(attributes.get("session.id")), at, tokens, _cost(attributes))

    def _tool(self, resource: Attributes, attributes: Attributes, at: int | None) -> None:
        if not self._takes(resource, attributes):
            return
        id = _text(attributes.get("tool_use_id")) or _text(attributes.get("gen_ai.tool.call.id"))
        if id is not None:
            self.side.tool(id, _text(attributes.get("session.id")), at)

    def _takes(self, resource: Attributes, attributes: Attributes) -> bool:
        if resource.get("ccagent.source") is not None or resource.get("service.name") == "ccagent":
            self.rebuilt += 1
            return False
        if AGENTS_VIEW in (attributes.get("start_type"), attributes.get("app.entrypoint")):
            return False
        self.records += 1
        return True


def _bare(*names: Value) -> str | None:
    """The event's name without its prefix; the attribute goes without, body and event name with it."""
    for name in names:
        if isinstance(name, str) and name:
            return name.removeprefix(PREFIX)
    return None


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Value) -> int:
    """A number of tokens; some exporters write numbers as texts."""
    found = _number(value)
    return int(found) if found is not None and 0 <= found < COUNT_LIMIT else 0


def _cost(attributes: Attributes) -> int | None:
    exact = _number(attributes.get("cost_usd_micros"))
    if exact is not None and 0 <= exact < COUNT_LIMIT:
        return int(exact)
    dollars = _number(attributes.get("cost_usd"))
    return None if dollars is None or not 0 <= dollars < COUNT_LIMIT / MICROUSD else round(dollars * MICROUSD)


def _number(value: Value) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if found == found else None
