"""How a run of a hook ended, from what a client says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ccagent.facts.model import Status
from ccagent.facts.outcomes import Outcome

_ENDS: Final = {
    "hook_success": Outcome(Status.OK, "", 0),
    "hook_blocking_error": Outcome(Status.REJECTED, "denied"),
    "hook_stopped_continuation": Outcome(Status.REJECTED, "denied"),
    "hook_non_blocking_error": Outcome(Status.ERROR, "nonzero_exit"),
    "hook_error_during_execution": Outcome(Status.ERROR, "other"),
    "hook_error": Outcome(Status.ERROR, "other"),
    "hook_cancelled": Outcome(Status.INTERRUPTED, "cancelled"),
}

HOOK_ENDS: Final = frozenset(_ENDS)
"""Attachments that tell the end of one run."""

_FAILED: Final = "Failed with non-blocking status code"


def hook_outcome(kind: str, exit_code: int | None) -> Outcome:
    """Outcome of a run that an attachment of that kind tells of; `kind` is one of HOOK_ENDS.

    Rule: a hook that blocked is `rejected` (it did its work, and the action was refused), one that failed an `error`,
    one that was stopped `interrupted`. The exit code is the client's, and 0 for a success without one. Reason: the
    client has one kind of attachment for each of these ends, so nothing is read out of words.
    """
    end = _ENDS[kind]
    return end if exit_code is None else end._replace(exit_code=exit_code)


def summary_outcomes(commands: Sequence[str], errors: Sequence[str], *, prevented: bool) -> tuple[Outcome | None, ...]:
    """Outcome of each hook of a summary, which lists errors without saying whose they are; None where nobody can tell.

    Rule: without errors all are `ok`, or, if going on was prevented, the only hook there is `rejected`. An error that
    begins with a hook's command in brackets is that hook's, and blocked. As many errors as hooks: each has one. Else
    the hooks without an error of their own stay open. Reason: one of them failed, and a guess would blame another.
    """
    found: list[Outcome | None] = [None] * len(commands)
    left = []
    for error in errors:
        for number, command in enumerate(commands):
            if command and found[number] is None and error.startswith(f"[{command}"):
                found[number] = _ENDS["hook_blocking_error"]
                break
        else:
            left.append(error)
    free = [number for number, outcome in enumerate(found) if outcome is None]
    if left and len(left) >= len(free):
        for number, error in zip(free, left, strict=False):
            failed = error.startswith(_FAILED) or not prevented
            found[number] = Outcome(Status.ERROR, "nonzero_exit") if failed else _ENDS["hook_blocking_error"]
    elif not left and prevented and len(free) == len(commands):
        if len(free) == 1:
            found[0] = _ENDS["hook_stopped_continuation"]
    elif not left:
        for number in free:
            found[number] = Outcome(Status.OK)
    return tuple(found)
