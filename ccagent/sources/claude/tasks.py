"""Tasks: one fact for each transition of a todo (TodoWrite) or a task (TaskCreate, TaskUpdate) into another state.

A todo has no id that lasts: identity is a digest of its text, within its session. The text is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Final

from ccagent.facts.keys import digest
from ccagent.facts.model import EventType, Flag, Status
from ccagent.facts.partial import NO_TIME, Partial, Result
from ccagent.facts.tasks import STATE_LENGTH, TaskState, task_flags, task_status
from ccagent.sources.claude.lines import decode, text_of
from ccagent.sources.claude.occasions import Answer, Call
from ccagent.sources.claude.records import TaskResult, TaskUpdate, Todo, TodoInput, TodoResult
from ccagent.sources.claude.standing import Standing

TASKS: Final = 256
"""Tasks of one chain whose last state a file remembers; the oldest go first. Lists have some ten entries."""

ENTRIES: Final = 128
"""Entries of one list that are heeded."""

LISTS: Final = 32
"""Lists (todos or tasks, of the main chain or a sub-agent) that a file remembers."""

_ID: Final = 64
_CREATED: Final = re.compile(r"\bTask #?([\w.-]{1,64}) created\b")
"""What the client tells the model; the only source in sub-agents' files, which hold no toolUseResult."""


def todos_written(deriver: Standing, call: Call) -> None:
    """A call of TodoWrite: remember the list until its result comes."""
    given = decode(TodoInput, call.block.input)
    if given is not None and given.todos is not None:
        call.call.tasks = _states(given.todos)


def task_updated(deriver: Standing, call: Call) -> None:
    """A call of TaskUpdate: remember which state it asks for."""
    given = decode(TaskUpdate, call.block.input)
    if given is not None and given.taskId and given.status:
        call.call.tasks = {given.taskId[:_ID]: given.status[:STATE_LENGTH]}


def todos_answered(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """A list was replaced by a list: the transitions are their difference.

    What was not finished and is no longer listed was dropped: `deleted`, which no record says (Flag.INFERRED). What was
    finished and is no longer listed stays finished, and so it is when it is listed again.
    """
    if answer.outcome.status != Status.OK or answer.call is None:
        return ()
    raw = answer.record.toolUseResult if answer.record is not None else None
    lists = decode(TodoResult, raw) if raw else None
    known = _known(deriver, answer, "todo")
    new = answer.call.tasks
    if lists is not None and lists.newTodos is not None:
        new = _states(lists.newTodos)
    if new is None:
        return ()
    old = dict(known)
    if lists is not None and lists.oldTodos is not None:
        old |= _states(lists.oldTodos)
    born: tuple[Partial, ...] = ()
    for task, state in new.items():
        if old.get(task) != state:
            born += _transition(deriver, answer, task, state)
    for task, state in old.items():
        if task not in new and not task_flags(state):
            born += _transition(deriver, answer, task, TaskState.DELETED.value, Flag.INFERRED)
            new[task] = TaskState.DELETED.value
    _remember(known, old | new)
    return born


def task_created(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """A task begins; its number is in the result."""
    if answer.outcome.status != Status.OK:
        return ()
    raw = answer.record.toolUseResult if answer.record is not None else None
    said = decode(TaskResult, raw) if raw else None
    task = said.task.id if said is not None and said.task is not None else None
    if task is None:
        found = _CREATED.search(text_of(answer.block.content, 200))
        task = found.group(1) if found else None
    if not task:
        return ()
    return _moved(deriver, answer, task[:_ID], TaskState.PENDING.value)


def task_answered(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """A task was changed; an update that does not touch its state is no transition."""
    if answer.outcome.status != Status.OK or answer.call is None:
        return ()
    raw = answer.record.toolUseResult if answer.record is not None else None
    said = decode(TaskResult, raw) if raw else None
    if said is not None and said.taskId:
        state = said.statusChange.to if said.statusChange is not None else None
        if state is None and "deleted" in (said.updatedFields or ()):
            state = TaskState.DELETED.value
        return _moved(deriver, answer, said.taskId[:_ID], state[:STATE_LENGTH]) if state else ()
    born: tuple[Partial, ...] = ()
    for task, state in (answer.call.tasks or {}).items():
        if _known(deriver, answer, "task").get(task) != state:
            born += _moved(deriver, answer, task, state)
    return born


def _states(todos: Iterable[Todo]) -> dict[str, str]:
    """Digest of each entry's text → its state, of the first ENTRIES."""
    told = (todo for todo in todos if todo.content and todo.status)
    return {digest(todo.content or ""): (todo.status or "")[:STATE_LENGTH] for todo in islice(told, ENTRIES)}


def _known(deriver: Standing, answer: Answer, sort: str) -> dict[str, str]:
    """Last states of the todos, or tasks, of this answer's chain."""
    chains = deriver.carry.tasks
    known = chains.setdefault(f"{sort}:{answer.context.agent or ''}", {})
    if len(chains) > LISTS:
        del chains[next(iter(chains))]
    return known


def _moved(deriver: Standing, answer: Answer, task: str, state: str) -> tuple[Partial, ...]:
    _remember(_known(deriver, answer, "task"), {task: state})
    return _transition(deriver, answer, task, state)


def _remember(known: dict[str, str], states: dict[str, str]) -> None:
    known.update(states)
    while len(known) > TASKS:
        del known[next(iter(known))]


def _transition(deriver: Standing, answer: Answer, task: str, state: str, flags: int = 0) -> tuple[Partial, ...]:
    native, at = f"{answer.native}/{task}", deriver.at
    fact, made = deriver.batch.get(EventType.TASK, native, deriver.file, deriver.offset, deriver.length)
    fact.claim(answer.rank, at, answer.context, answer.turn, state)
    fact.flags |= Flag.DIRECT | task_flags(state) | flags
    fact.label = task
    if at != NO_TIME and (fact.occurred_at is None or at < fact.occurred_at):
        fact.occurred_at = at
    status = task_status(state)
    if status != Status.OPEN:
        result = Result(status, -1 if at == NO_TIME else at)
        if fact.result is None or result > fact.result:
            fact.result = result
    fact.closing = True
    return (fact,) if made else ()
