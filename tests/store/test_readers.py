"""Readers that stay open between two questions: they show what is new, hold nothing up, and go when they met an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ccagent.clock import FakeClock
from ccagent.errors import StoreError
from ccagent.store.connection import Connection, scalar
from ccagent.store.location import parse_database
from ccagent.store.open import COMMAND_SECONDS, DAEMON_SECONDS
from ccagent.store.opening import open_readers
from ccagent.store.readers import KEPT, SqliteReaders
from ccagent.store.schema import SCHEMA_VERSION
from ccagent.store.sqlite import SqliteStore
from ccagent.store.wal import fold_in
from tests.sources.feed import START_MS

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n"

pytestmark = pytest.mark.sqlite


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "ccagent.db", clock=FakeClock(START_MS))) as opened:
        yield opened


@pytest.fixture
def readers(store: SqliteStore) -> Iterator[SqliteReaders]:
    with closing(SqliteReaders(parse_database(store.path))) as opened:
        yield opened


def asked(readers: SqliteReaders) -> Connection:
    """The connection that a question gets."""
    with readers.reader() as conn:
        assert scalar(conn, "SELECT 1") == 1
        return conn


def test_the_next_question_gets_the_same_connection_and_sees_what_was_written_since(
    store: SqliteStore, readers: SqliteReaders
) -> None:
    first = asked(readers)
    store.set_meta("colour", "blue")

    with readers.reader() as conn:
        assert conn is first
        assert scalar(conn, "SELECT value FROM meta WHERE name = 'colour'") == "blue"


def test_questions_at_the_same_time_get_connections_of_their_own_and_few_are_kept(readers: SqliteReaders) -> None:
    met, found = threading.Barrier(KEPT + 2), []

    def ask() -> None:
        with readers.reader() as conn:
            met.wait(10)
            found.append(conn)
            met.wait(10)

    threads = [threading.Thread(target=ask) for _ in range(KEPT + 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(conn) for conn in found}) == KEPT + 2
    assert len(readers._idle) == KEPT


def test_one_that_was_given_back_does_not_keep_the_log_from_being_folded_in(
    store: SqliteStore, readers: SqliteReaders
) -> None:
    held = []
    with readers.reader() as conn:
        held.append(conn.execute("SELECT value FROM meta"))
        held[0].fetchone()  # the rest is never asked for
    with readers.reader() as conn:
        conn.execute("BEGIN")
        scalar(conn, "SELECT COUNT(*) FROM fact")  # nobody ends it
    asked(readers)
    store.set_meta("colour", "green")

    assert fold_in(store.path, truncate=True).truncated


def test_one_that_took_too_long_is_given_up_and_the_next_question_is_answered(store: SqliteStore) -> None:
    with closing(SqliteReaders(store.database, seconds=0.05)) as readers:
        with pytest.raises(StoreError, match="took too long"), readers.reader() as conn:
            scalar(conn, ENDLESS)

        assert asked(readers) is not conn


def test_a_question_that_took_too_long_while_its_answer_was_to_be_written_is_told_as_that(store: SqliteStore) -> None:
    with closing(SqliteReaders(store.database, seconds=0.05)) as readers:
        with readers.reader() as reader, pytest.raises(StoreError, match="took too long"):
            store.write(lambda conn: scalar(reader, ENDLESS))

        store.set_meta("colour", "red")


def test_where_all_is_done_once_a_question_may_take_as_long_as_a_commands(store: SqliteStore) -> None:
    with closing(open_readers(store.database)) as hurried, closing(open_readers(store.database, once=True)) as patient:
        assert isinstance(hurried, SqliteReaders)
        assert isinstance(patient, SqliteReaders)
        assert (hurried.seconds, patient.seconds) == (DAEMON_SECONDS, COMMAND_SECONDS)


def test_the_time_of_one_question_is_not_taken_from_the_next(store: SqliteStore) -> None:
    with closing(SqliteReaders(store.database, seconds=0.3)) as readers:
        first = asked(readers)
        threading.Event().wait(0.4)

        with readers.reader() as conn:
            assert conn is first
            assert scalar(conn, ENDLESS.replace("FROM n)", "FROM n WHERE x < 100000)")) == 100_000


def test_a_database_that_another_version_changed_meanwhile_is_not_read_on(
    store: SqliteStore, readers: SqliteReaders
) -> None:
    asked(readers)
    store.conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    with pytest.raises(StoreError, match="newer ccagent"):
        asked(readers)
    store.conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    asked(readers)


def test_closing_leaves_none_open_and_one_in_use_goes_when_it_is_given_back(readers: SqliteReaders) -> None:
    with readers.reader():
        asked(readers)
        readers.close()
        assert readers._idle == []

    assert readers._idle == []
