"""Todos and tasks: one fact for each transition."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.feed import Feed
from tests.sources.happenings import task_created, task_updated, todos
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    return Session("s", version="2.1.30")


def moves(feed: Feed) -> list[tuple[Any, ...]]:
    return [(row["task_id"], row["task_state"], row["terminal"]) for row in feed.events("task.transition")]


def states(feed: Feed) -> list[str]:
    return sorted(row["task_state"] for row in feed.events("task.transition"))


def test_each_call_is_the_whole_list_and_only_the_difference_counts(session: Session) -> None:
    todos(session, {"draft the plan": "pending", "sign": "pending"}, {})
    todos(
        session, {"draft the plan": "in_progress", "sign": "pending"}, {"draft the plan": "pending", "sign": "pending"}
    )
    tool_id = todos(
        session,
        {"draft the plan": "completed", "sign": "pending"},
        {"draft the plan": "in_progress", "sign": "pending"},
    )

    feed = Feed().read(session)

    assert states(feed) == ["completed", "in_progress", "pending", "pending"]
    (done,) = [row for row in feed.events("task.transition") if row["terminal"]]
    assert (done["status"], done["source_key"]) == ("ok", f"task:{tool_id}/{done['task_id']}")
    assert "draft" not in "".join(feed.dump())


def test_without_the_clients_report_the_last_list_is_remembered(session: Session) -> None:
    todos(session, {"draft": "pending"}, None)
    feed = Feed().read(session)
    todos(session, {"draft": "completed"}, None)
    todos(session, {"draft": "completed"}, None)

    assert states(feed.read(session)) == ["completed", "pending"]


def test_a_todo_that_is_finished_again_is_one_more_transition(session: Session) -> None:
    for state in ("completed", "pending", "completed"):
        todos(session, {"draft": state}, None)

    assert states(Feed().read(session)) == ["completed", "completed", "pending"]


def test_a_list_that_was_cleared_when_all_was_done_adds_nothing(session: Session) -> None:
    todos(session, {"draft": "completed"}, {"draft": "in_progress"})
    todos(session, {"draft": "completed", "sign": "pending"}, {})

    assert states(Feed().read(session)) == ["completed", "pending"]


def test_an_unfinished_todo_that_is_listed_no_more_was_dropped(session: Session) -> None:
    todos(session, {"draft": "pending", "sign": "completed"}, {})
    todos(session, {}, {"draft": "pending", "sign": "completed"})

    feed = Feed().read(session)

    assert states(feed) == ["completed", "deleted", "pending"]
    (dropped,) = [row for row in feed.events("task.transition") if row["task_state"] == "deleted"]
    assert (dropped["terminal"], dropped["status"]) == (1, "interrupted")


def test_a_refused_list_changes_nothing(session: Session) -> None:
    todos(session, {"draft": "pending"}, None, is_error=True)

    assert moves(Feed().read(session)) == []


def test_the_ids_of_older_lists_are_no_identity(session: Session) -> None:
    """1.x clients number each list anew, so that number 1 of the next list is another todo."""
    for words in ("draft", "sign"):
        listed = [{"content": words, "status": "completed", "priority": "high", "id": "1"}]
        session.tool("TodoWrite", {"todos": listed}, details={"oldTodos": [], "newTodos": listed})

    assert states(Feed().read(session)) == ["completed", "completed"]


def test_a_task_goes_from_state_to_state(session: Session) -> None:
    created = task_created(session, "3")
    task_updated(session, "3", "pending", "in_progress")
    task_updated(session, "3", None, None)
    task_updated(session, "3", "in_progress", "completed")

    feed = Feed().read(session)

    assert moves(feed) == [("3", "pending", 0), ("3", "in_progress", 0), ("3", "completed", 1)]
    assert feed.event(f"task:{created}/3")["status"] == "open"


def test_a_deleted_task_is_over_but_not_finished(session: Session) -> None:
    task_created(session, "1")
    task_updated(session, "1", "pending", "deleted")

    (_, event) = Feed().read(session).events("task.transition")

    assert (event["task_state"], event["terminal"], event["status"]) == ("deleted", 1, "interrupted")


def test_a_sub_agents_file_tells_tasks_without_the_clients_report(session: Session) -> None:
    tool_id = session.launch()
    child = session.agent()
    task_created(child, "7", silent=True)
    task_updated(child, "7", "pending", "completed", silent=True)
    task_updated(child, "7", "pending", "completed", silent=True)
    session.landed(tool_id, child)

    assert moves(Feed().read(session)) == [("7", "pending", 0), ("7", "completed", 1)]


def test_a_list_of_tasks_moves_none(session: Session) -> None:
    task_created(session, "1")
    listed = [{"id": "1", "subject": "x", "status": "completed", "blockedBy": []}]
    session.tool("TaskList", {}, details={"tasks": listed})
    session.attachment("task_reminder", content=listed, itemCount=1)

    assert moves(Feed().read(session)) == [("1", "pending", 0)]


def test_a_copy_of_a_session_has_the_same_transitions(session: Session) -> None:
    todos(session, {"draft": "pending"}, {})
    task_created(session, "1")
    copied = Session("t")
    copied.lines = list(session.lines)

    assert len(moves(Feed().read(session, copied))) == 2


def test_a_word_that_nobody_knows_is_kept_and_ends_nothing(session: Session) -> None:
    task_created(session, "1")
    task_updated(session, "1", "pending", "parked")

    assert moves(Feed().read(session))[-1] == ("1", "parked", 0)
