"""The metrics of this moment: the totals, what the threads tell of themselves, and what was measured last."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from ccagent.errors import StoreError
from ccagent.metrics import names as metric
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.compat import COMPAT
from ccagent.metrics.exemplars import Found
from ccagent.metrics.remembered import Remembered
from ccagent.metrics.snapshot import NO_EXEMPLARS, Gauges, History, Snapshot
from ccagent.metrics.spec import MetricSpec
from ccagent.rollups.metrics import PERIODS
from ccagent.service.live import Live
from ccagent.service.measuring import NOT_MEASURED, Measured
from ccagent.store import totals
from ccagent.store.connection import Connection, snapshot
from ccagent.store.generation import restarts
from ccagent.store.hosts import Host, read_host
from ccagent.store.location import Database
from ccagent.store.size import file_size, stored_bytes

WITH_COMPAT: Final[Mapping[str, MetricSpec]] = MappingProxyType({**METRICS, **COMPAT})
"""Both registries, the catalogue first."""

NO_ALERTS: Final[Gauges] = MappingProxyType({})

EXPORT_STATES: Final = ("disabled", "active", "degraded", "circuit_open", "half_open")


class Memory:
    """What is kept between two snapshots of one kind: those of the page, or those that leave. Whoever uses it holds
    its lock: several destinations may ask at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.totals = totals.Reading()
        self.families = Remembered()


def make_snapshot(
    conn: Connection,
    live: Live,
    database: Database,
    host_id: str,
    now_ms: int,
    *,
    project_label: bool,
    exportable_only: bool = False,
    compat: bool = False,
    measured: Measured = NOT_MEASURED,
    exemplars: Mapping[str, Found] = NO_EXEMPLARS,
    alerts: Gauges = NO_ALERTS,
    memory: Memory | None = None,
) -> Snapshot:
    """All metrics of this moment. It reads totals, never facts and never rollups; with the `memory` of the snapshot
    before it costs what has changed since. `compat`: the compatible set too."""
    memory = memory or Memory()
    with memory.lock, snapshot(conn):
        host = read_host(conn, host_id)
        if host is None:
            raise StoreError(f"this host is no longer entered in {database.display}; start ccagent again")
        stored = memory.totals.read(conn, host.id)
        history = _history(host, restarts(conn, host.id))
        gauges = dict(own_gauges(conn, live, database, now_ms))
        if measured.projects == project_label:
            gauges |= measured.leaving if exportable_only else measured.local
        gauges |= alerts
        if history.ledger_ms is not None:
            gauges[metric.LEDGER_START, ()] = history.ledger_ms / 1_000
        if exportable_only:
            gauges = {key: value for key, value in gauges.items() if METRICS[key[0]].exported}
        return memory.families.snapshot(
            stored, gauges, history, project_label=project_label, exportable_only=exportable_only,
            registry=WITH_COMPAT if compat else METRICS, exemplars=exemplars,
        )  # fmt: skip


def _history(host: Host, restarted: Mapping[str, int]) -> History:
    ledger = host.ledger_start if host.ledger_start is None else max(host.ledger_start, restarted.get(metric.TOKENS, 0))
    return History(store_ms=host.created_at, ledger_ms=ledger, caught_up_ms=host.catch_up_done, restarted=restarted)


def own_gauges(conn: Connection, live: Live, database: Database, now_ms: int) -> Gauges:
    """What the daemon tells of itself."""
    found: dict[tuple[str, tuple[str, ...]], int | float] = {
        (metric.INGEST_LAG, ()): max(0.0, (now_ms - live.oldest_unread_ms) / 1_000) if live.oldest_unread_ms else 0.0,
        (metric.INGEST_PENDING, ()): live.pending_bytes,
        (metric.STORE_SIZE, ()): stored_bytes(conn, database),
        (metric.STORE_WAL, ()): file_size(database.target + "-wal") if database.kind == "sqlite" else 0,
        (metric.BUILD_INFO, ()): 1,
        (metric.CONFIG_LAST_RELOAD_SUCCESS, ()): int(live.reload_ok),
    }
    if live.rollups_at is not None:
        for period in PERIODS.values():
            found[metric.ROLLUP_LAST_SUCCESS, (period,)] = live.rollups_at / 1_000
    for key, export in live.exports.items():
        destination, _, signal = key.rpartition("/")
        found[metric.EXPORT_BACKLOG, (destination, signal)] = int(_any(export.get("backlog")))
        for state in EXPORT_STATES:
            found[metric.EXPORT_STATE, (destination, signal, state)] = int(export.get("state") == state)
    return found


def _any(value: Any) -> int:
    return value if isinstance(value, int) else 0
