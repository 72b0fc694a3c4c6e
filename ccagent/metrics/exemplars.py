"""Exemplars: of a histogram's bucket, one observation and the trace in which it can be looked at.

They are hints, not totals: kept in memory, the newest of each bucket, and gone with the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from ccagent.facts.model import KEY_PREFIXES, EventType
from ccagent.facts.partial import Partial
from ccagent.facts.trace_ids import span_id, trace_id

Place = tuple[str, tuple[str, ...], bool, int]
"""Metric name without prefix, label values in the catalogue's order, whether it may leave, number of the bucket."""

OWN_SPANS: Final = frozenset((EventType.TURN, EventType.LLM_REQUEST, EventType.TOOL_CALL, EventType.SUBAGENT_RUN))
"""Facts that have a span of their own; what happens beside them is shown at the span of their turn."""


class Exemplar(NamedTuple):
    """One observation: the ids in hexadecimal letters, the value in the metric's unit, its time in ms UTC."""

    trace: str
    span: str
    value: float
    at_ms: int


Found = Mapping[tuple[tuple[str, ...], bool], Sequence[Exemplar | None]]
"""Of one metric: by label values and whether they may leave, the newest of each bucket."""


def exemplar(fact: Partial, value: float, agent_turn: str | None = None) -> Exemplar | None:
    """What points from an observation to its fact; None where no trace of it is known, or no time.

    `agent_turn`: the turn that the fact's sub-agent works for. A sub-agent whose turn is not known has none: once it
    is linked its spans are in another trace.
    """
    times = [at for at in (fact.occurred_at, fact.ended_at) if at is not None]
    if not times:
        return None
    turns, own = KEY_PREFIXES[EventType.TURN], KEY_PREFIXES[fact.type] + fact.native
    turn = fact.turn if fact.context.agent is None and fact.type != EventType.SUBAGENT_RUN else agent_turn
    if fact.type == EventType.TURN:
        trace = own
    elif turn is not None:
        trace = turns + turn
        own = own if fact.type in OWN_SPANS else trace
    elif fact.context.agent is None and fact.type in OWN_SPANS - {EventType.SUBAGENT_RUN}:
        trace = own  # what belongs to no turn is a trace by itself
    else:
        return None
    return Exemplar(trace_id(trace).hex(), span_id(own).hex(), value, max(times))


def newest(one: Exemplar | None, two: Exemplar | None) -> Exemplar | None:
    """The later of two; of two at the same moment the first."""
    if one is None or (two is not None and two.at_ms > one.at_ms):
        return two
    return one


def newest_of(lists: Iterable[Sequence[Exemplar | None] | None]) -> tuple[Exemplar | None, ...] | None:
    """The newest of each bucket of several series that are shown as one; None where none has any."""
    found: tuple[Exemplar | None, ...] | None = None
    for each in lists:
        if each is not None:
            found = tuple(each) if found is None else tuple(map(newest, found, each))
    return found
