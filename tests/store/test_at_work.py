"""Whatever SQLite does for long tells that it goes on: statements of the writer, of readers, and copies."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import pytest

from ccagent.clock import FakeClock
from ccagent.store.backup import backup_sqlite
from ccagent.store.connection import AT_WORK_STEPS, SqliteConnection, scalar
from ccagent.store.location import parse_database
from ccagent.store.opening import open_readers, open_store
from ccagent.store.sqlite import SqliteStore
from tests.store.releases import RELEASES, Release

LONG = (
    f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {AT_WORK_STEPS}) SELECT COUNT(*) FROM n"
)
"""Takes a dozen instructions a number."""

pytestmark = pytest.mark.sqlite


class Watch:
    """Counts what it is told, and by whom."""

    def __init__(self) -> None:
        self.calls = 0
        self.threads: set[str] = set()
        self.waiting: set[str] = set()

    def __call__(self, waiting: Collection[str] = ()) -> None:
        self.calls += 1
        self.threads.add(threading.current_thread().name)
        self.waiting |= set(waiting)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_a_long_statement_of_the_writer_tells_in_its_own_thread_and_who_waits_for_it(
    tmp_path: Path, watch: Watch
) -> None:
    with closing(SqliteStore(tmp_path / "one.db", clock=FakeClock(1_000), at_work=watch)) as store:
        before = watch.calls
        begun = threading.Event()

        def long(conn: object) -> None:
            assert isinstance(conn, SqliteConnection)
            begun.set()
            while "late" not in watch.waiting:
                scalar(conn, LONG)

        threads = [
            threading.Thread(target=store.write, args=(long,), name="long"),
            threading.Thread(target=lambda: begun.wait() and store.write(lambda conn: None), name="late"),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert before == 0
    assert watch.calls
    assert watch.threads == {"long"}
    assert watch.waiting == {"late"}


def test_short_statements_tell_nothing(tmp_path: Path, watch: Watch) -> None:
    with closing(SqliteStore(tmp_path / "one.db", clock=FakeClock(1_000), at_work=watch)) as store:
        for _ in range(100):
            store.write(lambda conn: scalar(conn, "SELECT COUNT(*) FROM fact"))

    assert watch.calls == 0


def test_a_long_question_of_a_reader_tells(tmp_path: Path, watch: Watch) -> None:
    database = parse_database(str(tmp_path / "one.db"))
    open_store(database, clock=FakeClock(1_000)).close()

    with open_readers(database, watch).reader() as conn:
        scalar(conn, LONG)

    assert watch.calls


def test_a_copy_tells_after_every_step(tmp_path: Path, watch: Watch) -> None:
    with closing(SqliteConnection(str(tmp_path / "one.db"))) as conn:
        conn.execute("CREATE TABLE t(x)")
        conn.tell_work(watch)

        backup_sqlite(conn, tmp_path / "copy.db")

    assert watch.calls


@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_a_migration_tells_from_its_backup_on(tmp_path: Path, watch: Watch, release: Release) -> None:
    database = release.write_database(tmp_path / "old.db")

    SqliteStore(database, clock=FakeClock(1_000), at_work=watch).close()

    assert watch.calls
