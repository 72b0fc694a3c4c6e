"""The queue of what is to be told: a row a transition and channel, until it is sent or given up.

In a shared database a host tells what it evaluated itself. What another one has left lying (it is off, or gone) the
host that makes the rollups takes over, which makes a message at worst arrive twice, with one key.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ccagent.store.alert_states import Entry, entry
from ccagent.store.alert_summary import STUCK_ATTEMPTS
from ccagent.store.connection import Connection, scalar

ABANDONED_MS: Final = 5 * 60_000
"""Overdue by this much: whoever was to tell it does not live. A live one moves it on with every try."""

FAR_MS: Final = 25 * 3_600_000
"""No message waits longer for its next try: one that seems to was put off by a clock that was wrong."""

_ENTRY: Final = (
    "h.id, h.key, h.rule, h.subject, h.before, h.after, h.at, h.reason, h.episode, h.value, h.threshold, h.severity,"
    " h.silenced, h.period, h.host"
)
_DELIVERY: Final = "d.id, d.channel, d.state, d.attempts, d.next_at, d.error, d.sent_at"
_FROM: Final = f"SELECT {_DELIVERY}, {_ENTRY} FROM alert_delivery d JOIN alert_history h ON h.id = d.history"
_DUE: Final = (
    f"{_FROM} WHERE d.next_at IS NOT NULL AND (d.next_at <= ?1 OR d.next_at > ?2) AND (h.host = ?3 OR d.next_at <= ?4)"
    "{without} ORDER BY d.history, d.id LIMIT ?5"
)
_NEXT: Final = (
    "SELECT MIN(d.next_at) FROM alert_delivery d JOIN alert_history h ON h.id = d.history"
    " WHERE d.next_at IS NOT NULL AND h.host = ?"
)
_SETTLE: Final = "UPDATE alert_delivery SET state = ?1, next_at = ?2, error = ?3, sent_at = ?4, attempts = attempts + ?5 WHERE id = ?6"


class DeliveryState(StrEnum):
    """What became of a delivery so far."""

    WAITING = "waiting"  # for its first try, or after a failure for the next
    HELD = "held"  # by quiet hours, or to go with others
    SENT = "sent"
    FAILED = "failed"  # given up after all tries
    DROPPED = "dropped"  # not told on purpose: the channel is gone, or it was over before it could be told


OPEN: Final = (DeliveryState.WAITING, DeliveryState.HELD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A transition that is to be told on a channel, or was."""

    id: int
    channel: str
    state: DeliveryState
    attempts: int
    next_at: int | None
    error: str | None
    sent_at: int | None
    entry: Entry


def due(
    conn: Connection, now_ms: int, limit: int, *, host: int, others: bool = False, without: Sequence[str] = ()
) -> list[Delivery]:
    """What is to be told now, in the order in which it took place. `others`: what other hosts have left lying, too.
    `without`: channels that are at work, whose rows would take the room of others."""
    abandoned = now_ms - ABANDONED_MS if others else -(2**62)
    places = ", ".join(f"?{number}" for number in range(6, 6 + len(without)))
    sql = _DUE.replace("{without}", f" AND d.channel NOT IN ({places})" if without else "")
    return _read(conn, sql, (now_ms, now_ms + FAR_MS, host, abandoned, limit, *without))


def next_due(conn: Connection, host: int) -> int | None:
    """When this host's next delivery is due, None where nothing waits."""
    found = scalar(conn, _NEXT, (host,))
    return None if found is None else int(found)


def settle(
    conn: Connection,
    numbers: Collection[int],
    state: DeliveryState,
    *,
    now_ms: int,
    next_at: int | None = None,
    error: str | None = None,
    tried: bool = True,
) -> None:
    """Say what became of deliveries (their ids). `waiting` and `held` need `next_at`. `tried`: an attempt was made."""
    if (state in OPEN) is (next_at is None):
        raise ValueError(f"{state} and next_at {next_at} do not go together")
    sent_at = now_ms if state is DeliveryState.SENT else None
    conn.executemany(_SETTLE, [(str(state), next_at, error, sent_at, int(tried), number) for number in numbers])


def deliveries(conn: Connection, history: Collection[int]) -> list[Delivery]:
    """All deliveries of these rows of the history."""
    if not history:
        return []
    dialect = conn.dialect
    sql = f"{_FROM} JOIN (SELECT k.value FROM {dialect.numbers}) k ON k.value = h.id ORDER BY d.history, d.id"
    return _read(conn, sql, (dialect.listed(list(history)),))


def stuck(conn: Connection, since_ms: int, limit: int = 20) -> list[Delivery]:
    """What could not be told: tried several times in vain and still waiting, or given up since then; newest first."""
    return _read(
        conn,
        f"{_FROM} WHERE (d.next_at IS NOT NULL AND d.state = 'waiting' AND d.attempts >= {STUCK_ATTEMPTS})"
        " OR (d.state = 'failed' AND h.at >= ?) ORDER BY d.id DESC LIMIT ?",
        (since_ms, limit),
    )


def _read(conn: Connection, sql: str, values: tuple[object, ...]) -> list[Delivery]:
    return [
        Delivery(
            id=row[0], channel=row[1], state=DeliveryState(row[2]), attempts=row[3], next_at=row[4], error=row[5],
            sent_at=row[6], entry=entry(row[7:]),
        )
        for row in conn.execute(sql, values).fetchall()
    ]  # fmt: skip
