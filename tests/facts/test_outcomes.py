"""How calls and API requests end, by what their lines say."""

from __future__ import annotations

import pytest

from ccagent.facts.model import Status
from ccagent.facts.outcomes import FAILURES, Outcome, api_failure, tool_outcome


def outcome(text: str, tool: str = "Bash") -> Outcome:
    return tool_outcome(is_error=True, text=text, denial=None, tool=tool)


@pytest.mark.parametrize(
    ("text", "status", "failure"),
    [
        ("Exit code 2\nboom", Status.ERROR, "nonzero_exit"),
        ("Error: Exit code 128\nfatal", Status.ERROR, "nonzero_exit"),
        ("Exit code 124", Status.TIMEOUT, "timeout"),
        ("Exit code 137", Status.ERROR, "nonzero_exit"),
        ("The user doesn't want to proceed with this tool use.", Status.REJECTED, "rejected"),
        ("User rejected tool use", Status.REJECTED, "rejected"),
        ("[Request interrupted by user for tool use]", Status.INTERRUPTED, "interrupted"),
        ("Permission to use Bash has been denied.", Status.REJECTED, "denied"),
        ("<tool_use_error>Sibling tool call errored</tool_use_error>", Status.INTERRUPTED, "cancelled"),
        ("<tool_use_error>File does not exist.</tool_use_error>", Status.ERROR, "not_found"),
        ("<tool_use_error>String to replace not found in file.</tool_use_error>", Status.ERROR, "not_found"),
        ("<tool_use_error>Path does not exist: /x</tool_use_error>", Status.ERROR, "not_found"),
        ("<tool_use_error>File has not been read yet.</tool_use_error>", Status.ERROR, "invalid_input"),
        ("<tool_use_error>Found 3 matches of the string to replace</tool_use_error>", Status.ERROR, "invalid_input"),
        ("<tool_use_error>InputValidationError: no path</tool_use_error>", Status.ERROR, "invalid_input"),
        ("<tool_use_error>something else</tool_use_error>", Status.ERROR, "other"),
        ("Command timed out after 2m", Status.TIMEOUT, "timeout"),
        ("Error: Command timed out after 2m 0s", Status.TIMEOUT, "timeout"),
        ("The user doesn't want to take this action right now. STOP", Status.REJECTED, "rejected"),
        ("<tool_use_error>Cancelled: parallel call failed</tool_use_error>", Status.INTERRUPTED, "cancelled"),
        ("<tool_use_error>File has been modified since read.</tool_use_error>", Status.ERROR, "invalid_input"),
        ("<tool_use_error>Unknown skill: review</tool_use_error>", Status.ERROR, "not_found"),
        ("<tool_use_error>No such tool available: Frob</tool_use_error>", Status.ERROR, "not_found"),
        ("<tool_use_error>the job timed out</tool_use_error>", Status.ERROR, "other"),
        ("PreToolUse:Bash hook error: not on main", Status.REJECTED, "denied"),
        ("Bash operation blocked by hook: no", Status.REJECTED, "denied"),
        ("Checks failed: run the formatter", Status.REJECTED, "denied"),  # a shell's own error would name its code
        ("", Status.ERROR, "other"),
    ],
)
def test_the_class_of_an_error_text(text: str, status: Status, failure: str) -> None:
    assert outcome(text)[:2] == (status, failure)


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("File content (30,000 tokens) exceeds maximum allowed tokens (25,000).", "invalid_input"),
        ("EISDIR: illegal operation on a directory, read", "invalid_input"),
        ("ENOENT: no such file or directory", "not_found"),
        ("Agent type 'x' not found. Available agents: y", "not_found"),
        ("String to replace not found in file.\nString: an invalid date does not exist", "not_found"),
        ("something\ninvalid, not found, timed out", "other"),  # only the first line is the client's
        ("it went wrong", "other"),
    ],
)
def test_the_class_of_an_error_of_a_tool_without_a_shell(text: str, failure: str) -> None:
    assert outcome(text, "Read").failure == failure


def test_every_class_is_of_the_closed_set() -> None:
    texts = ("", "x", "Exit code 1", "Exit code 124", "[Request interrupted", "User rejected tool use", "Hook said no")
    marked = ("Sibling tool call errored", "EISDIR", "not found", "x")
    found = {outcome(text, tool).failure for text in texts for tool in ("Bash", "Read", "mcp__a__b")}
    found |= {outcome(f"<tool_use_error>{text}", "Edit").failure for text in marked}

    assert found == set(FAILURES)


def test_an_early_client_wrote_a_shells_error_without_its_code() -> None:
    said = tool_outcome(is_error=True, text="Traceback", denial=None, tool="Bash", raw_shell=True)

    assert said == (Status.ERROR, "nonzero_exit", -1)


@pytest.mark.parametrize(
    ("text", "at_limit", "failure"),
    [
        ("Exit code 137", True, "timeout"),
        ("Exit code 143", True, "timeout"),
        ("Exit code 143", False, "nonzero_exit"),
        ("Exit code 1", True, "nonzero_exit"),  # it ended by itself; the time may be a wait for permission
        ("a hook's check that took long", True, "denied"),
    ],
)
def test_a_kill_at_the_limit_is_a_timeout(text: str, at_limit: bool, failure: str) -> None:
    said = tool_outcome(is_error=True, text=text, denial=None, tool="Bash", at_limit=at_limit)

    assert said.failure == failure


def test_an_error_of_an_mcp_tool_is_its_own_class() -> None:
    assert outcome("it went wrong", "mcp__server__find").failure == "mcp_error"


def test_the_exit_code_stands_in_the_error_text() -> None:
    assert outcome("Exit code 128\nfatal").exit_code == 128


def test_a_shell_result_without_error_exits_with_zero() -> None:
    assert tool_outcome(is_error=False, text="", denial=None, tool="Bash") == (Status.OK, "", 0)


def test_a_tool_without_a_shell_has_no_exit_code() -> None:
    assert tool_outcome(is_error=False, text="", denial=None, tool="Read") == (Status.OK, "", -1)


@pytest.mark.parametrize(("denial", "failure"), [("user-rejected", "rejected"), ("permission-rule", "denied")])
def test_a_client_that_names_the_refusal_is_believed_before_the_text(denial: str, failure: str) -> None:
    said = tool_outcome(is_error=True, text="Exit code 1", denial=denial, tool="Bash")

    assert said[:2] == (Status.REJECTED, failure)


@pytest.mark.parametrize(
    ("status", "kind", "text", "expected"),
    [
        (529, "overloaded_error", "", "overloaded"),
        (None, None, 'API Error: 529 {"type":"error"}', "overloaded"),
        (None, None, "API Error (500)", "server_error"),
        (None, "unknown", "API Error: 400 bad", "invalid_request"),
        (429, None, "", "rate_limit"),
        (429, "rate_limit", "You've hit your session limit · resets 12:40pm", "usage_limit"),
        (401, None, "", "auth"),
        (413, None, "", "invalid_request"),
        (503, None, "", "server_error"),
        (418, None, "", "unknown"),
        (None, "api_error", "", "server_error"),
        (None, None, "Request timed out.", "timeout"),
        (None, None, "", "unknown"),
    ],
)
def test_the_class_of_an_api_failure(status: int | None, kind: str | None, text: str, expected: str) -> None:
    assert api_failure(status=status, kind=kind, text=text) == expected
