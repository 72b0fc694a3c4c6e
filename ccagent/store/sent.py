"""Facts that change after their span or log record has left: counted, never sent again."""

from __future__ import annotations

from typing import Final

from ccagent.facts.partial import Partial
from ccagent.metrics import names as metric
from ccagent.store import rows
from ccagent.store.ingest import Ingest
from ccagent.store.outbox import sent_up_to
from ccagent.store.work import SENT_TYPES

_DESTINATIONS: Final = "SELECT DISTINCT destination, signal FROM export_cursor ORDER BY destination, signal"


class Sent:
    """How far the destinations of spans and log records are, asked once each; for changes of many facts within one transaction."""

    def __init__(self, state: Ingest) -> None:
        self._state = state
        rows = state.conn.execute(_DESTINATIONS).fetchall()
        self._destinations = [(str(name), str(signal)) for name, signal in rows if signal in SENT_TYPES]
        self._upto: dict[tuple[str, str, int], int] = {}

    def changed(self, fact: Partial, before: rows.Row) -> bool:
        """Count a fact that no longer is what its row said `before`, if that has been sent; whether it has."""
        state, host, closed = self._state, before[rows.CLOSED_HOST], before[rows.CLOSED_SEQ]
        concerned = [one for one in self._destinations if fact.type in SENT_TYPES[one[1]]]
        if closed is None or not concerned or not state.ledger.leaves(fact.context.cwd, fact.context.project):
            return False
        left = False
        for destination, signal in concerned:
            place = destination, signal, int(host)
            if place not in self._upto:
                self._upto[place] = sent_up_to(state.conn, *place)
            if closed <= self._upto[place]:
                state.booking.count(metric.EXPORTS_STALE, (destination, signal))
                left = True
        return left
