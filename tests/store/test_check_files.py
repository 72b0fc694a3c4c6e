"""`check` of SQLite's files: pages and schema."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ccagent.demo.writer import past_week
from ccagent.errors import NoDataError, StoreError
from ccagent.store.check import check_database
from ccagent.store.location import parse_database
from tests.sources.feed import START_MS, Feed, files_of

PAGE = 4_096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with some of an invented week, closed."""
    path = tmp_path / "ccagent.db"
    feed = Feed(path)
    for name, data in list(files_of(*past_week(START_MS, 2)).items())[:12]:  # type: ignore[arg-type]
        feed.take((name, data))
    feed.close()
    return path


@pytest.mark.parametrize("place", [0, 5 * PAGE, 20 * PAGE])
def test_pages_in_ruins_are_told_and_nothing_else_is_asked(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\x55" * PAGE)

    report = check_database(parse_database(str(path)))

    assert not report.sound
    assert [finding.name for finding in report.findings] == ["pages"]


def test_nothing_is_written(path: Path) -> None:
    before = path.read_bytes()

    check_database(parse_database(str(path)), full=True)

    assert path.read_bytes() == before


def test_an_index_that_lacks_an_entry_is_found_by_the_full_look_alone(path: Path) -> None:
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


def test_an_older_schema_is_no_damage(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as conn:
        conn.execute("PRAGMA user_version = 1")

    report = check_database(parse_database(str(path)), full=True)

    assert report.sound
    assert "ccagent db migrate" in report.findings[-1].note


def test_a_newer_one_is_refused(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as conn:
        conn.execute("PRAGMA user_version = 99")

    with pytest.raises(StoreError, match="newer ccagent"):
        check_database(parse_database(str(path)))


def test_none_at_all_is_told(path: Path) -> None:
    path.unlink()

    with pytest.raises(NoDataError):
        check_database(parse_database(str(path)))
