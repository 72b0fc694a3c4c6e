"""Which metrics of facts a host's totals hold from the first fact on.

A database that is older than a metric has no amounts of what was read before: the metric starts when the newer version
first opens it, which is written down as its start, and `verify` does not hold it against the facts. A rebuild books it
for everything that is there. Which metrics are held stands in `meta`, by host.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import orjson

from ccagent.metrics import names
from ccagent.metrics.happenings import HAPPENINGS
from ccagent.store.connection import Connection, scalar
from ccagent.store.generation import OF_FACTS, note_start, restarts

LATER: Final = frozenset({*(spec.name for spec in HAPPENINGS), names.SESSIONS})
"""Metrics that the first databases lack. Sessions were counted when they began; now when they end, by how they began."""

_KEEP: Final = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_GET: Final = "SELECT value FROM meta WHERE name = ?"
_ALL: Final = "SELECT h.id, m.value FROM host h LEFT JOIN meta m ON m.name = 'held.' || CAST(h.id AS TEXT)"


def begin_held(conn: Connection, host: int, now_ms: int) -> None:
    """When a database is opened for writing: a host that has written nothing yet will hold every metric; of another one
    the metrics that it lacks start now, unless they have started before."""
    kept = scalar(conn, _GET, (_name(host),))
    if kept is None:
        fresh = scalar(conn, "SELECT seq FROM host WHERE id = ?", (host,)) == 0
        keep_held(conn, host, OF_FACTS if fresh else set(OF_FACTS) - LATER)
        if fresh:
            return
    starting = set(OF_FACTS) - held(conn, host) - restarts(conn, host).keys()
    if starting:
        note_start(conn, host, starting, now_ms)


def held(conn: Connection, host: int) -> frozenset[str]:
    """The metrics whose amounts tell of all facts that this host has read."""
    return _read(scalar(conn, _GET, (_name(host),)))


def held_by_all(conn: Connection) -> frozenset[str]:
    """Those of which the same is true of every host."""
    found = frozenset(OF_FACTS)
    for _, kept in conn.execute(_ALL).fetchall():
        found &= _read(kept)
    return found


def keep_held(conn: Connection, host: int, metrics: Collection[str]) -> None:
    """Note that these metrics, and no others, are held; within the caller's transaction, where there is one."""
    conn.execute(_KEEP, (_name(host), orjson.dumps(sorted(metrics)).decode()))


def _read(kept: str | None) -> frozenset[str]:
    if kept is None:
        return frozenset(OF_FACTS) - LATER
    found: list[str] = orjson.loads(kept)
    return frozenset(found)


def _name(host: int) -> str:
    return f"held.{host}"
