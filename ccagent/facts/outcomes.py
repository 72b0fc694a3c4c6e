"""How a tool call or a request ended, judged when the line is read, since its text is not kept."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ccagent.facts.model import Status

_EXIT_CODE: Final = re.compile(r"^(?:Error: )?Exit code (\d{1,3})\b")
_TIMED_OUT: Final = re.compile(r"\btimed? ?out\b", re.IGNORECASE)
_TIMEOUT_CODES: Final = frozenset((124,))
"""What timeout(1) exits with. 137 and 143 are any SIGKILL or SIGTERM, so they prove no timeout."""
_REJECTED: Final = ("The user doesn't want to proceed", "User rejected tool use", "Error: The user doesn't want")
_NOT_FOUND: Final = ("does not exist", "not found", "No such file", "No such tool")
_INVALID: Final = (
    "InputValidationError",
    "has not been read yet",
    "matches of the string",
    "No changes to make",
    "invalid",
)


class Outcome(NamedTuple):
    """failure: class of design's closed set, "" when none; exit_code: -1 when the result tells none."""

    status: Status
    failure: str = ""
    exit_code: int = -1


PLAIN_OK: Final = Outcome(Status.OK)
SHELL_OK: Final = Outcome(Status.OK, "", 0)
SHELL_TOOLS: Final = frozenset(("Bash", "PowerShell"))
"""Tools with an exit code: 0 unless the result is an error."""


def tool_outcome(*, is_error: bool, text: str, denial: str | None, tool: str | None) -> Outcome:
    """Outcome of a tool result. `text` is the start of its content (needed only for errors).

    A refusal by the user or by a rule is `rejected`, a call cancelled because its sibling failed is `interrupted`;
    neither is an error of the tool. An exit code stands only in error texts; a shell result that is no error has 0.
    """
    if denial == "user-rejected":
        return Outcome(Status.REJECTED, "rejected")
    if denial:
        return Outcome(Status.REJECTED, "denied")
    if not is_error:
        return SHELL_OK if tool in SHELL_TOOLS else PLAIN_OK
    text = text.lstrip()
    if text.startswith(_REJECTED):
        return Outcome(Status.REJECTED, "rejected")
    if text.startswith("[Request interrupted"):
        return Outcome(Status.INTERRUPTED, "interrupted")
    code = _EXIT_CODE.match(text)
    if code:
        number = int(code.group(1))
        if number in _TIMEOUT_CODES:
            return Outcome(Status.TIMEOUT, "timeout", number)
        return Outcome(Status.ERROR, "nonzero_exit", number)
    if "Permission to use" in text[:200] and "denied" in text[:400]:
        return Outcome(Status.REJECTED, "denied")
    if text.startswith("<tool_use_error>"):
        body = text[16:]
        if body.startswith(("Sibling tool call errored", "Cancelled")):
            return Outcome(Status.INTERRUPTED, "cancelled")
        if any(mark in body[:400] for mark in _INVALID):
            return Outcome(Status.ERROR, "invalid_input")
        if any(mark in body[:400] for mark in _NOT_FOUND):
            return Outcome(Status.ERROR, "not_found")
        return Outcome(Status.ERROR, "other")
    if _TIMED_OUT.search(text[:400]):
        return Outcome(Status.TIMEOUT, "timeout")
    if tool and tool.startswith("mcp__"):
        return Outcome(Status.ERROR, "mcp_error")
    if any(mark in text[:400] for mark in _NOT_FOUND):
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
