"""Closing facts that are already in the table: with their turn, with their sub-agent's link, or by a timer.

A closed fact has its `closed_seq`, once and for ever; exporters follow it, and its outcome is booked then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from ccagent.facts.model import EventType, Flag
from ccagent.store import rows
from ccagent.store.connection import scalar
from ccagent.store.work import SESSION_IDLE_MS as SESSION_IDLE_MS

if TYPE_CHECKING:
    from ccagent.store.work import Work

TURN_IDLE_MS: Final = 10 * 60 * 1_000
"""A turn with nothing open closes when nothing was heard of it for so long; so do facts that have no turn."""

TURN_LONGEST_MS: Final = 24 * 3_600 * 1_000
"""A turn closes in any case so long after its last record."""

SLICE: Final = 200
"""Facts that one timer transaction closes, so that it stays short."""

_BUSY: Final = (
    f"SELECT 1 FROM fact WHERE turn = ? AND type = {EventType.TOOL_CALL.value} AND closed_seq IS NULL UNION ALL"
    " SELECT 1 FROM agent a JOIN context c ON c.agent = a.agent JOIN fact f ON f.context = c.id WHERE a.turn = ?"
    f" AND f.closed_seq IS NULL AND f.type IN ({EventType.TOOL_CALL.value}, {EventType.SUBAGENT_RUN.value}) LIMIT 1"
)
"""Whether a call, or a sub-agent, of the turn is still at work."""

_CLOSE: Final = "UPDATE fact SET host = ?, seq = ?, closed_host = ?, closed_seq = ?, ended = 1 WHERE key = ?"


def close_rows(work: Work, found: Iterable[rows.Row]) -> int:
    """Close these rows (tuples of rows.COLUMNS); their number."""
    dialect = work.conn.dialect
    if dialect.shared:
        # Another host may close the same facts at this moment: who gets the row first does, the other sees it closed.
        keys = [row[rows.KEY] for row in found if row[rows.CLOSED_SEQ] is None]
        tail = f"JOIN {dialect.blobs} ON f.key = k.value ORDER BY f.key{dialect.locking}"
        found = rows.fetch(work.conn, tail, (dialect.listed(keys),)) if keys else ()
        work.contexts.learn(row[rows.CONTEXT] for row in found)
        work.names.learn(row[column] for row in found for column in rows.NAMED)
    updates = []
    for row in found:
        if row[rows.CLOSED_SEQ] is not None:
            continue
        fact = rows.read(row, work.names, work.contexts)
        settled = work.settle(fact)
        booked = row[rows.COST_BOOKED] if row[rows.COST_BOOKED] is not None else row[rows.COST] or 0
        booked = max(booked, settled.cost or 0)  # the row keeps its cost: prices that changed since are no growth
        work.ledger.change((fact, settled, booked), fact, settled, True)
        seq = work.next_seq()
        updates.append((work.host, seq, work.host, seq, row[rows.KEY]))
    work.conn.executemany(_CLOSE, updates)
    return len(updates)


def close_turns(work: Work, turns: Iterable[str]) -> None:
    """Close these turns and all that is still open in them, sub-agents' facts included."""
    conn, names = work.conn, work.names
    for native in turns:
        turn = names.id(native)
        close_rows(work, rows.fetch(conn, "WHERE f.turn = ? AND f.closed_seq IS NULL", (turn,)))
        close_rows(
            work,
            rows.fetch(
                conn,
                "WHERE f.closed_seq IS NULL AND f.context IN (SELECT c.id FROM context c"
                " JOIN agent a ON a.agent = c.agent WHERE a.turn = ?)",
                (turn,),
            ),
        )
        found = work.row_of(EventType.TURN, native)
        if found is not None:
            close_rows(work, (found,))


def release_agent(work: Work, agent: int) -> None:
    """The sub-agent is linked: what its own rules had closed is closed now."""
    close_rows(
        work,
        rows.fetch(
            work.conn,
            "WHERE f.closed_seq IS NULL AND f.ended = 1 AND f.context IN (SELECT id FROM context WHERE agent = ?)",
            (agent,),
        ),
    )


def close_due(work: Work, now_ms: int, caught_up: Collection[int], quiet: Collection[int]) -> int:
    """Close what timers say is over, SLICE facts and what hangs on them a call; the number closed, 0 when all is done.

    `caught_up`: files that are read to their end; `quiet`: those of them that have not grown for a second.
    """
    closed = close_rows(work, _quiet_requests(work, quiet))
    over = _idle_turns(work, now_ms, caught_up)
    close_turns(work, over)
    closed += len(over)
    if len(over) < SLICE:  # with turns left their facts are not homeless yet
        closed += close_rows(work, _ended_sessions(work, now_ms, caught_up))
        closed += close_rows(work, _homeless(work, now_ms, caught_up))
    return closed


def _chosen(work: Work, tail: str, values: tuple[Any, ...], wanted: Callable[[rows.Row], bool]) -> list[rows.Row]:
    """The first SLICE rows that are `wanted`; no more are read."""
    return list(islice(filter(wanted, work.conn.execute(f"{rows.SELECT} {tail}", values)), SLICE))


def _quiet_requests(work: Work, quiet: Collection[int]) -> list[rows.Row]:
    """Requests that said why they stopped, at the end of a file that stopped growing."""
    return _chosen(
        work,
        f"WHERE f.type = {EventType.LLM_REQUEST.value} AND f.closed_seq IS NULL AND f.ended IS NULL"
        f" AND f.stop IS NOT NULL AND f.flags & {Flag.DIRECT.value} <> 0{work.mine}",
        (),
        lambda row: row[rows.FILE] in quiet and not _held(work, row),
    )


def _idle_turns(work: Work, now_ms: int, caught_up: Collection[int]) -> list[str]:
    """Turns of which nothing was heard for TURN_IDLE_MS with nothing open, or for TURN_LONGEST_MS in any case."""

    def over(row: rows.Row) -> bool:
        if row[rows.FILE] not in caught_up:
            return False
        name = work.names.id(row[rows.NATIVE])
        return row[rows.ENDED_AT] <= now_ms - TURN_LONGEST_MS or scalar(work.conn, _BUSY, (name, name)) is None

    tail = (
        f"WHERE f.type = {EventType.TURN.value} AND f.closed_seq IS NULL AND f.ended_at <= ?{work.mine}"
        " ORDER BY f.ended_at"
    )
    return [row[rows.NATIVE] for row in _chosen(work, tail, (now_ms - TURN_IDLE_MS,), over)]


def _ended_sessions(work: Work, now_ms: int, caught_up: Collection[int]) -> list[rows.Row]:
    tail = (
        f"WHERE f.type = {EventType.SESSION.value} AND f.closed_seq IS NULL AND f.ended_at <= ?{work.mine}"
        " ORDER BY f.ended_at"
    )
    return _chosen(work, tail, (now_ms - SESSION_IDLE_MS,), lambda row: row[rows.FILE] in caught_up)


def _homeless(work: Work, now_ms: int, caught_up: Collection[int]) -> list[rows.Row]:
    """Facts that no turn will ever close: they have none, or it is closed already."""
    open_turns = {
        number
        for (number,) in work.conn.execute(
            f"SELECT n.id FROM fact t JOIN name n ON n.value = t.native WHERE t.type = {EventType.TURN.value}"
            " AND t.closed_seq IS NULL"
        )
    }
    return _chosen(
        work,
        "WHERE f.closed_seq IS NULL AND f.type NOT IN"
        f" ({EventType.SESSION.value}, {EventType.TURN.value}) AND"
        f" {work.conn.dialect.greatest}(COALESCE(f.ended_at, 0), COALESCE(f.result_at, 0),"
        f" COALESCE(f.occurred_at, 0)) <= ?{work.mine}",
        (now_ms - TURN_IDLE_MS,),
        lambda row: row[rows.FILE] in caught_up and _turn(work, row) not in open_turns,
    )


def _turn(work: Work, row: rows.Row) -> int | None:
    """The turn of a fact, its sub-agent's where it has none of its own."""
    if row[rows.TURN] is not None:
        return int(row[rows.TURN])
    agent = work.contexts.value(row[rows.CONTEXT]).agent
    return None if agent is None else work.agent_turn(agent)


def _held(work: Work, row: rows.Row) -> bool:
    """Whether the fact belongs to a sub-agent that is not linked yet."""
    agent = work.contexts.value(row[rows.CONTEXT]).agent
    return agent is not None and not work.linked(agent)
