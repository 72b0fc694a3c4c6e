"""What a tool call's course tells: retries, repetitions, limits, people who were asked, and work in the background."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import orjson

from ccagent.facts.model import EventType, Flag, Status
from ccagent.facts.partial import NO_TIME, RESULT_ONLY, Partial, Result, most
from ccagent.facts.rework import SHELLS, again, call_stalled, reached_limit
from ccagent.facts.times import whole_ms
from ccagent.sources.claude.carry import TRIED_CALLS, TRIED_CHAINS, OpenCall, Tried
from ccagent.sources.claude.lines import decode, text_of
from ccagent.sources.claude.occasions import Answer, Call
from ccagent.sources.claude.records import Record, ShellInput, ShellResult, TaskInput, TimedResult
from ccagent.sources.claude.sides import LAUNCHES, PROMPT_TEXT, prompt_digest
from ccagent.sources.claude.standing import Standing

BACKGROUND_SHELLS: Final = 64
"""Shells in the background whose end is still awaited."""

CHANGERS: Final = frozenset(("Edit", "MultiEdit", "Write", "NotebookEdit", "Task", "Agent"))
"""Calls that change files when they succeed; another shell command may have. What is asked after them is asked anew."""


def every_call(deriver: Standing, call: Call) -> None:
    """Count the call in its turn, and compare it with what was called before in it."""
    carry, open_call, chain = deriver.carry, call.call, deriver.chain
    native = call.block.id or ""
    digest = blake2b(call.name.encode("utf-8", "surrogatepass"), digest_size=8)
    digest.update(b"\0")
    digest.update(call.block.input)
    open_call.digest, open_call.chain = digest.digest(), chain
    open_call.at = None if deriver.at == NO_TIME else deriver.at
    tried = carry.tried.get(chain)
    if tried is None:
        tried = carry.tried[chain] = {}
        if len(carry.tried) > TRIED_CHAINS:
            del carry.tried[next(iter(carry.tried))]
    before = tried.pop(open_call.digest, None)
    if before is not None and before.native == native:  # the same line once more
        tried[open_call.digest] = before
        return
    if chain == "":
        carry.turn_calls += 1
        turn = deriver.turn or deriver.open_turn()
        if turn is not None:
            turn.attempts = most(turn.attempts, carry.turn_calls)
    if before is None:
        tried[open_call.digest] = Tried(native, 1)
        if len(tried) > TRIED_CALLS:
            del tried[next(iter(tried))]
        call.fact.attempts = most(call.fact.attempts, 0)
        return
    judged = again(tool=call.name, place=before.place, count=before.count, failed=before.failed)
    tried[open_call.digest] = Tried(native, before.count + 1, False, judged.attempt)
    call.fact.attempts = most(call.fact.attempts, judged.attempt)
    if judged.repeated and not before.refused:
        call.fact.flags |= Flag.REPEATED
    if judged.loop:
        _looped(deriver)


def _looped(deriver: Standing) -> None:
    if deriver.chain == "":
        turn = deriver.turn or deriver.open_turn()
        if turn is not None:
            turn.flags |= Flag.LOOP
    elif deriver.chain_agent is not None:
        deriver.touch_agent(deriver.chain_agent, deriver.at, deriver.rank).flags |= Flag.LOOP


def called_shell(deriver: Standing, call: Call) -> None:
    """How long the command may run, and whether anybody waits for it."""
    data = bytes(call.block.input)
    if b'"timeout"' not in data and b'"run_in_background"' not in data:
        return
    given = decode(ShellInput, call.block.input)
    if given is None:
        return
    call.call.limit_ms = whole_ms(given.timeout)
    if given.run_in_background:
        call.call.background = True
        call.fact.flags |= Flag.BACKGROUND


def called_question(deriver: Standing, call: Call) -> None:
    """A person is asked."""
    call.fact.flags |= Flag.HUMAN


def called_agent(deriver: Standing, call: Call) -> None:
    """A sub-agent is launched: old clients write its lines into this file, beginning with the same prompt."""
    given = decode(TaskInput, call.block.input)
    if given is None or not given.prompt:
        return
    if given.run_in_background:
        call.call.background = True
    launches = deriver.carry.launches
    assert call.block.id is not None
    launches[prompt_digest(text_of(given.prompt, PROMPT_TEXT))] = call.block.id
    if len(launches) > LAUNCHES:
        del launches[next(iter(launches))]


def called_reader(deriver: Standing, call: Call) -> None:
    """The path that is read, for the owner of the fact."""
    data, fact = bytes(call.block.input), call.fact
    if b'"file_path"' not in data or fact.extra is not None:
        return
    if (fact.rank, fact.owner_at, fact.context, fact.name) != (call.rank, deriver.at, call.context, call.name):
        return
    try:
        path = orjson.loads(data)["file_path"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return
    if isinstance(path, str) and path:
        fact.extra = orjson.dumps({"path": path}).decode()


def asked_person(failure: str, *, feedback: bool) -> bool:
    """Whether a result tells that a person was asked.

    Rule: a rejection by a person, or a person's feedback; questions say so by the tool's name. Reason: a permission that
    was granted leaves no record, so nothing else can be known.
    """
    return feedback or failure == "rejected"


def every_answer(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """How the call came to its end, for what is called next; and who or what it had waited for.

    Rule: a rejection, a person's feedback and a question have waited for a person; nothing else in a transcript says so.
    """
    call, fact, failure = answer.call, answer.fact, answer.outcome.failure
    if asked_person(failure, feedback=answer.record is not None and bool(answer.record.userFeedback)):
        fact.flags |= Flag.HUMAN
    if answer.outcome.status == Status.TIMEOUT:
        fact.flags |= Flag.TIMED_OUT
    if call is None:
        return ()
    tried = deriver.carry.tried.get(call.chain)
    if tried is not None:
        mine = tried.get(call.digest)
        if mine is not None and mine.native == answer.native:
            mine.refused = failure == "rejected"
            mine.failed = bool(failure) and not mine.refused
        if call.name in CHANGERS and answer.outcome.status == Status.OK:
            for each in tried.values():
                each.count = 0
        elif call.name in SHELLS and answer.outcome.status != Status.REJECTED:
            for digest, each in tried.items():
                if digest != call.digest:
                    each.count = 0
    if call.chain == "" and call_stalled(
        deriver.gap_ms,
        tool=call.name,
        limit_ms=call.limit_ms,
        mode=deriver.carry.permission_mode,
        background=call.background,
    ):
        turn = deriver.turn or deriver.open_turn()
        if turn is not None:
            turn.flags |= Flag.STALL
    if call.elapsed_ms is not None:
        _raise(deriver, answer, reported=call.elapsed_ms)
    return ()


def answered_shell(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """The real size of an output that was too large to show, an interrupt, and the shell that went on."""
    call, record = answer.call, answer.record
    if call is None or record is None or not record.toolUseResult:
        return ()
    data = bytes(record.toolUseResult)
    if b'"persistedOutputSize"' not in data and b'"backgroundTaskId"' not in data and b'"interrupted":true' not in data:
        return ()
    said = decode(ShellResult, record.toolUseResult)
    if said is None:
        return ()
    if said.backgroundTaskId:
        answer.fact.flags |= Flag.BACKGROUND
        if at_limit(call, deriver.at):  # nobody asked for it: the client puts aside what has lasted its limit
            answer.fact.flags |= Flag.TIMED_OUT
        shells = deriver.carry.shells
        shells[said.backgroundTaskId] = answer.native
        if len(shells) > BACKGROUND_SHELLS:
            del shells[next(iter(shells))]
    if said.interrupted or said.persistedOutputSize is not None:
        _raise(
            deriver,
            answer,
            size=said.persistedOutputSize,
            reported=call.elapsed_ms,
            interrupted=bool(said.interrupted),
        )
    return ()


def answered_timed(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """The tool's own clock."""
    if answer.record is None or not answer.record.toolUseResult:
        return ()
    said = decode(TimedResult, answer.record.toolUseResult)
    if said is None:
        return ()
    seconds = said.durationSeconds
    reported = whole_ms(
        said.durationMs if said.durationMs is not None else None if seconds is None else seconds * 1_000
    )
    if reported is not None:
        _raise(deriver, answer, reported=reported)
    return ()


def answered_side(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """The end of a sub-agent whose lines stand in this file, by the result of its call: a failure, or a success of a
    client that names no sub-agent in it."""
    call, record = answer.call, answer.record
    if call is None or call.side is None:
        return ()
    if answer.outcome.status == Status.OK and record is not None and b'"agentId"' in bytes(record.toolUseResult):
        return ()
    run = deriver.touch_agent(call.side, deriver.at, 1)
    result = Result(answer.outcome.status, -1 if deriver.at == NO_TIME else deriver.at, answer.outcome.failure)
    if run.result is None or result > run.result:
        run.result = result
    run.closing = True
    return ()


def _raise(
    deriver: Standing,
    answer: Answer,
    *,
    size: int | None = None,
    reported: int | None = None,
    interrupted: bool = False,
) -> None:
    """Say more of the result than its block does. Only larger values, so that the fuller tuple wins in any order."""
    outcome = answer.outcome
    stop = interrupted and outcome.status < Status.INTERRUPTED
    result = Result(
        Status.INTERRUPTED if stop else outcome.status,
        -1 if deriver.at == NO_TIME else deriver.at,
        "interrupted" if stop else outcome.failure,
        outcome.exit_code,
        max(len(answer.block.content), size or 0),
        -1 if reported is None else reported,
    )
    if answer.fact.result is None or result > answer.fact.result:
        answer.fact.result = result


def running(deriver: Standing, record: Record) -> None:
    """A shell is still at work (bash_progress): how long by now, and how long it may."""
    data = record.data
    call = deriver.carry.calls.get(record.parentToolUseID or "")
    if call is None or data is None:
        return
    seconds = data.elapsedTimeSeconds
    call.elapsed_ms = most(call.elapsed_ms, whole_ms(None if seconds is None else seconds * 1_000))
    limit = whole_ms(data.timeoutMs)
    if limit is not None:
        call.limit_ms = limit


def shell_ended(deriver: Standing, task: str) -> None:
    """A notification says that this background shell is over: its call ends now."""
    native = deriver.carry.shells.pop(task, None)
    if native is not None and deriver.at != NO_TIME:
        fact, made = deriver.batch.get(EventType.TOOL_CALL, native, deriver.file, deriver.offset, deriver.length)
        if made:
            fact.claim(
                deriver.rank + RESULT_ONLY, deriver.at, deriver.context(deriver.rank, deriver.chain_agent), None, None
            )
        fact.ended_at = most(fact.ended_at, deriver.at)


def at_limit(call: OpenCall | None, at: int) -> bool:
    """Whether the call had lasted as long as it may when its result came (ms UTC)."""
    if call is None or call.at is None or at == NO_TIME:
        return False
    return reached_limit(at - call.at, tool=call.name, limit_ms=call.limit_ms, background=call.background)
