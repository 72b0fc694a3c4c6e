"""What the errors of a real Postgres mean: each is brought about, not made up."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from ccagent.errors import AwayError, StoreError
from ccagent.store.pgconnection import PgConnection, connect
from ccagent.store.pgerrors import explained, lost, masked, refused, retryable, store_error
from tests.pg import PASSWORD, Server, dbname
from tests.pgproxy import Proxy

DEADLINE_SECONDS = 20.0

Opener = Callable[[], PgConnection]


@pytest.fixture
def opened(pg_database: str) -> Iterator[Opener]:
    """Opens sessions in one database, in which `thing` has the rows 1 and 2."""
    with contextlib.ExitStack() as stack:

        def opened() -> PgConnection:
            return stack.enter_context(contextlib.closing(connect(pg_database, application_name="test", create=True)))

        conn = opened()
        conn.execute("CREATE TABLE thing (id BIGINT PRIMARY KEY, word TEXT)")
        conn.execute("INSERT INTO thing VALUES (1, 'private'), (2, 'private')")
        yield opened


def fault_of(conn: PgConnection, sql: str) -> psycopg.Error:
    """The error that the statement ends in."""
    with pytest.raises(psycopg.Error) as raised:
        conn.execute(sql)
    return raised.value


class TestAnotherTry:
    def test_of_a_deadlock_one_side_is_tried_again(self, opened: Opener) -> None:
        sides = opened(), opened()
        faults: list[psycopg.Error] = []
        ready = threading.Barrier(2)

        def cross(conn: PgConnection, first: int, second: int) -> None:
            conn.execute("BEGIN")
            conn.execute("UPDATE thing SET word = 'x' WHERE id = ?", (first,))
            ready.wait()
            try:
                conn.execute("UPDATE thing SET word = 'x' WHERE id = ?", (second,))
            except psycopg.Error as error:
                faults.append(error)
            conn.execute("ROLLBACK")

        threads = [threading.Thread(target=cross, args=(sides[k], 1 + k, 2 - k)) for k in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)

        assert [(type(error), retryable(error), lost(error)) for error in faults] == [
            (psycopg.errors.DeadlockDetected, True, False)
        ]

    def test_so_is_who_was_not_first_with_a_key(self, opened: Opener) -> None:
        fault = fault_of(opened(), "INSERT INTO thing VALUES (1, 'secret')")

        assert (type(fault), retryable(fault), lost(fault)) == (psycopg.errors.UniqueViolation, True, False)

    def test_and_who_changes_a_row_that_another_has_changed_since(self, opened: Opener) -> None:
        one, two = opened(), opened()
        one.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        one.execute("SELECT * FROM thing")
        two.execute("UPDATE thing SET word = 'two'")

        fault = fault_of(one, "UPDATE thing SET word = 'one'")

        assert (type(fault), retryable(fault), lost(fault)) == (psycopg.errors.SerializationFailure, True, False)

    def test_and_who_waits_too_long_for_a_row(self, opened: Opener) -> None:
        one, two = opened(), opened()
        one.execute("BEGIN")
        one.execute("UPDATE thing SET word = 'one'")
        two.execute("SET lock_timeout = '20ms'")

        fault = fault_of(two, "UPDATE thing SET word = 'two'")

        assert (type(fault), retryable(fault), lost(fault)) == (psycopg.errors.LockNotAvailable, True, False)

    def test_but_not_what_takes_too_long(self, opened: Opener) -> None:
        conn = opened()
        conn.execute("SET statement_timeout = '20ms'")

        fault = fault_of(conn, "SELECT pg_sleep(10)")

        assert (type(fault), retryable(fault), lost(fault)) == (psycopg.errors.QueryCanceled, False, False)
        assert "took too long and was stopped" in str(store_error(fault, "db"))

    def test_nor_a_mistake(self, opened: Opener) -> None:
        fault = fault_of(opened(), "SELEKT 1")

        assert (retryable(fault), lost(fault)) == (False, False)
        assert str(store_error(fault, "db")).startswith('db refused: syntax error at or near "SELEKT";')

    def test_a_value_that_does_not_fit_is_refused_for_ever(self, opened: Opener) -> None:
        conn = opened()
        faults = [
            fault_of(conn, "INSERT INTO thing VALUES (9223372036854775808, '')"),
            fault_of(conn, "INSERT INTO thing VALUES (NULL, '')"),
        ]
        for values in ((1 << 63, ""), (3, "\0"), (3, "\ud83d")):
            with pytest.raises(psycopg.DataError) as raised:
                conn.execute("INSERT INTO thing VALUES (?, ?)", values)
            with pytest.raises(psycopg.DataError):
                conn.executemany("INSERT INTO thing VALUES (?, ?)", [values])
            faults.append(raised.value)

        assert [(refused(fault), retryable(fault), lost(fault)) for fault in faults] == [(True, False, False)] * 5
        assert not refused(fault_of(conn, "INSERT INTO thing VALUES (1, '')"))
        assert not refused(fault_of(conn, "SELEKT 1"))
        assert not refused(ValueError())

    def test_a_store_error_is_judged_by_its_cause(self, opened: Opener) -> None:
        error = StoreError("a message")
        error.__cause__ = fault_of(opened(), "INSERT INTO thing VALUES (1, '')")

        assert retryable(error)
        assert not lost(error)
        assert not retryable(StoreError("a message"))
        assert not lost(StoreError("a message"))
        assert not lost(ValueError())


class TestTheEndOfASession:
    """Each time within a transaction: nothing of it is left, and `closed` tells at the latest after the error."""

    def lose(self, conn: PgConnection, end: Callable[[], object]) -> psycopg.Error:
        conn.execute("BEGIN")
        conn.execute("DELETE FROM thing")
        end()
        fault = fault_of(conn, "COMMIT")
        assert (lost(fault), retryable(fault), conn.closed, conn.in_transaction) == (True, False, True, False)
        again = fault_of(conn, "SELECT 1")
        assert lost(again), "a session that is used again after its end says the same"
        return fault

    def test_terminated_by_somebody(self, opened: Opener) -> None:
        conn, other = opened(), opened()

        fault = self.lose(conn, lambda: other.execute("SELECT pg_terminate_backend(?::int, 5000)", (conn.backend_pid,)))

        assert fault.sqlstate == "57P01"
        assert other.execute("SELECT COUNT(*) FROM thing").fetchone() == (2,)

    def test_idle_for_too_long_in_a_transaction(self, opened: Opener) -> None:
        conn, other = opened(), opened()
        conn.execute("SET idle_in_transaction_session_timeout = '20ms'")
        alive = "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = ?"

        def wait() -> None:
            end = time.monotonic() + DEADLINE_SECONDS
            while other.execute(alive, (conn.backend_pid,)).fetchone() != (0,):
                assert time.monotonic() < end
                time.sleep(0.01)

        fault = self.lose(conn, wait)

        assert fault.sqlstate == "25P03"
        assert other.execute("SELECT COUNT(*) FROM thing").fetchone() == (2,)

    @pytest.mark.parametrize("mode", ["immediate", "fast"])
    def test_the_server_restarts(self, own_pg_server: Server, mode: str) -> None:
        conn = connect(own_pg_server.uri(), application_name="test")
        conn.execute("CREATE TABLE public.thing AS SELECT 1 AS id")
        conn.execute("SET search_path TO public")

        self.lose(conn, lambda: own_pg_server.restart(mode))

        assert own_pg_server.rows("SELECT COUNT(*) FROM thing") == [(1,)]

    def test_the_line_breaks(self, pg_server: Server, opened: Opener, pg_database: str) -> None:
        opened()
        with Proxy(pg_server.tcp_port) as proxy:
            conn = connect(pg_server.tcp_uri(dbname(pg_database), port=proxy.port), application_name="test")

            fault = self.lose(conn, proxy.cut)

        assert "does not answer" in str(store_error(fault, "db"))
        assert opened().execute("SELECT COUNT(*) FROM thing").fetchone() == (2,)

    @pytest.mark.parametrize(("fault", "rows"), [("lose_answer_of_commit", 0), ("lose_commit", 2)])
    @pytest.mark.parametrize("uses", [0, 8], ids=["simple", "prepared"])
    def test_in_a_commit_whose_fate_nobody_tells(
        self, pg_server: Server, opened: Opener, pg_database: str, fault: str, rows: int, uses: int
    ) -> None:
        """The client sees the same, whether the COMMIT took place or not. The proxy knows one in both protocols."""
        other = opened()
        with Proxy(pg_server.tcp_port) as proxy:
            conn = connect(pg_server.tcp_uri(dbname(pg_database), port=proxy.port), application_name="test")
            commit = psycopg.RawCursor(conn._session)
            for _ in range(uses):
                conn.execute("BEGIN")
                commit.execute(b"COMMIT", prepare=True)
            conn.execute("BEGIN")
            conn.execute("DELETE FROM thing")
            getattr(proxy, fault)()

            with pytest.raises(psycopg.Error) as raised:
                commit.execute(b"COMMIT", prepare=bool(uses))
            proxy.wait_for_fault()

            assert lost(raised.value)
            assert conn.closed
            assert proxy.commits == uses + 1
        assert other.execute("SELECT COUNT(*) FROM thing").fetchone() == (rows,)


class TestNoSession:
    def refusal(self, url: str) -> str:
        with pytest.raises(StoreError) as refused:
            connect(url, application_name="test")
        assert PASSWORD not in f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__cause__}"
        self.lost = lost(refused.value)
        return str(refused.value)

    def test_nobody_listens(self) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]

            text = self.refusal(f"postgresql://me:canary%3Ap%40ss%2Fw%25rd@127.0.0.1:{port}/mine")

        assert text.startswith(f"postgresql://me@127.0.0.1:{port}/mine does not answer (connection failed: ")
        assert text.endswith("; see that the server runs and can be reached from this machine")
        assert self.lost

    def test_nothing_answers(self, pg_server: Server) -> None:
        with Proxy(pg_server.tcp_port) as proxy:
            proxy.freeze()

            text = self.refusal(pg_server.tcp_uri(port=proxy.port) + "?connect_timeout=2")

        assert "does not answer (connection timeout expired)" in text
        assert self.lost

    def test_wrong_password(self, pg_server: Server) -> None:
        text = self.refusal(pg_server.tcp_uri(password=PASSWORD + "x"))

        assert "refuses the login (" in text
        assert 'password authentication failed for user "postgres"); check user and password in --db' in text

    def test_no_password(self, pg_server: Server) -> None:
        assert "refuses the login (" in self.refusal(pg_server.tcp_uri(password=""))

    def test_no_such_role(self, pg_server: Server) -> None:
        assert "refuses the login (" in self.refusal(pg_server.uri(user="nobody_at_all"))

    def test_no_such_database(self, pg_server: Server) -> None:
        text = self.refusal(pg_server.uri("missing"))

        assert "the server has no such database (" in text
        assert 'database "missing" does not exist); create it with createdb' in text

    def test_too_many_sessions(self, pg_server: Server) -> None:
        pg_server.rows("CREATE ROLE crowd LOGIN CONNECTION LIMIT 0")
        try:
            text = self.refusal(pg_server.uri(user="crowd"))
        finally:
            pg_server.rows("DROP ROLE crowd")

        assert "takes no further connection (" in text
        assert 'too many connections for role "crowd"' in text


class TestSentences:
    @pytest.mark.parametrize(
        ("state", "sentence"),
        [
            ("53100", "db has no room left on its disk (told); free some"),
            ("25006", "db takes no writes, it is a standby or was made read-only (told); name the primary"),
            ("53300", "db takes no further connection (told); raise max_connections"),
            ("57P03", "db is starting or stopping (told); try again"),
            ("42P01", "db has not the tables this ccagent knows (told); start `ccagent run`"),
            ("08006", "db does not answer (told); see that the server runs"),
            ("XX000", "db refused: told; see the server's log"),
        ],
    )
    def test_a_state_of_the_server_has_its_sentence(self, opened: Opener, state: str, sentence: str) -> None:
        fault = fault_of(opened(), f"DO $$ BEGIN RAISE EXCEPTION 'told' USING ERRCODE = '{state}'; END $$")

        error = store_error(fault, "db")
        assert str(error).startswith(sentence)
        assert isinstance(error, AwayError) == (state in ("53300", "57P03", "08006"))

    def test_a_read_only_session_says_so(self, opened: Opener) -> None:
        conn = opened()
        conn.execute("SET default_transaction_read_only = on")

        assert "takes no writes" in str(store_error(fault_of(conn, "DELETE FROM thing"), "db"))

    def test_rows_are_not_quoted(self, opened: Opener) -> None:
        fault = fault_of(opened(), "INSERT INTO thing VALUES (1, 'private')")

        assert "(id)=(1)" in str(fault), "the server tells them"
        assert "(id)=(1)" not in str(store_error(fault, "db"))

    def test_a_long_message_is_cut(self, opened: Opener) -> None:
        fault = fault_of(opened(), "DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 9000); END $$")

        assert len(str(store_error(fault, "db"))) < 700

    def test_within_explained_the_driver_has_no_say(self, opened: Opener) -> None:
        conn = opened()

        with pytest.raises(StoreError, match="db refused: division by zero") as refused, explained("db"):
            conn.execute("SELECT 1 / 0")

        assert isinstance(refused.value.__cause__, psycopg.errors.DivisionByZero)

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("see postgresql://me:canary@host/db", "see postgresql://me:***@host/db"),
            ("postgresql://me:ca:na@ry@host/db", "postgresql://me:***@host/db"),
            ("host=h password=canary user=u", "host=h password=*** user=u"),
            ("password = 'can ary' x", "password = *** x"),
            ("postgresql://me@host/db", "postgresql://me@host/db"),
            ("password authentication failed", "password authentication failed"),
        ],
    )
    def test_passwords_are_masked(self, text: str, shown: str) -> None:
        assert masked(text) == shown
