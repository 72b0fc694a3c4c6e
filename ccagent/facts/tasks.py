"""States of a task: which of them are the end of it, and which of those finished it.

Todo lists (TodoWrite) and tasks (TaskCreate, TaskUpdate) share these words; plan files add `done` and `deferred`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from ccagent.facts.model import Flag, Status

STATE_LENGTH: Final = 32
"""Characters of a state's word that are kept; a longer one is no state that anybody defined."""


class TaskState(StrEnum):
    """The states that are known. A word beyond these is kept as it is written, and ends nothing."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"
    DONE = "done"
    DEFERRED = "deferred"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DELETED = "deleted"

    @property
    def terminal(self) -> bool:
        """Whether nothing more is to be done for the task."""
        return self in _TERMINAL

    @property
    def finished(self) -> bool:
        """Whether the task counts as completed: `done`, `deferred` and `completed` are three words for one end."""
        return self in _FINISHED


_FINISHED: Final = frozenset((TaskState.DONE, TaskState.DEFERRED, TaskState.COMPLETED))
_TERMINAL: Final = _FINISHED | {TaskState.CANCELLED, TaskState.DELETED}
_SPELLINGS: Final = {"canceled": TaskState.CANCELLED, "complete": TaskState.COMPLETED}


def state_of(word: str) -> TaskState | None:
    """The state that a raw word means, None for a word that is not known.

    Rule: letters without case, `-` and blanks as `_`, and two spellings. Reason: transcripts write `in_progress`, plan
    files `in-progress`; guessing further would end tasks that are open.
    """
    plain = word.strip().lower().replace("-", "_").replace(" ", "_")
    if plain in _SPELLINGS:
        return _SPELLINGS[plain]
    return TaskState(plain) if plain in _WORDS else None


_WORDS: Final = frozenset(TaskState)


def task_flags(word: str) -> int:
    """Flag.TERMINAL for a state that ends the task, else 0."""
    state = state_of(word)
    return int(Flag.TERMINAL) if state is not None and state.terminal else 0


def task_status(word: str) -> Status:
    """Outcome of the transition into a state.

    Rule: `ok` for `done`, `deferred`, `completed`; `interrupted` for `cancelled` and `deleted`; `open` for every other
    word. Reason: who drops a task has nothing left to do and has finished nothing, so it is over and no completion.
    """
    state = state_of(word)
    if state is None or not state.terminal:
        return Status.OPEN
    return Status.OK if state.finished else Status.INTERRUPTED
