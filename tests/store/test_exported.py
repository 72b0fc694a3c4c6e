"""What the database tells of the export without a daemon, and what it keeps of the owner's choices."""

from __future__ import annotations

import pytest

from ccagent.export.otlp.closed import SPAN_TYPES
from ccagent.store import outbox
from ccagent.store.consent import acknowledged, keep_acknowledgement, keep_project_key, project_key
from ccagent.store.exported import Progress, progress, project_paths
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session, text

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def feed() -> Feed:
    """A store with two finished requests of one turn, and a destination that has nothing yet."""
    feed = Feed()
    session = Session("waits", cwd="/home/demo/atlas", start=START_MS)
    session.prompt("one")
    session.assistant(text("a reply"), message_id="msg_1")
    session.assistant(text("another"), message_id="msg_2")
    session.prompt("two")
    feed.read(session)
    feed.store.write(lambda conn: outbox.create_cursor(conn, "cloud", "traces", feed.store.host, START_MS))
    return feed


def seen(feed: Feed, *, destination: str = "cloud", not_before: int = 0) -> Progress | None:
    return progress(feed.store.conn, feed.store.host, destination, "traces", SPAN_TYPES, not_before)


def test_what_waits_is_counted_with_its_age(feed: Feed) -> None:
    found = seen(feed)

    assert found is not None
    assert found.waiting >= 2
    assert found.oldest_ms is not None
    assert START_MS <= found.oldest_ms < START_MS + 60_000
    assert (found.sent, found.rejected, found.set_aside, found.named_ms) == (0, 0, 0, START_MS)


def test_what_is_too_old_does_not_wait(feed: Feed) -> None:
    found = seen(feed, not_before=START_MS + 3_600_000)

    assert found is not None
    assert (found.waiting, found.oldest_ms) == (0, None)


def test_behind_the_cursor_nothing_waits_and_the_counts_are_told(feed: Feed) -> None:
    cursor = outbox.read_cursor(feed.store.conn, "cloud", "traces", feed.store.host)
    assert cursor is not None
    feed.store.write(lambda conn: outbox.advance_cursor(conn, cursor, 1_000_000, START_MS + 5, sent=7, rejected=1))
    feed.store.write(lambda conn: outbox.bury(conn, cursor, [b"k" * 16], "poison: no", START_MS))

    found = seen(feed)

    assert found == Progress(
        waiting=0, oldest_ms=None, sent=7, rejected=1, set_aside=1, named_ms=START_MS, moved_ms=START_MS + 5
    )


def test_a_destination_that_was_never_named_has_no_progress(feed: Feed) -> None:
    assert seen(feed, destination="other") is None


def test_the_paths_of_projects_are_known(feed: Feed) -> None:
    assert project_paths(feed.store.conn) == ["/home/demo/atlas"]


def test_the_first_acknowledgement_counts(feed: Feed) -> None:
    assert acknowledged(feed.store.conn) is None

    keep_acknowledgement(feed.store, 5)
    keep_acknowledgement(feed.store, 9)

    assert acknowledged(feed.store.conn) == 5


def test_the_key_of_projects_is_made_once_and_is_long(feed: Feed) -> None:
    assert project_key(feed.store.conn) is None

    made = keep_project_key(feed.store)

    assert len(made) == 64
    assert keep_project_key(feed.store) == made == project_key(feed.store.conn)
