"""What changes in a fact after its span or log record was sent is counted, not sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ccagent.export.otlp.closed import SPAN_TYPES
from ccagent.export.otlp.log_facts import LOG_TYPES
from ccagent.facts.model import EventType
from ccagent.store import outbox, rows
from ccagent.store.ingest import Ingest
from ccagent.store.sent import Sent
from ccagent.store.work import SENT_TYPES
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session, Usage, text

pytestmark = pytest.mark.usefixtures("either_store")


def sent_turn(**options: Any) -> tuple[Feed, Session]:
    """A store that has sent a finished request, and its session."""
    feed = Feed(exportable=lambda cwd, project: True, **options)
    session = Session("stale", cwd="/home/demo/atlas", start=START_MS)
    session.prompt("one")
    session.assistant(text("a reply"), usage=Usage(output=5), message_id="msg_stale")
    session.prompt("two")
    feed.read(session)
    return feed, session


def test_a_request_that_grows_after_it_was_sent_counts_as_stale() -> None:
    feed, session = sent_turn()
    feed.store.send_to((("otlp", "traces"),))
    feed.store.write(lambda conn: outbox.create_cursor(conn, "otlp", "traces", feed.store.host, START_MS))
    feed.store.write(lambda conn: conn.execute("UPDATE export_cursor SET closed_seq = 1000000"))

    session.assistant(text("more of it"), usage=Usage(output=500), message_id="msg_stale")
    feed.read(session)

    assert feed.total("exports.stale") >= 1


def test_a_request_that_grows_before_it_was_sent_is_not_stale() -> None:
    feed, session = sent_turn()
    feed.store.send_to((("otlp", "traces"),))
    feed.store.write(lambda conn: outbox.create_cursor(conn, "otlp", "traces", feed.store.host, START_MS))

    session.assistant(text("more of it"), usage=Usage(output=500), message_id="msg_stale")
    feed.read(session)

    assert feed.total("exports.stale") == 0


def behind(feed: Feed, destination: str, signal: str, closed_seq: int) -> None:
    """A cursor of that destination and signal, which has everything up to a change number."""

    def move(conn: Any) -> None:
        outbox.create_cursor(conn, destination, signal, feed.store.host, START_MS)
        cursor = outbox.read_cursor(conn, destination, signal, feed.store.host)
        assert cursor is not None
        outbox.advance_cursor(conn, cursor, closed_seq, START_MS)

    feed.store.write(move)


def stale(feed: Feed) -> dict[str, int]:
    return {"/".join(json.loads(labels)): value for labels, value in feed.counted("exports.stale").items()}


def test_each_destination_and_signal_is_counted_behind_its_own_cursor() -> None:
    feed, session = sent_turn()
    places = (("near", "traces"), ("near", "logs"), ("far", "traces"), ("far", "logs"))
    feed.store.send_to(places)
    for destination, signal in places:
        behind(feed, destination, signal, 0 if (destination, signal) == ("far", "logs") else 1_000_000)

    session.assistant(text("more of it"), usage=Usage(output=500), message_id="msg_stale")
    feed.read(session)

    counted = stale(feed)
    assert set(counted) == {"near/traces", "near/logs", "far/traces"}
    assert counted["near/logs"] >= 1


def test_what_leaves_one_by_one_is_what_the_encodings_make() -> None:
    assert {"traces": frozenset(SPAN_TYPES), "logs": frozenset(LOG_TYPES)} == SENT_TYPES


def test_a_change_without_a_daemon_is_counted_for_the_same_destinations_and_signals() -> None:
    feed, _ = sent_turn()
    behind(feed, "near", "traces", 1_000_000)
    behind(feed, "near", "logs", 1_000_000)
    behind(feed, "near", "metrics", 1_000_000)
    behind(feed, "far", "logs", 0)

    assert changed(feed, EventType.LLM_REQUEST)
    assert stale(feed) == {"near/traces": 1, "near/logs": 1}

    assert changed(feed, EventType.TURN)
    assert stale(feed) == {"near/traces": 2, "near/logs": 1}


def changed(feed: Feed, kind: EventType) -> bool:
    """Tell of a change of the first closed fact of a kind; whether somebody has it as it was."""

    def tell(state: Ingest) -> bool:
        state.wrote = True
        row = rows.fetch(state.conn, "WHERE f.type = ? AND f.closed_seq IS NOT NULL LIMIT 1", (int(kind),))[0]
        return Sent(state).changed(rows.read(row, state.names, state.contexts), row)

    return feed.store.run(tell)
