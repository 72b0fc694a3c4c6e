"""Traces of the past, sent once on request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ccagent.cli import main
from ccagent.config import load
from ccagent.errors import ConfigError, UsageError
from ccagent.history_export import TRIES, Report, Wanted, export_traces
from ccagent.store.outbox import create_cursor, read_cursor
from tests.otlp.receiver import Answer, Running
from tests.otlp.tracing import over, shape, spans
from tests.sources.feed import Feed, database_of
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")

DAY_MS = 24 * 3_600_000
Export = Callable[..., Report]


class Past:
    """A store with three sessions: an old one, one of yesterday, one in a folder that allows nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = time.time_ns() // 1_000_000
        (folder / "shut").mkdir()
        (folder / "shut" / ".ccagent.toml").write_text("tier = 0\n")
        (folder / "shop").mkdir()
        places = {"old": (40 * DAY_MS, "shop"), "new": (DAY_MS, "shop"), "hidden": (40 * DAY_MS, "shut")}
        sessions = [self.session(name, ago, str(folder / place)) for name, (ago, place) in places.items()]
        self.feed = over(Feed(folder / "ccagent.db").read(*sessions))
        self.database = database_of(folder / "ccagent.db")
        self.all = spans(self.feed)

    def session(self, name: str, ago_ms: int, cwd: str) -> Session:
        session = Session(name, version="2.1.229", cwd=cwd, start=self.now - ago_ms)
        session.prompt("hello")
        session.bash("ls")
        session.request()
        session.prompt("next")
        return session


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


@pytest.fixture
def export(past: Past, http: Running) -> Export:
    """Runs the export into the receiver, without waiting."""

    def run(waits: list[float] | None = None, **wanted: Any) -> Report:
        config = load(
            {
                "database": past.database,
                "host_id": "feed",
                "otlp.endpoint": http.http,
                "otlp.protocol": "http/protobuf",
            },
            {},
            None,
        )
        kept = waits if waits is not None else []
        return export_traces(config, {}, Wanted(**wanted), wait=kept.append)

    return run


def sessions_of(http: Running) -> list[str]:
    found = []
    for span in http.received.spans:
        (session,) = (one.value.string_value for one in span.attributes if one.key == "session.id")
        found.append(session)
    return found


def test_the_past_is_sent_turn_by_turn_with_the_ids_that_it_has_anyway(
    past: Past, export: Export, http: Running
) -> None:
    report = export()

    (tally,) = report.destinations
    assert report.complete
    assert (tally.spans, tally.turns, tally.traces) == (len(http.received.spans), 4, 4)
    assert tally.withheld == len(past.all) - tally.spans > 0
    assert list(dict.fromkeys(sessions_of(http))) == ["old", "new"]
    known = {span.span_id: (key, span.trace_id) for key, span in past.all.items()}
    assert all(known[span.span_id][1] == span.trace_id for span in http.received.spans)
    shape({known[span.span_id][0]: span for span in http.received.spans})


def test_a_second_time_sends_the_same_bytes_and_moves_no_cursor(past: Past, export: Export, http: Running) -> None:
    past.feed.store.write(lambda conn: create_cursor(conn, "otlp", "traces", past.feed.store.host, past.now))
    before = read_cursor(past.feed.store.conn, "otlp", "traces", past.feed.store.host)

    export()
    export()

    first, second = http.received.taken
    assert first == second
    assert read_cursor(past.feed.store.conn, "otlp", "traces", past.feed.store.host) == before


def test_what_the_live_export_sends_is_left_to_it_unless_asked_for_again(
    past: Past, export: Export, http: Running
) -> None:
    named = past.now - 10 * DAY_MS
    past.feed.store.write(lambda conn: create_cursor(conn, "otlp", "traces", past.feed.store.host, named))

    (tally,) = export().destinations
    assert set(sessions_of(http)) == {"old"}
    assert tally.live > 0

    (tally,) = export(again=True).destinations
    assert set(sessions_of(http)) == {"old", "new"}
    assert tally.live == 0


@pytest.mark.parametrize(("wanted", "expected"), [({"since_ms": 7}, {"new"}), ({"project": "shop"}, {"old", "new"}),
                                                  ({"project": "atlas"}, set())])  # fmt: skip
def test_a_part_of_the_past_may_be_chosen(
    past: Past, export: Export, http: Running, wanted: dict[str, Any], expected: set[str]
) -> None:
    if "since_ms" in wanted:
        wanted = {"since_ms": past.now - 7 * DAY_MS}

    export(**wanted)

    assert set(sessions_of(http)) == expected


def test_a_dry_run_counts_and_sends_nothing(export: Export, http: Running) -> None:
    (counted,) = export(dry_run=True).destinations
    assert http.received.offered == []

    (sent,) = export().destinations

    assert (counted.spans, counted.turns) == (sent.spans, sent.turns)


def test_a_receiver_that_is_away_for_a_moment_is_waited_for(export: Export, http: Running) -> None:
    http.received.script.extend([Answer(status=503), Answer(status=503)])
    waits: list[float] = []

    assert export(waits, rate=100.0).complete
    assert waits[0] < waits[1]


def test_a_receiver_that_stays_away_ends_the_export(export: Export, http: Running) -> None:
    http.received.rule = lambda _request: Answer(status=503)

    report = export()

    assert not report.complete
    assert report.destinations[0].problem
    assert len(http.received.offered) == TRIES


def test_a_span_that_is_refused_is_counted_and_the_rest_goes_on(past: Past, export: Export, http: Running) -> None:
    poison = next(span.span_id for key, span in past.all.items() if key.startswith("tool:"))

    def rule(request: Any) -> Answer | None:
        found = [span.span_id for part in request.resource_spans for scope in part.scope_spans for span in scope.spans]
        return Answer(status=400) if poison in found else None

    http.received.rule = rule

    report = export()

    (tally,) = report.destinations
    assert not report.complete
    assert (tally.refused, tally.spans) == (1, len(http.received.spans))


def test_no_more_spans_a_second_are_sent_than_wanted(export: Export) -> None:
    waits: list[float] = []

    (tally,) = export(waits, rate=10.0).destinations

    assert sum(waits) == pytest.approx(tally.spans / 10)


def test_without_a_destination_nothing_can_be_sent(past: Past) -> None:
    config = load({"database": past.database}, {}, None)

    with pytest.raises(ConfigError, match="no destination gets traces"):
        export_traces(config, {}, Wanted())


def test_a_destination_that_is_not_there_is_answered_with_those_that_are(export: Export) -> None:
    with pytest.raises(UsageError, match="there is otlp"):
        export(destination="elsewhere")


def test_the_command_prints_what_was_sent_and_ends_with_one_when_not_all_was(
    past: Past, http: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCAGENT_OTLP_ENDPOINT", http.http)
    monkeypatch.setenv("CCAGENT_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("CCAGENT_HOST_ID", "feed")
    command = ["export", "traces", "--since", "7d", "--db", past.database, "--rate", "1000000"]

    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out.startswith("otlp: sent ")
    assert "2 turns" in said.out
    assert "trace id" in said.err

    http.received.rule = lambda _request: Answer(status=401)
    assert main([*command, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["destinations"][0]["problem"]
