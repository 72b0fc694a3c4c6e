"""Work done again: retries, repeated calls, loops and stalls, judged from one call or one gap at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

LOOP_CALLS: Final = 3
"""The same call so often makes a loop. Two is a second look; a third answer to the same question, with nothing changed
in between, tells nothing new."""

STALL_MS: Final = 5 * 60 * 1_000
"""A request or call that is silent for so long has stalled: nine times the 99th percentile of waits for a reply (34 s),
and the gap beyond which time does not count as active either."""

SHELL_LIMIT_MS: Final = 120_000
"""What the client allows a shell command that declares no timeout."""

POLLS: Final = frozenset(
    ("TaskOutput", "BashOutput", "AgentOutputTool", "TaskList", "TaskGet", "TaskStop", "TodoRead", "ScheduleWakeup",
     "Monitor", "Sleep", "KillShell", "KillBash")
)  # fmt: skip
"""Calls that ask how something else is doing: the same question again is waiting, no rework."""

FILE_READERS: Final = frozenset(("Read", "Grep", "Glob", "LS"))
"""Calls that answer at once and hardly ever ask for permission."""

SHELLS: Final = frozenset(("Bash", "PowerShell"))

UNATTENDED: Final = frozenset(("bypassPermissions", "dontAsk", "auto"))
"""Permission modes in which nobody is asked."""


class Again(NamedTuple):
    """attempt: place in a chain of retries, 0 for a first try; repeated and loop as in the functions below."""

    attempt: int
    repeated: bool
    loop: bool


def again(*, tool: str, place: int, count: int, failed: bool) -> Again:
    """Judge a call with the same tool and the same input bytes as an earlier one of its turn and chain.

    Rule: after a failed call it is a retry, and its attempt is the earlier one's plus one; a person's "no" is no
    failure, and asking again after it is no retry (a hook's "no" is one: the call is made again once its check
    passes). Otherwise it is `repeated` if nothing was done since by which a file may have changed (`count`, the
    number of such calls since the chain's last edit, sub-agent or other shell command, is above 0). Reason: a test
    that runs again after an edit asks something new. A `loop` from LOOP_CALLS such calls on, failed ones included.
    POLLS are neither. Not seen: calls that vary an irrelevant argument.
    """
    poll = tool in POLLS
    return Again(
        place + 1 if failed else 0,
        repeated=count > 0 and not failed and not poll,
        loop=count + 1 >= LOOP_CALLS and not poll,
    )


def pause_of(gap_ms: int) -> int:
    """Milliseconds that a person took before a prompt, from the time since the record before it.

    Rule: all of it up to STALL_MS; of a longer gap nothing. Reason: who answers within minutes has read and typed; who
    comes back later was away. Cannot see: reading while the agent works.
    """
    return gap_ms if 0 < gap_ms <= STALL_MS else 0


def request_stalled(gap_ms: int) -> bool:
    """Whether the wait for a reply was a stall.

    Rule: no record at all for more than STALL_MS before its first line; retries of the API are records. Reason: nobody but
    the model is awaited then, and it answers in seconds. Not seen: a machine that
    slept, or a model that thought for so long, look like a request that hung.
    """
    return gap_ms > STALL_MS


def call_stalled(gap_ms: int, *, tool: str, limit_ms: int | None, mode: str | None, background: bool) -> bool:
    """Whether a call's result came after a stall: no record for more than STALL_MS beyond what the call may take.

    Rule: a shell may take its declared limit, or SHELL_LIMIT_MS. A call that may have waited for a person (any but
    FILE_READERS, unless the permission mode is one of UNATTENDED), a background call, and tools without a limit of
    their own (sub-agents, MCP, web, questions) are never said to stall. Reason: there the transcript cannot tell work or a
    person's absence from a stall.
    """
    if background:
        return False
    if tool in FILE_READERS:
        return gap_ms > STALL_MS
    if tool in SHELLS and mode in UNATTENDED:
        return gap_ms > STALL_MS + (SHELL_LIMIT_MS if limit_ms is None else limit_ms)
    return False


def reached_limit(duration_ms: int | None, *, tool: str | None, limit_ms: int | None, background: bool) -> bool:
    """Whether a shell call lasted as long as it may: its declared limit, or SHELL_LIMIT_MS without one.

    Rule: from call to result. Reason: clients kill a shell at its limit, or put it into the background. The
    duration holds a wait for permission, so it proves a timeout only together with the exit code of a kill
    (`outcomes.tool_outcome`) or a background that nobody had asked for. Other tools declare no limit.
    """
    if duration_ms is None or tool not in SHELLS or background:
        return False
    return duration_ms >= (SHELL_LIMIT_MS if limit_ms is None else limit_ms)


def rewritten(writes: Iterable[tuple[str | int | None, int | None]]) -> bool:
    """Whether a file was written again: `writes` are turn and removed lines of a session's writes of it, by time.

    Rule: a turn after the first one that wrote it took lines out of it. Reason: writes of one turn are one piece of work,
    and what only grows was not done again. Not seen: writes by shell commands, sub-agents' writes (their records have no
    count of lines), and whether the lines that went were those that an earlier turn had put there.
    """
    first: str | int | None = None
    for number, (turn, removed) in enumerate(writes):
        if number == 0:
            first = turn
        elif turn != first and removed:
            return True
    return False
