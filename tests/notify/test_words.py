"""Templates, amounts and the words of a message."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.figures import NOTHING, metric_unit, worded
from ccagent.alerts.message import merged, shown, unit_of
from ccagent.alerts.parsing import parse
from ccagent.alerts.rendering import document, one_line, plain, title
from ccagent.alerts.rule import Aggregation, Condition, Operand, Scope, Severity, Window
from ccagent.alerts.silence import concerns
from ccagent.alerts.states import Reason, State
from ccagent.alerts.template import PLACEHOLDERS, TEMPLATE_LENGTH, TemplateError, check, fill
from ccagent.metrics import names
from tests.notify.made import PROJECT, message, resolved, rule


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12.34, "USD", "$12.34"), (0.0, "USD", "$0.00"), (1234.5, "USD", "$1,234.50"), (0.0042, "USD", "$0.0042"),
        (3900, "s", "1h 05m"), (59.5, "s", "1m 00s"), (42, "s", "42 s"), (0.35, "s", "350 ms"), (90_000, "s", "1d 01h"),
        (0.83, "1", "83 %"), (0.835, "1", "83.5 %"), (0.0007, "1", "0.07 %"), (3.2, "1", "320 %"), (0, "1", "0 %"),
        (1_500_000_000, "By", "1.5 GB"), (12, "By", "12 B"), (1_234_567, "{token}", "1,234,567"), (2.5, "", "2.5"),
        (7.2, "USD/h", "$7.20 an hour"), (-3.0, "USD", "-$3.00"), (None, "USD", NOTHING), (0.001, "", "0.001"),
    ],
)  # fmt: skip
def test_amounts_are_written_as_people_write_them(value: float | None, unit: str, text: str) -> None:
    assert worded(value, unit) == text


def test_units_are_those_of_the_metric() -> None:
    assert metric_unit("session_cost") == "USD"
    assert metric_unit(names.COST_USD) == "USD"
    assert metric_unit("session_duration") == "s"
    assert metric_unit("tool_success_rate") == "1"
    assert metric_unit(names.STORE_SIZE) == "By"
    assert metric_unit("no such metric") == ""


def test_a_reading_divided_by_another_is_a_share_or_stays_money() -> None:
    window = Window(name="daily", unit="day")
    cost, calls = Operand(metric="session_cost"), Operand(metric="tool_call_count")

    assert unit_of(Condition(operand=cost, window=window, per=calls)) == "USD"
    assert unit_of(Condition(operand=Operand(metric="tool_errors"), window=window, per=calls)) == "1"
    assert unit_of(Condition(operand=replace(cost, aggregation=Aggregation.RATE), window=window)) == "USD/h"
    assert unit_of(Condition(operand=replace(cost, aggregation=Aggregation.COUNT), window=window)) == ""


@pytest.mark.parametrize(
    "template",
    ["{subjekt}", "{}", "{0}", "{subject.__class__}", "{subject[0]}", "{value:>10}", "{value!r}", "{", "a } b", "{ subject }",
     "x" * (TEMPLATE_LENGTH + 1)],
)  # fmt: skip
def test_a_template_that_cannot_be_filled_is_refused(template: str) -> None:
    with pytest.raises(TemplateError):
        check(template)


def test_the_refusal_lists_the_right_placeholders() -> None:
    with pytest.raises(TemplateError) as refused:
        check("{cost}")

    assert all(name in str(refused.value) for name in PLACEHOLDERS)


def test_a_rule_with_a_template_that_cannot_be_filled_is_refused_when_it_is_made() -> None:
    document = {"id": "mine", "metric": "session_cost", "window": "daily", "threshold": 5, "summary": "{subject.x}"}

    with pytest.raises(
        AlertRuleError, match=r"summary: there is no placeholder '\{subject\.x\}'; there are subject, value"
    ):
        parse(document)


def test_a_template_is_filled_once_and_reaches_nothing_else() -> None:
    check("{{{subject}}} {value}")

    assert fill("{{{subject}}} {value}", {"subject": "{value}", "value": "5"}) == "{{value}} 5"


def test_every_placeholder_has_a_word() -> None:
    template = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)

    assert "{" not in message(of=rule(summary=template)).summary


def test_a_message_says_what_fires_where_and_by_how_much() -> None:
    assert one_line(message()) == "[warning] firing: Daily budget · shop: $5.40 > $5.00"
    assert one_line(resolved()) == "[warning] resolved: Daily budget · shop: the period is over, now $0.00"


def test_the_owners_words_are_taken() -> None:
    told = message(of=rule(summary="{subject}: {value} of {threshold}, {severity}"), severity=Severity.CRITICAL)

    assert told.summary == "shop: $5.40 of $5.00, critical"


def test_a_message_is_one_line_whatever_a_name_holds() -> None:
    told = message(of=rule(name="two\nlines\x1b[31m"), subject="/x/a\tb\r\n$(id)")

    assert told.summary.isprintable()
    assert "\n" not in told.summary


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        (PROJECT, "shop"),
        ("/", "/"),
        ("/a/b/", "b"),
        (r"C:\Users\x\shop", "shop"),
        ("", ""),
        ("0f1e-session", "0f1e-session"),
    ],
)
def test_of_a_path_only_the_last_folder_is_shown(subject: str, name: str) -> None:
    assert shown(subject) == name


@pytest.mark.parametrize("known", [True, False])
def test_no_part_of_a_project_but_its_last_folder_leaves(known: bool) -> None:
    told = [message(of=rule() if known else None), resolved()]

    everything = json.dumps(document(told)) + plain(told) + title(told) + repr(told)

    assert "shop" in everything
    assert "secret-client" not in everything
    assert "nobody" not in everything


def test_a_rule_that_is_gone_is_called_by_its_id_and_its_path_stays_here() -> None:
    from ccagent.alerts.message import compose
    from tests.notify.made import transition

    told = compose(transition(after=State.RESOLVED, reason=Reason.RULE), "k", None)

    assert told.scope is Scope.PROJECT
    assert told.summary == "budget · shop: the rule was changed, disabled or removed"


def test_the_end_by_a_change_of_the_rule_tells_no_amount_in_the_unit_of_the_new_one() -> None:
    turns = Condition(operand=Operand(metric="turns"), window=Window(name="daily", unit="day"), threshold=200.0)
    told = resolved(of=rule(conditions=(turns,)), reason=Reason.RULE, value=5.4)

    assert (told.metric, told.value, told.threshold) == ("turns", None, None)
    assert "5.4" not in json.dumps(document([told])) + plain([told])


UUID = "0f1e2d3c-1111-4222-8333-444455556666"
EXPORT = Condition(
    operand=Operand(metric=names.EXPORT_STATE, aggregation=Aggregation.LAST), window=Window(name="now"), threshold=1.0
)


@pytest.mark.parametrize(("subject", "conditions", "scope", "told"), [
    (PROJECT, (), Scope.GLOBAL, Scope.PROJECT),
    (PROJECT, (), Scope.SESSION, Scope.PROJECT),
    (UUID, (), Scope.GLOBAL, Scope.SESSION),
    ("login-form", (), Scope.GLOBAL, Scope.FEATURE),
    ("login-form", (), Scope.PROJECT, Scope.FEATURE),
    ("", (), Scope.SESSION, Scope.GLOBAL),
    ("login-form", (), Scope.FEATURE, Scope.FEATURE),
    ("forms/login", (), Scope.FEATURE, Scope.FEATURE),
    ("forms/login", (), Scope.GLOBAL, Scope.FEATURE),
    (r"C:\\work\\shop", (), Scope.PROJECT, Scope.PROJECT),
    ("laptop", (EXPORT,), Scope.GLOBAL, Scope.GLOBAL),
])  # fmt: skip
def test_a_subject_is_what_it_looks_like_where_its_rule_looks_at_something_else_by_now(
    subject: str, conditions: tuple[Condition, ...], scope: Scope, told: Scope
) -> None:
    of = rule(scope=scope, **({"conditions": conditions} if conditions else {}))

    assert message(subject=subject, of=of).scope is told


def test_the_document_has_the_fields_that_are_documented() -> None:
    found = document([message(of=rule(labels=(("team", "blue"),), reason="because"))])

    assert found == {
        "schema_version": 1, "source": "ccagent", "title": "[warning] firing: Daily budget · shop: $5.40 > $5.00",
        "alerts": [{
            "key": "k1", "covers": [], "rule": "budget", "name": "Daily budget", "severity": "warning", "state": "firing",
            "reason": "held", "scope": "project", "subject": "shop", "metric": "session_cost", "window": "daily",
            "operator": ">", "value": 5.4, "threshold": 5.0, "unit": "USD", "at": "2026-09-22T12:00:00Z", "fired_at": None,
            "episode": 1, "summary": "Daily budget · shop: $5.40 > $5.00", "description": "because",
            "labels": {"team": "blue"},
        }],
    }  # fmt: skip


def test_what_is_no_number_is_null_in_json() -> None:
    assert document([message(value=float("inf"))])["alerts"][0]["value"] is None


def test_a_pair_tells_both_keys_and_when_it_fired() -> None:
    both = merged(message("k1", severity=Severity.CRITICAL), resolved("k2", at=message().at + 60_000))

    assert both.keys == ("k1", "k2")
    assert both.state is State.RESOLVED
    assert both.severity is Severity.CRITICAL
    assert "fired at 2026-09-22T12:00:00Z, and since 2026-09-22T12:01:00Z the period is over" in both.summary


def test_silences_go_by_pattern_and_know_projects_by_name() -> None:
    assert concerns(None, None, "budget", PROJECT)
    assert concerns("budget-*", None, "budget-day", "")
    assert not concerns("budget-*", None, "cost", "")
    assert concerns("*", "shop", "budget", PROJECT)
    assert concerns("*", "/home/*", "budget", PROJECT)
    assert not concerns("*", "Shop", "budget", PROJECT)
