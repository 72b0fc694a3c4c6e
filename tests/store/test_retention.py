"""What goes when and what stays: ages, exporters, open facts, sealed hours, the limit of size. On either store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ccagent.errors import StoreError
from ccagent.facts.model import EventType
from ccagent.facts.partial import NOWHERE
from ccagent.rollups.buckets import HOUR_MS, bucket_end, bucket_start
from ccagent.store import outbox
from ccagent.store.connection import scalar
from ccagent.store.ingest import Ingest
from ccagent.store.retention_rules import months_before
from tests.sources.feed import START_MS, Feed
from tests.store.pruned import (
    DAY_MS,
    NOW,
    ZONE,
    amounts,
    feed_in_zone,
    filled,
    links,
    of_facts,
    prune,
    pruning,
    session,
    sessions_left,
    two,
    without_active_time,
)
from tests.transcripts import Session, Usage

pytestmark = pytest.mark.usefixtures("either_store")


def meta(feed: Feed, name: str) -> int:
    return int(feed.store.meta(name) or 0)


# ---- by age ----------------------------------------------------------------------------------------------------------


def test_the_facts_of_a_session_go_together_when_its_last_sign_is_old_enough() -> None:
    feed = filled(*two())

    removed = prune(feed, NOW)

    assert (removed.sessions, sessions_left(feed)) == (1, {"young"})
    assert scalar(feed.store.conn, "SELECT COUNT(*) FROM pruned") == removed.facts > 10
    assert scalar(feed.store.conn, "SELECT COUNT(*) FROM contributor") == 0
    assert feed.counted("retention.removed")['["fact"]'] == removed.facts


def test_a_session_that_was_taken_up_again_stays_whole() -> None:
    old = session("old", START_MS)
    old.now = START_MS + 20 * DAY_MS
    old.prompt("once more")
    feed = filled(old)

    assert prune(feed, NOW).facts == 0


def test_nothing_goes_where_retention_keeps_for_ever() -> None:
    feed = filled(*two())

    removed = prune(feed, NOW + 900 * DAY_MS, fact_months=0)

    assert (removed.facts, removed.payloads) == (0, 0)


def test_hours_are_sealed_up_to_the_end_of_the_last_one_that_lost_a_fact() -> None:
    old, young = two()
    feed = filled(old, young)

    prune(feed, NOW)

    hour = bucket_start(ZONE, "hour", old.now)
    assert meta(feed, "sealed_before") == bucket_end(ZONE, "hour", hour)


def test_the_seal_never_falls() -> None:
    feed = filled(*two())
    prune(feed, NOW)
    sealed = meta(feed, "sealed_before")

    feed.read(session("ancient", START_MS - 300 * DAY_MS))
    feed.until(START_MS + 31 * DAY_MS)
    removed = prune(feed, NOW)

    assert removed.sessions == 1
    assert meta(feed, "sealed_before") == sealed


def test_months_are_those_of_the_calendar() -> None:
    day = 86_400_000
    march_31 = 1_774_915_200_000  # 2026-03-31

    assert months_before(march_31, 1) == march_31 - 31 * day  # 2026-02-28
    assert months_before(march_31, 13) == march_31 - 396 * day  # 2025-02-28


# ---- what waits ------------------------------------------------------------------------------------------------------


def export_cursor(feed: Feed, closed_seq: int) -> None:
    def work(conn: Any) -> None:
        outbox.create_cursor(conn, "otlp", "traces", feed.store.host, START_MS)
        cursor = outbox.read_cursor(conn, "otlp", "traces", feed.store.host)
        assert cursor is not None
        outbox.advance_cursor(conn, cursor, closed_seq, START_MS)

    feed.store.write(work)


def test_what_an_exporter_has_not_sent_waits_a_week_longer() -> None:
    feed = filled(*two())
    export_cursor(feed, 0)
    bound = START_MS + HOUR_MS + 31 * DAY_MS

    assert prune(feed, bound + 2 * DAY_MS).facts == 0
    assert prune(feed, bound + 8 * DAY_MS).sessions == 1


def waiting(feed: Feed) -> int:
    """Closed facts that a span is made of."""
    return len(outbox.closed_facts(feed.store.conn, feed.store.host, 0, 10_000))


@pytest.mark.parametrize("allowed", [True, False])
def test_what_goes_before_an_exporter_has_sent_it_is_counted(allowed: bool) -> None:
    feed = filled(*two())
    feed.store.ingest_state.ledger.leaves = lambda cwd, project: allowed
    feed.store.send_to((("otlp", "traces"), ("otlp", "logs"), ("never named", "traces")))
    export_cursor(feed, 0)
    before = waiting(feed)

    assert prune(feed, NOW).sessions == 1

    gone = before - waiting(feed)
    assert gone > 0
    assert feed.counted("exports.dropped") == ({'["otlp","traces","expired"]': gone} if allowed else {})


def test_what_goes_after_it_was_sent_is_not_counted() -> None:
    feed = filled(*two())
    feed.store.ingest_state.ledger.leaves = lambda cwd, project: True
    feed.store.send_to((("otlp", "traces"),))
    export_cursor(feed, outbox.last_closed(feed.store.conn, feed.store.host))

    assert prune(feed, NOW).sessions == 1
    assert feed.counted("exports.dropped") == {}


def test_what_was_sent_does_not_wait() -> None:
    feed = filled(*two())
    export_cursor(feed, outbox.last_closed(feed.store.conn, feed.store.host))

    assert prune(feed, NOW - 7 * DAY_MS).sessions == 1


def test_open_facts_wait_for_their_timers_while_their_transcript_is_there() -> None:
    feed = feed_in_zone().read(session("old", START_MS))
    feed.store.write(lambda conn: conn.execute("UPDATE file SET mtime_ns = ?", (NOW * 1_000_000,)))

    assert prune(feed, NOW).facts == 0
    feed.store.write(lambda conn: conn.execute("UPDATE file SET state = 1"))
    assert prune(feed, NOW).sessions == 1


def test_open_facts_of_transcripts_that_are_gone_are_closed_before_they_go() -> None:
    kept = filled(session("old", START_MS))
    feed = feed_in_zone().read(session("old", START_MS))

    prune(feed, NOW)

    assert feed.events() == []
    assert of_facts(feed) == of_facts(kept)


def test_a_session_that_shares_amounts_with_a_younger_one_waits_for_it() -> None:
    """A call whose request another, later session owns: its hour shows the request's model."""
    old, young = two()
    feed = filled(old, young)
    request = next(row["source_key"] for row in feed.events("llm.request") if row["session_id"] == "young")
    call = next(row["source_key"] for row in feed.events("tool.call") if row["session_id"] == "old")

    def tie(conn: Any) -> None:
        conn.execute(
            "UPDATE fact SET request = (SELECT key FROM fact WHERE type = ? AND native = ?) WHERE type = ? AND native = ?",
            (
                int(EventType.LLM_REQUEST),
                request.removeprefix("llm:"),
                int(EventType.TOOL_CALL),
                call.removeprefix("tool:"),
            ),
        )

    feed.store.write(tie)

    assert prune(feed, NOW).facts == 0
    assert prune(feed, NOW + 30 * DAY_MS).sessions == 2


def test_facts_without_a_session_go_by_their_own_time() -> None:
    feed = filled(*two())

    def orphan(state: Ingest) -> None:
        nowhere = state.contexts.id(NOWHERE)
        state.conn.execute("UPDATE fact SET context = ? WHERE type = ?", (nowhere, int(EventType.TOOL_CALL)))

    feed.store.run(orphan)
    calls = sum(row["session_id"] is None for row in feed.events())

    removed = prune(feed, NOW)

    assert sum(row["session_id"] is None for row in feed.events()) == calls // 2 > 0
    assert removed.sessions == 1
    assert sessions_left(feed) == {"young", None}


def test_facts_without_a_time_stay() -> None:
    """No hour holds them: usage would lose them."""
    old = session("old", START_MS)
    feed = filled(old)
    call = next(row["source_key"] for row in feed.events("tool.call"))
    feed.store.write(
        lambda conn: conn.execute(
            "UPDATE fact SET occurred_at = NULL WHERE type = ? AND native = ?",
            (int(EventType.TOOL_CALL), call.removeprefix("tool:")),
        )
    )

    prune(feed, NOW)

    assert [row["source_key"] for row in feed.events()] == [call]


# ---- payloads and bad lines ------------------------------------------------------------------------------------------


def test_payloads_go_by_the_time_of_their_fact_and_do_not_come_back_with_their_lines() -> None:
    old, young = two()
    feed = filled(old, young)

    removed = prune(feed, START_MS + 100 * DAY_MS, payload_days=90, fact_months=0)

    with_payload = {row["session_id"] for row in feed.events() if row["payload_json"] is not None}
    assert (removed.payloads > 0, removed.facts, with_payload) == (True, 0, {"young"})
    whole = feed.dump()
    for each in (old, young):
        feed.take((each.path, each.content), again=True)
    assert feed.dump() == whole
    assert feed.counted("exports.stale") == {}


def test_payloads_are_wanted_again_where_retention_keeps_them() -> None:
    old, young = two()
    feed = filled(old, young)
    prune(feed, START_MS + 100 * DAY_MS, payload_days=90, fact_months=0)

    prune(feed, START_MS + 100 * DAY_MS, payload_days=0, fact_months=0)
    feed.take((old.path, old.content), again=True)

    assert {row["session_id"] for row in feed.events() if row["payload_json"] is not None} == {"old", "young"}


def test_notes_of_bad_lines_go_with_age_where_the_transcript_is_gone() -> None:
    """While it is there, verify holds them against its lines."""
    feed = feed_in_zone()
    feed.take(("there.jsonl", b"broken\n"), ("gone.jsonl", b"broken, too\n"))
    feed.store.write(lambda conn: conn.execute("UPDATE file SET state = 1 WHERE path = ?", (b"gone.jsonl",)))

    early = prune(feed, START_MS + 80 * DAY_MS, payload_days=90)
    late = prune(feed, START_MS + 91 * DAY_MS, payload_days=90)

    assert (early.lines, late.lines) == (0, 1)
    left = "SELECT path FROM quarantine q JOIN file f ON f.id = q.file"
    assert bytes(scalar(feed.store.conn, left)) == b"there.jsonl"


# ---- what comes later ------------------------------------------------------------------------------------------------


def test_a_removed_fact_that_is_seen_again_adds_nothing_and_is_counted_as_merged() -> None:
    old, young = two()
    feed = filled(old, young)
    prune(feed, NOW)
    facts, rows, new = feed.dump(), amounts(feed), feed.counted("ingest.records")['["assistant","new"]']

    feed.take((old.path, old.content), again=True)

    assert (feed.dump(), amounts(feed)) == (facts, rows)
    assert feed.counted("ingest.records")['["assistant","new"]'] == new
    assert feed.counted("ingest.records")['["assistant","merged"]'] > 0


def test_a_removed_call_that_is_seen_again_launches_no_sub_agent() -> None:
    parent = session("old", START_MS)
    launched = parent.launch(usage=Usage(output=9))
    child = parent.agent()
    child.prompt("look into it")
    child.bash("ls")
    parent.landed(launched, child)
    feed = filled(parent)
    assert links(feed) != []
    prune(feed, NOW)
    feed.store.write(lambda conn: conn.execute("DELETE FROM agent"))

    feed.take((parent.path, parent.content), again=True)

    assert links(feed) == []


def test_a_late_fact_is_added_to_its_sealed_hour_day_and_week_and_counted() -> None:
    old, young = two()
    late = Session("late", seed=9, start=START_MS + 60_000)
    late.prompt("hello")
    late.bash("ls", usage=Usage(input=3, output=50))
    feed, kept = filled(old, young), filled(old, young)
    prune(feed, NOW)

    for each in (feed, kept):
        each.read(late)
        each.until(START_MS + 31 * DAY_MS)

    assert without_active_time(amounts(feed)) == without_active_time(amounts(kept))
    assert feed.counted("rollup.late_facts") == {'["new"]': sum(row["session_id"] == "late" for row in feed.events())}


def test_a_late_fact_that_changes_moves_its_sealed_hour_by_the_difference() -> None:
    old, young = two()
    late = Session("late", seed=9, start=START_MS + 60_000)
    late.prompt("hello")
    tool = late.ids.tool()
    feed, kept = filled(old, young), filled(old, young)
    prune(feed, NOW)
    for each in (feed, kept):
        late_now = Session("late", seed=9, start=START_MS + 60_000)
        late_now.prompt("hello")
        late_now.assistant({"type": "tool_use", "id": tool, "name": "Bash", "input": {}}, usage=Usage(output=9))
        each.read(late_now)
        late_now.result(tool, "no", is_error=True)
        each.read(late_now)
        each.until(START_MS + 31 * DAY_MS)

    assert without_active_time(amounts(feed)) == without_active_time(amounts(kept))
    assert feed.counted("rollup.late_facts")['["changed"]'] > 0


def test_what_a_removed_session_still_gets_moves_its_sealed_point() -> None:
    old, young = two()
    feed, kept = filled(old, young), filled(old, young)
    prune(feed, NOW)
    more = Session("old", seed=77, start=START_MS + 35 * DAY_MS)
    more.prompt("once more")
    more.bash("ls", usage=Usage(output=50))

    for each in (feed, kept):
        each.take(("elsewhere.jsonl", more.content))
        each.until(START_MS + 40 * DAY_MS)

    points = [
        {key: values for key, values in without_active_time(amounts(each)).items() if key[0] == 4}
        for each in (feed, kept)
    ]
    assert points[0] == points[1]


# ---- between listing and removing ------------------------------------------------------------------------------------


def stepped(feed: Feed, between: Callable[[], None], **rules: Any) -> int:
    """Prune, with something else happening after the first step of a group: its facts are listed, none is removed."""
    work = pruning(feed, NOW, **rules)
    steps = work.steps()
    next(steps)
    between()
    for _ in steps:
        pass
    return work.removed.facts


def test_a_session_that_is_taken_up_between_listing_and_sealing_stays() -> None:
    old, young = two()
    feed = filled(old, young)

    def again() -> None:
        old.now = NOW
        old.prompt("once more")
        feed.read(old)

    assert stepped(feed, again) == 0
    assert sessions_left(feed) == {"old", "young"}


def test_a_fact_that_changes_between_listing_and_removal_goes_the_next_time() -> None:
    old, young = two()
    tool = old.ids.tool()
    old.assistant({"type": "tool_use", "id": tool, "name": "Bash", "input": {}}, usage=Usage(output=9))
    feed, kept = filled(old, young), filled(old, young)
    late = Session("old", seed=78, start=old.now + 1_000)
    late.result(tool, "done")
    work = pruning(feed, NOW)
    steps = work.steps()
    next(steps)
    next(steps)  # sealed, and the session's own fact removed

    feed.take(("elsewhere.jsonl", late.content))
    for _ in steps:
        pass

    kept.take(("elsewhere.jsonl", late.content))
    assert f"tool:{tool}" in {row["source_key"] for row in feed.events()}
    assert without_active_time(amounts(feed)) == without_active_time(amounts(kept))
    prune(feed, NOW)
    assert sessions_left(feed) == {"young"}


def test_an_archive_that_cannot_be_written_keeps_everything(tmp_path: Any) -> None:
    feed = filled(*two())
    whole = feed.dump()
    blocked = tmp_path / "file"
    blocked.write_text("no folder")

    with pytest.raises(StoreError, match="nothing was removed"):
        prune(feed, NOW, archive=blocked / "archive")

    assert feed.dump() == whole
