"""Skills and slash commands: who activated what, and what led to a request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.feed import Feed
from tests.sources.happenings import skill_text
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    return Session("s", version="2.1.30")


def skills(feed: Feed) -> list[tuple[Any, ...]]:
    return [(row["skill"], row["detail"], row["status"]) for row in feed.events("skill.activation")]


def commands(feed: Feed) -> list[tuple[Any, ...]]:
    return [(row["command"], row["local_command"], row["status"]) for row in feed.events("command.run")]


def test_a_call_of_the_tool_activates_a_skill(session: Session) -> None:
    prompt = session.prompt("sew")
    tool_id = session.tool("Skill", {"skill": "pack:sew", "args": "a hem"})
    skill_text(session, tool_id=tool_id)

    feed = Feed().read(session)

    assert skills(feed) == [("pack:sew", "tool", "ok")]
    event = feed.event(f"skill:{tool_id}")
    assert (event["turn_key"], event["closed_seq"] is None) == (f"turn:{prompt}", False)


def test_a_skill_that_is_not_there_is_an_error(session: Session) -> None:
    session.tool("Skill", {"skill": "knit"}, "<tool_use_error>Unknown skill: knit</tool_use_error>", is_error=True)

    assert skills(Feed().read(session)) == [("knit", "tool", "error")]


def test_a_skill_whose_call_waits_is_open_and_its_result_comes_in_a_later_batch(session: Session) -> None:
    session.tool("Skill", {"skill": "sew"})
    lines = session.lines
    session.lines, last = lines[:-1], lines[-1]
    feed = Feed().read(session)
    assert skills(feed) == [("sew", "tool", "open")]

    session.lines.append(last)

    assert skills(feed.read(session)) == [("sew", "tool", "ok")]


def test_the_older_name_of_the_input_is_read(session: Session) -> None:
    session.tool("Skill", {"command": "sew"})

    assert skills(Feed().read(session)) == [("sew", "tool", "ok")]


def test_a_typed_command_that_brings_a_skills_text_is_a_skill_of_its_turn(session: Session) -> None:
    session.prompt("first")
    session.request()
    uuid = session.slash("/pack:sew")
    skill_text(session)
    session.request()

    feed = Feed().read(session)

    assert skills(feed) == [("pack:sew", "typed", "ok")]
    assert feed.event(f"skill:{uuid}")["turn_key"] == f"turn:{uuid}"


def test_a_command_whose_line_is_marked_as_a_skill_is_one(session: Session) -> None:
    words = (
        "<command-message>sew</command-message>\n<command-name>/sew</command-name>\n<skill-format>true</skill-format>"
    )
    session.record("user", {"message": {"role": "user", "content": words}})
    skill_text(session)
    session.request()

    assert skills(Feed().read(session)) == [("sew", "typed", "ok")]


def test_a_command_without_a_skills_text_is_none(session: Session) -> None:
    session.slash("/review")
    session.meta("Please review.")
    session.request()

    assert skills(Feed().read(session)) == []


def test_a_typed_skill_that_the_model_calls_too_counts_once(session: Session) -> None:
    session.slash("/sew")
    skill_text(session)
    session.tool("Skill", {"skill": "pack:sew"})
    session.tool("Skill", {"skill": "iron"})

    assert skills(Feed().read(session)) == [("sew", "typed", "ok"), ("iron", "tool", "ok")]


def test_a_typed_skill_does_not_hide_a_call_in_a_later_turn(session: Session) -> None:
    session.slash("/sew")
    skill_text(session)
    session.request()
    session.prompt("once more")
    session.tool("Skill", {"skill": "sew"})

    assert skills(Feed().read(session)) == [("sew", "typed", "ok"), ("sew", "tool", "ok")]


def test_the_text_of_a_called_skill_is_no_typed_one(session: Session) -> None:
    session.slash("/review")
    tool_id = session.tool("Skill", {"skill": "sew"})
    skill_text(session, tool_id=tool_id)

    assert skills(Feed().read(session)) == [("sew", "tool", "ok")]


def test_a_copy_of_a_session_has_the_same_skills_and_commands(session: Session) -> None:
    session.slash("/sew")
    skill_text(session)
    session.tool("Skill", {"skill": "iron"})
    session.slash("/exit")
    session.command_output()
    copied = Session("t")
    copied.lines = list(session.lines)

    feed = Feed().read(session, copied)

    assert (len(skills(feed)), len(commands(feed))) == (2, 2)


def test_a_command_that_is_answered_leads_to_a_request(session: Session) -> None:
    uuid = session.slash("/review", "the arguments")
    session.request()

    feed = Feed().read(session)

    assert commands(feed) == [("/review", 0, "ok")]
    assert feed.event(f"command:{uuid}")["turn_key"] == f"turn:{uuid}"
    assert "the arguments" not in "".join(feed.dump())


def test_a_command_with_an_output_is_local_and_opens_no_turn_later(session: Session) -> None:
    session.prompt("work")
    session.request()
    session.slash("/model")
    session.command_output("Set model")
    session.request()

    feed = Feed().read(session)

    assert commands(feed) == [("/model", 1, "ok")]
    assert len(feed.events("turn")) == 1


def test_a_command_whose_output_is_an_error_failed(session: Session) -> None:
    session.slash("/login")
    session.record("user", {"message": {"content": "<local-command-stderr>no</local-command-stderr>"}})

    assert commands(Feed().read(session)) == [("/login", 1, "error")]


def test_a_compaction_by_hand_is_not_local(session: Session) -> None:
    session.slash("/compact")
    session.command_output("Compacted")

    assert commands(Feed().read(session)) == [("/compact", 0, "ok")]


def test_a_command_of_which_nothing_more_is_heard_stays_open(session: Session) -> None:
    session.slash("/exit")

    assert commands(Feed().read(session)) == [("/exit", 0, "open")]


def test_a_command_that_is_stopped_before_a_reply_is_interrupted(session: Session) -> None:
    session.slash("/review")
    session.interrupt()

    assert commands(Feed().read(session)) == [("/review", 0, "interrupted")]


def test_the_output_may_come_in_a_later_batch(session: Session) -> None:
    session.slash("/cost")
    feed = Feed().read(session)
    session.command_output("0 USD")

    assert commands(feed.read(session)) == [("/cost", 1, "ok")]


def test_newer_clients_write_local_commands_as_system_lines(session: Session) -> None:
    session.system("local_command", content="<command-name>/mcp</command-name>\n<command-args></command-args>")
    session.system("local_command", content="<local-command-stdout>done</local-command-stdout>")

    feed = Feed().read(session)

    assert commands(feed) == [("/mcp", 1, "ok")]
    assert feed.events("prompt") == []
