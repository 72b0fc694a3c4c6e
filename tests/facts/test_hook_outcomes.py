"""How runs of hooks ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.hooks import HOOK_ENDS, hook_outcome, summary_outcomes
from ccagent.facts.model import Status

FAILED = "Failed with non-blocking status code: "


def statuses(commands: list[str], errors: list[str], *, prevented: bool = False) -> list[str]:
    found = summary_outcomes(commands, errors, prevented=prevented)
    return ["open" if outcome is None else outcome.status.name.lower() for outcome in found]


@pytest.mark.parametrize(
    ("commands", "errors", "prevented", "expected"),
    [
        (["a"], [], False, ["ok"]),
        (["a", "b"], [], False, ["ok", "ok"]),
        (["a"], [FAILED + "x"], False, ["error"]),
        (["a", "b"], [FAILED + "x", FAILED + "y"], False, ["error", "error"]),
        (["a", "b"], [FAILED + "x"], False, ["open", "open"]),
        (["a"], [], True, ["rejected"]),
        (["a", "b"], [], True, ["open", "open"]),
        (["a", "b"], ["[b]: do not stop"], True, ["ok", "rejected"]),
        (["a", "b"], ["[b]: do not stop", FAILED + "x"], True, ["error", "rejected"]),
        (["a"], ["do not stop"], True, ["rejected"]),
        (["a"], [FAILED + "x"], True, ["error"]),
        (["", "b"], ["[]: odd"], False, ["open", "open"]),
        ([], [FAILED + "x"], False, []),
    ],
)
def test_the_errors_of_a_summary_find_their_hooks(
    commands: list[str], errors: list[str], prevented: bool, expected: list[str]
) -> None:
    assert statuses(commands, errors, prevented=prevented) == expected


@given(st.lists(st.sampled_from(["a", "b", ""]), max_size=5), st.lists(st.text(max_size=9), max_size=5), st.booleans())
def test_each_hook_has_one_outcome_and_errors_leave_no_all_clear(
    commands: list[str], errors: list[str], prevented: bool
) -> None:
    found = statuses(commands, errors, prevented=prevented)

    assert len(found) == len(commands)
    if commands and (errors or prevented):
        assert set(found) != {"ok"}


@pytest.mark.parametrize("kind", sorted(HOOK_ENDS))
def test_the_clients_exit_code_stands(kind: str) -> None:
    assert hook_outcome(kind, 3).exit_code == 3
    assert hook_outcome(kind, None).exit_code == (0 if kind == "hook_success" else -1)
    assert (hook_outcome(kind, None).status == Status.OK) == (kind == "hook_success")
