"""Exemplars of what was booked: found out in the transaction that books, kept in memory after its commit."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ccagent.facts.model import EventType
from ccagent.metrics.exemplars import Exemplar, Found, Place, exemplar, newest
from ccagent.metrics.spec import MetricSpec

if TYPE_CHECKING:
    from ccagent.store.work import Work

SERIES: Final = 512
"""Series of a metric whose exemplars are kept: above what the budgets of the usual labels admit."""

RECENT_MS: Final = 3_600 * 1_000
"""Older facts give no exemplar: their traces may be history to whoever collects, and a scraper refuses old ones. Nor do
those of so far ahead: what a broken clock wrote would stay the newest of its bucket for ever."""


def examples(work: Work) -> dict[Place, Exemplar]:
    """The exemplars of what `work` is about to book; none while history is taken in. Within its transaction."""
    if not work.live or not work.booking.examples:
        return {}
    found = {}
    for place, (value, fact) in work.booking.examples.items():
        agent = fact.native if fact.type == EventType.SUBAGENT_RUN else fact.context.agent
        turn = None if agent is None else work.agent_turn(agent)
        known = exemplar(fact, value, None if turn is None else work.names.text(turn))
        if known is not None and abs(work.now_ms - known.at_ms) <= RECENT_MS:
            found[place] = known
    return found


class Exemplars:
    """The newest exemplar of each bucket, by metric; bounded. Thread-safe: readers get what is never changed again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: Mapping[str, Found] = MappingProxyType({})

    def keep(self, fresh: Mapping[Place, Exemplar], registry: Mapping[str, MetricSpec]) -> None:
        """Take these in. Their transaction has committed."""
        if not fresh:
            return
        with self._lock:
            found = dict(self._found)
            for metric in {place[0] for place in fresh}:
                buckets = registry[metric].buckets
                if buckets is None:
                    continue
                series = dict(found.get(metric, {}))
                for (name, labels, may_leave, bucket), each in fresh.items():
                    if name != metric:
                        continue
                    # taken out and put in again: the dictionary's order is that of the last change
                    known = list(series.pop((labels, may_leave), (None,) * (len(buckets) + 1)))
                    known[bucket] = newest(each, known[bucket])
                    series[labels, may_leave] = tuple(known)
                while len(series) > SERIES:
                    del series[next(iter(series))]
                found[metric] = series
            self._found = found

    def all(self) -> Mapping[str, Found]:
        """All of them, by metric; a metric of which nothing changed is the same object as before."""
        return self._found
