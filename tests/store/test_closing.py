"""When facts close: each by its own rule, once, and what closing books."""

from __future__ import annotations

import orjson
import pytest

from tests.sources.feed import Feed
from tests.transcripts import Session, text, tool_use

pytestmark = pytest.mark.usefixtures("either_store")

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


@pytest.fixture
def session() -> Session:
    """A client that writes no stop reason, and the prompt that opened a turn."""
    session = Session("s", version="2.1.30")
    session.prompt("hello")
    return session


@pytest.fixture
def newer() -> Session:
    """A client that writes the stop reason on every line."""
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    return session


def turn_key(feed: Feed) -> str:
    return str(feed.events("turn")[0]["source_key"])


# ---- requests ----------------------------------------------------------------------------------------------------


def test_a_request_whose_stop_is_known_closes_at_the_next_record_of_its_chain(newer: Session) -> None:
    newer.assistant(text("a"), message_id="m")
    feed = Feed().read(newer)
    assert not feed.closed("llm:m")

    newer.system("local_command")
    feed.read(newer)

    assert feed.closed("llm:m")


def test_a_further_line_of_the_same_message_closes_nothing(newer: Session) -> None:
    newer.assistant(text("a"), message_id="m")
    feed = Feed().read(newer)

    newer.assistant(text("b"), message_id="m")
    feed.read(newer)

    assert not feed.closed("llm:m")


def test_a_request_without_a_stop_closes_when_another_message_begins(session: Session) -> None:
    session.assistant(tool_use("t", "Bash"), message_id="m")
    session.result("t")
    feed = Feed().read(session)
    assert not feed.closed("llm:m")

    session.assistant(text("b"), message_id="n")
    feed.read(session)

    assert (feed.closed("llm:m"), feed.closed("llm:n")) == (True, False)


def test_a_request_without_a_stop_closes_with_its_turn(session: Session) -> None:
    session.assistant(text("a"), message_id="m")
    feed = Feed().read(session)

    session.prompt("next")
    feed.read(session)

    assert feed.closed("llm:m")


def test_a_request_whose_stop_is_known_closes_when_its_file_is_quiet(newer: Session) -> None:
    newer.assistant(text("a"), message_id="m")
    feed = Feed().read(newer)
    feed.tick(quiet=())
    assert not feed.closed("llm:m")

    feed.tick(quiet=feed.file_ids())

    assert feed.closed("llm:m")


def test_a_quiet_file_closes_no_request_without_a_stop(session: Session) -> None:
    session.assistant(text("a"), message_id="m")
    feed = Feed().read(session)

    feed.tick()

    assert not feed.closed("llm:m")


def test_a_message_of_a_sub_agent_does_not_close_the_main_chains_request(session: Session) -> None:
    session.assistant(tool_use("t", "Task"), message_id="m")
    feed = Feed().read(session)
    child = session.agent(agent_id="a1")
    child.request()

    feed.read(session)

    assert not feed.closed("llm:m")


# ---- calls -------------------------------------------------------------------------------------------------------


def test_a_call_closes_at_its_result(session: Session) -> None:
    session.assistant(tool_use("t", "Bash"))
    feed = Feed().read(session)
    assert not feed.closed("tool:t")

    session.result("t")
    feed.read(session)

    assert feed.closed("tool:t")
    assert feed.counted("tool.calls") == {'["Bash","ok","atlas"]': 1}


def test_a_call_without_a_result_closes_as_open_with_its_turn(session: Session) -> None:
    session.assistant(tool_use("t", "Bash"))
    session.prompt("next")

    feed = Feed().read(session)

    assert (feed.closed("tool:t"), feed.event("tool:t")["status"]) == (True, "open")
    assert feed.counted("tool.calls") == {'["Bash","open","atlas"]': 1}
    assert feed.observed("tool.duration") == 0


def test_a_result_after_the_closing_changes_the_fact_and_books_no_second_outcome(session: Session) -> None:
    session.assistant(tool_use("t", "Bash"))
    session.prompt("next")
    feed = Feed().read(session)
    closed = feed.event("tool:t")["closed_seq"]

    session.result("t")
    feed.read(session)

    event = feed.event("tool:t")
    assert (event["status"], event["closed_seq"]) == ("ok", closed)
    assert feed.counted("tool.calls") == {'["Bash","open","atlas"]': 1}


# ---- relayed facts and sub-agents ----------------------------------------------------------------------------------


def relayed(session: Session, **fields: object) -> Session:
    tool = session.launch()
    session.agent_progress(tool, "a1", text("x"), tool_use("inner", "Grep"), message_id="m")
    if fields:
        record = orjson.loads(session.lines[-1].raw)
        record["data"]["message"]["message"] |= fields
        session.lines[-1] = type(session.lines[-1])(at_ms=session.now, raw=orjson.dumps(record) + b"\n")
    session.agent_progress_result(tool, "a1", "inner")
    return session


def test_relayed_facts_close_only_with_their_turn(session: Session) -> None:
    relayed(session)
    session.request()
    feed = Feed().read(session)
    feed.tick()
    assert (feed.closed("llm:m"), feed.closed("tool:inner")) == (False, False)

    session.prompt("next")
    feed.read(session)

    assert (feed.closed("llm:m"), feed.closed("tool:inner")) == (True, True)


def test_a_relayed_request_with_a_stop_does_not_close_by_quiet(session: Session) -> None:
    relayed(session, stop_reason="end_turn")
    feed = Feed().read(session)

    feed.tick()

    assert not feed.closed("llm:m")


def test_a_relayed_advisor_does_not_close_before_its_turn(session: Session) -> None:
    step = {"type": "advisor_message", "model": "claude-opus-4-6", "input_tokens": 1, "output_tokens": 2}
    relayed(session, usage={"input_tokens": 1, "output_tokens": 1, "iterations": [step]})

    feed = Feed().read(session)

    assert not feed.closed("llm:m:iter:0")


def test_facts_of_a_sub_agent_wait_for_the_link_of_its_run(session: Session) -> None:
    tool = session.launch()
    child = session.agent(agent_id="a1")
    child.assistant(tool_use("inner", "Bash"), message_id="m")
    child.result("inner")
    feed = Feed().read(child)
    feed.tick()
    assert not feed.closed("tool:inner")

    session.landed(tool, child)
    feed.read(session)

    assert feed.closed("tool:inner")
    assert feed.counted("tool.calls")['["Bash","ok","atlas"]'] == 1


def test_a_result_closes_a_sub_agents_call_of_an_earlier_batch_once_linked(session: Session) -> None:
    tool = session.launch()
    child = session.agent(agent_id="a1")
    child.assistant(tool_use("inner", "Bash"))
    feed = Feed().read(child)
    child.result("inner")
    feed.read(child)
    assert not feed.closed("tool:inner")

    session.landed(tool, child)
    feed.read(session)

    assert feed.closed("tool:inner")


def test_facts_of_a_sub_agent_that_is_never_linked_close_after_ten_minutes(session: Session) -> None:
    child = session.agent(agent_id="a1")
    child.assistant(tool_use("inner", "Bash"), message_id="m")
    child.result("inner")
    feed = Feed().read(child)
    feed.until(child.now - 801 + 10 * MINUTE)
    assert not feed.closed("tool:inner")

    feed.until(child.now + 10 * MINUTE)

    assert feed.closed("tool:inner")
    assert feed.closed("agent:a1")


@pytest.mark.parametrize("agent_first", [True, False])
def test_what_is_open_in_a_sub_agent_closes_with_the_turn_it_works_for(session: Session, agent_first: bool) -> None:
    tool = session.launch()
    child = session.agent(agent_id="a1")
    child.assistant(tool_use("inner", "Bash"), message_id="m")
    session.landed(tool, child)
    feed = Feed()
    files = [child, session] if agent_first else [session, child]
    for one in files:
        feed.take((one.path, one.content))

    session.prompt("next")
    feed.read(session)

    assert (feed.closed("llm:m"), feed.closed("tool:inner"), feed.closed("agent:a1")) == (True, True, True)


def test_a_turn_read_whole_after_its_sub_agent_closes_what_is_open_in_it(session: Session) -> None:
    tool = session.launch()
    child = session.agent(agent_id="a1")
    child.assistant(tool_use("inner", "Bash"), message_id="m")
    session.landed(tool, child)
    session.prompt("next")
    feed = Feed().read(child)

    feed.take((session.path, session.content))

    assert (feed.closed("llm:m"), feed.closed("tool:inner")) == (True, True)


def test_a_run_closes_at_its_end(session: Session) -> None:
    tool = session.launch()
    child = session.agent(agent_id="a1")
    child.request()
    feed = Feed().read(session)
    assert not feed.closed("agent:a1")

    session.landed(tool, child)
    feed.read(session)

    assert feed.closed("agent:a1")


# ---- turns and sessions --------------------------------------------------------------------------------------------


def test_a_turn_closes_at_the_next_prompt(session: Session) -> None:
    session.request()
    feed = Feed().read(session)
    turn = turn_key(feed)
    assert not feed.closed(turn)

    session.prompt("next")
    feed.read(session)

    assert feed.closed(turn)
    assert feed.counted("turns") == {'["ok","atlas"]': 1}


def test_a_command_closes_the_turn_before_it_only_when_it_is_answered(session: Session) -> None:
    feed = Feed().read(session)
    turn = turn_key(feed)
    session.slash("/review")
    feed.read(session)
    assert not feed.closed(turn)

    session.request()
    feed.read(session)

    assert feed.closed(turn)


@pytest.mark.parametrize(("pending", "closed"), [(None, True), (0, True), (2, False)])
def test_a_turn_closes_at_its_duration_unless_agents_are_pending(
    session: Session, pending: int | None, closed: bool
) -> None:
    session.request()
    session.turn_duration(3_000, pending_agents=pending)

    feed = Feed().read(session)

    assert feed.closed(turn_key(feed)) is closed


def test_a_turn_with_nothing_open_closes_after_ten_minutes(session: Session) -> None:
    session.request()
    feed = Feed().read(session)
    feed.until(session.now + 10 * MINUTE - 1)
    assert not feed.closed(turn_key(feed))

    feed.until(session.now + 10 * MINUTE)

    assert feed.closed(turn_key(feed))


def test_a_turn_with_an_open_call_closes_after_a_day(session: Session) -> None:
    session.assistant(tool_use("t", "Bash"))
    feed = Feed().read(session)
    feed.until(session.now + 24 * HOUR - 1)
    assert not feed.closed(turn_key(feed))

    feed.until(session.now + 24 * HOUR)

    assert feed.closed(turn_key(feed))
    assert feed.event("tool:t")["status"] == "open"


def test_a_turn_stays_open_while_a_sub_agent_that_it_sent_to_the_background_works(session: Session) -> None:
    tool = session.launch()
    child = session.agent(agent_id="a1")
    child.assistant(tool_use("inner", "Bash"), message_id="m")
    launched = {"status": "async_launched", "agentId": "a1", "isAsync": True}
    session.result(tool, [{"type": "text", "text": "started"}], details=launched)
    feed = Feed().read(session)
    feed.until(session.now + 2 * HOUR)
    assert not feed.closed(turn_key(feed))

    feed.until(session.now + 24 * HOUR)

    assert feed.closed(turn_key(feed))
    assert feed.event("agent:a1")["status"] == "open"


def test_no_timer_runs_for_a_file_that_is_not_read_to_its_end(session: Session) -> None:
    session.request()
    feed = Feed().read(session)
    feed.clock.jump(session.now + 48 * HOUR)

    assert feed.store.close_due((), ()) == 0


def test_a_session_closes_half_an_hour_after_its_last_record(session: Session) -> None:
    feed = Feed().read(session)
    feed.until(session.now + 30 * MINUTE - 1)
    assert not feed.closed("session:s")

    feed.until(session.now + 30 * MINUTE)

    assert feed.closed("session:s")


def test_a_record_after_the_closing_of_a_session_does_not_close_it_again(session: Session) -> None:
    feed = Feed().read(session)
    feed.until(session.now + HOUR)
    closed = feed.event("session:s")["closed_seq"]

    session.wait(2 * HOUR)
    session.request()
    feed.read(session)
    feed.until(session.now + HOUR)

    assert feed.event("session:s")["closed_seq"] == closed
    assert feed.event("session:s")["ended_at"] == session.now
    assert feed.total("sessions") == 1


def test_facts_outside_of_any_turn_close_after_ten_minutes() -> None:
    session = Session("s", version="2.1.30")
    session.assistant(tool_use("t", "Bash"), message_id="m")
    feed = Feed().read(session)
    assert feed.until(session.now + 10 * MINUTE - 1) == 0

    feed.until(session.now + 10 * MINUTE)

    assert (feed.closed("llm:m"), feed.closed("tool:t")) == (True, True)


def test_what_one_line_says_whole_closes_when_written(session: Session) -> None:
    session.compaction()
    session.edit("/a.py", added=1, removed=1)
    session.unknown()

    feed = Feed().read(session)

    for kind in ("prompt", "compaction", "file.update", "record.unknown"):
        closed = [row["closed_seq"] is not None for row in feed.events(kind)]
        assert all(closed), kind
        # of an unknown record there is its own fact, and one that the client writes such records
        assert len(closed) == (2 if kind == "record.unknown" else 1), kind


def test_an_incident_of_retries_closes_at_the_reply_that_ends_it(session: Session) -> None:
    session.api_error()
    feed = Feed().read(session)
    assert feed.events("api.error")[0]["closed_seq"] is None

    session.request()
    feed.read(session)

    assert feed.events("api.error")[0]["closed_seq"] is not None


def test_the_first_retries_read_again_leave_a_given_up_incident_closed(session: Session) -> None:
    session.api_error()
    retry = session.lines[-1].raw
    session.api_failure()
    feed = Feed()

    feed.take((session.path, session.content), ("copy.jsonl", retry))

    assert feed.events("api.error")[0]["closed_seq"] is not None


# ---- numbers -------------------------------------------------------------------------------------------------------


def test_closing_numbers_are_given_once_and_only_grow(session: Session) -> None:
    feed, seen, last = Feed(), {}, 0
    for step in range(4):
        session.bash("ls")
        session.prompt(f"again {step}")
        feed.read(session)
        feed.until(session.now + step * 20 * MINUTE)
        now = {row["source_key"]: row["closed_seq"] for row in feed.events() if row["closed_seq"] is not None}

        assert {key: now[key] for key in seen} == seen
        assert all(number > last for key, number in now.items() if key not in seen)
        seen, last = now, max(now.values())

    assert len(set(seen.values())) == len(seen)


def test_outcomes_are_booked_once_however_often_the_file_is_read(session: Session) -> None:
    session.bash("ls")
    session.bash("false", exit_code=1)
    session.request()
    session.prompt("next")
    feed = Feed().read(session)
    feed.until(session.now + 25 * HOUR)
    outcomes = ("requests", "tool.calls", "tool.failures", "turns", "prompts", "stop_reasons", "nonfinal.tokens")
    before = {name: feed.counted(name) for name in outcomes}, feed.observed("turn.duration")

    feed.take((session.path, session.content), again=True)
    feed.until(session.now + 60 * HOUR)

    assert ({name: feed.counted(name) for name in outcomes}, feed.observed("turn.duration")) == before
    assert {name: feed.total(name) for name in ("requests", "tool.calls", "tool.failures", "turns", "prompts")} == {
        "requests": 3, "tool.calls": 2, "tool.failures": 1, "turns": 2, "prompts": 2,
    }  # fmt: skip


def test_a_batch_that_closes_in_one_go_and_one_that_is_cut_book_the_same(session: Session) -> None:
    for _ in range(3):
        session.bash("ls")
        session.edit("/a.py", added=2, removed=1)
        session.prompt("next")
    whole, pieces = Feed().read(session), Feed()

    for line in session.lines:
        pieces.take((session.path, line.raw))

    def booked(feed: Feed) -> dict[tuple[str, str, int], int]:
        return {key: value for key, value in feed.totals().items() if not key[0].startswith(("ingest", "store"))}

    assert booked(pieces) == booked(whole)
