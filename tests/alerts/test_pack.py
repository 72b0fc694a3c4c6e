"""The rules that come with ccagent."""

from __future__ import annotations

import pytest

from ccagent.alert_cases import Rules, own_cases
from ccagent.alerts.budgets import DAILY_USD, Budgets, project_rule
from ccagent.alerts.casefile import read_cases
from ccagent.alerts.caserun import run_case
from ccagent.alerts.pack import PACK, pack
from ccagent.alerts.parsing import dump, parse
from ccagent.alerts.rule import Scope
from ccagent.config import load
from tests.alerts.making import PACK_BY_ID

IDS = [str(document["id"]) for document in PACK]
CONFIG = load({}, {"HOME": "/nonexistent"})


def test_there_are_more_than_fifteen_and_no_id_twice() -> None:
    assert len(PACK) >= 15
    assert len(set(IDS)) == len(IDS)


@pytest.mark.parametrize("rule_id", IDS)
def test_every_rule_is_sound_and_says_why_it_is_there(rule_id: str) -> None:
    rule = parse(PACK_BY_ID[rule_id])

    assert parse(dump(rule)) == rule
    assert len(rule.reason) > 60
    assert rule.name != rule.id


def test_without_a_budget_only_what_everybody_wants_is_active() -> None:
    active = {str(document["id"]) for document in PACK if document.get("enabled", True)}

    assert active == {"session-cost", "export-broken", "ingest-stalled"}


def test_a_budget_that_is_set_is_active_with_its_amount() -> None:
    made = {str(one["id"]): one for one in pack(Budgets(daily=7.5, monthly=80.0, projects={"shop": 3.0}))}

    assert (made["budget-daily"]["enabled"], made["budget-daily"]["threshold"]) == (True, 7.5)
    assert (made["budget-weekly"]["enabled"], made["budget-monthly"]["threshold"]) == (False, 80.0)
    assert made["burn-rate"]["threshold"] == 80.0
    assert PACK_BY_ID["budget-daily"]["threshold"] == DAILY_USD


def test_every_project_with_a_budget_has_a_rule_of_its_own() -> None:
    made = [parse(one) for one in pack(Budgets(projects={"shop": 3.0, "Shop": 4.0, "/work/a b": 5.0, "ü": 6.0}))]
    own = [rule for rule in made if rule.only]

    assert {rule.only: rule.conditions[0].threshold for rule in own} == {
        ("shop",): 3.0, ("Shop",): 4.0, ("/work/a b",): 5.0, ("ü",): 6.0,
    }  # fmt: skip
    assert len({rule.id for rule in made}) == len(made)
    assert {rule.scope for rule in own} == {Scope.PROJECT}


def test_a_budget_of_a_project_that_is_named_by_its_path_tells_its_last_folder_alone() -> None:
    given = {"/home/ada/secret-client/shop": 5.0, "shop": 3.0, "/home/ada/till/": 6.0}
    own = [one for one in pack(Budgets(projects=given)) if one.get("only")]

    assert {one["only"][0]: one["name"] for one in own} == {
        "shop": "Daily budget of shop",
        "/home/ada/secret-client/shop": "Daily budget of shop",
        "/home/ada/till/": "Daily budget of till",
    }
    ids = {one["only"][0]: one["id"] for one in own}
    assert (ids["shop"], ids["/home/ada/till/"]) == ("budget-project-shop", "budget-project-till")
    assert len(set(ids.values())) == 3
    assert not any("ada" in id or "secret" in id for id in ids.values())


def test_the_id_of_a_project_of_any_length_is_a_rules_id() -> None:
    for project in ("x" * 500, "/" + "é" * 80, "a/" * 60):
        parse({**PACK_BY_ID["budget-project"], "id": project_rule(project)})


def test_rules_about_sessions_tell_of_each_once_a_week() -> None:
    sessions = [rule for rule in map(parse, PACK) if rule.scope is Scope.SESSION]

    assert len(sessions) > 5
    assert {rule.cooldown_ms for rule in sessions} == {7 * 86_400_000}


def test_every_rule_has_cases_in_which_it_fires_and_all_of_them_pass() -> None:
    cases = [case for _, document in own_cases() for case in read_cases(document, Rules(CONFIG))]
    results = [run_case(case) for case in cases]

    assert {result.name: result.faults for result in results if not result.passed} == {}
    fired = {result.rule for result in results if any(" firing" in one for one in result.transitions)}
    assert fired == set(IDS)
