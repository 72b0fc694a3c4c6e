"""Alert rules and budgets in the configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ccagent.config import load
from ccagent.config_alerts import AlertsConfig
from ccagent.errors import ConfigError

MINE = '[alerts.rules.mine]\nmetric = "session_cost"\nwindow = "daily"\nthreshold = 5\n'


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read(text: str) -> AlertsConfig:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return load({}, {"HOME": str(tmp_path)}, path).alerts

    return read


def test_rules_are_tables_by_id_or_a_list_of_tables(read: Any) -> None:
    listed = '[[alerts.rules]]\nid = "mine"\nmetric = "session_cost"\nwindow = "daily"\nthreshold = 5\n'

    assert read(MINE).rules == read(listed).rules
    assert read(MINE).rules == ({"id": "mine", "metric": "session_cost", "window": "daily", "threshold": 5},)
    assert read("").rules == ()


def test_budgets_are_numbers_and_unset_where_none_is_given(read: Any) -> None:
    found = read("[alerts]\ndaily_budget_usd = 5\nproject_budgets = { shop = 2, '/home/dev/till' = 1.5 }\n")

    assert (found.daily_budget_usd, found.weekly_budget_usd, found.monthly_budget_usd) == (5.0, None, None)
    assert found.project_budgets == {"shop": 2.0, "/home/dev/till": 1.5}


@pytest.mark.parametrize(("text", "place", "words"), [
    (MINE + "colour = 1\n", "config.toml:5:1", "colour"),
    (MINE.replace("5", '"much"'), "config.toml:4:1", "threshold"),
    (MINE + 'operator = "="\n', "config.toml:5:1", ">="),
    (MINE.replace("session_cost", "session_costs"), "config.toml:2:1", "session_cost"),
    ('# x\n[[alerts.rules]]\nmetric = "requests"\n', "config.toml:2:", "has an id"),
    ("[alerts]\nrules = 7\n", "config.toml:2:1", "holds tables"),
    ("[alerts.rules]\nmine = 7\n", "config.toml:2:1", "is a table"),
    (MINE + 'id = "other"\n', "config.toml:5:1", "leave id out"),
    ("[alerts]\nquiet_hours = \"late\"\n", "config.toml", "22:00-07:00"),
    ("[alerts]\nproject_budgets = { shop = \"five\" }\n", "config.toml:2:1", "shop"),
    ("[alerts]\nproject_budgets = { shop = -1 }\n", "config.toml:2:1", "at least 0"),
    ("[alerts]\nproject_budgets = { shop = true }\n", "config.toml:2:1", "shop"),
    ("[alerts]\ninterval_seconds = 0\n", "config.toml:2:1", "at least 1"),
    ("[alerts]\ninterval = 5\n", "config.toml:2:1", "interval_seconds"),
])  # fmt: skip
def test_what_is_wrong_is_refused_with_its_place_and_what_would_be_right(
    read: Any, text: str, place: str, words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        read(text)

    assert place in str(refused.value)
    assert words in str(refused.value)


def test_the_second_rule_of_a_list_is_told_by_its_own_line(read: Any) -> None:
    one = '[[alerts.rules]]\nid = "{}"\nmetric = "session_cost"\nwindow = "daily"\nthreshold = {}\n'

    with pytest.raises(ConfigError, match=r"config\.toml:10:1"):
        read(one.format("one", 5) + one.format("two", '"x"'))
    with pytest.raises(ConfigError, match="two rules with the id 'one'"):
        read(one.format("one", 5) + one.format("one", 6))


def test_a_table_without_a_metric_changes_a_rule_of_the_pack(read: Any) -> None:
    (rule,) = read("[alerts.rules.long-session]\nthreshold = 1200\n").rules

    assert (rule["id"], rule["threshold"], rule["enabled"]) == ("long-session", 1200, True)
    assert rule["metric"]
    with pytest.raises(ConfigError, match="metric"):
        read("[alerts.rules.nobodys]\nthreshold = 1200\n")


def test_a_table_that_changes_a_budgets_rule_leaves_it_the_amount_that_is_set(read: Any) -> None:
    budgets = "[alerts]\ndaily_budget_usd = 100\nproject_budgets = { shop = 5 }\n"
    louder = '[alerts.rules.{}]\nseverity = "critical"\n'

    (day,) = read(budgets + louder.format("budget-daily")).rules
    (project,) = read(budgets + louder.format("budget-project-shop")).rules
    (own,) = read(budgets + louder.format("budget-daily") + "threshold = 70\n").rules

    assert (day["threshold"], day["severity"]) == (100.0, "critical")
    assert (project["threshold"], project["only"], project["severity"]) == (5.0, ["shop"], "critical")
    assert own["threshold"] == 70
