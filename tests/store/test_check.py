"""`check`: what a sound database passes, and each fault it finds, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ccagent.demo.writer import past_week
from ccagent.errors import NoDataError, StoreError
from ccagent.store.check import Report, check, check_database
from ccagent.store.location import parse_database
from tests.pg import Server
from tests.sources.feed import START_MS, Feed, files_of
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")

PAGE = 4_096


@pytest.fixture
def feed() -> Iterator[Feed]:
    """A store with an invented week."""
    feed = Feed()
    for name, data in list(files_of(*past_week(START_MS, 2)).items())[:12]:  # type: ignore[arg-type]
        feed.take((name, data))
    yield feed
    feed.close()


def looked(feed: Feed, *, full: bool = True) -> Report:
    return check(feed.store.conn, "the database", full=full)


@pytest.mark.parametrize("full", [False, True])
def test_what_the_store_has_written_is_sound(feed: Feed, full: bool) -> None:
    report = looked(feed, full=full)

    assert report.sound, report.faults
    assert report.document()["sound"]
    assert all(check["faults"] == [] for check in report.document()["checks"])


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE host SET seq = 3", "change"),
        ('UPDATE file SET "offset" = size + 1', "file positions"),
        ("UPDATE export_cursor SET closed_seq = 1000000", "cursor"),
    ],
)
def test_a_quick_look_finds_numbers_that_cannot_be(feed: Feed, statement: str, said: str) -> None:
    feed.store.write(
        lambda conn: conn.execute(
            "INSERT INTO export_cursor (destination, signal, host, named_at, closed_seq, updated_at, sent, rejected)"
            " VALUES ('otlp', 'traces', ?, 0, 0, 0, 0, 0)",
            (feed.store.host,),
        )
    )
    assert looked(feed, full=False).sound
    feed.store.conn.execute(statement)

    report = looked(feed, full=False)

    assert not report.sound
    assert any(said in fault for fault in report.faults), report.faults


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM name WHERE id = (SELECT name FROM fact WHERE type = 4 LIMIT 1)",
        "DELETE FROM context WHERE id = (SELECT MAX(context) FROM fact)",
        "UPDATE fact SET native = native || 'x' WHERE type = 3",
        "UPDATE fact SET file = 9999 WHERE type = 2",
        "UPDATE fact SET closed_host = NULL WHERE type = 5",
        "INSERT INTO pruned (key) SELECT key FROM fact WHERE type = 7",
    ],
)
def test_a_full_look_finds_rows_that_do_not_fit_together(feed: Feed, statement: str) -> None:
    feed.store.conn.execute(statement)

    assert not looked(feed).sound


def test_what_is_missing_of_the_schema_is_told(feed: Feed, either_store: str) -> None:
    feed.store.conn.execute("DROP INDEX fact_time")
    try:
        assert "schema: the index fact_time is missing" in looked(feed, full=False).faults
    finally:
        feed.store.conn.execute("CREATE INDEX fact_time ON fact(occurred_at)")


def test_many_faults_of_a_kind_are_told_in_part(feed: Feed) -> None:
    for number in range(40):
        session = Session(f"many-{number}", start=START_MS)
        session.prompt("hi")
        feed.read(session)
    feed.store.conn.execute('UPDATE file SET "offset" = size + 1')

    (finding,) = [one for one in looked(feed, full=False).findings if one.faults]

    assert len(finding.faults) == 21
    assert "more" in finding.faults[-1]


def test_an_index_of_postgres_that_is_not_valid_is_told(pg_server: Server, feed: Feed, either_store: str) -> None:
    if either_store == "sqlite":
        pytest.skip("SQLite has no such indexes")
    conn = feed.store.conn
    conn.execute("CREATE INDEX doubtful ON fact (size)")
    try:
        name = str(conn.execute("SELECT current_database()").fetchone()[0])  # type: ignore[index]
        pg_server.rows(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ccagent.doubtful'::regclass", dbname=name
        )
        assert looked(feed, full=False).faults == ["indexes: the index doubtful is not valid; REINDEX it"]
    finally:
        conn.execute("DROP INDEX doubtful")


def test_what_amcheck_has_to_say_is_said(pg_server: Server, feed: Feed, either_store: str) -> None:
    if either_store == "sqlite":
        pytest.skip("amcheck is Postgres'")
    name = str(feed.store.conn.execute("SELECT current_database()").fetchone()[0])  # type: ignore[index]
    without = looked(feed)
    try:
        pg_server.rows("CREATE EXTENSION amcheck", dbname=name)
    except Exception as error:
        assert "not installed" in str(error) or "not available" in str(error) or "could not open" in str(error)
        assert "amcheck is not installed" in without.findings[0].note
        pytest.skip(f"this Postgres brings no amcheck: {error}")
    try:
        with_it = looked(feed)
    finally:
        pg_server.rows("DROP EXTENSION amcheck", dbname=name)

    assert "amcheck is not installed" in without.findings[0].note
    assert (with_it.findings[0].note, with_it.sound) == ("", True)


class TestFiles:
    """SQLite's own."""

    @pytest.fixture
    def path(self, tmp_path: Path, either_store: str) -> Path:
        if either_store != "sqlite":
            pytest.skip("a served database is no file")
        path = tmp_path / "ccagent.db"
        feed = Feed(path)
        for name, data in list(files_of(*past_week(START_MS, 2)).items())[:12]:  # type: ignore[arg-type]
            feed.take((name, data))
        feed.close()
        return path

    @pytest.mark.parametrize("place", [0, 5 * PAGE, 20 * PAGE])
    def test_pages_in_ruins_are_told_and_nothing_else_is_asked(self, path: Path, place: int) -> None:
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"\x55" * PAGE)

        report = check_database(parse_database(str(path)))

        assert not report.sound
        assert [finding.name for finding in report.findings] == ["pages"]

    def test_nothing_is_written(self, path: Path) -> None:
        before = path.read_bytes()

        check_database(parse_database(str(path)), full=True)

        assert path.read_bytes() == before

    def test_an_index_that_lacks_an_entry_is_found_by_the_full_look_alone(self, path: Path) -> None:
        with closing(apsw.Connection(str(path))) as conn:
            conn.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
            conn.execute("PRAGMA writable_schema = ON")
            conn.execute(
                "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE closed_seq IS NOT NULL', ' WHERE closed_seq > 0')"
                " WHERE name = 'fact_closed'"
            )
            conn.execute(
                "UPDATE sqlite_schema SET sql = replace(sql, '(occurred_at)', '(ended_at)') WHERE name = 'fact_time'"
            )

        database = parse_database(str(path))
        assert check_database(database).sound
        assert not check_database(database, full=True).sound

    def test_an_older_schema_is_no_damage(self, path: Path) -> None:
        with closing(apsw.Connection(str(path))) as conn:
            conn.execute("PRAGMA user_version = 1")

        report = check_database(parse_database(str(path)), full=True)

        assert report.sound
        assert "ccagent db migrate" in report.findings[-1].note

    def test_a_newer_one_is_refused(self, path: Path) -> None:
        with closing(apsw.Connection(str(path))) as conn:
            conn.execute("PRAGMA user_version = 99")

        with pytest.raises(StoreError, match="newer ccagent"):
            check_database(parse_database(str(path)))

    def test_none_at_all_is_told(self, path: Path) -> None:
        path.unlink()

        with pytest.raises(NoDataError):
            check_database(parse_database(str(path)))
