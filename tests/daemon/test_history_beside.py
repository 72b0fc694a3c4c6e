"""`ccagent export traces` beside a running daemon: nothing doubled, the live cursor unmoved, the same bytes again."""

from __future__ import annotations

import json
from typing import Any

from tests.daemon.collector import all_left, attributes, options, play
from tests.daemon.rig import Ground, now_ms, small_session
from tests.otlp.receiver import Running, http_receiver

DAY_MS = 24 * 3_600_000


def past(ground: Ground, collector: Running, *given: str) -> dict[str, Any]:
    """What `export traces` says it did, for the one destination."""
    done = ground.group(
        "export", "traces", "--since", "all", "--json", *given,
        CCAGENT_OTLP_ENDPOINT=collector.http, CCAGENT_OTLP_PROTOCOL="http/protobuf",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (tally,) = json.loads(done.stdout)["destinations"]
    return dict(tally)


def cursors(ground: Ground) -> list[tuple[Any, ...]]:
    return ground.rows("SELECT destination, signal, closed_seq, named_at, sent FROM export_cursor ORDER BY 1, 2")


def test_the_past_is_sent_while_the_daemon_goes_on(ground: Ground) -> None:
    old, live = small_session("old", start=now_ms() - 3 * DAY_MS), small_session("live")
    ground.tree.write(old)
    with http_receiver() as collector:
        daemon = ground.start(*options(collector.http, "http/protobuf"), CCAGENT_OTLP_SIGNALS="traces")
        daemon.until_caught_up()
        play(ground, daemon, live)
        daemon.until(lambda: collector.received.spans, "the live session left")
        daemon.until(lambda: cursors(ground)[0][4] == len(collector.received.spans) == 3, "its cursor has moved")
        before = cursors(ground)
        by_itself = {span.span_id: span.SerializeToString(deterministic=True) for span in collector.received.spans}

        sent = past(ground, collector)

        spans = collector.received.spans
        assert sent["live"] == len(by_itself)
        assert sent["spans"] == len(spans) - len(by_itself) == 3
        assert len({span.span_id for span in spans}) == len(spans), "nothing is doubled"
        assert {attributes(span)["session.id"] for span in spans} == {old.session_id, live.session_id}
        assert cursors(ground) == before

        again = past(ground, collector, "--again")

        copies = {
            span.span_id: span.SerializeToString(deterministic=True) for span in collector.received.spans[len(spans) :]
        }
        assert again["spans"] == len(spans)
        assert {key: copies[key] for key in by_itself} == by_itself, "the copies are those that the daemon sent"
        assert cursors(ground) == before

        play_more(ground, live)
        daemon.until(lambda: all_left(ground, collector.received), "the daemon goes on where it was")
        assert daemon.terminate() == 0


def play_more(ground: Ground, live: Any) -> None:
    """One more turn of the live session."""
    known = len(live.lines)
    live.prompt("once more")
    live.request()
    live.turn_duration(1_000)
    for line in live.lines[known:]:
        ground.tree.append(live, line.raw)
