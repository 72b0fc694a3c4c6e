"""Retries, compactions, ends of turns, and records that nobody knows."""

from __future__ import annotations

import orjson
import pytest

from ccagent.facts.model import EventType
from tests.sources.feed import Feed, derived, only
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    session = Session("s", version="2.1.30")
    session.prompt("hello")
    return session


def test_a_run_of_retries_is_one_incident(session: Session) -> None:
    for attempt in (1, 2, 3):
        session.api_error(attempt=attempt)
    session.request()

    feed = Feed().read(session)

    (error,) = feed.events("api.error")
    assert (error["retry_count"], error["failure_class"]) == (3, "overloaded")
    assert feed.total("request.retries") == 3
    assert feed.counted("errors") == {'["overloaded"]': 1}


def test_retries_after_a_reply_are_another_incident(session: Session) -> None:
    for _ in range(2):
        session.api_error()
        session.request()

    assert len(derived(session.content).facts[EventType.API_ERROR]) == 2


def test_retries_and_the_final_failure_are_one_incident(session: Session) -> None:
    session.api_error(attempt=1)
    session.api_error(attempt=2)
    session.api_failure()

    (error,) = Feed().read(session).events("api.error")

    assert error["retry_count"] == 2
    assert error["closed_seq"] is not None


def test_a_run_of_retries_split_over_batches_is_one_incident(session: Session) -> None:
    feed = Feed()
    for attempt in (1, 2, 3):
        session.api_error(attempt=attempt)
        feed.read(session)

    assert [error["retry_count"] for error in feed.events("api.error")] == [3]
    assert feed.total("request.retries") == 3


def test_a_retry_without_details_is_still_an_incident(session: Session) -> None:
    session.system("api_error", error={}, retryAttempt=1)

    assert only(derived(session.content), EventType.API_ERROR).failure == "unknown"


@pytest.mark.parametrize("trigger", ["auto", "manual"])
def test_a_compaction_has_its_trigger_and_the_tokens_before(session: Session, trigger: str) -> None:
    session.compaction(123_456, trigger=trigger)

    feed = Feed().read(session)

    (event,) = feed.events("compaction")
    assert event["size"] == 123_456
    assert feed.counted("compactions") == {f'["{trigger}"]': 1}


def test_the_summary_behind_a_compaction_is_no_prompt(session: Session) -> None:
    session.compaction()

    assert len(derived(session.content).facts[EventType.PROMPT]) == 1


def test_a_microcompaction_is_no_compaction(session: Session) -> None:
    session.microcompaction()

    assert derived(session.content).facts[EventType.COMPACTION] == {}


def test_the_clients_own_duration_of_a_turn_is_preferred(session: Session) -> None:
    session.request()
    session.turn_duration(92_000)

    assert Feed().read(session).events("turn")[0]["duration_ms"] == 92_000


def test_a_turn_without_such_a_record_lasts_to_its_last_record(session: Session) -> None:
    session.request()
    session.wait(5_000)
    session.title()
    session.bash("ls", took_ms=700)

    turn = Feed().read(session).events("turn")[0]

    assert turn["ended_at"] == session.now
    assert turn["duration_ms"] == session.now - turn["occurred_at"]


def test_an_unknown_record_is_kept_and_counted(session: Session) -> None:
    session.unknown("brand-new")

    feed = Feed().read(session)

    assert [event["detail"] for event in feed.events("record.unknown")].count(None) == 1
    assert feed.total("parser.unknown") == 1
    assert feed.counted("ingest.records")['["other","unknown"]'] == 1


def test_an_unknown_subtype_is_unknown_by_its_own_name(session: Session) -> None:
    session.system("brand_new")

    batch = derived(session.content)

    assert [fact.name for fact in batch.facts[EventType.UNKNOWN].values() if fact.label is None] == ["system/brand_new"]


def test_identical_unknown_records_without_an_id_are_one_fact(session: Session) -> None:
    session.unknown()
    again = session.lines[-1].raw

    facts = derived(session.content + again).facts[EventType.UNKNOWN].values()
    assert [fact.label for fact in facts].count(None) == 1


@pytest.mark.parametrize("row", ["title", "summary", "snapshot", "last_prompt"])
def test_rows_about_the_session_make_no_facts_of_their_own(session: Session, row: str) -> None:
    before = derived(session.content).size()
    getattr(session, row)()

    batch = derived(session.content)

    assert batch.size() == before
    assert sum(batch.records.values()) == 1


def test_a_session_spans_its_dated_records(session: Session) -> None:
    started = session.now
    session.summary()
    session.wait(60_000)
    session.attachment("task_reminder")

    event = Feed().read(session).event("session:s")

    assert (event["occurred_at"], event["ended_at"]) == (started, session.now)


def test_a_file_that_holds_two_sessions_makes_two(session: Session) -> None:
    other = Session("t", seed=3)
    other.prompt("hi")

    assert set(derived(session.content + other.content).facts[EventType.SESSION]) == {"s", "t"}


def test_attributes_are_those_of_the_line_and_the_project_is_the_files_first_folder(session: Session) -> None:
    session.cwd, session.branch = "/elsewhere", "topic"
    session.permission_mode = "plan"
    uuid = session.prompt("again")

    event = Feed().read(session).event(f"prompt:{uuid}")

    assert (event["project_id"], event["cwd"], event["git_branch"]) == ("/home/demo/atlas", "/elsewhere", "topic")
    assert event["permission_mode"] == "plan"


def test_a_record_without_a_time_takes_the_one_before(session: Session) -> None:
    session.bash("ls")
    first, *rest = (orjson.loads(line.raw) for line in session.lines)
    for record in rest:
        del record["timestamp"]

    feed = Feed()
    feed.take(("a.jsonl", b"".join(orjson.dumps(record) + b"\n" for record in (first, *rest))))

    assert {event["occurred_at"] for event in feed.events()} == {session.now - 3_800 + 1_000}


def test_conservation_of_lines_and_objects(session: Session) -> None:
    session.raw(b"\n  \n{broken\n" + b'{"type":"mode","mode":"normal"}{"type":"tag"}\n')
    session.request()

    batch = derived(session.content)

    assert batch.lines == {"blank": 2, "bad": 1, "objects": 3}
    assert sum(batch.records.values()) + len(batch.births) == 2 + 2 + 1
    assert [(bad.reason, bad.recovered) for bad in batch.bad] == [("garbage", 0), ("spliced", 2)]
