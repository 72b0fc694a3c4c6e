"""What only the writer of a shared database has to cope with: a database that did not stand still, and others in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from ccagent.clock import FakeClock
from ccagent.errors import AwayError, InstanceRunningError, OutdatedError, StoreError
from ccagent.metrics import names as metric
from ccagent.store.advisory import AdvisoryLock, host_key
from ccagent.store.ingest import Ingest
from ccagent.store.location import parse_database
from ccagent.store.pgconnection import SCHEMA, connect
from ccagent.store.postgres import PostgresStore
from tests.pg import Server

STARTS = "SELECT COALESCE(SUM(value), 0) FROM total WHERE metric = 'starts'"


def opened(url: str, host: str = "one") -> PostgresStore:
    return PostgresStore(parse_database(url), host_id=host, clock=FakeClock(0))


@pytest.fixture
def store(pg_database: str) -> Iterator[PostgresStore]:
    found = opened(pg_database)
    yield found
    found.close()


def count(state: Ingest) -> None:
    state.booking.count("starts", ("0",))


def admit(state: Ingest) -> None:
    count(state)
    state.budget.admit(metric.TOKENS, "model", "a")


class TestADatabaseThatDidNotStandStill:
    """Another process has written as this host, or the server lost commits."""

    @pytest.mark.parametrize("change", ["commits + 1", "commits - 1"])
    def test_nothing_is_written_until_the_store_has_resumed(self, store: PostgresStore, change: str) -> None:
        store.run(count)
        store.conn.execute(f"UPDATE host SET commits = {change}")

        for _ in range(2):
            with pytest.raises(OutdatedError, match="positions are read anew"):
                store.run(count)
        store.resume()
        store.run(count)

        assert store.ask(STARTS) == [(2,)]
        assert store.epoch == 1

    def test_a_store_that_resumes_knows_what_is_there_now(self, store: PostgresStore) -> None:
        store.run(admit)
        store.conn.execute("DELETE FROM label_value")
        store.conn.execute("UPDATE host SET catch_up_done = 5, commits = commits - 1")

        store.resume()
        store.run(admit)

        assert store.ingest_state.live
        assert store.ask("SELECT value FROM label_value") == [("a",)]

    def test_numbers_of_texts_are_asked_for_anew_on_another_session(
        self, store: PostgresStore, pg_database: str
    ) -> None:
        """They are given outside of the transactions that are counted: a failover may have lost the last of them."""
        store.ingest_state.names.prepare(["a"])
        store.conn.execute("DELETE FROM name")
        other = opened(pg_database, "two")
        other.conn.execute("SELECT pg_terminate_backend(?::integer, 5000)", (store.conn.backend_pid,))
        other.close()

        while not store.elected():
            pass
        number = store.run(lambda state: state.names.id("a"))

        assert store.ask("SELECT id, value FROM name") == [(number, "a")]

    def test_transactions_of_its_own_are_no_surprise(self, store: PostgresStore) -> None:
        for _ in range(3):
            store.run(count)
            store.run(lambda state: None)
            with pytest.raises(ZeroDivisionError):
                store.run(lambda state: 1 / 0)

        assert store.ask(STARTS) == [(3,)]

    def test_another_hosts_commits_are_no_surprise(self, store: PostgresStore, pg_database: str) -> None:
        store.run(count)
        other = opened(pg_database, "two")
        other.run(count)
        other.close()

        store.run(count)

        assert store.ask(STARTS) == [(3,)]

    def test_a_database_without_this_host_is_another_one(self, store: PostgresStore) -> None:
        assert not store.replaced()
        store.conn.execute("DELETE FROM host")

        with pytest.raises(StoreError, match="no longer entered"):
            store.run(count)

        assert store.replaced()


class TestOthers:
    def test_statistics_that_another_host_makes_at_this_moment_are_not_waited_for(
        self, store: PostgresStore, pg_database: str
    ) -> None:
        other = opened(pg_database, "two")
        other.conn.execute("BEGIN")
        other.conn.execute("LOCK TABLE fact IN SHARE UPDATE EXCLUSIVE MODE")
        store.conn.execute("SET lock_timeout = '20ms'")

        store.catch_up_done()

        other.close()
        assert store.ask("SELECT catch_up_done FROM host WHERE host_id = 'one'") == [(0,)]
        store.run(count)

    def test_one_of_all_hosts_is_elected_and_when_its_session_ends_another(
        self, store: PostgresStore, pg_database: str
    ) -> None:
        other = opened(pg_database, "two")
        try:
            assert [store.elected(), other.elected(), store.elected()] == [True, False, True]
            other.conn.execute("SELECT pg_terminate_backend(?::integer, 5000)", (store.conn.backend_pid,))

            assert [other.elected(), store.elected(), other.elected()] == [True, False, True]
        finally:
            other.close()

    def test_a_host_whose_place_was_taken_says_by_whom(
        self, pg_database: str, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ccagent.store.postgres.PATIENCE_SECONDS", 0.2)
        store.conn.close()
        thief = connect(pg_database, application_name="ccagent one 1 00000000")
        assert AdvisoryLock(thief, host_key(SCHEMA, "one")).try_acquire()

        with pytest.raises(InstanceRunningError, match="another ccagent writes for host one"):
            store.run(count)

        thief.close()
        store.run(count)


class TestTheEnd:
    def test_who_is_told_to_end_opens_no_session_any_more(self, store: PostgresStore) -> None:
        store.leave()
        store.run(count)
        store.conn.close()

        with pytest.raises(AwayError, match="at the next start"):
            store.run(count)

    def test_closing_does_not_wait_for_a_transaction_that_hangs(self, pg_database: str) -> None:
        store = opened(pg_database)
        begun, go_on = threading.Event(), threading.Event()

        def work(state: Ingest) -> None:
            begun.set()
            go_on.wait()

        hanging = threading.Thread(target=store.run, args=(work,))
        hanging.start()
        begun.wait()
        started = time.monotonic()

        store.close()

        waited = time.monotonic() - started
        go_on.set()
        hanging.join()
        store.close()
        assert waited < 5
        assert store.conn.in_transaction is False

    def test_a_server_that_is_away_is_told_apart_from_one_that_refuses(self, pg_server: Server) -> None:
        with pytest.raises(AwayError):
            opened("postgresql://someone@127.0.0.1:1/db")
        for url in (pg_server.tcp_uri(password="wrong"), pg_server.uri("absent")):
            with pytest.raises(StoreError) as raised:
                opened(url)
            assert not isinstance(raised.value, AwayError)
