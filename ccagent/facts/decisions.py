"""Whether a tool call was allowed, and by whom, as far as a transcript shows it."""

from __future__ import annotations

from typing import Final

from ccagent.facts.model import Flag, Status

ACCEPT: Final = "accept"
REJECT: Final = "reject"

CONFIG: Final = "config"
USER_REJECT: Final = "user_reject"
USER_TEMPORARY: Final = "user_temporary"
UNKNOWN: Final = "unknown"

ALLOWING: Final[dict[str, frozenset[str] | None]] = {
    "bypassPermissions": None,
    "auto": None,
    "acceptEdits": frozenset(("Edit", "MultiEdit", "Write", "NotebookEdit")),
}
"""Permission modes that answer without asking: for these tools, or for all (None)."""

UNASKED: Final = frozenset(("invalid_input", "cancelled", "interrupted"))
"""Failures of calls that ended before, or without, a decision."""


def decision_of(
    tool: str | None, status: int, failure: str | None, flags: int, mode: str | None
) -> tuple[str, str] | None:
    """What was decided of a call (accept, reject) and who decided; None where nothing was decided or nothing is known.

    Rule: a refusal is a rejection, by the user where its text says so; a call that ran was accepted, by the
    configuration where the permission mode answers for its tool, by the user where a person was asked. Reason: only
    refusals leave words in a transcript. Cannot see: rules of the settings, "always allow", and whether a hook or a rule
    refused; their source is unknown.
    """
    if status == Status.REJECTED:
        return REJECT, USER_REJECT if failure == "rejected" else UNKNOWN
    if status in (Status.OPEN, Status.INTERRUPTED) or failure in UNASKED:
        return None
    if flags & Flag.HUMAN:
        return ACCEPT, USER_TEMPORARY
    if mode in ALLOWING:
        tools = ALLOWING[mode]
        if tools is None or tool in tools:
            return ACCEPT, CONFIG
    return ACCEPT, UNKNOWN
