"""Closing facts that are already in the table: with their turn, with their sub-agent's link, or by a timer.

A closed fact has its `closed_seq`, once and for ever; exporters follow it, and its outcome is booked then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from ccagent.facts.model import EventType
from ccagent.store import rows
from ccagent.store.scalar import scalar

if TYPE_CHECKING:
    from ccagent.store.ingest import Ingest

TURN_IDLE_MS: Final = 10 * 60 * 1_000
"""A turn with nothing open closes when nothing was heard of it for so long; so do facts that have no turn."""

TURN_LONGEST_MS: Final = 24 * 3_600 * 1_000
"""A turn closes in any case so long after its last record."""

SESSION_IDLE_MS: Final = 30 * 60 * 1_000
"""A session is over so long after its last record; a later record re-opens it without another closing."""

SLICE: Final = 200
"""Facts that one timer transaction closes, so that it stays short."""

_CLOSE: Final = "UPDATE fact SET seq = ?, closed_seq = ?, ended = 1 WHERE id = ?"


def close_rows(ingest: Ingest, found: Iterable[rows.Row]) -> int:
    """Close these rows (tuples of rows.COLUMNS); their number."""
    updates = []
    for row in found:
        if row[rows.CLOSED_SEQ] is not None:
            continue
        fact = rows.read(row, ingest.names, ingest.contexts)
        settled = ingest.settle(fact)
        booked = row[rows.COST_BOOKED] if row[rows.COST_BOOKED] is not None else row[rows.COST] or 0
        ingest.ledger.change((fact, settled, booked), fact, settled, True)
        seq = ingest.next_seq()
        updates.append((seq, seq, row[rows.ID]))
    ingest.conn.executemany(_CLOSE, updates)
    return len(updates)


def close_turns(ingest: Ingest, turns: Iterable[str]) -> None:
    """Close these turns and all that is still open in them, sub-agents' facts included."""
    conn, names = ingest.conn, ingest.names
    for native in turns:
        turn = names.id(native)
        close_rows(ingest, rows.fetch(conn, "WHERE f.turn = ? AND f.closed_seq IS NULL", (turn,)))
        close_rows(
            ingest,
            rows.fetch(
                conn,
                "WHERE f.closed_seq IS NULL AND f.context IN (SELECT c.id FROM context c"
                " JOIN agent a ON a.agent = c.agent WHERE a.turn = ?)",
                (turn,),
            ),
        )
        found = ingest.row_of(EventType.TURN, native)
        if found is not None:
            close_rows(ingest, (found,))


def release_agent(ingest: Ingest, agent: int) -> None:
    """The sub-agent is linked: what its own rules had closed is closed now."""
    close_rows(
        ingest,
        rows.fetch(
            ingest.conn,
            "WHERE f.closed_seq IS NULL AND f.ended = 1 AND f.context IN (SELECT id FROM context WHERE agent = ?)",
            (agent,),
        ),
    )


def close_due(ingest: Ingest, now_ms: int, caught_up: Collection[int], quiet: Collection[int]) -> int:
    """Close what timers say is over; at most SLICE facts of each kind a call. `caught_up`: files that are read to
    their end; `quiet`: those of them that have not grown for a second. The number of facts closed."""
    over = _idle_turns(ingest, now_ms, caught_up)[:SLICE]
    close_turns(ingest, over)
    due = [*_quiet_requests(ingest, quiet), *_ended_sessions(ingest, now_ms, caught_up)]
    closed = close_rows(ingest, due[:SLICE])
    return len(over) + closed + close_rows(ingest, _homeless(ingest, now_ms, caught_up)[:SLICE])


def _quiet_requests(ingest: Ingest, quiet: Collection[int]) -> list[rows.Row]:
    """Requests that said why they stopped, at the end of a file that stopped growing."""
    found = rows.fetch(
        ingest.conn,
        f"WHERE f.type = {EventType.LLM_REQUEST.value} AND f.closed_seq IS NULL AND f.ended IS NULL"
        " AND f.stop IS NOT NULL",
    )
    return [row for row in found if row[rows.FILE] in quiet and not _held(ingest, row)]


def _idle_turns(ingest: Ingest, now_ms: int, caught_up: Collection[int]) -> list[str]:
    """Turns of which nothing was heard for TURN_IDLE_MS with no call open, or for TURN_LONGEST_MS in any case."""
    found = rows.fetch(
        ingest.conn,
        f"WHERE f.type = {EventType.TURN.value} AND f.closed_seq IS NULL AND f.ended_at <= ? ORDER BY f.ended_at",
        (now_ms - TURN_IDLE_MS,),
    )
    over = []
    for row in found:
        if row[rows.FILE] in caught_up:
            name = ingest.names.id(row[rows.NATIVE])
            busy = scalar(
                ingest.conn,
                f"SELECT 1 FROM fact WHERE turn = ? AND type = {EventType.TOOL_CALL.value} AND closed_seq IS NULL",
                (name,),
            )
            if busy is None or row[rows.ENDED_AT] <= now_ms - TURN_LONGEST_MS:
                over.append(row[rows.NATIVE])
    return over


def _ended_sessions(ingest: Ingest, now_ms: int, caught_up: Collection[int]) -> list[rows.Row]:
    found = rows.fetch(
        ingest.conn,
        f"WHERE f.type = {EventType.SESSION.value} AND f.closed_seq IS NULL AND f.ended_at <= ? ORDER BY f.ended_at",
        (now_ms - SESSION_IDLE_MS,),
    )
    return [row for row in found if row[rows.FILE] in caught_up]


def _homeless(ingest: Ingest, now_ms: int, caught_up: Collection[int]) -> list[rows.Row]:
    """Facts that no turn will ever close: they have none, or it is closed already."""
    open_turns = {
        number
        for (number,) in ingest.conn.execute(
            f"SELECT n.id FROM fact t JOIN name n ON n.value = t.native WHERE t.type = {EventType.TURN.value}"
            " AND t.closed_seq IS NULL"
        )
    }
    left = rows.fetch(
        ingest.conn,
        "WHERE f.closed_seq IS NULL AND f.type NOT IN"
        f" ({EventType.SESSION.value}, {EventType.TURN.value}) AND COALESCE(f.ended_at, f.occurred_at, 0) <= ?",
        (now_ms - TURN_IDLE_MS,),
    )
    return [row for row in left if row[rows.FILE] in caught_up and _turn(ingest, row) not in open_turns]


def _turn(ingest: Ingest, row: rows.Row) -> int | None:
    """The turn of a fact, its sub-agent's where it has none of its own."""
    if row[rows.TURN] is not None:
        return int(row[rows.TURN])
    agent = ingest.contexts.value(row[rows.CONTEXT]).agent
    return None if agent is None else ingest.agent_turn(agent)


def _held(ingest: Ingest, row: rows.Row) -> bool:
    """Whether the fact belongs to a sub-agent that is not linked yet."""
    agent = ingest.contexts.value(row[rows.CONTEXT]).agent
    return agent is not None and not ingest.linked(agent)
