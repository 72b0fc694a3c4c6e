"""Unit tests of rules: how they are written, run and compared."""

from __future__ import annotations

from typing import Any

import pytest

from ccagent.alerts.casefile import read_cases
from ccagent.alerts.caserun import Result, run_case
from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.metrics import resolve
from ccagent.alerts.notation import read_amounts
from tests.alerts.making import PACK_BY_ID

COST = "session_cost"
DAILY = {"metric": COST, "window": "daily", "operator": ">", "threshold": 10}


def lookup(rule_id: str) -> Any:
    if rule_id not in PACK_BY_ID:
        raise AlertRuleError("rule", f"there is no rule {rule_id}")
    return PACK_BY_ID[rule_id]


def case(**keys: Any) -> dict[str, Any]:
    """A file of one case; what is not said is a day's budget of 10 with two hours of 6."""
    one = {"name": "a case", "rule": DAILY, "series": [{"metric": COST, "values": "6 6"}], "transitions": []} | keys
    return {"start": "2026-03-02T08:00", "case": [{key: value for key, value in one.items() if value is not None}]}


def ran(**keys: Any) -> Result:
    (read,) = read_cases(case(**keys), lookup)
    return run_case(read)


def values(text: str, metric: str = COST) -> list[tuple[float, float] | None]:
    return [None if one is None else (one.value, one.count) for one in read_amounts(text, resolve(metric))]


# ---- the notation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("0x2 3 _ 12.5", [(0, 1), (0, 1), (3, 1), None, (12.5, 1)]),
        ("_x3", [None, None, None]),
        ("2+3x4", [(2, 1), (5, 1), (8, 1), (11, 1)]),
        ("9-3x4", [(9, 1), (6, 1), (3, 1), (0, 1)]),
        ("18/20x2", [(18, 20), (18, 20)]),
    ],
)
def test_amounts_are_written_short(text: str, amounts: list[tuple[float, float] | None]) -> None:
    assert values(text) == amounts


def test_observations_fall_into_the_buckets_of_their_histogram() -> None:
    (one,) = read_amounts("0.8*3,0.85", resolve("context.utilization_ratio"))

    assert one is not None
    assert (one.value, one.count) == (pytest.approx(3.25), 4)
    assert {place: count for place, count in enumerate(one.buckets) if count} == {7: 3, 8: 1}


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("", COST), ("many", COST), ("3x0", COST), ("_+1x3", COST), ("3+1", COST), ("3x99999999", COST), ("1,2", COST),
        ("1/-2", COST), ("0.9", "tool_success_rate"), ("a*3", "context.utilization_ratio"),
    ],
)  # fmt: skip
def test_what_is_no_amount_is_refused_with_what_is(text: str, metric: str) -> None:
    with pytest.raises(AlertRuleError, match="values"):
        read_amounts(text, resolve(metric))


# ---- what a case finds ---------------------------------------------------------------------------------------------


def test_a_case_passes_where_everything_is_as_expected() -> None:
    result = ran(
        transitions=["2026-03-02T10:00 firing"],
        expect=[
            {"at": "+1h", "state": "inactive"},
            {"at": "+2h", "state": "firing", "value": 12, "threshold": 10},
            {"at": "2026-03-02T13:00", "state": "firing"},
        ],
    )

    assert result.faults == ()
    assert result.transitions == ("2026-03-02T10:00 firing",)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"transitions": []}, "+ 2026-03-02T10:00 firing"),
        ({"transitions": ["+1h firing"]}, "- 2026-03-02T09:00 firing"),
        ({"expect": [{"at": "+2h", "state": "pending"}]}, "the state is firing, expected pending"),
        ({"expect": [{"at": "+2h", "state": "firing", "value": 11}]}, "the value is 12, expected 11"),
        ({"expect": [{"at": "+2h", "state": "firing", "threshold": 11}]}, "the threshold is 10, expected 11"),
        ({"expect": [{"at": "+1h", "state": "inactive", "value": 6}]}, "the value is none, expected 6"),
        ({"expect": [{"at": "2026-03-02T09:30", "state": "firing"}]}, "nothing is evaluated at this moment"),
    ],
)
def test_a_case_fails_where_anything_is_not(keys: dict[str, Any], said: str) -> None:
    result = ran(**({"transitions": None} | keys))

    assert not result.passed
    assert said in "\n".join(result.faults)


def test_only_series_with_the_labels_that_a_rule_asks_for_count() -> None:
    rule = {**DAILY, "where": {"model": ["opus"]}}
    course = {"metric": COST, "values": "6 6"}

    assert ran(rule=rule).transitions == ()
    assert ran(rule=rule, series=[{**course, "labels": {"model": "haiku"}}]).transitions == ()
    assert len(ran(rule=rule, series=[{**course, "labels": {"model": "opus"}}]).transitions) == 1


def test_subjects_are_told_apart_and_named() -> None:
    rule = {**DAILY, "scope": "session", "window": "session"}
    series = [
        {"metric": COST, "session": "one", "values": "6 6 _ _"},
        {"metric": COST, "session": "two", "values": "1 _ _ 12"},
    ]

    result = ran(rule=rule, series=series)

    assert result.transitions == (
        "2026-03-02T10:00 firing one", "2026-03-02T11:00 resolved one", "2026-03-02T12:00 firing two",
    )  # fmt: skip
    vague = ran(rule=rule, series=series, transitions=None, expect=[{"at": "+2h", "state": "firing"}])
    assert "say of which session" in vague.faults[0]


@pytest.mark.parametrize(("rule", "subject"), [({**DAILY, "scope": "project"}, "shop"), (DAILY, "one"), (DAILY, 1)])
def test_a_subject_that_no_series_has_is_no_proof_that_nothing_fires(rule: dict[str, Any], subject: object) -> None:
    series = [{"metric": COST, "project": "/work/shop", "values": "6 6"}]
    expect = [{"at": "+2h", "state": "inactive", "subject": subject}]

    result = ran(rule=rule, series=series, transitions=None, expect=expect)

    assert not result.passed
    assert f"no series is of {subject!r}" in result.faults[0]


def test_a_finer_step_shows_what_an_hour_hides() -> None:
    rule = {**DAILY, "for": "10m"}

    assert ran(rule=rule, every="5m", series=[{"metric": COST, "values": "12 _x4"}]).transitions == (
        "2026-03-02T08:05 pending", "2026-03-02T08:15 firing",
    )  # fmt: skip


def test_time_in_which_nobody_looked_does_not_count() -> None:
    rule = {**DAILY, "for": "10m"}
    course = [{"metric": COST, "values": "12 _x40"}]

    assert ran(rule=rule, every="5m", series=course, asleep=["+5m/+2h"]).transitions == (
        "2026-03-02T08:05 pending", "2026-03-02T10:10 firing",
    )  # fmt: skip


def test_hours_are_those_of_the_zone() -> None:
    document = case(zone="Europe/Berlin", start="2026-10-25T01:00", series=[{"metric": COST, "values": "6 _ 6"}])
    (read,) = read_cases(document, lookup)

    # The third hour is the second one that begins at two o'clock.
    assert run_case(read).transitions == ("2026-10-25T03:00 firing",)


def test_a_rule_that_is_off_is_tried_as_if_it_were_on() -> None:
    result = ran(rule="budget-daily", set={"threshold": 10})

    assert result.rule == "budget-daily"
    assert len(result.transitions) == 1


def test_rules_of_the_file_go_before_others() -> None:
    document = case(rule="budget-daily") | {"rules": [{"id": "budget-daily", **DAILY, "threshold": 11.5}]}
    (read,) = read_cases(document, lookup)

    assert read.rule.conditions[0].threshold == 11.5


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"name": None}, r"case\[0\].name: is missing"),
        ({"rule": None}, r"case\[0\].rule"),
        ({"rule": "nope"}, "there is no rule nope"),
        ({"rule": {**DAILY, "operator": "="}}, r"case\[0\].rule.operator.*>, >=, <, <="),
        ({"set": {"thresold": 3}}, "threshold"),
        ({"series": []}, r"case\[0\].series"),
        ({"series": [{"metric": "sesion_cost", "values": "1"}]}, r"series\[0\].metric.*session_cost"),
        ({"series": [{"metric": COST, "values": "x"}]}, r"series\[0\].values"),
        ({"series": [{"metric": COST, "values": "1", "labels": {"tool": "Bash"}}]}, "no label 'tool'.*model"),
        ({"series": [{"metric": "turn.duration", "values": "1", "labels": {"status": "no"}}]}, "never is 'no'"),
        ({"transitions": None}, "say what is expected"),
        ({"transitions": ["+1h on fire"]}, "TIME STATE"),
        ({"transitions": ["noon firing"]}, "is a moment"),
        ({"expect": [{"at": "+1h", "state": "resolved"}]}, r"expect\[0\].state.*inactive"),
        ({"every": "7m"}, "every.*1m, 5m"),
        ({"zone": "Mars"}, "no time zone"),
        ({"asleep": ["+1h"]}, "no span"),
        ({"nmae": "x"}, "nmae.*name"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_is_right(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(AlertRuleError, match=said):
        read_cases(case(**keys), lookup)


def test_a_file_without_cases_is_one_by_mistake() -> None:
    with pytest.raises(AlertRuleError, match="at least one"):
        read_cases({"zone": "UTC"}, lookup)


def test_a_rule_by_project_needs_to_know_the_project() -> None:
    (read,) = read_cases(case(rule={**DAILY, "scope": "project"}), lookup)

    with pytest.raises(AlertRuleError, match="has no project"):
        run_case(read)
