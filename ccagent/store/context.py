"""What the store tells of contexts: how full a session's is, its compactions and their cost, misses of the cache."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from ccagent.facts.cache_miss import JUDGED
from ccagent.facts.context import Fullness, Paid, Prompt, fullness, price_of_miss
from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType, Flag
from ccagent.facts.pricing import PriceTable
from ccagent.store.connection import Connection
from ccagent.store.window import HELD, STATED

COMPACTING: Final = "acompact%"
"""Ids (SQL LIKE) of the sub-agents that write the summaries of compactions."""

_OF_SESSION: Final = (
    "FROM fact f JOIN context c ON c.id = f.context JOIN name session ON session.id = c.session"
    " LEFT JOIN name n ON n.id = f.name LEFT JOIN name agent ON agent.id = c.agent"
)
_IN_ORDER: Final = "ORDER BY COALESCE(f.occurred_at, -1), f.native"
_REQUEST: Final = f"f.type = {int(EventType.LLM_REQUEST)}"

_PROMPTS: Final = (
    f"SELECT n.value, f.occurred_at, {HELD}, {STATED} {_OF_SESSION} WHERE session.value = ? AND {_REQUEST} AND c.rank = 0"
    f" AND c.agent IS NULL AND f.native NOT LIKE '%:iter:%' {_IN_ORDER}"
)
_COMPACTIONS: Final = (
    "SELECT f.native, n.value, f.occurred_at, f.size, f.attempts, f.reported_ms, f.flags, agent.value"
    f" {_OF_SESSION} WHERE session.value = ? AND f.type = {int(EventType.COMPACTION)} {_IN_ORDER}"
)
_COMPACTING: Final = (
    f"SELECT f.native, f.occurred_at, f.cost {_OF_SESSION} WHERE session.value = ? AND {_REQUEST}"
    f" AND agent.value LIKE '{COMPACTING}' {_IN_ORDER}"
)
_MISSES: Final = (
    "SELECT f.native, n.value, stop.value, f.size, f.occurred_at, agent.value"
    f" {_OF_SESSION} LEFT JOIN name stop ON stop.id = f.stop"
    f" WHERE session.value = ? AND f.type = {int(EventType.CACHE_MISS)} {_IN_ORDER}"
)
_PAID: Final = (
    "SELECT f.key, n.value, f.occurred_at, f.token_input, f.token_output, f.token_cache_read, f.token_cache_write,"
    " f.token_cache_write_1h, f.flags, f.added"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """One compaction. Tokens of the prompt before it and of the next one; `requests` wrote its summary (keys), at
    `cost_microusd`: None where no transcript of theirs is there, or no price is known."""

    source_key: str
    trigger: str
    agent: str | None
    occurred_at: int | None
    tokens_before: int | None
    tokens_after: int | None
    duration_ms: int | None
    inferred: bool
    requests: tuple[str, ...]
    cost_microusd: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One miss of the prompt cache. `reported`: the reason that the API gave, None where it was judged from the usage;
    `cost_microusd`: what it cost beyond reading the tokens from the cache, None when unpriced."""

    request_key: str
    cause: str
    reported: str | None
    agent: str | None
    occurred_at: int | None
    tokens: int
    cost_microusd: int | None


def session_fullness(reader: Connection, session: str) -> Fullness | None:
    """How full the context of the session's main conversation is and was; None for a session without requests."""
    return fullness([Prompt(*row) for row in reader.execute(_PROMPTS, (session,))])


def compactions(reader: Connection, session: str) -> list[Compaction]:
    """The session's compactions in order.

    A request of a compacting sub-agent belongs to the first compaction of the main conversation that comes after it: the
    boundary is written when the summary is there.
    """
    waiting = deque(reader.execute(_COMPACTING, (session,)))
    found = []
    for native, trigger, at, before, after, duration, flags, agent in reader.execute(_COMPACTIONS, (session,)):
        written: list[tuple[Any, ...]] = []
        while waiting and agent is None and at is not None and (waiting[0][1] is None or waiting[0][1] <= at):
            written.append(waiting.popleft())
        costs = [cost for _, _, cost in written]
        found.append(
            Compaction(
                source_key=f"compaction:{native}",
                trigger=trigger,
                agent=agent,
                occurred_at=at,
                tokens_before=before,
                tokens_after=after,
                duration_ms=duration,
                inferred=bool(flags & Flag.INFERRED),
                requests=tuple(f"llm:{key}" for key, *_ in written),
                cost_microusd=None if not costs or None in costs else sum(costs),
            )
        )
    return found


def cache_misses(reader: Connection, session: str, prices: PriceTable) -> list[Miss]:
    """The session's misses in order, sub-agents' too, each priced by the table that held when it was made."""
    rows = list(reader.execute(_MISSES, (session,)))
    paid = _paid(reader, [row[0] for row in rows])
    found = []
    for native, cause, label, tokens, at, agent in rows:
        request = paid.get(native)
        found.append(
            Miss(
                request_key=f"llm:{native}",
                cause=cause,
                reported=None if label == JUDGED else label,
                agent=agent,
                occurred_at=at,
                tokens=tokens,
                cost_microusd=None if request is None else price_of_miss(request, tokens, prices),
            )
        )
    return found


def _paid(reader: Connection, natives: list[str]) -> dict[str, Paid]:
    """What these requests (native ids) are priced by."""
    keys = {fact_key(EventType.LLM_REQUEST, native): native for native in natives}
    if not keys:
        return {}
    dialect = reader.dialect
    sql = f"{_PAID} FROM {dialect.blobs} JOIN fact f ON f.key = k.value LEFT JOIN name n ON n.id = f.name"
    found = {}
    for *amounts, flags, longest in reader.execute(sql, (dialect.listed(sorted(keys)),)):
        key = keys[bytes(amounts[0])]
        found[key] = Paid._make((*amounts[1:], bool(flags & Flag.FAST), bool(flags & Flag.US_ONLY), longest))
    return found
