"""What the database knows of the export without a daemon: how far each destination is, since when something waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ccagent.facts.model import EventType
from ccagent.store.closed import last_at, listed
from ccagent.store.connection import Connection, scalar
from ccagent.store.outbox import Cursor, backlog

COUNTED: Final = 100_000
"""Waiting facts are counted up to here: more of them say the same."""

_CURSORS: Final = (
    "SELECT destination, signal, named_at, closed_seq, sent, rejected, updated_at FROM export_cursor WHERE host = ?"
    " ORDER BY destination, signal"
)
_DEAD: Final = "SELECT COUNT(*) FROM export_dead WHERE destination = ? AND signal = ?"


_PROJECTS: Final = "SELECT DISTINCT n.value FROM context c JOIN name n ON n.id = c.project ORDER BY n.value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one destination has one signal: `waiting` facts behind its cursor, the oldest of which ended at
    `oldest_ms` (None where none waits), `set_aside` facts that it refused for ever; times are ms UTC."""

    waiting: int
    oldest_ms: int | None
    sent: int
    rejected: int
    set_aside: int
    named_ms: int
    moved_ms: int


def project_paths(conn: Connection) -> list[str]:
    """The paths of all projects that there are facts of."""
    return [str(path) for (path,) in conn.execute(_PROJECTS).fetchall()]


def progress(
    conn: Connection, host: int, destination: str, signal: str, types: Iterable[EventType], not_before: int
) -> Progress | None:
    """The state behind a cursor, None where the destination was never named. What ended before `not_before` (ms) does
    not wait: it is given up when its turn comes."""
    for name, kind, named_at, closed_seq, sent, rejected, updated_at in conn.execute(_CURSORS, (host,)).fetchall():
        if (name, kind) != (destination, signal):
            continue
        cursor = Cursor(
            destination=name, signal=kind, host=host, named_at=named_at, closed_seq=closed_seq, sent=sent,
            rejected=rejected,
        )  # fmt: skip
        kinds = tuple(types)
        since = max(not_before, cursor.not_before)
        return Progress(
            waiting=backlog(conn, cursor, COUNTED, types=kinds, not_before=since),
            oldest_ms=_oldest(conn, cursor, kinds, since),
            sent=sent,
            rejected=rejected,
            set_aside=int(scalar(conn, _DEAD, (destination, signal))),
            named_ms=named_at,
            moved_ms=updated_at,
        )
    return None


def _oldest(conn: Connection, cursor: Cursor, types: Iterable[EventType], not_before: int) -> int | None:
    """When the first fact behind the cursor ended: facts leave in the order of their closing."""
    end = last_at(conn)
    found = scalar(
        conn,
        f"""SELECT {end} FROM fact f WHERE f.closed_host = ? AND f.closed_seq > ? AND f.type IN ({listed(types)})
            AND {end} >= ? ORDER BY f.closed_seq LIMIT 1""",
        (cursor.host, cursor.closed_seq, not_before),
    )
    return None if found is None else int(found)
