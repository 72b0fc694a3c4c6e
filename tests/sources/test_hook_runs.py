"""Runs of hooks: one fact each, whichever records tell of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.feed import Feed
from tests.sources.happenings import hook_started, hooks_summed_up
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    return Session("s", version="2.1.30")


def runs(feed: Feed) -> list[tuple[Any, ...]]:
    return [(row["event_name"], row["detail"], row["status"], row["duration_ms"]) for row in feed.events("hook.run")]


def test_a_progress_line_is_a_run_of_which_only_the_start_is_known(session: Session) -> None:
    session.prompt("go")
    hook_started(session, "toolu_1", "PreToolUse", "PreToolUse:Bash", "./secret-check.sh")

    feed = Feed().read(session)

    assert runs(feed) == [("PreToolUse", "PreToolUse:Bash", "open", None)]
    assert feed.events("hook.run")[0]["closed_seq"] is not None
    assert "secret" not in "".join(feed.dump())


def test_several_commands_of_one_event_are_several_runs(session: Session) -> None:
    for command in ("one", "two", "two"):
        hook_started(session, "toolu_1", "PostToolUse", "PostToolUse:Edit", command)

    assert len(runs(Feed().read(session))) == 2


def test_a_stop_hook_stands_in_progress_and_summary_and_is_one_run(session: Session) -> None:
    hook_started(session, "stop-1", "Stop", "Stop", "notify")
    feed = Feed().read(session)
    hooks_summed_up(session, "stop-1", {"command": "notify", "durationMs": 250})

    assert runs(feed.read(session)) == [("Stop", "Stop", "ok", 250)]


def test_a_summary_alone_is_enough(session: Session) -> None:
    hooks_summed_up(session, "stop-1", {"command": "notify"}, {"command": "callback"})

    assert runs(Feed().read(session)) == [("Stop", "Stop", "ok", None)] * 2


def test_hooks_that_an_sdk_all_calls_alike_are_runs_of_their_own(session: Session) -> None:
    hooks_summed_up(session, "stop-1", {"command": "callback"}, {"command": "callback"}, {"command": "callback"})
    session.raw(session.lines[-1].raw)

    assert len(runs(Feed().read(session))) == 3


def test_the_error_of_one_of_two_hooks_is_nobodys(session: Session) -> None:
    errors = ("Failed with non-blocking status code: no such file",)
    hooks_summed_up(session, "stop-1", {"command": "one"}, {"command": "two"}, errors=errors)

    assert [row[2] for row in runs(Feed().read(session))] == ["open", "open"]


def test_a_hook_that_keeps_the_agent_from_stopping_is_rejected(session: Session) -> None:
    hooks_summed_up(session, "stop-1", {"command": "check"}, preventedContinuation=True)

    feed = Feed().read(session)

    assert (runs(feed)[0][2], feed.events("hook.run")[0]["failure_class"]) == ("rejected", "denied")


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("hook_success", {"command": "check", "exitCode": 0, "durationMs": 31}, ("ok", None, 0, 31)),
        ("hook_success", {"command": "check"}, ("ok", None, 0, None)),
        ("hook_blocking_error", {"blockingError": {"command": "check"}}, ("rejected", "denied", None, None)),
        ("hook_non_blocking_error", {"command": "check", "exitCode": 1}, ("error", "nonzero_exit", 1, None)),
        ("hook_error_during_execution", {"content": "boom"}, ("error", "other", None, None)),
        ("hook_cancelled", {"command": "check"}, ("interrupted", "cancelled", None, None)),
    ],
)  # fmt: skip
def test_an_attachment_tells_how_a_run_ended(
    session: Session, kind: str, fields: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    session.attachment(kind, hookEvent="PreToolUse", hookName="PreToolUse:Bash", toolUseID="toolu_1", **fields)

    (row,) = Feed().read(session).events("hook.run")

    assert (row["event_name"], row["detail"]) == ("PreToolUse", "PreToolUse:Bash")
    assert (row["status"], row["failure_class"], row["exit_code"], row["duration_ms"]) == expected


def test_a_block_is_the_run_that_was_seen_to_start(session: Session) -> None:
    hook_started(session, "toolu_1", "PreToolUse", "PreToolUse:Bash", "check")
    session.attachment(
        "hook_blocking_error", hookEvent="PreToolUse", hookName="PreToolUse:Bash", toolUseID="toolu_1",
        blockingError={"command": "check", "blockingError": "no"},
    )  # fmt: skip

    assert [row[2] for row in runs(Feed().read(session))] == ["rejected"]


@pytest.mark.parametrize("kind", ["hook_additional_context", "hook_system_message"])
def test_what_a_hook_put_out_is_no_run_of_its_own(session: Session, kind: str) -> None:
    session.attachment(kind, hookEvent="SessionStart", hookName="SessionStart", toolUseID="x", content=["some words"])

    assert runs(Feed().read(session)) == []


def test_a_copy_of_a_session_has_the_same_runs(session: Session) -> None:
    hook_started(session, "stop-1", "Stop", "Stop", "notify")
    hooks_summed_up(session, "stop-1", {"command": "notify"})
    copied = Session("t")
    copied.lines = list(session.lines)

    assert len(runs(Feed().read(session, copied))) == 1


def test_fields_of_the_wrong_shape_cost_no_line(session: Session) -> None:
    session.system("stop_hook_summary", hookInfos=[{"command": 7}, "x"], hookErrors="no", toolUseID=9)
    session.attachment("hook_success", hookEvent=["a"], exitCode="zero")

    feed = Feed().read(session)

    assert feed.total("quarantine.lines") == 0
