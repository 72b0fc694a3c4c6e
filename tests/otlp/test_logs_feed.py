"""Transcripts in, log records at a receiver: every kind of fact, from either database, and no word that was planted."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.export.otlp.log_facts import LOG_TYPES, duration_ms
from ccagent.export.otlp.logs import Logs
from ccagent.export.otlp.outbox import Outbox
from ccagent.export.otlp.sender import Sender
from ccagent.export.privacy import LOG_ATTRIBUTES, NATIVE_EVENT_ATTRIBUTES, Policy
from ccagent.facts.model import EVENT_NAMES
from ccagent.store.outbox import closed_facts
from tests.canaries import Canaries
from tests.claude_canaries import transcripts
from tests.codex_canaries import rollout
from tests.otlp.ledger import Events
from tests.otlp.receiver import Running
from tests.sources.feed import START_MS, Feed
from tests.sources.orders import shuffled
from tests.sources.trees import trees

DAY = 24 * 3_600_000
EVERYTHING = (1 << 63) - 1
ANYBODY = Policy(tier=2, project="shop", team="till", identity="kim")
KINDS = {EVENT_NAMES[kind] for kind in LOG_TYPES}


@pytest.fixture
def canaries() -> Canaries:
    """Words for one session of each client."""
    return Canaries(11)


@pytest.fixture
def feed(either_store: str, canaries: Canaries) -> Feed:
    """Both sessions, taken in and over."""
    found = Feed()
    found.read(transcripts(canaries, start=START_MS))
    codex = rollout(canaries, start=START_MS)
    found.take((codex.path, codex.content))
    over(found)
    return found


def over(feed: Feed) -> None:
    """Let all timers run out."""
    feed.until(START_MS + 3 * DAY, quiet=feed.file_ids())
    while feed.tick():
        pass


def searched(feed: Feed) -> list[dict[str, Any]]:
    """Closed facts of the kinds that become records and that have any time, as queries show them."""
    return [
        row
        for row in feed.events()
        if row["event_type"] in KINDS
        and row["closed_seq"] is not None
        and any(row[at] is not None for at in ("occurred_at", "ended_at", "result_at"))
    ]


def outbox(feed: Feed, sender: Sender, **options: Any) -> Outbox:
    """Logs of the feed's store to a destination that was named before all of it."""

    @contextmanager
    def reader() -> Iterator[Any]:
        yield feed.store.conn

    defaults: dict[str, Any] = {
        "encoding": Logs(), "policy": lambda _cwd, _project: ANYBODY, "observe": Events()
    }  # fmt: skip
    made = Outbox(
        "test", sender, host=feed.store.host, resource={"service.name": "ccagent"}, version="1", reader=reader,
        write=feed.store.write, **defaults | options,
    )  # fmt: skip
    made.name(START_MS)
    return made


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_every_kind_of_fact_arrives_as_its_record(
    http: Running, grpc_: Running, senders: Callable[..., Sender], feed: Feed, protocol: str
) -> None:
    running = grpc_ if protocol == "grpc" else http
    drain = outbox(feed, senders(running, protocol)).drain_once(START_MS + DAY)

    arrived = Counter(record.event_name for record in running.received.logs)
    assert {name.removeprefix("ccagent.") for name in arrived} == KINDS
    assert arrived == Counter(f"ccagent.{row['event_type']}" for row in searched(feed))
    assert (drain.sent, drain.backlog, drain.problem) == (sum(arrived.values()), 0, "")


def test_no_planted_word_is_in_any_record(
    http: Running, senders: Callable[..., Sender], feed: Feed, canaries: Canaries
) -> None:
    outbox(feed, senders(http), encoding=Logs(native=True)).drain_once(START_MS + DAY)

    sent = b"".join(request.SerializeToString() for request in http.received.taken)
    assert len(http.received.logs) > 200
    assert canaries.found(sent) == set()
    assert canaries.named(sent) == set()
    assert canaries.content
    assert canaries.identity


def test_every_attribute_is_on_the_list_and_no_native_event_is_mixed_in_unasked(
    http: Running, senders: Callable[..., Sender], feed: Feed
) -> None:
    outbox(feed, senders(http)).drain_once(START_MS + DAY)

    records = http.received.logs
    assert {one.key for record in records for one in record.attributes} <= LOG_ATTRIBUTES
    assert {record.body.string_value.partition("claude_code")[1] for record in records} == {""}
    values = [{one.key: one.value.string_value for one in record.attributes} for record in records]
    assert {(one["ccagent.project"], one["ccagent.team"], one["enduser.id"]) for one in values} == {
        ("shop", "till", "kim")
    }


def test_native_events_stand_behind_the_records_of_their_facts(
    http: Running, senders: Callable[..., Sender], feed: Feed
) -> None:
    policy = ANYBODY
    outbox(feed, senders(http), encoding=Logs(native=True)).drain_once(START_MS + DAY)

    records = http.received.logs
    own = [record for record in records if record.event_name]
    native = [record for record in records if not record.event_name]
    facts = closed_facts(feed.store.conn, feed.store.host, 0, EVERYTHING, types=LOG_TYPES)
    assert own == [record for _, fact in facts for record in Logs().build(fact, policy)]
    assert {"claude_code.user_prompt", "claude_code.api_request", "claude_code.tool_result"} <= {
        record.body.string_value for record in native
    }
    for record in native:
        said = {one.key: one.value for one in record.attributes}
        assert record.body.string_value == f"claude_code.{said['event.name'].string_value}"
        assert set(said) <= NATIVE_EVENT_ATTRIBUTES
        assert record.severity_number == 0
    for before, record in itertools.pairwise(records):
        if not record.event_name:
            assert (record.time_unix_nano, record.trace_id) == (before.time_unix_nano, before.trace_id)


def test_after_a_month_without_a_receiver_all_is_expired_and_counted(
    http: Running, senders: Callable[..., Sender], feed: Feed, events: Events
) -> None:
    late = outbox(feed, senders(http), observe=events)

    drain = late.drain_once(START_MS + 30 * DAY)

    assert (drain.sent, drain.backlog, drain.problem) == (0, 0, "")
    assert events.drops["expired"] == len(searched(feed))
    assert http.received.offered == []


def test_durations_are_those_that_queries_show(feed: Feed) -> None:
    shown = {row["source_key"]: row["duration_ms"] for row in feed.events()}
    facts = [fact for _, fact in closed_facts(feed.store.conn, feed.store.host, 0, EVERYTHING, types=LOG_TYPES)]

    assert len(facts) > 200
    told = {fact.source_key: duration_ms(fact) for fact in facts}
    assert told == {key: shown[key] for key in told}


@pytest.mark.sqlite
def test_real_transcripts_have_the_durations_that_queries_show(corpus_feed: Feed) -> None:
    shown = {row["source_key"]: row["duration_ms"] for row in corpus_feed.events()}
    store = corpus_feed.store
    facts = [fact for _, fact in closed_facts(store.conn, store.host, 0, EVERYTHING, types=LOG_TYPES)]

    told = {fact.source_key: duration_ms(fact) for fact in facts}
    assert len(told) > 1_000
    assert told == {key: shown[key] for key in told}


def records_of(feed: Feed) -> list[bytes]:
    """The records of all that is closed, in the order of their bytes."""
    facts = closed_facts(feed.store.conn, feed.store.host, 0, EVERYTHING, types=LOG_TYPES)
    built = [record for _, fact in facts for record in Logs().build(fact, ANYBODY)]
    return sorted(record.SerializeToString(deterministic=True) for record in built)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files=trees(), cuts=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_any_cut_and_any_order_of_files_give_the_same_records(files: dict[str, bytes], cuts: int, seed: int) -> None:
    whole, pieces = Feed(), Feed()
    for path in sorted(files):
        whole.take((path, files[path]))
    for batch in shuffled(files, cuts, random.Random(seed)):
        pieces.take(*batch)

    over(whole)
    over(pieces)

    assert records_of(pieces) == records_of(whole)
    assert len(records_of(whole)) == len(searched(whole))
