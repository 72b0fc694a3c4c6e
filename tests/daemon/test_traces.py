"""Traces of a followed session at a collector: each closed fact once, in one tree a turn, with the facts' own sums."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.daemon.collector import (
    PROTOCOLS,
    all_left,
    attributes,
    door,
    expected,
    open_facts,
    options,
    play,
    receiver,
    rich_session,
)
from tests.daemon.rig import Daemon, Ground, now_ms, small_session
from tests.otlp.receiver import Received, http_receiver
from tests.otlp.test_rotel import rotel

CANARY = "kanarienvogel"
TURNS, AGENTS = 3, 2  # of the rich session


def settled(daemon: Daemon, received: Received) -> None:
    """Wait until all is closed and has arrived."""
    daemon.until(lambda: all_left(daemon.ground, received), "every closed fact is at the collector")


@pytest.fixture(params=PROTOCOLS)
def followed(request: pytest.FixtureRequest, ground: Ground) -> Received:
    """What a collector has of a session that was followed line by line, full of canaries."""
    with receiver(request.param) as collector:
        daemon = ground.start(*options(collector.http, request.param), CCAGENT_OTLP_INTERVAL_SECONDS="1")
        daemon.until_caught_up()
        play(ground, daemon, rich_session("rich", secret=CANARY))
        settled(daemon, collector.received)
        assert daemon.terminate() == 0
        return collector.received


def test_a_followed_session_is_at_the_collector_as_it_is_in_the_store(followed: Received, ground: Ground) -> None:
    spans = followed.spans
    by_id = {span.span_id: span for span in spans}
    chats = [attributes(span) for span in spans if span.name.startswith("chat ")]
    row = ground.usage()

    assert Counter(span.span_id for span in spans) == Counter(dict.fromkeys(expected(ground), 1))
    assert len(by_id) == TURNS + row["requests"] + row["tool_calls"] + row["tool_calls_relayed"] + AGENTS
    assert [span.name for span in spans if span.parent_span_id and span.parent_span_id not in by_id] == []
    assert [
        span.name for span in spans if span.parent_span_id and by_id[span.parent_span_id].trace_id != span.trace_id
    ] == []
    assert sum(not span.parent_span_id for span in spans) == len({span.trace_id for span in spans}) == TURNS
    for kind, amount in row["tokens"].items():
        assert sum(int(chat.get(f"ccagent.tokens.{kind}", 0)) for chat in chats) == amount, kind
    whole = sum(row["tokens"].values()) - row["tokens"]["output"]
    assert sum(int(chat["gen_ai.usage.input_tokens"]) for chat in chats) == whole


def test_the_tree_of_a_turn_has_the_sub_agents_below_the_calls_that_launched_them(followed: Received) -> None:
    by_id = {span.span_id: span for span in followed.spans}
    above = {
        span.name: by_id[span.parent_span_id].name for span in followed.spans if span.parent_span_id in by_id
    }  # fmt: skip

    assert above["invoke_agent Explore"] == above["invoke_agent Plan"] == "execute_tool Agent"
    assert above["execute_tool Grep"] == "invoke_agent Explore"
    assert above["execute_tool Glob"] == "invoke_agent Plan"
    assert above["execute_tool Agent"] == "invoke_agent claude-code"


def test_nothing_that_was_written_or_named_leaves(followed: Received) -> None:
    requests = [request.SerializeToString() for request in followed.offered]

    assert requests
    assert [request for request in requests if CANARY.encode() in request] == []
    assert CANARY not in repr((followed.headers, followed.paths))


def test_what_closed_while_the_collector_was_away_arrives_once_it_is_back(ground: Ground) -> None:
    with http_receiver() as collector, door(collector.port) as way:
        daemon = ground.start(*options(way.url, "http/protobuf"))
        daemon.until_caught_up()
        ground.tree.write(rich_session("rich"))
        daemon.until(
            lambda: (ground.status()["export"].get("traces") or {}).get("state") == "degraded", "the status says so"
        )
        assert collector.received.spans == []

        way.open()

        settled(daemon, collector.received)
        assert len(collector.received.spans) == len(expected(ground))


@pytest.mark.parametrize("point", ["after_post", "before_cursor"])
def test_a_daemon_killed_after_the_answer_sends_the_same_spans_again_and_misses_none(
    ground: Ground, point: str
) -> None:
    with http_receiver() as collector:
        only = {"CCAGENT_FAILPOINT": f"{point}:kill", "CCAGENT_OTLP_SIGNALS": "traces"}
        daemon = ground.start(*options(collector.http, "http/protobuf"), **only)
        ground.tree.write(rich_session("rich"))
        assert daemon.process.wait(30) == -9, daemon.words
        first = {span.span_id: span.SerializeToString() for span in collector.received.spans}

        again = ground.start(*options(collector.http, "http/protobuf"))
        settled(again, collector.received)

        last = {span.span_id: span.SerializeToString() for span in collector.received.spans}
        assert first
        assert {key: last[key] for key in first} == first


def test_two_hosts_give_the_same_session_the_same_ids(tmp_path: Path) -> None:
    session = rich_session("rich")
    ids = []
    for name in ("one", "two"):
        ground = Ground(tmp_path / name)
        ground.tree.write(session)
        with http_receiver() as collector:
            done = ground.once(*options(collector.http, "http/protobuf"))
            assert done.returncode == 0, done.stderr
            ids.append({(span.trace_id, span.span_id, span.parent_span_id) for span in collector.received.spans})

    assert ids[0] == ids[1] != set()


def test_history_of_more_than_an_hour_ago_stays(ground: Ground) -> None:
    ground.tree.write(small_session("old", start=now_ms() - 2 * 3_600_000), small_session("new"))
    with http_receiver() as collector:
        daemon = ground.start(*options(collector.http, "http/protobuf"))
        daemon.until(lambda: len(collector.received.spans) == 3, "the new session has left")
        daemon.until(lambda: ground.rows("SELECT 1 FROM export_cursor WHERE closed_seq >= (SELECT max(closed_seq) FROM"
                                         " fact WHERE type = 2)"), "the cursor has passed both")  # fmt: skip
        sessions = {attributes(span)["session.id"] for span in collector.received.spans}

    assert len(sessions) == 1
    assert open_facts(ground) == 0


def test_a_second_start_sends_nothing_again(ground: Ground) -> None:
    ground.tree.write(rich_session("rich"))
    with http_receiver() as collector:
        for _ in range(2):
            daemon = ground.start(*options(collector.http, "http/protobuf"))
            daemon.until_caught_up()
            settled(daemon, collector.received)
            assert daemon.terminate() == 0

        assert len(collector.received.spans) == len(expected(ground))


@pytest.mark.rotel
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_followed_session_arrives_through_a_real_collector(ground: Ground, tmp_path: Path, protocol: str) -> None:
    with receiver("grpc") as target, rotel(tmp_path, target) as between:
        daemon = ground.start(*options(between[protocol].http, protocol), CCAGENT_OTLP_INTERVAL_SECONDS="1")
        daemon.until_caught_up()
        play(ground, daemon, rich_session("rich", secret=CANARY))
        settled(daemon, target.received)
        daemon.until(lambda: "ccagent.tokens" in {one.name for one in target.received.metrics}, "metrics arrive, too")

        assert len(target.received.spans) == len(expected(ground))
        assert not any(CANARY.encode() in request.SerializeToString() for request in target.received.offered)
