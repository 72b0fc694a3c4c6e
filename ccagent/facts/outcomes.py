"""How a tool call or a request ended, judged when the line is read, since its text is not kept."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ccagent.facts.model import Status

_EXIT_CODE: Final = re.compile(r"^(?:Error: )?Exit code (\d{1,3})\b")
_TIMED_OUT: Final = re.compile(r"\btimed? ?out\b", re.IGNORECASE)
_TIMEOUT_CODES: Final = frozenset((124,))
"""What timeout(1) exits with."""
_KILL_CODES: Final = frozenset((137, 143))
"""Any SIGKILL or SIGTERM: a timeout only if the call had also lasted its limit."""
_REFUSED: Final = ("The user doesn't want to", "User rejected tool use")
"""Clients' words for a person's "no", which also stops a call that had been allowed before."""
_DENIED: Final = re.compile(
    r"^Permission to use .{0,200}denied|blocked by (?:a )?hook|hook (?:error|denied)|^Hook |haven't granted|"
    r"requires approval|in a directory that is denied",
    re.IGNORECASE,
)
_CANCELLED: Final = ("Sibling tool call errored", "Cancelled", "Tool use was cancelled")
_INVALID: Final = (
    "InputValidationError",
    "has not been read yet",
    "has been modified since",
    "matches of the string",
    "No changes to make",
    "exceeds maximum allowed",
    "EISDIR",
    "nvalid",
    "is not allowed",
    "must be ",
)
_NOT_FOUND: Final = (
    "does not exist",
    "not found",
    "No such file",
    "No such tool",
    "Unknown skill",
    "ENOENT",
    "No task",
)
_HEAD: Final = 400
"""Characters in which a client names the kind of an error; what follows may be anybody's text."""


class Outcome(NamedTuple):
    """failure: class of design's closed set, "" when none; exit_code: -1 when the result tells none."""

    status: Status
    failure: str = ""
    exit_code: int = -1


PLAIN_OK: Final = Outcome(Status.OK)
SHELL_OK: Final = Outcome(Status.OK, "", 0)
SHELL_TOOLS: Final = frozenset(("Bash", "PowerShell"))
"""Tools with an exit code: 0 unless the result is an error."""

FAILURES: Final = (
    "nonzero_exit", "timeout", "rejected", "denied", "interrupted", "cancelled", "invalid_input", "not_found",
    "mcp_error", "other",
)  # fmt: skip
"""The closed set of failure classes of a tool call."""


def tool_outcome(
    *, is_error: bool, text: str, denial: str | None, tool: str | None, at_limit: bool = False, raw_shell: bool = False
) -> Outcome:
    """Outcome of a tool result. `text` is the start of its content (needed only for errors).

    Rule, the first that fits: the client's own word on a denial; a person's refusal; an interrupt; `Exit code N` at
    the beginning; a permission rule's or hook's words; then the class that the first line names. Reason: the surest
    word goes first, and only the client's first line is searched, since what follows quotes files and input. A
    refusal by the user is `rejected`, by a rule or hook `denied`, both with status rejected; a call cancelled
    because its sibling failed is `cancelled`, with status interrupted; none of them is an error of the tool.

    `at_limit`: the call lasted as long as it was allowed to; then the exit code of a kill (137, 143) is a timeout. Any
    other exit is the command's own, and a hook's check may last long too. `raw_shell`: a client that wrote a shell's
    error output as it came, without the exit code: the code is not known, the exit was not 0. Later clients always write
    the code, so an error of a shell that has none is the words of a hook that stopped the call: `denied`.
    """
    if denial:
        return Outcome(Status.REJECTED, "rejected" if denial == "user-rejected" else "denied")
    if not is_error:
        return SHELL_OK if tool in SHELL_TOOLS else PLAIN_OK
    text = text.lstrip()
    text = text[7:] if text.startswith("Error: ") else text
    if text.startswith(_REFUSED):
        return Outcome(Status.REJECTED, "rejected")
    if text.startswith("[Request interrupted"):
        return Outcome(Status.INTERRUPTED, "interrupted")
    code = _EXIT_CODE.match(text)
    if code:
        number = int(code.group(1))
        if number in _TIMEOUT_CODES or (at_limit and number in _KILL_CODES):
            return Outcome(Status.TIMEOUT, "timeout", number)
        return Outcome(Status.ERROR, "nonzero_exit", number)
    marked = text.startswith("<tool_use_error>")
    head = (text[16:] if marked else text)[:_HEAD].split("\n", 1)[0]
    if head.startswith(_CANCELLED):
        return Outcome(Status.INTERRUPTED, "cancelled")
    if _DENIED.search(head):
        return Outcome(Status.REJECTED, "denied")
    if not marked and _TIMED_OUT.search(head):
        return Outcome(Status.TIMEOUT, "timeout")
    if tool in SHELL_TOOLS and not marked:
        if raw_shell:
            return Outcome(Status.ERROR, "nonzero_exit")
        return Outcome(Status.REJECTED, "denied") if text else Outcome(Status.ERROR, "other")
    if tool and tool.startswith("mcp__") and not marked:
        return Outcome(Status.ERROR, "mcp_error")
    if any(mark in head for mark in _INVALID):
        return Outcome(Status.ERROR, "invalid_input")
    if any(mark in head for mark in _NOT_FOUND):
        return Outcome(Status.ERROR, "not_found")
    return Outcome(Status.ERROR, "other")


_STATUS_CLASSES: Final = {
    400: "invalid_request",
    401: "auth",
    403: "auth",
    404: "invalid_request",
    408: "timeout",
    413: "invalid_request",
    429: "rate_limit",
    529: "overloaded",
}
_TYPE_CLASSES: Final = {
    "overloaded_error": "overloaded",
    "rate_limit_error": "rate_limit",
    "rate_limit": "rate_limit",
    "authentication_error": "auth",
    "authentication_failed": "auth",
    "permission_error": "auth",
    "billing_error": "auth",
    "invalid_request_error": "invalid_request",
    "invalid_request": "invalid_request",
    "not_found_error": "invalid_request",
    "request_too_large": "invalid_request",
    "timeout_error": "timeout",
    "api_error": "server_error",
    "server_error": "server_error",
    "overloaded": "overloaded",
}
_API_ERROR: Final = re.compile(r"API Error:? ?\(?(\d{3})")
_LIMIT: Final = re.compile(r"hit your .{0,40}limit|usage limit reached", re.IGNORECASE)


def api_failure(*, status: int | None, kind: str | None, text: str) -> str:
    """Class of an API failure: rate_limit, usage_limit, overloaded, server_error, timeout, auth, invalid_request,
    refusal or unknown; from the text's own words on a limit, else the error's type, else the HTTP status."""
    if _LIMIT.search(text[:400]):
        return "usage_limit"
    if kind in _TYPE_CLASSES:
        return _TYPE_CLASSES[kind]
    if status is None:
        found = _API_ERROR.search(text[:400])
        status = int(found.group(1)) if found else None
    if status is not None:
        return _STATUS_CLASSES.get(status, "server_error" if status >= 500 else "unknown")
    if "timed out" in text[:400] or "timeout" in text[:400].lower():
        return "timeout"
    if "refus" in text[:400]:
        return "refusal"
    return "unknown"
