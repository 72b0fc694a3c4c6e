"""Advisory locks on a real Postgres: one writer a host, whatever became of the one before."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.errors import InstanceRunningError, StoreError
from ccagent.store.advisory import (
    AdvisoryLock,
    Holder,
    application_name,
    claim_host,
    holder,
    host_key,
    is_alive,
    lock_key,
    parse_application,
    terminate,
)
from ccagent.store.pgconnection import PgConnection, connect
from ccagent.store.pgerrors import lost
from tests.pg import Server, dbname
from tests.pgproxy import Proxy

HOST = "0123456789abcdef0123456789abcdef"
DEADLINE_SECONDS = 20.0

Opener = Callable[..., PgConnection]


@pytest.fixture
def opened(pg_database: str) -> Iterator[Opener]:
    """Opens sessions in one database, closed at the end."""
    with contextlib.ExitStack() as stack:

        def opened(url: str = pg_database, name: str | None = None) -> PgConnection:
            conn = connect(url, application_name=name or application_name(HOST, os.getpid()), create=True)
            stack.callback(conn.close)
            return conn

        yield opened


@pytest.fixture(scope="module")
def ended_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Sleeper:
    """Counts the seconds that would have been slept; does something at the first."""

    def __init__(self, work: Callable[[], object] = lambda: None) -> None:
        self.seconds = 0.0
        self._work = work

    def __call__(self, seconds: float) -> None:
        if not self.seconds:
            self._work()
        self.seconds += seconds


class TestLock:
    def test_one_session_has_it(self, opened: Opener) -> None:
        one, two = AdvisoryLock(opened(), lock_key("a")), AdvisoryLock(opened(), lock_key("a"))
        other = AdvisoryLock(two.conn, lock_key("b"))

        assert [one.try_acquire(), two.try_acquire(), other.try_acquire()] == [True, False, True]
        assert [one.held, two.held] == [True, False]

    def test_released_once_however_often_it_was_asked_for(self, opened: Opener) -> None:
        one, two = AdvisoryLock(opened(), 1), AdvisoryLock(opened(), 1)
        one.try_acquire()
        one.try_acquire()

        one.release()
        one.release()

        assert (one.held, two.try_acquire()) == (False, True)

    def test_a_rollback_leaves_it(self, opened: Opener) -> None:
        one, two = AdvisoryLock(opened(), 1), AdvisoryLock(opened(), 1)
        one.conn.execute("BEGIN")
        one.try_acquire()
        one.conn.execute("ROLLBACK")

        assert two.try_acquire() is False

    def test_it_ends_with_its_session(self, opened: Opener) -> None:
        one, two = AdvisoryLock(opened(), 1), AdvisoryLock(opened(), 1)
        one.try_acquire()

        one.conn.close()

        assert one.held is False
        until(two.try_acquire)

    def test_who_holds_it_is_told(self, opened: Opener, pg_server: Server, pg_database: str) -> None:
        conn = opened(pg_server.tcp_uri(dbname(pg_database)), "an application")
        for key in (-1, 2**62 + 5, -(2**63), 3):
            AdvisoryLock(conn, key).try_acquire()

        expected = Holder(backend_pid=conn.backend_pid, application_name="an application", client_addr="127.0.0.1")
        asking = opened()
        assert [holder(asking, key) for key in (-1, 2**62 + 5, -(2**63), 3)] == [expected] * 4
        assert holder(asking, 4) is None

    def test_a_lock_of_another_database_is_another(self, opened: Opener, pg_server: Server) -> None:
        with pg_server.database() as url:
            AdvisoryLock(opened(url), 1).try_acquire()
            elsewhere = AdvisoryLock(opened(), 1)

            assert holder(elsewhere.conn, 1) is None
            assert elsewhere.try_acquire()

    def test_a_session_is_ended_and_waited_for(self, opened: Opener) -> None:
        one, two = AdvisoryLock(opened(), 1), AdvisoryLock(opened(), 1)
        one.try_acquire()

        assert terminate(two.conn, one.conn.backend_pid)

        assert two.try_acquire()
        with pytest.raises(psycopg.Error) as raised:
            one.conn.execute("SELECT 1")
        assert lost(raised.value)
        assert one.held is False


class TestNames:
    @given(st.lists(st.text(max_size=8), max_size=4), st.lists(st.text(max_size=8), max_size=4))
    def test_a_key_is_of_64_bits_and_of_its_words_alone(self, one: list[str], two: list[str]) -> None:
        one, two = (
            [word.replace("\0", "").encode("utf-8", "replace").decode() for word in words] for words in (one, two)
        )

        assert -(2**63) <= lock_key(*one) < 2**63
        assert (lock_key(*one) == lock_key(*two)) == (one == two)

    def test_a_key_stays_the_same_in_every_version(self) -> None:
        """Two versions of ccagent that disagree would both be the writer."""
        assert host_key("ccagent", HOST) == 1217779880409583331
        assert lock_key("ccagent", "scheduler") == 3907584658885411221

    @given(st.text(min_size=1, max_size=80), st.integers(1, 2**31 - 1))
    def test_a_name_fits_and_is_read_back(self, host_id: str, pid: int) -> None:
        name = application_name(host_id, pid)
        read = parse_application(name)

        assert len(name.encode("ascii")) <= 63
        assert read is not None
        assert read.pid == pid
        assert application_name(read.host, pid) == name

    @pytest.mark.parametrize("name", ["", "psql", "ccagent", "ccagent reader 12", "ccagent a b 01234567"])
    def test_other_names_are_nobodys(self, name: str) -> None:
        assert parse_application(name) is None

    def test_the_living_and_the_dead_are_told_apart(self, ended_pid: int) -> None:
        assert [is_alive(pid) for pid in (os.getpid(), 1, ended_pid, 2**40)] == [True, True, False, False]


class TestClaim:
    def test_a_free_host_is_taken_at_once(self, opened: Opener) -> None:
        sleep = Sleeper()

        conn = claim_host(opened, HOST, patience_seconds=5, sleep=sleep)

        found = holder(opened(), host_key(conn.schema, HOST))
        assert found is not None
        assert (found.backend_pid, sleep.seconds) == (conn.backend_pid, 0)

    def test_hosts_do_not_hinder_one_another(self, opened: Opener) -> None:
        for host_id in (HOST, HOST[:-1] + "0", "another"):
            claim_host(opened, host_id, patience_seconds=0, sleep=Sleeper())

    def test_from_a_living_process_it_is_not_taken(self, opened: Opener) -> None:
        """pid 1 lives, and is none of ours."""
        holding = claim_host(lambda: opened(name=application_name(HOST, 1)), HOST, patience_seconds=0)
        sleep, tried = Sleeper(), opened()

        with pytest.raises(
            InstanceRunningError, match=rf"session {holding.backend_pid} \(ccagent 0123456789ab 1 "
        ) as no:
            claim_host(lambda: tried, HOST, patience_seconds=3, sleep=sleep)

        assert no.value.exit_code == 75
        assert 3 <= sleep.seconds < 3.2
        assert tried.closed
        assert not holding.closed
        assert holding.execute("SELECT 1").fetchone() == (1,)

    def test_from_a_dead_process_it_is_taken_at_once(self, opened: Opener, ended_pid: int) -> None:
        earlier = claim_host(lambda: opened(name=application_name(HOST, ended_pid)), HOST, patience_seconds=0)
        sleep = Sleeper()

        later = claim_host(opened, HOST, patience_seconds=0, sleep=sleep)

        assert later.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.Error):
            earlier.execute("SELECT 1")

    def test_whether_a_process_lives_is_asked_of_this_machine(self, opened: Opener) -> None:
        asked: list[int] = []
        claim_host(lambda: opened(name=application_name(HOST, 1)), HOST, patience_seconds=0)

        def dead(pid: int) -> bool:
            asked.append(pid)
            return False

        claim_host(opened, HOST, alive=dead, patience_seconds=0, sleep=Sleeper())

        assert asked == [1]

    def test_from_another_machine_it_is_not_taken(self, opened: Opener, ended_pid: int) -> None:
        """A copy of this machine's files may be at work there, or this machine before its reboot."""
        name = application_name(HOST, ended_pid)[:-8] + "00000000"
        claim_host(lambda: opened(name=name), HOST, patience_seconds=0)

        with pytest.raises(InstanceRunningError, match="CCAGENT_HOST_ID of its own"):
            claim_host(opened, HOST, patience_seconds=0, sleep=Sleeper())

    @pytest.mark.parametrize("name", ["psql", f"ccagent {'f' * 12} 1 00000000"])
    def test_nor_from_a_stranger(self, opened: Opener, name: str) -> None:
        claim_host(lambda: opened(name=name), HOST, patience_seconds=0)

        with pytest.raises(InstanceRunningError, match=name[:8]):
            claim_host(opened, HOST, alive=lambda pid: False, patience_seconds=0, sleep=Sleeper())

    def test_nor_from_this_process_where_it_is_in_use(self, opened: Opener) -> None:
        holding = claim_host(opened, HOST, patience_seconds=0)

        with pytest.raises(InstanceRunningError):
            claim_host(opened, HOST, patience_seconds=0, sleep=Sleeper())

        assert holding.execute("SELECT 1").fetchone() == (1,)

    def test_who_ends_within_the_patience_is_followed(self, opened: Opener) -> None:
        holding = claim_host(lambda: opened(name=application_name(HOST, 1)), HOST, patience_seconds=0)
        gone = "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = ?"
        watching = opened()

        def end() -> None:
            holding.close()
            until(lambda: watching.execute(gone, (holding.backend_pid,)).fetchone() == (0,))

        sleep = Sleeper(end)
        claim_host(opened, HOST, patience_seconds=5, sleep=sleep)

        assert 0 < sleep.seconds < 0.2

    def test_a_server_that_is_away_is_a_store_error(self, opened: Opener) -> None:
        with pytest.raises(StoreError, match="does not answer"):
            claim_host(lambda: opened("postgresql://me@127.0.0.1:1/db"), HOST, patience_seconds=0)


class TestAfterABrokenLine:
    """A session that is over for the client goes on at the server: the case that the lock is there for."""

    @pytest.fixture
    def line(self, pg_server: Server, pg_database: str, opened: Opener) -> Iterator[tuple[Proxy, PgConnection]]:
        """A writer that holds its host and has inserted a row, not committed yet; its line."""
        opened().execute("CREATE TABLE thing (id BIGINT)")
        with Proxy(pg_server.tcp_port) as proxy:
            url = pg_server.tcp_uri(dbname(pg_database), port=proxy.port)
            conn = claim_host(lambda: opened(url), HOST, patience_seconds=0)
            conn.execute("BEGIN")
            conn.execute("INSERT INTO thing VALUES (1)")
            yield proxy, conn

    def fail_to_commit(self, conn: PgConnection) -> None:
        with pytest.raises(psycopg.Error) as raised:
            conn.execute("COMMIT")
        assert lost(raised.value)
        conn.close()

    def count(self, conn: PgConnection) -> object:
        return conn.execute("SELECT COUNT(*) FROM thing").fetchone()

    def test_a_half_open_session_of_our_own_is_ended(self, line: tuple[Proxy, PgConnection], opened: Opener) -> None:
        proxy, conn = line
        conn._session.patience_seconds = 0.1
        proxy.freeze()
        self.fail_to_commit(conn)

        later = claim_host(opened, HOST, patience_seconds=0, sleep=Sleeper())

        assert self.count(later) == (0,)

    def test_a_commit_under_way_comes_too_late(self, line: tuple[Proxy, PgConnection], opened: Opener) -> None:
        proxy, conn = line
        proxy.strand_commit()
        self.fail_to_commit(conn)
        proxy.wait_for_fault()

        later = claim_host(opened, HOST, patience_seconds=0, sleep=Sleeper())
        seen = self.count(later)
        proxy.land_commit()

        assert seen == (0,)
        until(lambda: proxy.connections == 0)
        assert self.count(later) == (0,)

    def test_without_the_lock_it_would_come_after_the_look(
        self, line: tuple[Proxy, PgConnection], opened: Opener
    ) -> None:
        """The same without claiming the host: what was just read as missing appears."""
        proxy, conn = line
        proxy.strand_commit()
        self.fail_to_commit(conn)
        proxy.wait_for_fault()

        later = opened()
        seen = self.count(later)
        proxy.land_commit()

        assert seen == (0,)
        until(lambda: self.count(later) == (1,))

    def test_a_commit_whose_answer_was_lost_is_seen(self, line: tuple[Proxy, PgConnection], opened: Opener) -> None:
        proxy, conn = line
        proxy.lose_answer_of_commit()
        self.fail_to_commit(conn)

        later = claim_host(opened, HOST, patience_seconds=0, sleep=Sleeper())

        assert self.count(later) == (1,)
