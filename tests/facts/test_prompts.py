"""What a user line is, by its flags first and its first characters last."""

from __future__ import annotations

import pytest

from ccagent.facts.prompts import PROMPT_FACTS, PromptKind, classify, command_name, typed_words


def kind(
    text: str, *, meta: bool = False, summary: bool = False, origin: str | None = None, source: str | None = None
) -> PromptKind:
    return classify(text, is_meta=meta, is_summary=summary, origin=origin, source=source)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("please fix it", PromptKind.HUMAN),
        ("", PromptKind.HUMAN),
        ("a < b, see <command-name>", PromptKind.HUMAN),
        ("<command-name>/review</command-name>", PromptKind.COMMAND),
        ("<command-message>review</command-message>\n<command-name>/review</command-name>", PromptKind.COMMAND),
        ("<command-args></command-args>", PromptKind.COMMAND),
        ("[Request interrupted by user]", PromptKind.INTERRUPT),
        ("[Request interrupted by user for tool use]", PromptKind.INTERRUPT),
        ("<local-command-stdout>ok</local-command-stdout>", PromptKind.OUTPUT),
        ("<local-command-caveat>ok", PromptKind.OUTPUT),
        ("<bash-input>ls</bash-input>", PromptKind.SHELL),
        ("<bash-stdout>a</bash-stdout>", PromptKind.OUTPUT),
        ("<bash-stderr>a</bash-stderr>", PromptKind.OUTPUT),
        ("<task-notification><task-id>a</task-id>", PromptKind.NOTIFICATION),
        ("<ide_opened_file>a.py</ide_opened_file>", PromptKind.IDE),
        ("  \n<bash-input>ls", PromptKind.SHELL),
    ],
)
def test_the_first_characters_tell_the_kind(text: str, expected: PromptKind) -> None:
    assert kind(text) == expected


def test_a_meta_line_is_meta_whatever_it_says() -> None:
    assert kind("<command-name>/x</command-name>", meta=True, summary=True) == PromptKind.META


def test_the_summary_of_a_compaction_is_no_prompt() -> None:
    assert kind("What went before", summary=True, source="typed") == PromptKind.SUMMARY


def test_the_clients_word_on_a_notification_is_believed() -> None:
    assert kind("it is done", origin="task-notification") == PromptKind.NOTIFICATION


def test_a_prompt_that_the_system_wrote_is_meta() -> None:
    assert kind("go on", source="system") == PromptKind.META


def test_only_what_a_user_or_a_task_said_becomes_a_fact() -> None:
    assert {PromptKind.HUMAN, PromptKind.COMMAND, PromptKind.SHELL, PromptKind.NOTIFICATION} == PROMPT_FACTS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<command-name>/review</command-name>", "/review"),
        ("<command-name> review </command-name>", "/review"),
        ("<command-message>x</command-message><command-name>/plugin:do-it</command-name>", "/plugin:do-it"),
        ("<command-name></command-name>", None),
        ("<command-name>" + "x" * 500 + "</command-name>", None),
        ("nothing", None),
    ],
)
def test_the_name_of_a_command(text: str, expected: str | None) -> None:
    assert command_name(text) == expected


OPENED = "<ide_opened_file>The user opened /a.py.</ide_opened_file>"
SELECTED = "<ide_selection>The user selected\n<b>lines</b>\n</ide_selection>"
REMINDED = "<system-reminder>\nSkills changed.\n</system-reminder>"


@pytest.mark.parametrize(
    ("texts", "typed"),
    [
        (["fix it"], "fix it"),
        ([OPENED + "\n\nfix it"], "fix it"),
        ([OPENED + SELECTED + REMINDED + " fix <b>it</b>"], "fix <b>it</b>"),
        ([OPENED, "fix it"], "fix it"),
        ([OPENED, SELECTED, "fix it", "and that"], "fix it"),
        ([OPENED + "\n<command-name>/review</command-name>"], "<command-name>/review</command-name>"),
        ([OPENED], OPENED),
        ([OPENED + "\n", SELECTED], OPENED + "\n"),
        (["<ide_opened_file>cut off"], "<ide_opened_file>cut off"),
        (["fix " + OPENED], "fix " + OPENED),
        ([], ""),
    ],
)
def test_what_an_editor_puts_before_a_prompt_is_no_part_of_it(texts: list[str], typed: str) -> None:
    assert typed_words(texts) == typed
