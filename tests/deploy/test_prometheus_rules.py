"""The rules for Prometheus are those of ccagent's own pack, and ask for nothing that is not on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ccagent.alerts.budgets import Document
from ccagent.alerts.pack import PACK
from tests.alerts.making import PACK_BY_ID
from tests.deploy.rule_files import (
    DEPLOY,
    GROUPING,
    MATCHER,
    RULE_FILES,
    TARGET_LABELS,
    TEST_FILES,
    Rule,
    alerts,
    all_rules,
    read,
    series,
)

RULES = all_rules()
ALERTS = alerts()

PASSED_ON = frozenset(("session-cost", "session-cost-high", "runaway-session", "long-session", "failing-session"))
"""Rules that need single sessions: ccagent evaluates them, Prometheus hears that one fires."""

NEAREST = frozenset(("CcagentCostRate",))
"""Says something like its rule, with a bound of its own."""

OUTSIDE = frozenset(("CcagentDown", "CcagentAlertsFail", "CcagentConfigNotRead"))
"""What ccagent cannot tell of itself."""

EXTRA = {"up", "ccagent:budget_usd", "ccagent:project_budget_usd"}

COUNTED = frozenset(("retry-loop", "permission-bypass", "dangerous-command", "context-full"))
"""Rules of the form "has it happened": here "more than none", since increase() is no whole number."""

MULTIPLES = frozenset(("cost-spike-hour", "cost-spike-day"))


def names(rule: Rule) -> set[str]:
    """Ids of ccagent's rules that an alert is for."""
    if "rule" in rule.labels:
        return {rule.labels["rule"]}
    return {id for _, matchers in rule.selectors for label, _, value in MATCHER.findall(matchers)
            if label == "rule" for id in value.split("|")}  # fmt: skip


def own(id: str) -> Rule:
    """The alert that says the same as a rule of the pack."""
    (found,) = [rule for rule in ALERTS if names(rule) == {id} and rule.name not in NEAREST]
    return found


def bounds(document: Document) -> set[float]:
    """The numbers of a rule's document."""
    baseline = document.get("baseline", {})
    given = (document.get("threshold"), document.get("least"), document.get("floor"), baseline.get("factor"))
    return {float(number) for number in given if number is not None}


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.name)
def test_the_reader_reads_every_rule_of_a_file(path: Path) -> None:
    written = re.findall(r"^ +- (?:alert|record): ", path.read_text(encoding="utf-8"), re.MULTILINE)

    assert len(read(path)) == len(written) > 0


def test_every_rule_of_the_pack_has_its_counterpart() -> None:
    covered = {id for rule in ALERTS for id in names(rule)}

    assert covered == set(PACK_BY_ID)


def test_only_what_is_told_from_outside_has_no_rule_in_the_pack() -> None:
    assert {rule.name for rule in ALERTS if not names(rule)} == OUTSIDE


def test_rules_that_need_single_sessions_are_passed_on() -> None:
    passed = {
        id for rule in ALERTS for name, _ in rule.selectors if name == "ccagent_alerts_firing" for id in names(rule)
    }

    assert passed == PASSED_ON
    assert {PACK_BY_ID[id]["scope"] for id in passed} == {"session"}


@pytest.mark.parametrize("document", PACK, ids=lambda document: str(document["id"]))
def test_what_is_active_from_the_start_stands_in_the_first_file(document: Document) -> None:
    id = document["id"]
    budget = id.startswith("budget-") or id == "burn-rate"  # not active without an amount
    files = {rule.file for rule in ALERTS if id in names(rule)}

    first = document["enabled"] or budget or id in PASSED_ON
    assert files == {"ccagent.alerts.yml" if first else "ccagent.alerts-optional.yml"}


@pytest.mark.parametrize("id", sorted(set(PACK_BY_ID) - PASSED_ON))
def test_severity_is_that_of_the_pack(id: str) -> None:
    assert own(id).labels["severity"] == PACK_BY_ID[id]["severity"]


@pytest.mark.parametrize("id", sorted(set(PACK_BY_ID) - PASSED_ON))
def test_it_waits_as_long_as_the_pack(id: str) -> None:
    assert own(id).held == PACK_BY_ID[id].get("for", "")


@pytest.mark.parametrize("id", sorted(set(PACK_BY_ID) - PASSED_ON))
def test_bounds_are_those_of_the_pack(id: str) -> None:
    rule, document = own(id), PACK_BY_ID[id]
    if id.startswith("budget-") or id == "burn-rate":
        assert any("budget_usd" in name for name, _ in rule.selectors)
        return
    wanted = bounds(document)
    if id in COUNTED:
        wanted = {0.0}
    if id == "export-broken" or document.get("absent"):
        wanted = set()  # a state that is 1, requests that are none

    assert wanted <= rule.numbers


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_it_asks_only_for_what_is_there(rule: Rule) -> None:
    """Series of the page or of other rules; labels that these have; values that closed lists have."""
    page, recorded = series(), {one.name for one in RULES if one.kind == "record"}
    faults = []
    for name, matchers in rule.selectors:
        spec = page.get(name)
        if spec is None:
            faults += [name] if name not in recorded | EXTRA else []
            continue
        for label, operator, value in MATCHER.findall(matchers):
            allowed = {*spec.labels, *TARGET_LABELS, *({"le"} if name.endswith("_bucket") else ())}
            if label not in allowed:
                faults.append(f"{name}{{{label}}}")
            for one in value.split("|") if "~" in operator else [value]:
                if label in spec.closed and one and one not in spec.closed[label]:
                    faults.append(f"{name}{{{label}={one}}}")
                if label == "le" and spec.buckets is not None and float(one) not in spec.buckets:
                    faults.append(f"{name}{{{label}={one}}}")
                if label == "rule" and one not in PACK_BY_ID:
                    faults.append(f"{name}{{{label}={one}}}")

    assert rule.selectors or rule.expr.startswith("vector(")
    assert faults == []


@pytest.mark.parametrize("rule", [one for one in RULES if one.kind == "record"], ids=lambda rule: rule.name)
def test_a_recorded_series_is_asked_for(rule: Rule) -> None:
    asked = {name for one in RULES if one is not rule for name, _ in one.selectors}

    assert rule.name in asked


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_sums_are_by_host_job_and_what_the_series_have(rule: Rule) -> None:
    known = {label for name, _ in rule.selectors if (spec := series().get(name)) for label in spec.labels}
    known |= TARGET_LABELS | {"project"}
    grouped = {label.strip() for labels in GROUPING.findall(rule.expr) for label in labels.split(",")} - {""}

    assert grouped <= known
    assert rule.expr.count("(") == rule.expr.count(")")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_an_alert_says_what_is_the_matter_and_where_to_read_on(rule: Rule) -> None:
    page, _, anchor = rule.annotations["runbook"].partition("#")
    ids = names(rule)

    assert rule.annotations["summary"]
    assert rule.annotations["description"].endswith(".")
    assert page == "docs/alerts.md"
    assert anchor in {*ids, "prometheus", "{{ $labels.rule }}"}
    assert (anchor == "prometheus") == (not ids)


def test_every_runbook_leads_to_a_heading() -> None:
    page = (DEPLOY.parents[1] / "docs" / "alerts.md").read_text(encoding="utf-8")
    headings = {heading.strip("`").lower() for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
    wanted = {rule.annotations["runbook"].partition("#")[2] for rule in ALERTS} - {"{{ $labels.rule }}"} | PASSED_ON

    assert wanted - headings == set()


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_amounts_are_shown_with_their_unit(rule: Rule) -> None:
    said = " ".join((rule.annotations["summary"], rule.annotations["description"]))
    shown = re.findall(r"\$value \| printf \"%\.\d?f\" \}\} (\w+)", said)

    assert said.count("$value") == len(shown) + said.count("$value | humanizePercentage")
    if "_usd" in rule.expr:
        assert "USD" in said


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(rule: Rule) -> None:
    words = "\n".join(path.read_text(encoding="utf-8") for path in TEST_FILES)
    cases = [line for line in words.splitlines() if "exp_samples" in line]
    of = [
        line
        for line in cases
        if any(rule.name in part.split("|") for part in re.findall(r'alertname=~?"([^"]+)"', line))
    ]

    assert any("exp_samples: []" in line for line in of)
    assert any("exp_samples: [{" in line for line in of)


def test_the_scrape_configuration_names_the_rule_files_and_one_job() -> None:
    words = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
    named = re.findall(r"^  (# )?- (ccagent\.[\w.-]+)", words, re.MULTILINE)

    assert sorted(name for _, name in named) == [path.name for path in RULE_FILES]
    assert [name for hidden, name in named if hidden] == ["ccagent.alerts-optional.yml"]
    assert re.findall(r"job_name: (\S+)", words) == ["ccagent"]
    assert "127.0.0.1:9464" in words


def test_no_budget_is_shipped() -> None:
    amounts = {rule.labels["period"]: rule.expr for rule in RULES if rule.file == "ccagent.budgets.yml"}

    assert amounts == {"day": "vector(+Inf)", "week": "vector(+Inf)", "month": "vector(+Inf)"}


def test_the_readme_names_every_file_and_nothing_that_is_not_there() -> None:
    words = (DEPLOY / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.*-]+)` \|", words, re.MULTILINE)
    shown = {path.name for row in rows for path in DEPLOY.glob(row)}
    links = [target for target in re.findall(r"\]\(([^)\s]+)\)", words) if "://" not in target]
    known = {rule.name for rule in ALERTS}

    assert shown | {"README.md"} == {path.name for path in DEPLOY.iterdir()}
    assert [target for target in links if not (DEPLOY / target.partition("#")[0]).exists()] == []
    assert set(re.findall(r"`(Ccagent\w+)`", words)) - known == set()
