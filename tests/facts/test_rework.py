"""Retries, repetitions, loops and stalls: each rule at its threshold."""

from __future__ import annotations

import pytest

from ccagent.facts.rework import (
    LOOP_CALLS,
    SHELL_LIMIT_MS,
    STALL_MS,
    Again,
    again,
    call_stalled,
    reached_limit,
    request_stalled,
    rewritten,
)


@pytest.mark.parametrize(
    ("place", "count", "failed", "expected"),
    [
        (0, 1, True, Again(1, False, False)),  # once more after a failure
        (1, 2, True, Again(2, False, True)),  # and again, with nothing changed
        (0, 1, False, Again(0, True, False)),  # the same question, answered already
        (2, 0, False, Again(0, False, False)),  # a file was changed since
        (1, 0, True, Again(2, False, False)),  # changed, but it had failed: still the same chain
        (0, LOOP_CALLS - 1, False, Again(0, True, True)),
    ],
)
def test_a_call_made_again(place: int, count: int, failed: bool, expected: Again) -> None:
    assert again(tool="Bash", place=place, count=count, failed=failed) == expected


def test_asking_how_a_task_is_doing_is_neither_a_repetition_nor_a_loop() -> None:
    assert again(tool="TaskOutput", place=0, count=9, failed=False) == Again(0, False, False)


@pytest.mark.parametrize(("gap", "expected"), [(STALL_MS, False), (STALL_MS + 1, True)])
def test_a_request_stalls_beyond_the_threshold(gap: int, expected: bool) -> None:
    assert request_stalled(gap) is expected


@pytest.mark.parametrize(
    ("tool", "limit", "mode", "background", "gap", "expected"),
    [
        ("Read", None, "default", False, STALL_MS + 1, True),
        ("Read", None, "default", False, STALL_MS, False),
        ("Bash", None, "bypassPermissions", False, STALL_MS + SHELL_LIMIT_MS + 1, True),
        ("Bash", None, "bypassPermissions", False, STALL_MS + SHELL_LIMIT_MS, False),
        ("Bash", 600_000, "auto", False, STALL_MS + 600_000, False),  # a long build within its limit
        ("Bash", 600_000, "auto", False, STALL_MS + 600_001, True),
        ("Bash", None, "default", False, 10 * STALL_MS, False),  # may wait for permission
        ("Bash", None, None, False, 10 * STALL_MS, False),
        ("Bash", None, "dontAsk", True, 10 * STALL_MS, False),
        ("Edit", None, "default", False, 10 * STALL_MS, False),
        ("Task", None, "bypassPermissions", False, 10 * STALL_MS, False),
        ("AskUserQuestion", None, "bypassPermissions", False, 10 * STALL_MS, False),
        ("mcp__server__find", None, "dontAsk", False, 10 * STALL_MS, False),
    ],
)
def test_a_call_stalls_only_where_nobody_and_nothing_else_is_awaited(
    tool: str, limit: int | None, mode: str | None, background: bool, gap: int, expected: bool
) -> None:
    assert call_stalled(gap, tool=tool, limit_ms=limit, mode=mode, background=background) is expected


@pytest.mark.parametrize(
    ("duration", "tool", "limit", "background", "expected"),
    [
        (SHELL_LIMIT_MS, "Bash", None, False, True),
        (SHELL_LIMIT_MS - 1, "Bash", None, False, False),
        (30_000, "Bash", 30_000, False, True),
        (SHELL_LIMIT_MS, "Bash", 600_000, False, False),
        (SHELL_LIMIT_MS, "Bash", None, True, False),
        (SHELL_LIMIT_MS, "Read", None, False, False),
        (None, "Bash", None, False, False),
    ],
)
def test_a_shell_reaches_its_declared_limit_or_the_clients(
    duration: int | None, tool: str, limit: int | None, background: bool, expected: bool
) -> None:
    assert reached_limit(duration, tool=tool, limit_ms=limit, background=background) is expected


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        ([], False),
        ([("a", 9)], False),
        ([("a", 0), ("a", 9)], False),  # one piece of work
        ([("a", 0), ("b", 0)], False),  # it only grew
        ([("a", 0), ("b", None)], False),  # nobody said how many
        ([("a", 0), ("b", 1)], True),
        ([(None, 0), ("b", 1)], True),
    ],
)
def test_a_file_is_rewritten_when_a_later_turn_takes_lines_out(
    writes: list[tuple[str | None, int | None]], expected: bool
) -> None:
    assert rewritten(writes) is expected
