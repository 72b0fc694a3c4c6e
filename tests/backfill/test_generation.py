"""A new generation of counters: exported at zero, with a new start, and growing from there."""

from __future__ import annotations

import time

import pytest

from ccagent.backfill import backfill
from ccagent.export.otlp.metrics import encode_metrics
from ccagent.job import Job
from ccagent.metrics import names
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.snapshot import History, Snapshot
from ccagent.metrics.spec import Kind
from ccagent.rebuild import rebuild
from ccagent.selection import Selection
from ccagent.service.gauges import make_snapshot
from ccagent.service.live import Live
from ccagent.store import outbox, rows
from ccagent.store.connection import Connection
from ccagent.store.generation import OF_FACTS, OF_PRICES, restarts
from ccagent.store.location import parse_database
from ccagent.store.rebuilding import COMPARED
from tests.backfill.ground import Ground, session, tomorrow


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def shown(ground: Ground) -> Snapshot:
    """What a scrape of this moment shows."""
    config = ground.config()
    database = parse_database(config.database, config.paths.state_dir)
    with ground.reader() as conn:
        host = str(conn.execute("SELECT host_id FROM host").fetchall()[0][0])
        return make_snapshot(conn, Live(), database, host, now_ms(), project_label=True)


def starts(snapshot: Snapshot) -> dict[str, set[int]]:
    """When the series of each counter and histogram start, by name."""
    return {
        family.spec.name: {point.created_ms for point in family.points}
        for family in snapshot.families
        if family.spec.kind is not Kind.GAUGE
    }


@pytest.fixture
def full(ground: Ground) -> Ground:
    """A ground with two sessions taken in."""
    ground.tree.write(session(0), session(1))
    ground.take_in()
    return ground


def test_every_metric_of_facts_belongs_to_a_generation_and_no_other() -> None:
    assert set(OF_PRICES) < set(OF_FACTS)
    assert set(OF_FACTS) == {name for name, spec in METRICS.items() if spec.from_facts and spec.kind is not Kind.GAUGE}
    assert names.INGEST_BYTES not in OF_FACTS


def test_every_series_of_facts_starts_with_the_rebuild(full: Ground) -> None:
    before = starts(shown(full))
    moment = now_ms()

    full.rebuild()

    after = starts(shown(full))
    assert all(start >= moment for name in OF_FACTS for start in after.get(name, ()))
    assert all(start < moment for name in OF_FACTS for start in before.get(name, ()))
    own = before.keys() - set(OF_FACTS) - {names.ROLLUP_DURATION}
    assert {name: after[name] for name in own} == {name: before[name] for name in own}


def test_what_comes_later_grows_from_zero_and_keeps_that_start(full: Ground) -> None:
    full.rebuild()
    first = starts(shown(full))[names.PROMPTS]

    full.tree.write(session(3, actions=("prompt", "reply")))  # of a project that has series already
    full.take_in()

    assert full.counters()[names.PROMPTS] == 1
    assert full.counters()[names.REQUESTS] == 1
    assert full.counters(booked=True)[names.REQUESTS] == full.rows("SELECT COUNT(*) FROM fact WHERE type = 4")[0][0]
    assert starts(shown(full))[names.PROMPTS] == first


def test_the_start_moves_in_otlp(full: Ground) -> None:
    def start_of(name: str) -> set[int]:
        request = encode_metrics(shown(full), {}, now_ms() * 1_000_000)
        (metric,) = [
            metric
            for metric in request.resource_metrics[0].scope_metrics[0].metrics
            if metric.name == f"ccagent.{name}"
        ]
        return {point.start_time_unix_nano for point in metric.sum.data_points}

    before, moment = start_of(names.STOP_REASONS), now_ms() * 1_000_000
    full.rebuild()

    assert max(before) < moment <= min(start_of(names.STOP_REASONS))


def test_restarts_are_kept_by_host(full: Ground) -> None:
    full.rebuild()

    with full.reader() as conn:
        assert set(restarts(conn, 1)) == set(OF_FACTS)
        assert restarts(conn, 2) == {}


def test_a_series_that_shows_zero_from_the_beginning_starts_with_its_generation() -> None:
    history = History(store_ms=100, ledger_ms=10, caught_up_ms=200, restarted={names.TURNS: 500})

    assert history.origin(METRICS[names.TURNS]) == 500
    assert history.start(METRICS[names.TURNS], 150) == 500
    assert history.start(METRICS[names.TURNS], 600) == 600
    assert history.origin(METRICS[names.PROMPTS]) == 10
    assert history.start(METRICS[names.PROMPTS], 150) == 10


def test_what_changes_after_it_was_sent_is_counted_and_not_sent_again(ground: Ground) -> None:
    flags = {"privacy.tier": 1, "otlp.endpoint": "http://127.0.0.1:4318"}  # nothing is sent by a job
    ground.tree.write(session(0), session(1))
    backfill(ground.config(**flags), ground.env, Selection())
    last = ground.rows("SELECT MAX(closed_seq) FROM fact")[0][0]
    with Job(ground.config(**flags), ground.env) as job:
        host = job.store.host

        def name(conn: Connection) -> None:
            outbox.create_cursor(conn, "otlp", "traces", host, now_ms())
            cursor = outbox.read_cursor(conn, "otlp", "traces", host)
            assert cursor is not None
            outbox.advance_cursor(conn, cursor, last, now_ms())

        job.store.write(name)

    with tomorrow():
        report = rebuild(ground.config(**flags), ground.env)

    changed = ground.rows(
        "SELECT COUNT(*) FROM fact WHERE type IN (2, 4, 5, 7) AND closed_seq <= ? AND seq > ?", last, last
    )
    assert report["facts"]["stale"] == changed[0][0] > 0
    assert ground.counters()[names.EXPORTS_STALE] == changed[0][0]
    with ground.reader() as conn:
        waiting = outbox.closed_facts(conn, host, last, 10_000)
    assert {fact.native for _, fact in waiting} == set()  # what is new by these rules is no span


def test_a_rebuild_compares_every_column_that_says_what_a_fact_is() -> None:
    identity = {"key", "type", "native"}
    how_it_came_in = {"file", '"offset"', "length", "parser", "host", "seq"}
    in_its_own_way = {"flags", "cost_booked", "price", "closed_host", "closed_seq", "ended"}

    assert set(COMPARED) == set(rows.COLUMNS) - identity - how_it_came_in - in_its_own_way
