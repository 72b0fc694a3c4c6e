"""The table `measured`: what facts amount to by hour, session and labels, for the metrics that alert rules ask for.

An hour is measured when somebody asks for it (store/measured_hours.py), and stays until a refresh of rollups makes the
hour anew: what makes an hour's rollups stale makes its amounts stale. One thing changes amounts and no rollup, a fact that
closes: those are followed by the hosts' change numbers. Hours before `sealed_before` are never measured, since their facts
may be gone; those that were measured before stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from ccagent.store.connection import Connection, scalar

if TYPE_CHECKING:
    from ccagent.store.measured_facts import Sums

DONE: Final = 0
"""`claim` of an hour that is measured."""

ASKED_FOR: Final = -1
"""Stands in `hour` of the row that says that a metric is asked for: its hours come and go."""

_NEXT: Final = "SELECT MIN(metric) FROM measured_hour WHERE metric > ?"
"""One search in the index: so the metrics are found without reading all hours."""

_DROP: Final = "DELETE FROM measured WHERE metric = ? AND hour = ?"
_CLAIM: Final = (
    "INSERT INTO measured_hour (metric, hour, claim) VALUES (?, ?, ?)"
    f" ON CONFLICT (metric, hour) DO UPDATE SET claim = excluded.claim WHERE measured_hour.claim <> {DONE}"
)
_CLAIMED: Final = "SELECT hour FROM measured_hour WHERE metric = ? AND claim = ? AND hour >= ? AND hour <= ?"
_SETTLE: Final = f"UPDATE measured_hour SET claim = {DONE} WHERE metric = ? AND hour = ?"
_KEEP: Final = (
    "INSERT INTO measured (metric, hour, session, project, labels, value, count, buckets)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


def tracked(conn: Connection) -> list[str]:
    """The metrics that were asked for, by canonical name."""
    found: list[str] = []
    last = ""
    while (metric := scalar(conn, _NEXT, (last,))) is not None:
        last = str(metric)
        found.append(last)
    return found


def forget(conn: Connection, hours: Collection[int]) -> None:
    """These hours (their starts, ms UTC) were made anew, or are about to be. In the caller's transaction.

    Costs one search where nothing is measured.
    """
    metrics = tracked(conn) if hours else []
    for metric in metrics:
        listed = conn.dialect.listed(sorted(hours))
        for table in ("measured", "measured_hour"):
            conn.execute(
                f"DELETE FROM {table} WHERE metric = ? AND hour IN (SELECT k.value FROM {conn.dialect.numbers})",
                (metric, listed),
            )


def forget_from(conn: Connection, start: int) -> None:
    """Forget all hours from `start` (ms UTC) on: rollups are made anew from there. In the caller's transaction."""
    for table in ("measured", "measured_hour"):
        conn.execute(f"DELETE FROM {table} WHERE hour >= ?", (max(start, 0),))


def keep_only(conn: Connection, metrics: Collection[str]) -> None:
    """Forget what no rule asks for any more, sealed hours too. In the caller's transaction."""
    for metric in tracked(conn):
        if metric not in metrics:
            for table in ("measured", "measured_hour"):
                conn.execute(f"DELETE FROM {table} WHERE metric = ?", (metric,))


def claim(conn: Connection, metrics: Sequence[str], hours: Sequence[int], mark: int) -> None:
    """Say that these hours are about to be read; those that are measured stay so. In a transaction that is over before the
    reading begins."""
    conn.executemany(_CLAIM, [(metric, ASKED_FOR, DONE) for metric in metrics])
    conn.executemany(_CLAIM, [(metric, hour, mark) for metric in metrics for hour in hours])


def claimed(conn: Connection, metrics: Sequence[str], mark: int, first: int, last: int) -> set[tuple[str, int]]:
    """Metrics and hours from `first` to `last` of which the claim still stands."""
    return {(metric, int(row[0])) for metric in metrics for row in conn.execute(_CLAIMED, (metric, mark, first, last))}


def keep(conn: Connection, hours: Mapping[int, Sums], metrics: Sequence[str], mark: int) -> None:
    """Put the amounts of these hours in place, of those whose claim still stands. In the caller's transaction."""
    standing = {place for place in claimed(conn, metrics, mark, min(hours), max(hours)) if place[1] in hours}
    rows: list[tuple[Any, ...]] = [
        (place.metric, hour, place.session, place.project, place.labels, held.value, held.count,
         None if held.buckets is None else orjson.dumps(held.buckets).decode())
        for hour, sums in hours.items()
        for place, held in sums.items()
        if (place.metric, hour) in standing
    ]  # fmt: skip
    conn.executemany(_DROP, sorted(standing))
    conn.executemany(_KEEP, rows)
    conn.executemany(_SETTLE, sorted(standing))
