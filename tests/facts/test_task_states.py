"""The states of tasks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.model import Flag, Status
from ccagent.facts.tasks import TaskState, state_of, task_flags, task_status


@pytest.mark.parametrize(
    ("word", "state", "terminal", "status"),
    [
        ("pending", TaskState.PENDING, False, Status.OPEN),
        ("in_progress", TaskState.IN_PROGRESS, False, Status.OPEN),
        ("in-progress", TaskState.IN_PROGRESS, False, Status.OPEN),
        ("In Progress", TaskState.IN_PROGRESS, False, Status.OPEN),
        ("blocked", TaskState.BLOCKED, False, Status.OPEN),
        ("done", TaskState.DONE, True, Status.OK),
        ("deferred", TaskState.DEFERRED, True, Status.OK),
        ("completed", TaskState.COMPLETED, True, Status.OK),
        ("complete", TaskState.COMPLETED, True, Status.OK),
        (" COMPLETED ", TaskState.COMPLETED, True, Status.OK),
        ("cancelled", TaskState.CANCELLED, True, Status.INTERRUPTED),
        ("canceled", TaskState.CANCELLED, True, Status.INTERRUPTED),
        ("deleted", TaskState.DELETED, True, Status.INTERRUPTED),
        ("completed-ish", None, False, Status.OPEN),
        ("parked", None, False, Status.OPEN),
        ("", None, False, Status.OPEN),
    ],
)
def test_each_word_has_its_state(word: str, state: TaskState | None, terminal: bool, status: Status) -> None:
    assert state_of(word) is state
    assert bool(task_flags(word) & Flag.TERMINAL) == terminal
    assert task_status(word) == status


@given(st.sampled_from(TaskState))
def test_what_is_finished_is_over(state: TaskState) -> None:
    assert state.terminal or not state.finished
    assert (task_status(state.value) != Status.OPEN) == state.terminal


@given(st.text())
def test_no_word_is_too_strange(word: str) -> None:
    state = state_of(word)
    assert bool(task_flags(word)) == (state is not None and state.terminal)
