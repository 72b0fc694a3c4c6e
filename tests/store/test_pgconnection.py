"""A session with a real Postgres: types, transactions, settings, and servers that will not do."""

from __future__ import annotations

import enum
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.errors import ReadOnlySqlTransaction

from ccagent.errors import StoreError
from ccagent.store.pgconnection import SCHEMA, STREAM_ROWS, PgConnection, connect
from ccagent.store.pgerrors import lost
from tests.pg import PASSWORD, Server, dbname, versions
from tests.pgproxy import Proxy

NAME = "ccagent test"


def open_(url: str, **options: Any) -> PgConnection:
    return connect(url, application_name=NAME, **options)


@pytest.fixture
def conn(pg_database: str) -> Iterator[PgConnection]:
    """A session in an empty database that has the schema."""
    conn = open_(pg_database, create=True)
    yield conn
    conn.close()


@pytest.fixture(scope="module")
def shared(pg_server: Server) -> Iterator[PgConnection]:
    """A session for questions that leave nothing behind."""
    with pg_server.database() as url:
        conn = open_(url)
        yield conn
        conn.close()


@pytest.fixture
def role(pg_server: Server) -> Iterator[str]:
    """A role that may log in and nothing else."""
    pg_server.rows(f"CREATE ROLE nobody_special LOGIN PASSWORD '{PASSWORD}'")
    yield "nobody_special"
    pg_server.rows("DROP ROLE nobody_special")


class TestTypes:
    @given(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.binary(max_size=300),
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
            st.floats(allow_nan=False),
        )
    )
    def test_what_is_sent_comes_back(self, shared: PgConnection, values: tuple[Any, ...]) -> None:
        row = shared.execute("SELECT ?, ?, ?, ?", values).fetchone()

        assert row == values
        assert [type(value) for value in row or ()] == [int, bytes, str, float]

    def test_nothing_comes_back_as_none(self, shared: PgConnection) -> None:
        assert shared.execute("SELECT ?", (None,)).fetchall() == [(None,)]

    @pytest.mark.parametrize("value", [0, 1, 2**15, 2**31, 2**62, True])
    def test_an_int_is_a_bigint_whatever_its_size(self, shared: PgConnection, value: int) -> None:
        sql = "SELECT pg_typeof(?)::text, pg_typeof(COALESCE(?, 0))::text, pg_typeof(CASE WHEN true THEN ? END)::text"

        assert shared.execute(sql, (value,) * 3).fetchall() == [("bigint",) * 3]

    def test_enumerations_travel_as_what_they_stand_for(self, shared: PgConnection) -> None:
        number, text = enum.IntEnum("Number", {"SIX": 6}), enum.StrEnum("Text", {"A": "a"})

        assert shared.execute("SELECT ? + 1, ? || 'b'", (number.SIX, text.A)).fetchall() == [(7, "ab")]

    def test_a_boolean_is_one_or_nought(self, shared: PgConnection) -> None:
        row = shared.execute("SELECT ? = 1, 1 = 2, ? + 1, EXISTS (SELECT 1)", (True, False)).fetchone()

        assert row == (1, 0, 1, 1)
        assert {type(value) for value in row or ()} == {int}

    @pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
    def test_an_int_too_large_for_a_bigint_is_refused(self, shared: PgConnection, value: int) -> None:
        with pytest.raises((psycopg.DataError, OverflowError)):
            shared.execute("SELECT ?", (value,))

        assert shared.execute("SELECT 1").fetchone() == (1,)

    @pytest.mark.parametrize("value", ["a\0b", ["a", "a\0b"]])
    def test_a_text_with_nul_is_refused_before_it_is_sent(self, shared: PgConnection, value: object) -> None:
        with pytest.raises(psycopg.DataError):
            shared.execute("SELECT ?", (value,))

        assert shared.execute("SELECT 1").fetchone() == (1,)

    def test_a_sum_is_an_int_and_an_average_a_float(self, shared: PgConnection) -> None:
        sql = "SELECT SUM(k.value), SUM(k.value) FILTER (WHERE false), AVG(k.value) FROM unnest(?::bigint[]) k(value)"

        large, small = [shared.execute(sql, (values,)).fetchone() or () for values in ([2**62, 2**62, 2**62], [1, 3])]

        assert (large[0], type(large[0]), large[1]) == (3 * 2**62, int, None)
        assert (small[0], small[2], type(small[2])) == (4, 2.0, float)

    @pytest.mark.parametrize(
        ("table", "values", "type_"),
        [
            ("blobs", [b"", b"\0\xff" * 8, b"'\\"], "bytea"),
            ("numbers", [1, 2**62, -5], "bigint"),
            ("texts", ["", "ä'\"\\{},NULL", "NULL"], "text"),
        ],
    )
    def test_a_list_is_a_table(self, shared: PgConnection, table: str, values: list[Any], type_: str) -> None:
        source = getattr(shared.dialect, table)
        listed = shared.dialect.listed(tuple(values))

        rows = shared.execute(f"SELECT k.value, pg_typeof(k.value)::text FROM {source}", (listed,)).fetchall()

        assert rows == [(value, type_) for value in values]

    def test_json_is_text(self, shared: PgConnection) -> None:
        assert shared.execute("SELECT '[1]'::json, '[1]'::jsonb").fetchall() == [("[1]", "[1]")]


class TestStatements:
    def test_each_commits_by_itself(self, conn: PgConnection, pg_database: str) -> None:
        conn.execute("CREATE TABLE thing (id BIGINT)")
        conn.execute("INSERT INTO thing VALUES (?)", (1,))

        other = open_(pg_database)
        assert other.execute("SELECT id FROM thing").fetchall() == [(1,)]
        other.close()

    def test_one_without_rows_gives_none(self, conn: PgConnection) -> None:
        conn.execute("CREATE TABLE thing (id BIGINT)")

        cursor = conn.execute("INSERT INTO thing VALUES (1), (2)")

        assert (list(cursor), cursor.fetchone(), cursor.fetchall(), cursor.rowcount) == ([], None, [], 2)

    def test_rows_come_one_by_one_or_all_that_are_left(self, shared: PgConnection) -> None:
        cursor = shared.execute("SELECT * FROM generate_series(1, 4)")

        assert (cursor.fetchone(), next(iter(cursor)), cursor.fetchall(), cursor.fetchone()) == (
            (1,),
            (2,),
            [(3,), (4,)],
            None,
        )

    def test_many_rows_are_written_by_one_call_or_none_of_them(self, conn: PgConnection) -> None:
        conn.execute("CREATE TABLE thing (id BIGINT PRIMARY KEY, word TEXT)")

        cursor = conn.executemany("INSERT INTO thing VALUES (?2, ?1)", (("a", number) for number in range(1_000)))
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.executemany("INSERT INTO thing VALUES (?, ?)", [(number, None) for number in range(1_005, 990, -1)])

        assert cursor.rowcount == 1_000
        assert conn.execute("SELECT COUNT(*), MAX(id) FROM thing").fetchall() == [(1_000, 999)]
        assert not conn.in_transaction

    def test_a_transaction_is_open_until_it_is_ended_also_when_it_failed(self, conn: PgConnection) -> None:
        seen = [conn.in_transaction]

        conn.execute("BEGIN")
        seen.append(conn.in_transaction)
        with pytest.raises(psycopg.errors.DivisionByZero):
            conn.execute("SELECT 1 / ?", (0,))
        seen.append(conn.in_transaction)
        conn.execute("ROLLBACK")
        seen.append(conn.in_transaction)

        assert seen == [False, True, True, False]

    def test_a_closed_session_is_in_no_transaction(self, pg_database: str) -> None:
        conn = open_(pg_database)
        conn.execute("BEGIN")

        conn.close()
        conn.close()

        assert (conn.closed, conn.in_transaction) == (True, False)


class TestStream:
    def test_rows_beyond_a_page_arrive_in_order_and_the_transaction_ends(self, shared: PgConnection) -> None:
        wanted = 2 * STREAM_ROWS + 1

        rows = list(shared.stream("SELECT k, ?::text FROM generate_series(1::bigint, ?) k", ("x", wanted)))

        assert rows == [(number, "x") for number in range(1, wanted + 1)]
        assert not shared.in_transaction

    def test_memory_holds_a_page(self, shared: PgConnection) -> None:
        """The server makes rows as they are asked for: its sequence tells how far it has come."""
        shared.execute("CREATE TEMPORARY SEQUENCE served")

        rows = shared.stream("SELECT nextval('served') FROM generate_series(1, 1000000)")
        next(iter(rows))
        rows.close()  # type: ignore[attr-defined]

        assert (shared.execute("SELECT last_value FROM served").fetchone() or (0,))[0] <= STREAM_ROWS
        assert not shared.in_transaction

    def test_all_of_it_sees_one_moment(self, conn: PgConnection, pg_database: str) -> None:
        conn.execute("CREATE TABLE thing AS SELECT * FROM generate_series(1, ?) id", (STREAM_ROWS + 10,))
        other = open_(pg_database)

        rows = conn.stream("SELECT id FROM thing")
        first = next(iter(rows))
        other.execute("DELETE FROM thing")
        other.close()

        assert len([first, *rows]) == STREAM_ROWS + 10

    def test_an_open_transaction_goes_on(self, conn: PgConnection) -> None:
        conn.execute("BEGIN")
        conn.execute("CREATE TABLE thing AS SELECT 1 AS id")

        inner = [row for row in conn.stream("SELECT id FROM thing") for _ in conn.stream("SELECT id FROM thing")]

        assert (inner, conn.in_transaction) == ([(1,)], True)


class TestSettings:
    def test_limits_zone_and_schema_are_set(self, shared: PgConnection) -> None:
        names = ("search_path", "statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout", "TimeZone")
        found = [(shared.execute(f"SHOW {name}").fetchone() or ("",))[0] for name in (*names, "application_name")]

        assert found == [f'"{SCHEMA}"', "20s", "30s", "10s", "UTC", NAME]

    def test_the_server_too_looks_whether_the_other_end_lives(self, pg_server: Server) -> None:
        conn = open_(pg_server.tcp_uri())
        names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")

        found = [(conn.execute(f"SHOW {name}").fetchone() or ("",))[0] for name in names]
        conn.close()

        assert found == ["30", "10", "3", "20000"]

    def test_what_the_url_says_wins(self, pg_server: Server) -> None:
        conn = open_(pg_server.tcp_uri() + "?keepalives_idle=77&application_name=else")

        parameters = conn._session.info.get_parameters()
        name = conn.execute("SHOW application_name").fetchone()
        conn.close()

        assert (parameters["keepalives_idle"], parameters["keepalives_count"]) == ("77", "3")
        assert name == (NAME,), "the name is ours: it tells who holds a lock"

    @pytest.mark.parametrize("within", [False, True])
    def test_a_migration_takes_its_time_and_the_limits_come_back(self, conn: PgConnection, within: bool) -> None:
        conn.execute("SELECT set_config('statement_timeout', '50ms', false)")
        if within:
            conn.execute("BEGIN")

        with conn.unhurried():
            conn.execute("SELECT pg_sleep(0.1)")
        if within:
            conn.execute("COMMIT")

        shown = [conn.execute(f"SHOW {name}").fetchone() for name in ("statement_timeout", "lock_timeout")]
        assert shown == [("50ms",) if within else ("20s",), ("10s",)]

    def test_the_limits_come_back_after_an_error_too(self, conn: PgConnection) -> None:
        def migrate() -> None:
            with conn.unhurried():
                conn.execute("BEGIN")
                conn.execute("SELECT 1 / 0")

        with pytest.raises(psycopg.errors.DivisionByZero):
            migrate()

        assert conn.execute("SHOW statement_timeout").fetchone() == ("20s",)
        assert not conn.in_transaction

    def test_a_reader_cannot_write(self, conn: PgConnection, pg_database: str) -> None:
        conn.execute("CREATE TABLE thing (id BIGINT)")

        reader = open_(pg_database, read_only=True)
        with pytest.raises(ReadOnlySqlTransaction):
            reader.execute("INSERT INTO thing VALUES (1)")
        reader.close()


class TestSchema:
    def test_it_is_made_where_it_is_missing_by_many_at_once(self, pg_database: str) -> None:
        ready = threading.Barrier(8)

        def come() -> object:
            ready.wait()
            conn = open_(pg_database, create=True)
            found = conn.execute("SELECT current_schema()::text").fetchone()
            conn.close()
            return found

        with ThreadPoolExecutor(8) as pool:
            found = [future.result() for future in [pool.submit(come) for _ in range(8)]]

        assert found == [(SCHEMA,)] * 8

    def test_a_role_that_may_only_use_it_comes_in(self, pg_server: Server, pg_database: str, role: str) -> None:
        open_(pg_database, create=True).close()

        conn = open_(pg_database.replace("postgres@", f"{role}@"), create=True)

        assert conn.execute("SELECT current_user::text").fetchone() == (role,)
        conn.close()

    def test_a_role_that_may_not_make_it_is_told_what_to_grant(self, pg_database: str, role: str) -> None:
        with pytest.raises(StoreError, match=r"does not allow this .*GRANT") as refused:
            open_(pg_database.replace("postgres@", f"{role}@"), create=True)

        assert not lost(refused.value)


class TestRefusals:
    def test_another_encoding(self, pg_server: Server) -> None:
        name = pg_server.create_database(options="ENCODING 'SQL_ASCII' TEMPLATE template0")
        try:
            with pytest.raises(StoreError, match=f"{name} keeps its texts in SQL_ASCII; .* ENCODING 'UTF8'"):
                open_(pg_server.uri(name))
        finally:
            pg_server.drop_database(name)

    def test_an_old_server(self, pg_server: Server) -> None:
        """What it says of itself is changed on the way; the length stays."""
        with Proxy(pg_server.tcp_port) as proxy:
            mark = b"server_version\0"
            proxy.rewrite = lambda chunk: chunk.replace(mark + b"18", mark + b"13").replace(mark + b"16", mark + b"13")

            with pytest.raises(StoreError, match=r"is Postgres 13; ccagent needs 14 or later: upgrade"):
                open_(pg_server.tcp_uri(port=proxy.port))

    def test_a_standby_for_a_writer(self, own_pg_server: Server) -> None:
        own_pg_server.stop()
        (own_pg_server.data / "standby.signal").touch()
        own_pg_server.start()

        with pytest.raises(StoreError, match="is a standby, which takes no writes; name the primary"):
            open_(own_pg_server.uri())
        reader = open_(own_pg_server.uri(), read_only=True)

        assert reader.execute("SELECT pg_is_in_recovery()").fetchone() == (1,)
        reader.close()

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://user:canary%zz@host/name",
            "postgresql://user:canary/word@host/name",
            "postgresql://host:canary/name",
            "postgresql://user@host/name?canary=1",
            "user host canary",
            "postgresql://user:canary\udcff@host/name",
        ],
    )
    def test_an_unreadable_url_without_a_word_of_it(self, url: str) -> None:
        with pytest.raises(StoreError, match="URL cannot be read; write postgresql://") as refused:
            open_(url)

        assert "canary" not in f"{refused.value!r} {refused.value.__cause__!r}"

    @pytest.mark.skipif(16 not in versions(), reason="the wheel carries no Postgres 16")
    def test_but_not_postgres_16(self) -> None:
        with Server(major=16) as server:
            conn = open_(server.tcp_uri(), create=True)
            conn.execute('CREATE TABLE thing (id BIGINT, word TEXT COLLATE "C")')
            conn.executemany("INSERT INTO thing VALUES (?, ?)", [(1, "a"), (2, "b")])

            assert list(conn.stream("SELECT SUM(id) FROM thing")) == [(3,)]
            conn.close()


class TestSilence:
    def test_a_half_open_session_is_given_up(self, pg_server: Server) -> None:
        with Proxy(pg_server.tcp_port) as proxy:
            conn = open_(pg_server.tcp_uri(port=proxy.port))
            conn._session.patience_seconds = 0.2
            conn.execute("BEGIN")
            proxy.freeze()

            with pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.2 s") as silence:
                conn.execute("SELECT 1")

            assert (lost(silence.value), conn.closed, conn.in_transaction) == (True, True, False)

    def test_so_is_one_that_dies_within_many_rows(self, pg_server: Server, pg_database: str) -> None:
        with Proxy(pg_server.tcp_port) as proxy:
            conn = open_(pg_server.tcp_uri(dbname(pg_database), port=proxy.port), create=True)
            conn.execute("CREATE TABLE thing (id BIGINT, word TEXT)")
            conn._session.patience_seconds = 0.2

            def rows() -> Iterator[tuple[int, str]]:
                for number in range(20_000):
                    if number == 10_000:
                        proxy.freeze()
                    yield number, "x" * 1_000

            with pytest.raises(psycopg.OperationalError) as silence:
                conn.executemany("INSERT INTO thing VALUES (?, ?)", rows())

            assert (lost(silence.value), conn.closed) == (True, True)

    def test_a_slow_line_is_not_a_dead_one(self, pg_server: Server) -> None:
        with Proxy(pg_server.tcp_port) as proxy:
            conn = open_(pg_server.tcp_uri(port=proxy.port))
            conn._session.patience_seconds = 1.0
            proxy.delay_seconds = 0.1

            # 64 KiB take a tenth of a second: the whole takes longer than the patience.
            rows = conn.execute("SELECT repeat('x', 100000) FROM generate_series(1, 8)").fetchall()

            assert len(rows) == 8
            conn.close()


def test_no_password_shows(pg_server: Server, pg_database: str) -> None:
    url = pg_server.tcp_uri()
    conn = open_(url)

    shown = f"{conn!r} {conn} {conn.display} {conn._session!r} {conn._session.info.dsn}"
    conn.close()

    assert PASSWORD not in shown
    assert quote(PASSWORD, safe="") not in shown
    assert f"postgresql://postgres@127.0.0.1:{pg_server.tcp_port}/postgres" in shown


def test_a_store_of_sqlite_loads_no_driver_of_postgres() -> None:
    code = "import sys, ccagent.store.opening, ccagent.store.open; print([m for m in sys.modules if 'psycopg' in m])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
