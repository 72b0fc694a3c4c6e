"""What commands led to, and which of them are skills."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.commands import CommandEnd, command_end
from ccagent.facts.model import Status
from ccagent.facts.skills import brings_skill, marked_as_skill, same_skill, skill_name

OK, ERROR = Status.OK, Status.ERROR


@pytest.mark.parametrize(
    ("name", "text", "end"),
    [
        ("/exit", "<local-command-stdout>Bye</local-command-stdout>", CommandEnd(OK, True)),
        ("/clear", "<local-command-stdout></local-command-stdout>", CommandEnd(OK, True)),
        ("/mine:own", "  \n<local-command-stdout>fine", CommandEnd(OK, True)),
        ("/login", "<local-command-stderr>no</local-command-stderr>", CommandEnd(ERROR, True)),
        ("/compact", "<local-command-stdout>Compacted", CommandEnd(OK, False)),
        ("/compact", "<local-command-stderr>Nothing to compact", CommandEnd(ERROR, False)),
        ("/exit", "<local-command-caveat>Caveat: …", None),
        ("/exit", "<bash-stdout>x</bash-stdout>", None),
        ("/exit", "it said <local-command-stdout>", None),
        ("/exit", "", None),
    ],
)
def test_only_an_output_makes_a_command_local(name: str, text: str, end: CommandEnd | None) -> None:
    assert command_end(name, text) == end


@given(st.text(), st.text())
def test_words_end_no_command(name: str, text: str) -> None:
    assert command_end(name, "x" + text) is None


@pytest.mark.parametrize(
    ("text", "called_by", "expected"),
    [
        ("Base directory for this skill: /x\n\nDo.", None, True),
        ("Base directory for this skill: /x\n\nDo.", "toolu_1", False),
        ("Invoke the pack:sew skill", None, False),
        ("the Base directory for this skill", None, False),
        ("", None, False),
    ],
)
def test_the_text_of_a_typed_skill_names_no_call(text: str, called_by: str | None, expected: bool) -> None:
    assert brings_skill(text, called_by=called_by) is expected


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("sew", "sew", True),
        ("pack:sew", "sew", True),
        ("sew", "pack:sew", True),
        ("pack:sew", "other:sew", True),
        ("a:b:sew", "sew", True),
        ("sew", "sewing", False),
        ("sew:iron", "sew", False),
        ("", "sew", False),
    ],
)
def test_a_skill_may_be_named_with_its_plugin_or_without(one: str, two: str, same: bool) -> None:
    assert same_skill(one, two) is same


def test_the_mark_of_newer_clients_is_read_in_the_commands_line() -> None:
    assert marked_as_skill("<command-name>/sew</command-name><skill-format>true</skill-format>")
    assert not marked_as_skill("<command-name>/sew</command-name><skill-format>false</skill-format>")


@pytest.mark.parametrize(("typed", "name"), [("/sew", "sew"), (" pack:sew ", "pack:sew"), ("/" + "x" * 999, "x" * 256)])
def test_a_name_has_no_slash_and_an_end(typed: str, name: str) -> None:
    assert skill_name(typed) == name
