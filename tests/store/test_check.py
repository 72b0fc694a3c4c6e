"""`check`: what a sound database passes, and each fault it finds, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ccagent.demo.writer import past_week
from ccagent.store.check import Report, check
from tests.sources.feed import START_MS, Feed, files_of
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")


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


def test_what_is_missing_of_the_schema_is_told(feed: Feed) -> None:
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
