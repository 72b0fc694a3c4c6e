"""What the commands of a rollout say: dangerous patterns, quality runs, deletions, delivery, evidence.

A call that is answered before its process ends is judged when a later call (`write_stdin`, `wait`) tells of the end.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Raw

from ccagent.facts import evidence
from ccagent.facts.delivery import concerns, steps
from ccagent.facts.exec_input import SHELLS, asked, patched, polled, unquoted
from ccagent.facts.exec_output import ExecOutcome, printed
from ccagent.facts.model import Rank, Status
from ccagent.facts.naming import MCP_PREFIX
from ccagent.facts.partial import NO_TIME, Partial
from ccagent.sources import delivery
from ccagent.sources.codex.carry import PROCESSES, Call
from ccagent.sources.codex.records import Payload
from ccagent.sources.codex.standing import Standing
from ccagent.sources.evidence import write
from ccagent.sources.places import Place
from ccagent.sources.shells import Ending, derive_deletions, derive_runs, ends_of, looked, unread, warn

PATCH: Final = "apply_patch"

_WORTH: Final = re.compile(rb"\.m[da]|/pull/|gh pr |[A-Z]-\d|merge_requests")
"""What a command must hold to be worth asking for evidence."""

_TIMED_OUT: Final = 124


def called(deriver: Standing, said: Payload, fact: Partial, call: Call) -> None:
    """Keep for its output what a call runs; mark a dangerous one; note what it names."""
    given = bytes(said.arguments or said.input or said.action)
    if not given:
        return
    call.at = None if deriver.at == NO_TIME else deriver.at
    if call.name in SHELLS:
        _commanded(deriver, fact, call, given)
    elif call.name.startswith(MCP_PREFIX):
        _told(call, given)
    else:
        call.polls = polled(call.name, given)
    if b".m" in given and (call.name == PATCH or call.name in SHELLS):
        place = _place(deriver, "")
        for strategy, path in patched(given):
            write(deriver, deriver.carry.session, evidence.of_path(path, strategy), place)


def _commanded(deriver: Standing, fact: Partial, call: Call, given: bytes) -> None:
    line = asked(call.name, given)
    if line is None:
        return
    patterns, found, gone = looked(line.command)
    warn(fact, patterns)
    call.runs, call.deletions = list(found), list(gone)
    plain = line.command.encode("utf-8", "replace")
    if concerns(plain):
        call.delivery = list(steps(line.command))
    call.folder, call.scripted = line.folder or deriver.carry.cwd, line.scripted
    if deriver.conventions is not evidence.DEFAULT or _WORTH.search(plain):
        mentions = evidence.of_shell(line.command, deriver.conventions)
        write(deriver, deriver.carry.session, mentions, _place(deriver, ""))


def _told(call: Call, given: bytes) -> None:
    """A tool of an MCP server that works with pull requests; its input is an object within a string."""
    step = delivery.tool_step(call.name, Raw(unquoted(given)))
    if step is not None:
        call.delivery = [step]


def answered(deriver: Standing, native: str, call: Call, output: bytes, outcome: ExecOutcome) -> tuple[Partial, ...]:
    """What a call did, now that its output is known; of one that asked for more, what the call did that it asks for."""
    carry = deriver.carry
    polling = call.polls is not None
    if call.polls is not None:
        began = carry.processes.pop(call.polls, None)
        begun = carry.calls.get(began) if began is not None else None
        if began is None or begun is None:
            return ()
        native, call = began, begun
    if outcome.process:
        carry.processes.pop(outcome.process, None)
        carry.processes[outcome.process] = native
        if len(carry.processes) > PROCESSES:
            del carry.processes[next(iter(carry.processes))]
        if polling or not call.runs:
            return ()
        away = Ending(Status.OK, "", -1, "", False, True, call.at, call.name, more=True)
        return derive_runs(deriver, _place(deriver, native), tuple(call.runs), away)
    if not call.runs and not call.deletions and not call.delivery:
        return ()
    place = _place(deriver, native)
    if call.name.startswith(MCP_PREFIX):
        if outcome.status != Status.OK:
            return ()
        return delivery.tool_ended(deriver, place, call.delivery[0], printed(output).text)
    return _ended(deriver, place, call, output, outcome, polled=polling)


def _ended(
    deriver: Standing, place: Place, call: Call, output: bytes, outcome: ExecOutcome, *, polled: bool
) -> tuple[Partial, ...]:
    """The facts of a command that has ended."""
    status, code, failure = outcome.status, outcome.exit_code, outcome.failure
    text, whole = "", True
    if call.scripted or call.delivery or not unread(code, call.runs, call.deletions):
        said = printed(output)
        text, whole = said.text, said.whole and not polled
        if call.scripted == 1 and len(said.exit_codes) == 1:
            code = said.exit_codes[0]
            status, failure = _by_code(code)
    if code < 0 and (status == Status.OK or call.scripted):
        status, failure = (Status.OPEN, "") if status in (Status.OK, Status.ERROR) else (status, failure)
    born: tuple[Partial, ...] = ()
    if call.runs or call.deletions:
        ends, all_of_it = ends_of(text)
        began = None if polled else call.at  # the model's pauses are no part of a run's duration
        ending = Ending(status, failure, code, ends, whole and all_of_it, False, began, call.name)
        born += derive_runs(deriver, place, tuple(call.runs), ending) if call.runs else ()
        born += derive_deletions(deriver, place, call.deletions, ending, call.folder)
    if call.delivery:
        born += delivery.shell_ended(
            deriver, place, call.delivery, text[: delivery.OUTPUT_CHARACTERS], status, unproven=status == Status.OPEN
        )
    return born


def _by_code(code: int) -> tuple[Status, str]:
    if code == 0:
        return Status.OK, ""
    return (Status.TIMEOUT, "timeout") if code == _TIMED_OUT else (Status.ERROR, "nonzero_exit")


def _place(deriver: Standing, native: str) -> Place:
    return Place(deriver.context(), Rank.MAIN, deriver.carry.turn, native)
