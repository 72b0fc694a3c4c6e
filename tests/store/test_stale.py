"""What changes in a fact after its span was sent is counted, not sent again."""

from __future__ import annotations

from typing import Any

import pytest

from ccagent.store import outbox
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session, Usage, text

pytestmark = pytest.mark.usefixtures("either_store")


def sent_turn(**options: Any) -> tuple[Feed, Session]:
    """A store that has sent a finished request, and its session."""
    feed = Feed(exportable=lambda cwd: True, **options)
    session = Session("stale", cwd="/home/demo/atlas", start=START_MS)
    session.prompt("one")
    session.assistant(text("a reply"), usage=Usage(output=5), message_id="msg_stale")
    session.prompt("two")
    feed.read(session)
    return feed, session


def test_a_request_that_grows_after_it_was_sent_counts_as_stale() -> None:
    feed, session = sent_turn()
    feed.store.send_to(("otlp",))
    feed.store.write(lambda conn: outbox.create_cursor(conn, "otlp", "traces", feed.store.host, START_MS))
    feed.store.write(lambda conn: conn.execute("UPDATE export_cursor SET closed_seq = 1000000"))

    session.assistant(text("more of it"), usage=Usage(output=500), message_id="msg_stale")
    feed.read(session)

    assert feed.total("exports.stale") >= 1


def test_a_request_that_grows_before_it_was_sent_is_not_stale() -> None:
    feed, session = sent_turn()
    feed.store.send_to(("otlp",))
    feed.store.write(lambda conn: outbox.create_cursor(conn, "otlp", "traces", feed.store.host, START_MS))

    session.assistant(text("more of it"), usage=Usage(output=500), message_id="msg_stale")
    feed.read(session)

    assert feed.total("exports.stale") == 0
