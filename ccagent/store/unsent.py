"""Facts that go before they were sent: counted for each destination that will never get them."""

from __future__ import annotations

from typing import Any, Final

from ccagent.metrics import names as metric
from ccagent.store.closed import last_at, listed
from ccagent.store.ingest import Ingest
from ccagent.store.outbox import HISTORY_MS
from ccagent.store.work import SENT_TYPES

REASON: Final = "expired"
"""As of what is too old for its destination when its turn comes."""

_WAITING: Final = (
    "SELECT w.value, p.value, COUNT(*) FROM {blobs} JOIN fact f ON f.key = k.value JOIN context c ON c.id = f.context"
    " LEFT JOIN name w ON w.id = c.cwd LEFT JOIN name p ON p.id = c.project"
    " JOIN export_cursor e ON e.host = f.closed_host AND e.closed_seq < f.closed_seq"
    " WHERE e.destination = ? AND e.signal = ? AND f.type IN ({types}) AND {last_at} >= e.named_at - {history}"
    " GROUP BY 1, 2"
)


def count_unsent(state: Ingest, keys: Any) -> None:
    """Count those of the facts that a destination in force waits for, within the transaction that removes them. `keys`
    as the dialect lists them. What is history for a destination, or may not leave, was never to get there."""
    conn = state.conn
    for destination, signal in state.destinations:
        sql = _WAITING.format(
            blobs=conn.dialect.blobs, types=listed(SENT_TYPES[signal]), last_at=last_at(conn), history=HISTORY_MS
        )
        found = conn.execute(sql, (keys, destination, signal)).fetchall()
        lost = sum(int(number) for cwd, project, number in found if state.ledger.leaves(cwd, project))
        state.booking.count(metric.EXPORTS_DROPPED, (destination, signal, REASON), lost)
