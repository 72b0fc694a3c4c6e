"""The gauges: what is true at this moment, from the live values and one short read of the store."""

from __future__ import annotations

from typing import Any, Final

from ccagent.errors import StoreError
from ccagent.metrics import names as metric
from ccagent.metrics.snapshot import Gauges, History, Snapshot, snapshot
from ccagent.service.live import Live
from ccagent.store import totals
from ccagent.store.connection import Connection
from ccagent.store.generation import restarts
from ccagent.store.hosts import read_host
from ccagent.store.live_queries import cache_hit_ratios
from ccagent.store.location import Database
from ccagent.store.queries import sessions_active
from ccagent.store.size import file_size, stored_bytes

LIVE_MS: Final = 30 * 60 * 1_000
DAY_MS: Final = 24 * 3_600 * 1_000
EXPORT_STATES: Final = ("disabled", "active", "degraded", "circuit_open", "half_open")


def make_snapshot(
    conn: Connection,
    live: Live,
    database: Database,
    host_id: str,
    now_ms: int,
    *,
    project_label: bool,
    exportable_only: bool = False,
) -> Snapshot:
    """All metrics of this moment. It reads totals and gauges, never the facts."""
    host = read_host(conn, host_id)
    if host is None:
        raise StoreError(f"this host is no longer entered in {database.display}; start ccagent again")
    stored = totals.read(conn, host.id)
    restarted = restarts(conn, host.id)
    ledger = host.ledger_start if host.ledger_start is None else max(host.ledger_start, restarted.get(metric.TOKENS, 0))
    history = History(
        store_ms=host.created_at, ledger_ms=ledger, caught_up_ms=host.catch_up_done, restarted=restarted
    )  # fmt: skip
    gauges = {} if exportable_only else local_gauges(conn, live, database, now_ms, history)
    return snapshot(stored, gauges, history, project_label=project_label, exportable_only=exportable_only)


def local_gauges(conn: Connection, live: Live, database: Database, now_ms: int, history: History) -> Gauges:
    """Gauges of the loopback page. They say nothing of a tier, so none of them is exported."""
    found: dict[tuple[str, tuple[str, ...]], int | float] = {
        (metric.INGEST_LAG, ()): max(0.0, (now_ms - live.oldest_unread_ms) / 1_000) if live.oldest_unread_ms else 0.0,
        (metric.INGEST_PENDING, ()): live.pending_bytes,
        (metric.STORE_SIZE, ()): stored_bytes(conn, database),
        (metric.STORE_WAL, ()): file_size(database.target + "-wal") if database.kind == "sqlite" else 0,
        (metric.BUILD_INFO, ()): 1,
        (metric.CONFIG_LAST_RELOAD_SUCCESS, ()): int(live.reload_ok),
    }
    if live.rollups_at is not None:
        for period in ("hourly", "daily", "weekly", "point"):
            found[metric.ROLLUP_LAST_SUCCESS, (period,)] = live.rollups_at / 1_000
    if history.caught_up_ms is not None:
        found[metric.SESSIONS_ACTIVE, ("live",)] = sessions_active(conn, now_ms - LIVE_MS)
        found[metric.SESSIONS_ACTIVE, ("day",)] = sessions_active(conn, now_ms - DAY_MS)
        if history.ledger_ms is not None:
            found[metric.LEDGER_START, ()] = history.ledger_ms / 1_000
        for model, ratio in cache_hit_ratios(conn, now_ms - DAY_MS).items():
            found[metric.CACHE_HIT_RATIO, (model,)] = ratio
    for key, export in live.exports.items():
        destination, _, signal = key.rpartition("/")
        found[metric.EXPORT_BACKLOG, (destination, signal)] = int(_any(export.get("backlog")))
        for state in EXPORT_STATES:
            found[metric.EXPORT_STATE, (destination, signal, state)] = int(export.get("state") == state)
    return found


def _any(value: Any) -> int:
    return value if isinstance(value, int) else 0
