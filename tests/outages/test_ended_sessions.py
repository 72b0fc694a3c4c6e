"""Sessions that somebody or something ends at the server: the daemon opens others, and nobody notices."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent.clock import FakeClock
from ccagent.store.ingest import Ingest
from ccagent.store.location import parse_database
from ccagent.store.postgres import PostgresStore
from tests.kill import oracle
from tests.otlp.receiver import Running, http_receiver
from tests.outages.rig import LONG, at_random, served
from tests.pg import Server, dbname

KILLS = 200 if LONG else 16

IDLE_MS = 400

_END = (
    "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE datname = %s"
    " AND application_name LIKE %s ORDER BY random() LIMIT %s) AS chosen"
)


@pytest.fixture
def collector() -> Iterator[Running]:
    with http_receiver() as running:
        yield running


def test_ended_sessions_of_writer_and_readers_lose_and_double_nothing(
    tmp_path: Path, pg_server: Server, pg_database: str, collector: Running
) -> None:
    """The writer's session is the scheduler's, too; the readers are those of the exporter and of the metrics page."""
    chance = random.Random(11)
    ended = {"ccagent reader%": 0, "ccagent %": 0}

    def end_some() -> None:
        kind = chance.choice(list(ended))
        ended[kind] += pg_server.rows(_END, (dbname(pg_database), kind, chance.choice((1, 9))))[0][0]

    with served(tmp_path / "ground", pg_database) as ground:
        daemon = ground.start("--otlp-endpoint", collector.http, "--otlp-protocol", "http/protobuf")
        daemon.until_logged("listen.open")
        with ground.writing(seed=1):
            daemon.until(ground.taken, "something is taken in")
            at_random(chance, KILLS, 0.05, 0.2, lambda: (end_some(), daemon.page()))
        ground.until_all_is_taken(daemon)
        daemon.until(lambda: ground.findings() == [], "nothing is lost or doubled")
        # Timers go on closing facts, so what is expected is asked anew each time.
        daemon.until(
            lambda: {span.span_id for span in collector.received.spans} == oracle.spans(pg_database),
            "all spans have left, and no others",
        )

        assert min(ended.values()) > 0, ended
        assert daemon.process.poll() is None, daemon.words
        assert ground.differences() == 0


def test_sessions_that_idle_too_long_are_ended_and_nobody_notices(tmp_path: Path, own_pg_server: Server) -> None:
    name = own_pg_server.create_database()
    own_pg_server.rows(f"ALTER DATABASE {name} SET idle_session_timeout = '{IDLE_MS}ms'")
    with served(tmp_path / "ground", own_pg_server.tcp_uri(name)) as ground:
        daemon = ground.start()
        daemon.until_logged("listen.open")
        for seed in (1, 2):
            ground.write_turns(1, seed=seed)
            ground.until_all_is_taken(daemon)
            daemon.page()
            time.sleep(2 * IDLE_MS / 1_000)  # idling is what the test is about

        assert own_pg_server.log.read_text().count("due to idle-session timeout") > 1
        assert ground.events(daemon, "store.refused") == 0, daemon.words
        assert ground.findings() == []


def test_a_session_that_is_ended_for_idling_in_a_transaction_is_replaced(pg_database: str) -> None:
    store = PostgresStore(parse_database(pg_database), host_id="one", clock=FakeClock(0))
    backends = []

    def work(state: Ingest) -> None:
        backends.append(store.conn.backend_pid)
        state.booking.count("starts", ("0",))
        if len(backends) == 1:
            state.conn.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_MS}ms'")
            time.sleep(2 * IDLE_MS / 1_000)

    try:
        store.run(work)

        assert len(set(backends)) == 2
        assert store.ask("SELECT SUM(value) FROM total WHERE metric = 'starts'") == [(1,)]
    finally:
        store.close()


def test_a_statement_that_ends_every_session_is_not_repeated_for_ever(pg_database: str) -> None:
    store = PostgresStore(parse_database(pg_database), host_id="one", clock=FakeClock(0))
    tries = []

    def work(state: Ingest) -> None:
        tries.append(store.conn.backend_pid)
        state.conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    try:
        with pytest.raises(Exception, match="terminating connection"):
            store.run(work)

        assert len(tries) == 2
    finally:
        store.close()
