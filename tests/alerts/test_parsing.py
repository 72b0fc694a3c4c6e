"""From documents to rules and back."""

from __future__ import annotations

import json
import tomllib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.alerts import durations
from ccagent.alerts.condition_document import CALENDAR, parse_window
from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.metrics import AlertMetric, Shape, known
from ccagent.alerts.operands import parse_expression
from ccagent.alerts.parsing import dump, parse
from ccagent.alerts.rule import (
    Against,
    Aggregation,
    Baseline,
    Condition,
    Operand,
    Operator,
    Rule,
    Schedule,
    Scope,
    Severity,
)
from tests.alerts.making import DAY, HOUR, MINUTE, operand_of

WHOLE = """
id = "tools-fail"
name = "Tools fail"
metric = "ccagent_tool_failures_total"
where = { tool = ["Read", "Bash"], failure_class = "timeout" }
per = { metric = "tool.calls", where = { tool = ["Bash", "Read"] } }
window = "6h"
operator = ">="
threshold = 0.2
clear = 0.1
least = 20
floor = 0.05
and = { metric = "session_cost", window = "daily", baseline = { kind = "mad", factor = 3, against = "same_weekday" } }
scope = "project"
only = ["shop", "/home/ann/till"]
for = "10m"
keep_firing = "5m"
cooldown = "1h30m"
severity = "critical"
enabled = false
channels = ["log", "desk"]
schedule = { days = "Mon-Fri", hours = "22:00-06:00" }
summary = "{name}: {value}"
reason = '''
Two lines
of it'''
labels = { team = "till" }
"""


def test_a_whole_document_says_a_whole_rule() -> None:
    rule = parse(tomllib.loads(WHOLE))

    assert rule == Rule(
        id="tools-fail",
        name="Tools fail",
        conditions=(
            Condition(
                operand=Operand(
                    metric="tool.failures", where=(("failure_class", ("timeout",)), ("tool", ("Bash", "Read")))
                ),
                window=parse_window("6h"),
                operator=Operator.AT_LEAST,
                threshold=0.2,
                clear=0.1,
                per=Operand(metric="tool.calls", where=(("tool", ("Bash", "Read")),)),
                least=20,
                floor=0.05,
            ),
            Condition(
                operand=Operand(metric="session_cost"),
                window=parse_window("daily"),
                baseline=Baseline(kind="mad", factor=3, against=Against.SAME_WEEKDAY),
            ),
        ),
        scope=Scope.PROJECT,
        only=("shop", "/home/ann/till"),
        for_ms=10 * MINUTE,
        keep_firing_ms=5 * MINUTE,
        cooldown_ms=90 * MINUTE,
        severity=Severity.CRITICAL,
        enabled=False,
        channels=("log", "desk"),
        schedule=Schedule(days=frozenset(range(5)), start_minute=22 * 60, end_minute=6 * 60),
        summary="{name}: {value}",
        reason="Two lines\nof it",
        labels=(("team", "till"),),
    )


def test_the_least_document_has_the_defaults() -> None:
    rule = parse({"id": "cost", "metric": "session_cost", "threshold": 5})

    assert rule == Rule(
        id="cost",
        name="cost",
        conditions=(Condition(operand=Operand(metric="session_cost"), window=parse_window("daily"), threshold=5.0),),
    )


def test_what_is_read_of_a_session_is_all_of_it_and_of_a_gauge_the_present() -> None:
    session = parse({"id": "a", "metric": "session_cost", "scope": "session", "threshold": 5})
    gauge = parse({"id": "a", "metric": "ingest.lag", "threshold": 5})

    assert session.conditions[0].window.session
    assert gauge.conditions[0].window == parse_window("now")
    assert gauge.conditions[0].operand.aggregation is Aggregation.LAST


@pytest.mark.parametrize(
    ("name", "length"), [("1h", HOUR), ("24h", DAY), ("1d", DAY), ("7d", 7 * DAY), ("90d", 90 * DAY)]
)
def test_a_trailing_window_is_read(name: str, length: int) -> None:
    assert parse_window(name).trailing_ms == length


def wrong(**keys: Any) -> AlertRuleError:
    document = {"id": "one", "metric": "session_cost", "threshold": 5, **keys}
    with pytest.raises(AlertRuleError) as caught:
        parse({key.rstrip("_"): value for key, value in document.items() if value is not ...})
    return caught.value


@pytest.mark.parametrize(
    ("keys", "where", "right"),
    [
        ({"operator": "=>"}, "operator", (">", ">=", "<", "<=")),
        ({"operator": "gt"}, "operator", (">", ">=", "<", "<=")),
        ({"operator": "=="}, "operator", (">", ">=", "<", "<=")),
        ({"scope": "repo"}, "scope", ("global", "project", "feature", "session")),
        ({"severity": "bad"}, "severity", ("info", "warning", "critical")),
        ({"metric": "sesion_cost"}, "metric", None),
        ({"metric": ...}, "metric", ()),
        ({"aggregation": "mean"}, "aggregation", ("sum", "rate")),
        ({"where": {"colour": "red"}}, "where", None),
        ({"where": {"session_type": "human"}}, "where.session_type", ("main", "subagent")),
        ({"where": {"model": []}}, "where.model", ()),
        ({"where": {"model": [""]}}, "where.model", ()),
        ({"where": "model"}, "where", ()),
        ({"window": "yearly"}, "window", None),
        ({"window": "90m"}, "window", None),
        ({"window": "91d"}, "window", None),
        ({"window": "session"}, "window", None),
        ({"window": "now"}, "window", None),
        ({"threshold": "5"}, "threshold", ()),
        ({"threshold": True}, "threshold", ()),
        ({"threshold": float("nan")}, "threshold", ()),
        ({"threshold": float("inf")}, "threshold", ()),
        ({"threshold": 10**400}, "threshold", ()),
        ({"least": -(10**400)}, "least", ()),
        ({"threshold": ...}, "threshold", ("threshold", "baseline", "absent")),
        ({"baseline": {"factor": 2}}, "baseline", ("threshold", "baseline", "absent")),
        ({"clear": 6}, "clear", ()),
        ({"operator": "<", "clear": 4}, "clear", ()),
        ({"least": 0}, "least", ()),
        ({"for_": 10}, "for", None),
        ({"cooldown": "soon"}, "cooldown", None),
        ({"id": "One"}, "id", ()),
        ({"id": "-one"}, "id", ()),
        ({"id": "o" * 65}, "id", ()),
        ({"id": ...}, "id", ()),
        ({"enabled": 1}, "enabled", ()),
        ({"channels": [1]}, "channels", ()),
        ({"labels": {"a b": "c"}}, "labels", ()),
        ({"name": "two\nlines"}, "name", ()),
        ({"only": ["shop"]}, "only", ()),
        ({"treshold": 5}, "treshold", None),
        ({"schedule": {"days": "Mon-Foo"}}, "schedule.days", None),
        ({"schedule": {"hours": "9-17"}}, "schedule.hours", None),
        ({"schedule": {"hours": "09:00-25:00"}}, "schedule.hours", None),
        ({"schedule": {"hours": "09:00-09:00"}}, "schedule.hours", None),
        ({"schedule": {"zone": "UTC"}}, "schedule.zone", ("days", "hours")),
        ({"and_": {"metric": "turns", "operator": "!", "threshold": 1}}, "and.operator", (">", ">=", "<", "<=")),
        ({"and_": {"metric": "turns", "per": {"metric": "turn"}, "threshold": 1}}, "and.per.metric", None),
        ({"and_": {"metric": "turns", "threshold": 1, "for": "1m"}}, "and.for", None),
        ({"and_": []}, "and", ()),
        ({"per": {"name": "turns"}}, "per.name", ("metric", "where", "aggregation")),
        ({"per": "ingest.lag"}, "per", ()),
        ({"metric": "ingest.lag", "window": "6h"}, "window", ("now",)),
        ({"metric": "ingest.lag", "scope": "project"}, "scope", ("global",)),
        ({"metric": "ingest.bytes", "scope": "session"}, "scope", ("global",)),
        ({"metric": "turns", "scope": "session", "aggregation": "rate"}, "aggregation", ("sum",)),
        ({"metric": "context.utilization_ratio", "aggregation": "max", "threshold": 80}, "threshold", None),
        ({"metric": "tool.duration", "aggregation": "p95", "threshold": 3600}, "threshold", None),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_place_and_the_right_ones(
    keys: dict[str, Any], where: str, right: tuple[str, ...] | None
) -> None:
    fault = wrong(**keys)

    assert fault.where == where
    assert fault.right if right is None else fault.right == right
    assert str(fault).startswith(f"{where}: ")
    assert all(value in str(fault) for value in fault.right)


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"metric": "ingest.bytes", "baseline": {"factor": 2}}, "baseline"),
        ({"per": "store.failures", "baseline": {"factor": 2}}, "baseline"),
        ({"scope": "session", "baseline": {"factor": 2}}, "baseline"),
        ({"operator": "<", "baseline": {"factor": 2}}, "window"),
        ({"baseline": {}}, "baseline.factor"),
        ({"baseline": 3}, "baseline"),
        ({"baseline": {"factor": 2, "kind": "mean"}}, "baseline.kind"),
        ({"baseline": {"factor": 2, "against": "yesterday"}}, "baseline.against"),
        ({"baseline": {"factor": 2, "windows": 101}}, "baseline.windows"),
        ({"baseline": {"factor": 2, "windows": 5}}, "baseline.least"),
        ({"baseline": {"factor": 2, "days": 5}}, "baseline.days"),
        ({"window": "weekly", "baseline": {"factor": 2, "against": "same_hour"}}, "baseline.against"),
        ({"window": "monthly", "baseline": {"factor": 2, "against": "same_weekday"}}, "baseline.against"),
        ({"window": "7d", "baseline": {"factor": 2, "against": "same_weekday"}}, "baseline.against"),
        ({"baseline": {"factor": 2}, "clear": 2.5}, "clear"),
        ({"baseline": {"factor": 2}, "operator": "<", "window": "6h", "clear": 1.5}, "clear"),
        ({"baseline": {"factor": 2, "kind": "mad"}, "operator": "<", "window": "6h", "clear": 2.5}, "clear"),
        ({"absent": True}, "window"),
        ({"absent": True, "window": "session", "scope": "session"}, "window"),
        ({"absent": True, "window": "6h", "operator": "<"}, "operator"),
        ({"absent": True, "window": "6h", "per": "turns"}, "per"),
        ({"absent": "yes", "window": "6h"}, "absent"),
        ({"absent": True, "metric": "ingest.lag"}, "absent"),
    ],
)
def test_what_has_no_past_or_no_sense_is_refused(keys: dict[str, Any], where: str) -> None:
    assert wrong(threshold=..., **keys).where == where


def test_bounds_that_a_histogram_cannot_tell_are_those_above_its_last() -> None:
    assert parse({"id": "a", "metric": "tool.duration", "aggregation": "max", "operator": ">=", "threshold": 3600})
    assert parse({"id": "a", "metric": "tool.duration", "aggregation": "sum", "threshold": 1e6})
    assert parse({"id": "a", "metric": "tool.duration", "aggregation": "p95", "operator": "<", "threshold": 1e6})


# ---- every rule ------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=("Cs",)), max_size=20)
TEMPLATE = TEXT.map(lambda text: text.replace("{", "{{").replace("}", "}}"))
NUMBER = st.floats(-1e9, 1e9, allow_nan=False).map(float)
POSITIVE = st.floats(1e-3, 1e6, allow_nan=False)
LENGTH = st.integers(0, 10**7).map(lambda seconds: durations.shown(1_000 * seconds))


@st.composite
def operands(draw: st.DrawFn, scope: str, gauge: bool | None) -> tuple[dict[str, Any], AlertMetric]:
    metric = draw(
        st.sampled_from(
            [
                one
                for one in known().values()
                if scope in one.scopes and (gauge is None or one.is_gauge is gauge) and "" not in one.closed
            ]
        )
    )
    where: dict[str, Any] = {}
    for dimension in draw(st.lists(st.sampled_from(metric.dimensions), unique=True)) if metric.dimensions else ():
        values = st.sampled_from(metric.closed[dimension]) if dimension in metric.closed else TEXT.filter(bool)
        where[dimension] = draw(st.lists(values, min_size=1, max_size=3))
    found: dict[str, Any] = {"metric": metric.name}
    if where:
        found["where"] = where
    if draw(st.booleans()):
        found["aggregation"] = str(draw(st.sampled_from(metric.aggregations)))
    return found, metric


@st.composite
def conditions(draw: st.DrawFn, scope: str) -> dict[str, Any]:
    found, metric = draw(operands(scope, None))
    aggregation = found.get("aggregation", str(metric.default(Scope(scope))))
    windows = ["6h", "24h", "1d", "30d", *CALENDAR]
    trailing = draw(st.sampled_from(["6h", "24h", "7d"]))
    kind = draw(st.sampled_from(["threshold", "baseline", "absent"]))
    if kind == "absent" and not metric.is_gauge:
        return found | {"absent": True, "window": trailing}
    if draw(st.booleans()):
        found["per"] = draw(operands(scope, metric.is_gauge))[0]
    if not metric.is_gauge:
        if scope == "session" and aggregation != "rate":
            windows.append("session")
        found["window"] = draw(st.sampled_from(windows))
    other = known()[found["per"]["metric"]] if "per" in found else metric
    past = metric.has_past and other.has_past and found.get("window") not in ("session", None)
    found["operator"] = draw(st.sampled_from([">", ">="] if kind == "baseline" else list(map(str, Operator))))
    if kind == "baseline" and past:
        least = draw(st.integers(1, 100))
        found["baseline"] = {
            "kind": draw(st.sampled_from(["median", "mad"])), "factor": draw(POSITIVE),
            "windows": draw(st.integers(least, 100)), "least": least,
        }  # fmt: skip
        if found["window"] in ("hourly", "daily", "6h"):
            found["baseline"]["against"] = draw(st.sampled_from(list(map(str, Against))))
        bound = found["baseline"]["factor"]
    else:
        found["threshold"] = bound = draw(NUMBER if metric.shape is not Shape.HISTOGRAM else st.floats(0, 0.5))
    if draw(st.booleans()):
        found["clear"] = bound
    for key in draw(st.sets(st.sampled_from(["least", "floor"]))):
        found[key] = draw(POSITIVE)
    return found


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    scope = draw(st.sampled_from(list(map(str, Scope))))
    found = {"id": draw(st.from_regex(r"[a-z0-9][a-z0-9-]{0,63}", fullmatch=True)), "scope": scope}
    found |= draw(conditions(scope))
    if draw(st.booleans()):
        found["and"] = draw(conditions(scope))
    if scope != "global":
        found["only"] = draw(st.lists(TEXT.filter(bool), max_size=3))
    optional = {
        "name": TEXT, "for": LENGTH, "keep_firing": LENGTH, "cooldown": LENGTH, "enabled": st.booleans(),
        "severity": st.sampled_from(list(map(str, Severity))), "channels": st.lists(TEXT.filter(bool), max_size=3),
        "summary": TEMPLATE, "reason": st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30),
        "labels": st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True), TEXT, max_size=3),
        "schedule": st.fixed_dictionaries(
            {},
            optional={
                "days": st.sampled_from(["Mon-Fri", "Sat,Sun", "Fri-Mon", "mon, wed-thu"]),
                "hours": st.sampled_from(["09:00-18:00", "22:00-06:00", "00:00-24:00", "23:59-00:00"]),
            },
        ),
    }  # fmt: skip
    return found | draw(st.fixed_dictionaries({}, optional=optional))


@given(documents())
def test_a_rule_dumped_and_parsed_is_the_same_rule(document: dict[str, Any]) -> None:
    rule = parse(document)

    assert parse(dump(rule)) == rule
    assert parse(json.loads(json.dumps(dump(rule)))) == rule


@given(documents())
def test_a_dump_says_the_same_again(document: dict[str, Any]) -> None:
    dumped = dump(parse(document))

    assert dump(parse(dumped)) == dumped


# ---- on a command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("session_cost", Operand(metric="session_cost")),
        ("ccagent_tool_failures_total{tool=Bash|Read}",
         Operand(metric="tool.failures", where=(("tool", ("Bash", "Read")),))),
        ('tool_errors { project = "/home/my work", tool=Bash }',
         Operand(metric="tool_errors", where=(("project", ("/home/my work",)), ("tool", ("Bash",))))),
        ('tool_errors{tool="a\\"b{|,}"}', Operand(metric="tool_errors", where=(("tool", ('a"b{|,}',)),))),
        ("p95(tool.duration{tool=Bash})",
         Operand(metric="tool.duration", where=(("tool", ("Bash",)),), aggregation=Aggregation.P95)),
        ("rate(session_cost)", Operand(metric="session_cost", aggregation=Aggregation.RATE)),
    ],
)  # fmt: skip
def test_an_operand_is_read(text: str, expected: Operand) -> None:
    assert operand_of(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "p95(tool.duration", "tool.duration)", "a b", "tool_errors{tool}", "tool_errors{tool=}", "tool_errors{tool=a",
     "tool_errors{tool=a,tool=b}", 'tool_errors{tool="a\\q"}', "nonsense", "p95(session_cost)"],
)  # fmt: skip
def test_what_is_no_operand_is_refused(text: str) -> None:
    with pytest.raises(AlertRuleError):
        operand_of(text)


def test_an_expression_is_the_keys_of_a_condition() -> None:
    found = parse_expression('errors{failure_class=timeout|"auth"} / sum(requests) >= 0.1')

    assert found == {
        "metric": "errors",
        "where": {"failure_class": ["timeout", "auth"]},
        "per": {"metric": "requests", "aggregation": "sum"},
        "operator": ">=",
        "threshold": 0.1,
    }
    assert parse_expression("session_cost") == {"metric": "session_cost"}


@given(st.text(max_size=30))
def test_no_text_makes_an_expression_fall(text: str) -> None:
    with suppress(AlertRuleError):
        assert parse_expression(text)["metric"] in text
    with suppress(AlertRuleError):
        assert operand_of(text).metric


@pytest.mark.parametrize(("kind", "operator", "clear"), [("median", "<", 2.5), ("mad", "<", 1.5), ("mad", ">", 1.5)])
def test_clear_is_on_the_calm_side_of_the_bound(kind: str, operator: str, clear: float) -> None:
    document = {"id": "a", "metric": "turns", "window": "6h", "operator": operator, "clear": clear}

    assert parse({**document, "baseline": {"factor": 2, "kind": kind}}).conditions[0].clear == clear
