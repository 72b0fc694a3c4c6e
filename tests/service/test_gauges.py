"""Gauges of the metrics page: true at this moment, and of this machine only."""

from __future__ import annotations

from ccagent.clock import FakeClock
from ccagent.metrics import names as metric
from ccagent.metrics.snapshot import Snapshot
from ccagent.service.following import Following
from ccagent.service.gauges import make_snapshot
from ccagent.service.live import Live
from ccagent.store.sqlite import SqliteStore
from tests.daemon.rig import small_session
from tests.service.conftest import NOW
from tests.transcripts import Tree


def values(found: Snapshot, name: str) -> list[object]:
    """The values of a metric, [] where it is absent."""
    return [point.value for family in found.families if family.spec.name == name for point in family.points]


def active(found: Snapshot) -> dict[tuple[str, ...], object]:
    """The active sessions by kind."""
    return {
        point.labels: point.value for family in found.families if family.spec.name == metric.SESSIONS_ACTIVE
        for point in family.points
    }  # fmt: skip


def taken(store: SqliteStore, live: Live, **options: bool) -> Snapshot:
    return make_snapshot(store.conn, live, store.database, store.host_id, NOW, project_label=False, **options)


def test_the_age_of_the_oldest_unread_change_is_the_lag(store: SqliteStore, live: Live) -> None:
    live.oldest_unread_ms = NOW - 2_500

    assert values(taken(store, live), metric.INGEST_LAG) == [2.5]


def test_without_anything_unread_there_is_no_lag(store: SqliteStore, live: Live) -> None:
    assert values(taken(store, live), metric.INGEST_LAG) == [0]


def test_a_file_from_the_future_gives_no_negative_lag(store: SqliteStore, live: Live) -> None:
    live.oldest_unread_ms = NOW + 60_000

    assert values(taken(store, live), metric.INGEST_LAG) == [0]


def test_a_refused_configuration_shows_as_0(store: SqliteStore, live: Live) -> None:
    live.reload_ok = False

    assert values(taken(store, live), metric.CONFIG_LAST_RELOAD_SUCCESS) == [0]


def test_each_state_of_an_export_is_a_series_and_one_of_them_is_1(store: SqliteStore, live: Live) -> None:
    live.exports = {"otlp/traces": {"state": "degraded", "backlog": 12}}

    found = taken(store, live)

    assert sorted(values(found, metric.EXPORT_STATE)) == [0, 0, 0, 0, 1]  # type: ignore[type-var]
    assert values(found, metric.EXPORT_BACKLOG) == [12]


def test_what_leaves_the_machine_holds_no_gauge(store: SqliteStore, live: Live) -> None:
    live.exports = {"otlp/traces": {"state": "degraded", "backlog": 12}}

    found = taken(store, live, exportable_only=True)

    assert values(found, metric.EXPORT_BACKLOG) == []
    assert values(found, metric.STORE_SIZE) == []


def test_active_sessions_are_shown_once_the_history_is_taken_in(
    store: SqliteStore, live: Live, tree: Tree, clock: FakeClock
) -> None:
    before = active(taken(store, live))
    tree.write(small_session("live", start=NOW - 60_000), small_session("day", start=NOW - 5 * 3_600_000))
    following = Following(store, [tree.root], live, clock, max_line=1 << 20, scan_seconds=60)
    following.once()
    following.follower.close()

    assert before == {}
    assert active(taken(store, live)) == {("live",): 1, ("day",): 2}
