"""Budgets of label values, and what may stand in one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.metrics import names
from ccagent.metrics.labels import BUDGETS, MAX_LENGTH, OVERFLOW, Budget, sanitised


def test_a_value_within_the_budget_stands_for_itself() -> None:
    assert Budget().admit(names.TOKENS, "model", "claude-opus-4-6") == "claude-opus-4-6"


def test_the_first_value_beyond_the_budget_overflows() -> None:
    budget = Budget()
    admitted = [budget.admit(names.TOKENS, "model", f"model-{n}") for n in range(BUDGETS["model"] + 1)]

    assert admitted[-2:] == [f"model-{BUDGETS['model'] - 1}", OVERFLOW]


def test_each_overflow_is_counted() -> None:
    budget = Budget(limits={"model": 1})
    for name in ("a", "b", "b", "c"):
        budget.admit(names.TOKENS, "model", name)

    assert budget.overflowed == {(names.TOKENS, "model"): 3}


def test_metrics_have_budgets_of_their_own() -> None:
    budget = Budget(limits={"model": 1})
    budget.admit(names.TOKENS, "model", "a")

    assert budget.admit(names.REQUESTS, "model", "b") == "b"


def test_values_admitted_before_a_restart_keep_their_place() -> None:
    budget = Budget({(names.TOKENS, "model"): {"old"}}, limits={"model": 1})

    assert budget.admit(names.TOKENS, "model", "old") == "old"
    assert budget.admit(names.TOKENS, "model", "new") == OVERFLOW
    assert budget.fresh == []


def test_a_new_value_has_to_be_written_once() -> None:
    budget = Budget()
    budget.admit(names.TOKENS, "model", "a")
    budget.admit(names.TOKENS, "model", "a")

    assert budget.fresh == [(names.TOKENS, "model", "a")]


def test_a_transaction_that_failed_takes_its_admissions_back() -> None:
    budget = Budget(limits={"model": 1})
    budget.admit(names.TOKENS, "model", "a")

    budget.withdraw()

    assert budget.admit(names.TOKENS, "model", "b") == "b"


def test_what_was_written_is_not_taken_back() -> None:
    budget = Budget(limits={"model": 1})
    budget.admit(names.TOKENS, "model", "a")
    budget.settle()

    budget.withdraw()

    assert budget.admit(names.TOKENS, "model", "b") == OVERFLOW


def test_a_budget_that_is_renewed_knows_only_what_it_is_given() -> None:
    budget = Budget(limits={"model": 2})
    for value in ("a", "b", "c"):
        budget.admit(names.TOKENS, "model", value)

    budget.renew({(names.TOKENS, "model"): ["a"]})

    assert (budget.fresh, budget.overflowed) == ([], {})
    assert [budget.admit(names.TOKENS, "model", value) for value in ("a", "c", "b")] == ["a", "c", OVERFLOW]


def test_a_value_that_a_closed_list_lacks_becomes_its_last() -> None:
    assert Budget().admit(names.STOP_REASONS, "type", "brand_new_reason") == "other"


def test_a_value_of_a_closed_list_stands_for_itself() -> None:
    assert Budget().admit(names.STOP_REASONS, "type", "max_tokens") == "max_tokens"


def test_a_label_that_the_metric_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no label 'tool'"):
        Budget().admit(names.TOKENS, "tool", "Bash")


def test_use_tells_how_much_of_a_budget_is_taken() -> None:
    budget = Budget()
    budget.admit(names.TOOL_CALLS, "tool", "Bash")

    assert budget.use() == {(names.TOOL_CALLS, "tool"): (1, 50)}


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Bash", "Bash"),
        ("", "unknown"),
        ("a\nb", "a_b"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07name", "name"),
        ("nul\x00", "nul_"),
        ("right\u202eleft", "right_left"),
        ("lone\ud800", "lone_"),
        ("größe", "größe"),
        ("\x1b[31m", "unknown"),
    ],
)
def test_a_label_value_is_made_harmless(raw: str, clean: str) -> None:
    assert sanitised(raw) == clean


@given(st.text(st.characters(exclude_categories=()), max_size=1_000))
def test_a_harmless_value_is_short_encodable_and_stays_what_it_is(raw: str) -> None:
    clean = sanitised(raw)

    assert 0 < len(clean) <= MAX_LENGTH
    assert clean.encode()
    assert not any(ord(character) < 32 for character in clean)
    assert sanitised(clean) == clean


@given(st.lists(st.text(min_size=1, max_size=5), max_size=60))
def test_no_sequence_of_values_exceeds_the_budget(values: list[str]) -> None:
    budget = Budget(limits={"agent_type": 5})

    shown = {budget.admit(names.AGENT_INVOCATIONS, "agent_type", value) for value in values}

    assert len(shown - {OVERFLOW}) <= 5
