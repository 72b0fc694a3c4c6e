"""The course of tool calls, as the store shows it: retries, repetitions, limits, people, background work, paths."""

from __future__ import annotations

from typing import Any

import pytest

from ccagent.facts.rework import STALL_MS
from tests.sources.feed import Feed
from tests.transcripts import Session, text, tool_use

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    return session


def calls(feed: Feed, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in feed.events("tool.call")]


def turn(feed: Feed) -> dict[str, Any]:
    return feed.events("turn")[0]


def test_the_place_in_a_chain_of_retries_is_the_retry_count(session: Session) -> None:
    for code in (1, 1, 0, 0):
        session.bash("make", exit_code=code)
    session.bash("make install", exit_code=1)

    feed = Feed().read(session)

    assert calls(feed, "retry_count", "repeated") == [(0, 0), (1, 0), (2, 0), (0, 1), (0, 0)]


def test_a_new_prompt_begins_new_chains(session: Session) -> None:
    session.bash("make", exit_code=1)
    session.prompt("again, please")
    session.bash("make")

    assert calls(Feed().read(session), "retry_count") == [(0,), (0,)]


def test_a_retry_is_found_wherever_the_bytes_are_cut(session: Session) -> None:
    session.bash("make", exit_code=1)
    feed = Feed().read(session)
    session.bash("make")

    assert calls(feed.read(session), "retry_count") == [(0,), (1,)]


def test_the_same_line_twice_is_one_call(session: Session) -> None:
    session.bash("make")
    session.raw(session.lines[-2].raw)

    feed = Feed().read(session)

    assert calls(feed, "retry_count", "repeated") == [(0, 0)]
    assert turn(feed)["turn_tool_calls"] == 1


def test_asking_again_after_a_persons_no_is_neither_retry_nor_repetition(session: Session) -> None:
    session.rejected("Bash", {"command": "make"})
    session.bash("make")

    feed = Feed().read(session)

    assert calls(feed, "retry_count", "repeated", "waited_for_human") == [(0, 0, 1), (0, 0, 0)]


def test_three_same_calls_make_a_loop_unless_a_file_was_changed_between(session: Session) -> None:
    for _ in range(3):
        session.bash("make test", exit_code=1)
        session.edit("/a.py", added=1, removed=0)
    session.prompt("next")
    for _ in range(3):
        session.bash("make test", exit_code=1)

    feed = Feed().read(session)

    assert [row["loop"] for row in feed.events("turn")] == [0, 1]
    assert [row["turn_tool_calls"] for row in feed.events("turn")] == [6, 3]


def test_a_loop_of_a_sub_agent_is_its_runs(session: Session) -> None:
    tool = session.launch()
    child = session.agent(agent_id="a1")
    child.prompt("look")
    for _ in range(3):
        child.bash("ls")
    session.landed(tool, child)

    feed = Feed().read(session)

    assert (feed.event("agent:a1")["loop"], turn(feed)["loop"]) == (1, 0)
    assert turn(feed)["turn_tool_calls"] == 1


def test_a_relayed_call_is_not_judged(session: Session) -> None:
    tool = session.launch()
    session.agent_progress(tool, "a1", tool_use("inner", "Grep"))

    assert Feed().read(session).event("tool:inner")["retry_count"] is None


@pytest.mark.parametrize(("took_ms", "flag", "status"), [(30_000, 1, "timeout"), (29_000, 0, "error")])
def test_a_shell_that_is_killed_at_its_declared_limit_timed_out(
    session: Session, took_ms: int, flag: int, status: str
) -> None:
    tool = session.ids.tool()
    session.assistant(tool_use(tool, "Bash", {"command": "sleep 99", "timeout": 30_000}))
    session.result(tool, "Exit code 143", is_error=True, after_ms=took_ms)

    feed = Feed().read(session)

    assert calls(feed, "timeout_flag", "status", "exit_code") == [(flag, status, 143)]


def test_a_call_without_a_result_neither_timed_out_nor_did_not(session: Session) -> None:
    session.assistant(tool_use("t", "Bash", {"command": "ls"}))

    assert calls(Feed().read(session), "timeout_flag", "status") == [(None, "open")]


@pytest.mark.parametrize("name", ["AskUserQuestion", "ExitPlanMode"])
def test_questions_wait_for_a_person(session: Session, name: str) -> None:
    session.tool(name, {"questions": []})
    session.tool("Read", {"file_path": "/a.py"})

    assert calls(Feed().read(session), "waited_for_human") == [(1,), (0,)]


def test_feedback_of_a_person_says_that_one_was_asked(session: Session) -> None:
    session.assistant(tool_use("t", "Edit", {"file_path": "/a"}))
    session.result("t", "no", is_error=True, userFeedback="do it otherwise")

    assert calls(Feed().read(session), "waited_for_human") == [(1,)]


def test_a_shell_in_the_background_ends_with_its_notification(session: Session) -> None:
    session.assistant(tool_use("t", "Bash", {"command": "serve", "run_in_background": True}))
    session.result("t", "running", details={"backgroundTaskId": "shell-1", "stdout": ""}, after_ms=50)
    feed = Feed().read(session)
    assert calls(feed, "background", "duration_ms", "ended_at") == [(1, 50, None)]

    session.wait(9_000)
    session.notification("shell-1")

    assert calls(feed.read(session), "background", "duration_ms", "ended_at") == [(1, 50, session.now)]


def test_tools_with_a_clock_of_their_own_report_it(session: Session) -> None:
    session.tool("Glob", {"pattern": "*"}, details={"filenames": [], "durationMs": 12, "numFiles": 0})
    session.tool("WebSearch", {"query": "x"}, details={"query": "x", "durationSeconds": 1.5, "results": []})
    session.tool("Read", {"file_path": "/a"}, details={"durationMs": 7})

    assert calls(Feed().read(session), "reported_ms") == [(12,), (1_500,), (None,)]


def test_the_last_sign_of_life_of_a_shell_is_how_long_it_ran_at_least() -> None:
    session = Session("s", version="2.1.30")
    session.prompt("hello")
    session.assistant(tool_use("t", "Bash", {"command": "make"}))
    for seconds in (2, 3):
        session.progress("bash_progress", "t", {"elapsedTimeSeconds": seconds, "output": "", "timeoutMs": 60_000})
    session.result("t", "fine")

    assert calls(Feed().read(session), "reported_ms") == [(3_000,)]


def test_the_size_of_an_output_that_was_put_aside_is_its_real_one(session: Session) -> None:
    details = {"stdout": "…", "persistedOutputPath": "/x", "persistedOutputSize": 90_000}
    session.tool("Bash", {"command": "cat big"}, "preview", details=details)
    session.tool("Bash", {"command": "echo"}, "abc")

    assert calls(Feed().read(session), "size") == [(90_000,), (len('"abc"'),)]


def test_a_shell_that_was_interrupted_says_so_without_an_error(session: Session) -> None:
    session.tool("Bash", {"command": "make"}, details={"stdout": "", "stderr": "", "interrupted": True})

    assert calls(Feed().read(session), "status", "failure_class") == [("interrupted", "interrupted")]


def test_files_that_are_read_and_changed_have_their_path(session: Session) -> None:
    session.tool("Read", {"file_path": "/home/demo/a.py"})
    session.edit("/home/demo/b.py", added=1, removed=1)
    session.tool("Read", {"offset": 3})

    feed = Feed().read(session)

    assert calls(feed, "tool_name", "file_path") == [("Read", "/home/demo/a.py"), ("Edit", None), ("Read", None)]
    assert [row["file_path"] for row in feed.events("file.update")] == ["/home/demo/b.py"]


def test_a_reply_that_was_awaited_too_long_is_a_stall_of_its_turn(session: Session) -> None:
    session.assistant(text("soon"))
    session.prompt("next")
    session.wait(STALL_MS)
    session.assistant(text("at last"))

    assert [row["stall"] for row in Feed().read(session).events("turn")] == [0, 1]


def test_time_after_the_last_reply_is_no_stall(session: Session) -> None:
    session.assistant(text("done"))
    session.wait(3 * STALL_MS)
    session.assistant(text("by itself"))
    session.wait(3 * STALL_MS)
    session.prompt("next")

    assert {row["stall"] for row in Feed().read(session).events("turn")} == {0}


@pytest.mark.parametrize(("mode", "stall"), [("bypassPermissions", 1), ("default", 0)])
def test_a_long_call_is_a_stall_only_where_nobody_could_be_asked(mode: str, stall: int) -> None:
    session = Session("s", version="2.1.229")
    session.permission_mode = mode
    session.prompt("hello")
    session.bash("make", took_ms=STALL_MS + 130_000)

    assert turn(Feed().read(session))["stall"] == stall


def test_retries_while_waiting_are_signs_of_life() -> None:
    session = Session("s", version="2.1.30")
    session.prompt("hello")
    for attempt in (1, 2):
        session.wait(STALL_MS - 2_000)
        session.api_error(attempt=attempt)
    session.assistant(text("at last"))

    assert turn(Feed().read(session))["stall"] == 0


def test_a_shell_that_was_put_aside_at_its_limit_timed_out(session: Session) -> None:
    for limit, asked in ((30_000, {}), (60_000, {}), (30_000, {"run_in_background": True})):
        tool = session.ids.tool()
        session.assistant(tool_use(tool, "Bash", {"command": "make", "timeout": limit} | asked))
        session.result(tool, "running", details={"backgroundTaskId": tool}, after_ms=31_000)

    assert calls(Feed().read(session), "background", "timeout_flag", "status") == [
        (1, 1, "ok"), (1, 0, "ok"), (1, 0, "ok"),
    ]  # fmt: skip


def test_a_look_after_another_command_is_no_repetition(session: Session) -> None:
    session.bash("git status")
    session.bash("git add -A")
    session.bash("git status")
    session.tool("Read", {"file_path": "/a"})
    session.tool("Grep", {"pattern": "x"})
    session.tool("Read", {"file_path": "/a"})

    assert calls(Feed().read(session), "repeated") == [(0,), (0,), (0,), (0,), (0,), (1,)]


def test_what_the_client_says_itself_is_no_late_reply(session: Session) -> None:
    session.interrupt()
    session.wait(10 * STALL_MS)
    session.assistant(text("No response requested."), model="<synthetic>")

    assert turn(Feed().read(session))["stall"] == 0
