"""Facts that change after their span has left: counted, never sent again."""

from __future__ import annotations

from typing import Final

from ccagent.facts.partial import Partial
from ccagent.metrics import names as metric
from ccagent.store import rows
from ccagent.store.ingest import Ingest
from ccagent.store.outbox import sent_up_to
from ccagent.store.work import SIGNAL, SPAN_TYPES

_DESTINATIONS: Final = "SELECT DISTINCT destination FROM export_cursor WHERE signal = ? ORDER BY destination"


class Sent:
    """How far the destinations of spans are, asked once each; for changes of many facts within one transaction."""

    def __init__(self, state: Ingest) -> None:
        self._state = state
        self._destinations = [str(row[0]) for row in state.conn.execute(_DESTINATIONS, (SIGNAL,)).fetchall()]
        self._upto: dict[tuple[str, int], int] = {}

    def changed(self, fact: Partial, before: rows.Row) -> bool:
        """Count a fact that no longer is what its row said `before`, if that has been sent; whether it has."""
        state, host, closed = self._state, before[rows.CLOSED_HOST], before[rows.CLOSED_SEQ]
        if closed is None or fact.type not in SPAN_TYPES or not state.ledger.leaves(fact.context.cwd):
            return False
        left = False
        for destination in self._destinations:
            place = destination, int(host)
            if place not in self._upto:
                self._upto[place] = sent_up_to(state.conn, destination, SIGNAL, int(host))
            if closed <= self._upto[place]:
                state.booking.count(metric.EXPORTS_STALE, (destination, SIGNAL))
                left = True
        return left
