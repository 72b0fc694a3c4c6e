"""Permission modes and the queue of prompts that are typed ahead."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.feed import Feed
from tests.sources.happenings import mode_row
from tests.transcripts import Session, tool_use

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    return Session("s", version="2.1.229")


def changes(feed: Feed) -> list[tuple[Any, ...]]:
    return [(row["detail"], row["event_name"]) for row in feed.events("permission.change")]


def spoken(session: Session, *modes: str) -> list[str]:
    found = []
    for mode in modes:
        found.append(session.prompt("go", permissionMode=mode))
        session.request()
    return found


def test_only_a_statement_that_differs_is_a_change(session: Session) -> None:
    prompts = spoken(session, "default", "default", "acceptEdits", "acceptEdits", "default")

    feed = Feed().read(session)

    assert changes(feed) == [("default", "acceptEdits"), ("acceptEdits", "default")]
    event = feed.event(f"permission:{prompts[2]}")
    assert (event["turn_key"], event["permission_mode"]) == (f"turn:{prompts[2]}", "acceptEdits")


def test_rows_that_are_written_again_and_again_are_no_changes(session: Session) -> None:
    spoken(session, "default")
    mode_row(session, "default")
    mode_row(session, "plan")
    spoken(session, "plan")
    mode_row(session, "plan")
    mode_row(session, "plan")

    assert changes(Feed().read(session)) == [("default", "plan")]


def test_a_change_told_by_a_row_without_a_time_has_that_of_the_line_before_and_says_so(session: Session) -> None:
    mode_row(session, "default")
    session.prompt("go", permissionMode="plan")
    at = session.now
    mode_row(session, "acceptEdits")

    told = Feed().read(session).events("permission.change")

    assert [(row["event_name"], row["time_inferred"]) for row in told] == [("plan", 0), ("acceptEdits", 1)]
    assert told[1]["occurred_at"] == at


def test_a_row_that_is_copied_into_another_session_is_the_same_change(session: Session) -> None:
    spoken(session, "default")
    mode_row(session, "plan")
    copied = Session("t")
    copied.lines = list(session.lines)

    assert changes(Feed().read(session, copied)) == [("default", "plan")]


def test_a_change_after_an_approved_plan_says_so(session: Session) -> None:
    spoken(session, "plan")
    session.tool("ExitPlanMode", {"plan": "the plan"}, details={"plan": "the plan", "isAgent": False})
    spoken(session, "acceptEdits", "plan", "default")

    events = Feed().read(session).events("permission.change")

    assert [event["payload_json"] for event in events] == ['{"by":"ExitPlanMode"}', None, None]


def test_a_refused_plan_explains_no_change(session: Session) -> None:
    spoken(session, "plan")
    session.rejected("ExitPlanMode", {"plan": "the plan"})
    spoken(session, "default")

    (event,) = Feed().read(session).events("permission.change")
    assert event["payload_json"] is None


def test_an_inline_sub_agent_states_a_mode_of_its_own(session: Session) -> None:
    spoken(session, "plan")
    session.record("user", {"message": {"content": "look"}, "isSidechain": True, "permissionMode": "default"})
    spoken(session, "plan")

    assert changes(Feed().read(session)) == []


def test_a_change_over_two_batches_is_seen(session: Session) -> None:
    spoken(session, "default")
    feed = Feed().read(session)
    spoken(session, "bypassPermissions")

    assert changes(feed.read(session)) == [("default", "bypassPermissions")]


def operations(feed: Feed) -> list[tuple[Any, ...]]:
    return [(row["event_name"], row["size"], row["duration_ms"]) for row in feed.events("queue.operation")]


def test_a_prompt_typed_ahead_is_counted_once_and_its_wait_known(session: Session) -> None:
    session.queue("enqueue", "and then this")
    session.wait(4_000)
    session.queue("dequeue")
    session.wait(10)
    session.prompt("and then this")

    feed = Feed().read(session)

    assert operations(feed) == [("enqueue", 13, None), ("dequeue", None, 4_000)]
    assert len(feed.events("prompt")) == 1
    assert "and then this" not in "".join(feed.dump())


def test_what_is_taken_back_waits_for_nothing(session: Session) -> None:
    session.queue("enqueue", "first")
    session.wait(1_000)
    session.queue("enqueue", "second")
    session.wait(1_000)
    session.queue("remove", "first")
    session.wait(1_000)
    session.queue("dequeue")
    session.queue("enqueue", "third")
    session.wait(1)
    session.queue("popAll", "third")
    session.wait(1)
    session.queue("dequeue")

    waits = [(name, wait) for name, _, wait in operations(Feed().read(session)) if name != "enqueue"]

    assert waits == [("remove", None), ("dequeue", 2_000), ("popAll", None), ("dequeue", None)]


def test_a_prompt_that_arrives_without_a_row_waits_no_longer(session: Session) -> None:
    session.queue("enqueue", "early")
    session.prompt("early")
    session.wait(60_000)
    session.queue("enqueue", "late")
    session.wait(500)
    session.queue("dequeue")

    assert operations(Feed().read(session))[-1] == ("dequeue", None, 500)


def test_a_prompt_handed_over_in_the_middle_of_a_turn_is_a_prompt_of_that_turn(session: Session) -> None:
    first = session.prompt("work")
    session.request()
    uuid = session.attachment("queued_command", prompt="use the other one", commandMode="prompt")
    session.request()

    feed = Feed().read(session)

    assert (len(feed.events("turn")), len(feed.events("prompt"))) == (1, 2)
    event = feed.event(f"prompt:{uuid}")
    assert (event["detail"], event["size"], event["turn_key"]) == ("human", 17, f"turn:{first}")


@pytest.mark.parametrize("line_first", [True, False])
def test_a_prompt_with_both_attachment_and_line_is_counted_once(session: Session, line_first: bool) -> None:
    if line_first:
        session.prompt("use the other one")
    session.attachment("queued_command", prompt="use the other one", commandMode="prompt")
    if not line_first:
        session.prompt("use the other one")

    feed = Feed().read(session)

    assert (len(feed.events("turn")), len(feed.events("prompt"))) == (1, 1)


@pytest.mark.parametrize("line_first", [True, False])
def test_the_same_words_after_a_reply_are_said_again(session: Session, line_first: bool) -> None:
    if line_first:
        session.prompt("continue")
        session.request()
    session.attachment("queued_command", prompt="continue", commandMode="prompt")
    if not line_first:
        session.request()
        session.prompt("continue")

    assert len(Feed().read(session).events("prompt")) == 2


def test_a_notification_in_the_queue_ends_its_sub_agent_and_is_no_prompt(session: Session) -> None:
    tool_id = session.launch()
    child = session.agent()
    child.request()
    session.result(tool_id, details={"status": "async_launched", "agentId": child.agent_id, "isAsync": True})
    words = f"<task-notification><task-id>{child.agent_id}</task-id><status>failed</status></task-notification>"
    session.attachment("queued_command", prompt=words, commandMode="task-notification")

    feed = Feed().read(session)

    assert feed.events("prompt") == []
    assert feed.events("subagent.run")[0]["status"] == "error"


def test_an_mcp_server_says_how_long_it_took(session: Session) -> None:
    session.assistant(tool_use("toolu_1", "mcp__a_b__find_it", {}))
    session.progress("mcp_progress", "toolu_1", {"status": "started"})
    feed = Feed().read(session)
    session.progress("mcp_progress", "toolu_1", {"status": "completed", "elapsedTimeMs": 410})
    session.result("toolu_1")

    event = feed.read(session).event("tool:toolu_1")

    assert (event["mcp_server"], event["mcp_tool"], event["reported_ms"]) == ("a_b", "find_it", 410)


@pytest.mark.parametrize("first", ["a copy", "the original"])
def test_a_copy_without_the_approval_decides_alike_in_any_order(first: str) -> None:
    session = Session("original")
    session.row({"type": "permission-mode", "permissionMode": "plan", "sessionId": "original"})
    session.prompt("plan it", permissionMode="plan")
    session.tool("ExitPlanMode", {"plan": "x"}, "approved")
    session.prompt("go on", permissionMode="default")
    approval = next(number for number, line in enumerate(session.lines) if b"ExitPlanMode" in line.raw)
    copy = Session("a copy")
    copy.lines = [*session.lines[:approval], *session.lines[approval + 2 :]]
    renamed = copy.content.replace(b'"original"', b'"a copy"')
    files = {"the original": session.content, "a copy": renamed}

    order = (first, *(name for name in files if name != first))
    feed, other = Feed(), Feed()
    for name in order:
        feed.take((f"p/{name}.jsonl", files[name]))
    other.take(*((f"p/{name}.jsonl", files[name]) for name in order))

    assert changes(feed) == [("plan", "default")]
    assert other.dump() == feed.dump()
