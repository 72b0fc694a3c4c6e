"""The readers of a daemon beside a real Postgres that comes and goes."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from ccagent.errors import StoreError
from ccagent.store import pgpool
from ccagent.store.pgpool import ReaderPool, open_pool
from tests.pg import PASSWORD, Server, dbname
from tests.pgproxy import Proxy

SIZE = 3


@contextlib.contextmanager
def pool_of(url: str) -> Iterator[ReaderPool]:
    pool = open_pool(url, application_name="ccagent test pool", max_size=SIZE)
    try:
        yield pool
    finally:
        pool.close()


def ask(pool: ReaderPool) -> object:
    with pool.reader() as conn:
        return conn.execute("SELECT ? + 1", (1,)).fetchone()


def fill(pool: ReaderPool) -> set[int]:
    """Have as many sessions as there may be; their backends."""
    ready = threading.Barrier(SIZE)

    def hold() -> int:
        with pool.reader() as conn:
            ready.wait(20)
            return conn.backend_pid

    with ThreadPoolExecutor(SIZE) as threads:
        return {future.result() for future in [threads.submit(hold) for _ in range(SIZE)]}


def test_many_threads_share_a_few_sessions(pg_server: Server, pg_database: str) -> None:
    with pool_of(pg_database) as pool, ThreadPoolExecutor(8) as threads:
        answers = [future.result() for future in [threads.submit(ask, pool) for _ in range(200)]]
        sessions = pg_server.rows(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'ccagent test pool' AND datname = %s",
            (dbname(pg_database),),
        )

    assert answers == [(2,)] * 200
    assert 1 <= sessions[0][0] <= SIZE


def test_a_reader_cannot_write_and_is_told_so(pg_database: str) -> None:
    with pool_of(pg_database) as pool, pytest.raises(StoreError, match="takes no writes"), pool.reader() as conn:
        conn.execute("CREATE TABLE public.thing (id BIGINT)")


def test_what_a_reader_leaves_open_is_rolled_back(pg_database: str, caplog: pytest.LogCaptureFixture) -> None:
    """Here, not by the pool, which would complain."""
    with pool_of(pg_database) as pool:
        with pool.reader() as conn:
            conn.execute("BEGIN")
            first = conn.backend_pid
        with pool.reader() as conn:
            assert (conn.backend_pid, conn.in_transaction) == (first, False)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_restart_of_the_server_costs_one_answer_at_most(own_pg_server: Server) -> None:
    """All sessions are dead; the first that is found so takes the others with it."""
    with pool_of(own_pg_server.uri()) as pool:

        def interrupted() -> None:
            with pool.reader() as conn:
                own_pg_server.restart("immediate")
                conn.execute("SELECT 1")

        before = fill(pool)
        with pytest.raises(StoreError, match="does not answer"):
            interrupted()
        after = {ask(pool) for _ in range(2 * SIZE)}

        assert len(before) == SIZE
        assert after == {(2,)}


def test_while_the_server_is_away_the_reason_is_told_and_then_it_goes_on(
    own_pg_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgpool, "POOL_SECONDS", 1.5)
    with pool_of(own_pg_server.tcp_uri()) as pool:
        assert ask(pool) == (2,)

        own_pg_server.stop()
        with pytest.raises(StoreError, match=r"does not answer .*onnection refused") as away:
            ask(pool)
        own_pg_server.start()

        # The pool tries in ever longer steps; whoever asks waits for the next one.
        monkeypatch.setattr(pool._pool, "timeout", 30.0)
        assert ask(pool) == (2,)
        assert PASSWORD not in f"{away.value!r} {away.value.__cause__!r} {pool.display}"


def test_a_server_that_will_not_do_is_told(pg_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgpool, "POOL_SECONDS", 0.3)
    with Proxy(pg_server.tcp_port) as proxy:
        mark = b"server_version\0"
        proxy.rewrite = lambda chunk: chunk.replace(mark + b"18", mark + b"13").replace(mark + b"16", mark + b"13")
        with pool_of(pg_server.tcp_uri(port=proxy.port)) as pool, pytest.raises(StoreError, match="is Postgres 13"):
            ask(pool)


def test_half_open_sessions_are_found_at_their_next_use(pg_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgpool, "CHECK_SECONDS", 0.2)
    with Proxy(pg_server.tcp_port) as proxy, pool_of(pg_server.tcp_uri(port=proxy.port)) as pool:
        before = fill(pool)
        proxy.freeze()
        proxy.thaw()

        with pool.reader() as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
            assert conn.backend_pid not in before


def test_whoever_finds_all_sessions_busy_is_told(pg_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgpool, "POOL_SECONDS", 0.2)
    with pool_of(pg_database) as pool, contextlib.ExitStack() as stack:
        monkeypatch.setattr(pool._pool, "timeout", 10.0)
        for _ in range(SIZE):
            stack.enter_context(pool.reader())
        monkeypatch.setattr(pool._pool, "timeout", 0.2)

        with pytest.raises(StoreError, match=r"all reading sessions have been busy for 0\.2 s"):
            ask(pool)


def test_a_closed_pool_says_so(pg_database: str) -> None:
    with pool_of(pg_database) as pool:
        assert ask(pool) == (2,)

    with pytest.raises(StoreError, match="is being closed"):
        ask(pool)


def test_an_unreadable_url_is_told_at_once() -> None:
    with pytest.raises(StoreError, match="URL cannot be read"):
        open_pool("postgresql://me:canary%zz@host/db", application_name="test")


def test_errors_of_readers_keep_their_cause(pg_database: str) -> None:
    with pool_of(pg_database) as pool, pytest.raises(StoreError) as refused, pool.reader() as conn:
        conn.execute("SELECT 1 / 0")

    assert isinstance(refused.value.__cause__, psycopg.errors.DivisionByZero)


def test_nothing_is_printed_of_failed_attempts() -> None:
    """psycopg's pool logs each; where no logging is set up Python would print that."""
    code = """
from ccagent.errors import StoreError
from ccagent.store import pgpool
pgpool.POOL_SECONDS = 0.3
pool = pgpool.open_pool("postgresql://me@127.0.0.1:1/nowhere", application_name="test")
try:
    with pool.reader():
        pass
except StoreError as error:
    print(error)
pool.close()
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "does not answer" in done.stdout
    assert done.stderr == ""
