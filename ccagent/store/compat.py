"""The compatible set on a store: switched on, it is booked in the transactions that write the facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType
from ccagent.metrics.compat import COMPAT
from ccagent.metrics.compat_ledger import CompatLedger
from ccagent.store.connection import scalar
from ccagent.store.generation import note_start, restarts

if TYPE_CHECKING:
    from ccagent.store.ingest import Ingest
    from ccagent.store.writer import Writer

_MODEL: Final = (
    "SELECT model.value FROM fact f JOIN fact request ON request.key = f.request"
    " JOIN name model ON model.id = request.name WHERE f.key = ?"
)
_EXTRA: Final = "SELECT extra FROM fact WHERE key = ?"
_CAUGHT_UP: Final = "SELECT catch_up_done FROM host WHERE id = ?"


def switch(store: Writer, *, on: bool) -> None:
    """Book the compatible set from the next transaction on, or no more. StoreError where its start cannot be written.

    Where the history was read before, the set starts at zero now; on a store that has read nothing yet it holds
    all that is read, as every counter does. Switched off it keeps its values; switched on again it goes on from them.
    """
    state = store.ingest_state
    if not on:
        state.ledger.compat = None
        return
    store.run(_start)

    def model_of(tool: str) -> str | None:
        found = scalar(state.conn, _MODEL, (fact_key(EventType.TOOL_CALL, tool),))
        return None if found is None else str(found)

    def extra_of(tool: str) -> str | None:
        found = scalar(state.conn, _EXTRA, (fact_key(EventType.FILE_UPDATE, tool),))
        return None if found is None else str(found)

    state.ledger.compat = CompatLedger(state.booking, state.budget, model_of, extra_of)


def _start(state: Ingest) -> None:
    """Write down the set's start, once; nothing where the first catch-up is still to come."""
    if scalar(state.conn, _CAUGHT_UP, (state.host,)) is None:
        return
    fresh = COMPAT.keys() - restarts(state.conn, state.host).keys() - _booked(state)
    if fresh:
        note_start(state.conn, state.host, sorted(fresh), state.now_ms)
        state.wrote = True


def _booked(state: Ingest) -> set[str]:
    """Metrics of the set that have amounts: they began with the store."""
    sql = "SELECT DISTINCT metric FROM total WHERE host = ?"
    return {str(row[0]) for row in state.conn.execute(sql, (state.host,)) if row[0] in COMPAT}
