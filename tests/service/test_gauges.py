"""Gauges of the metrics page: true at this moment, and of this machine only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw
import pytest

from ccagent.metrics import names as metric
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.snapshot import Snapshot
from ccagent.metrics.spec import Kind
from ccagent.service.gauges import Memory, make_snapshot
from ccagent.service.live import Live
from ccagent.service.measuring import Measured
from ccagent.store.connection import Connection
from ccagent.store.writer import Writer
from tests.service.conftest import NOW
from tests.sources.feed import Feed
from tests.store.worked import worked

pytestmark = pytest.mark.usefixtures("either_store")

FACTS = re.compile(r"\b(fact|telemetry_events|rollup|context|link)\b")


@pytest.fixture
def feed() -> Feed:
    return Feed(now_ms=NOW)


@pytest.fixture
def store(feed: Feed) -> Writer:
    return feed.store


def values(found: Snapshot, name: str) -> list[object]:
    """The values of a metric, [] where it is absent."""
    return [point.value for family in found.families if family.spec.name == name for point in family.points]


def taken(store: Writer, live: Live, conn: Any = None, **options: Any) -> Snapshot:
    options.setdefault("project_label", False)
    return make_snapshot(conn or store.conn, live, store.database, store.host_id, NOW, **options)


def test_the_age_of_the_oldest_unread_change_is_the_lag(store: Writer, live: Live) -> None:
    live.oldest_unread_ms = NOW - 2_500

    assert values(taken(store, live), metric.INGEST_LAG) == [2.5]


def test_without_anything_unread_there_is_no_lag(store: Writer, live: Live) -> None:
    assert values(taken(store, live), metric.INGEST_LAG) == [0]


def test_a_file_from_the_future_gives_no_negative_lag(store: Writer, live: Live) -> None:
    live.oldest_unread_ms = NOW + 60_000

    assert values(taken(store, live), metric.INGEST_LAG) == [0]


def test_a_refused_configuration_shows_as_0(store: Writer, live: Live) -> None:
    live.reload_ok = False

    assert values(taken(store, live), metric.CONFIG_LAST_RELOAD_SUCCESS) == [0]


def test_each_state_of_an_export_is_a_series_and_one_of_them_is_1(store: Writer, live: Live) -> None:
    live.exports = {"otlp/traces": {"state": "degraded", "backlog": 12}}

    found = taken(store, live)

    assert sorted(values(found, metric.EXPORT_STATE)) == [0, 0, 0, 0, 1]  # type: ignore[type-var]
    assert values(found, metric.EXPORT_BACKLOG) == [12]


def test_gauges_of_the_daemon_leave_the_machine(store: Writer, live: Live) -> None:
    live.exports = {"otlp/traces": {"state": "degraded", "backlog": 12}}

    found = taken(store, live, exportable_only=True)

    assert values(found, metric.EXPORT_BACKLOG) == [12]
    assert values(found, metric.BUILD_INFO) == [1]


def test_of_gauges_of_facts_leaves_what_was_measured_over_those_that_may(feed: Feed, live: Live) -> None:
    feed.store.catch_up_done()
    local = {(metric.TASKS_KNOWN, ("",)): 5, (metric.COST_FORECAST, ("month",)): 12.5}
    measured = Measured(local, {(metric.TASKS_KNOWN, ("",)): 2}, projects=False)

    page, sent = (
        taken(feed.store, live, measured=measured, exportable_only=exportable_only) for exportable_only in (False, True)
    )

    assert (values(page, metric.TASKS_KNOWN), values(page, metric.COST_FORECAST)) == ([5], [12.5])
    assert (values(sent, metric.TASKS_KNOWN), values(sent, metric.COST_FORECAST)) == ([2], [])
    assert values(sent, metric.LEDGER_START) == []


def test_only_what_says_so_leaves() -> None:
    gauges = {name: spec for name, spec in METRICS.items() if spec.kind is Kind.GAUGE}

    assert {spec.exported for spec in gauges.values() if not spec.from_facts} == {"own"}
    assert {spec.exported for spec in gauges.values() if spec.from_facts} == {"", "permitted"}
    assert {spec.exported for name, spec in METRICS.items() if name not in gauges} == {""}


def test_what_was_measured_with_projects_is_not_shown_without(feed: Feed, live: Live) -> None:
    feed.store.catch_up_done()
    measured = Measured({(metric.COST_ANOMALY, ("atlas",)): 0.5, (metric.COST_ANOMALY, ("b",)): 0.7}, {}, projects=True)

    assert values(taken(feed.store, live, measured=measured), metric.COST_ANOMALY) == []
    assert values(taken(feed.store, live, measured=measured, project_label=True), metric.COST_ANOMALY) == [0.5, 0.7]


class Recording:
    """A connection that remembers what it was asked."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)

    def execute(self, statements: str, bindings: Any = (), /) -> Any:
        self.asked.append(statements)
        return self._conn.execute(statements, bindings)


@contextmanager
def tables_read(conn: Any) -> Iterator[set[str]]:
    """The tables that SQLite itself says are read."""
    found: set[str] = set()

    def look(action: int, first: str | None, *_: str | None) -> int:
        if action == apsw.SQLITE_READ:
            found.add(str(first))
        return apsw.SQLITE_OK

    before = conn.authorizer
    conn.authorizer = look
    try:
        yield found
    finally:
        conn.authorizer = before


@pytest.mark.parametrize("exportable_only", [False, True])
def test_no_statement_of_a_scrape_reads_facts(feed: Feed, live: Live, exportable_only: bool) -> None:
    feed.store.catch_up_done()
    feed.read(worked())
    recording = Recording(feed.store.conn)

    page = taken(feed.store, live, recording, exportable_only=exportable_only, memory=Memory())

    assert page.families
    assert len(recording.asked) > 3
    assert [asked for asked in recording.asked if FACTS.search(asked)] == []


@pytest.mark.sqlite
def test_no_table_that_a_scrape_reads_holds_facts(feed: Feed, live: Live) -> None:
    feed.store.catch_up_done()
    feed.read(worked())

    with tables_read(feed.store.conn) as found:
        taken(feed.store, live)

    assert found == {"host", "total", "histogram", "meta"}
