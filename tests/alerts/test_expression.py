"""Conditions in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.alerts.expression import read_expression, read_number, read_where, write_expression
from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.options import changes
from ccagent.alerts.pack import PACK
from ccagent.alerts.parsing import parse


@pytest.mark.parametrize(
    ("text", "document"),
    [
        (
            "session_cost daily > 20",
            {"metric": "session_cost", "window": "daily", "operator": ">", "threshold": 20},
        ),
        ("turns session>=200", {"metric": "turns", "window": "session", "operator": ">=", "threshold": 200}),
        (
            "tool.failures{tool=Bash|Read} / tool.calls hourly > 15% least 20",
            {
                "metric": "tool.failures", "where": {"tool": ["Bash", "Read"]}, "per": {"metric": "tool.calls"},
                "window": "hourly", "operator": ">", "threshold": 0.15, "least": 20,
            },
        ),
        (
            "session_cost hourly > 4x median floor $5",
            {
                "metric": "session_cost", "window": "hourly", "operator": ">",
                "baseline": {"kind": "median", "factor": 4}, "floor": 5,
            },
        ),
        (
            "session_cost daily > 3 mad same_weekday windows 12 past 4",
            {
                "metric": "session_cost", "window": "daily", "operator": ">",
                "baseline": {"kind": "mad", "factor": 3, "against": "same_weekday", "windows": 12, "least": 4},
            },
        ),
        (
            "context.utilization_ratio max session > 80% clear 70%",
            {
                "metric": "context.utilization_ratio", "aggregation": "max", "window": "session", "operator": ">",
                "threshold": 0.8, "clear": 0.7,
            },
        ),
        (
            "p95(tool.duration{tool=Bash}) 6h > 1.5k",
            {
                "metric": "tool.duration", "where": {"tool": ["Bash"]}, "aggregation": "p95", "window": "6h",
                "operator": ">", "threshold": 1500,
            },
        ),
        (
            'session_cost{project="/work/a > b"} daily > 5',
            {
                "metric": "session_cost", "where": {"project": ["/work/a > b"]}, "window": "daily", "operator": ">",
                "threshold": 5,
            },
        ),
        ("requests 24h absent", {"metric": "requests", "window": "24h", "absent": True}),
        ("ingest.lag > 300", {"metric": "ingest.lag", "operator": ">", "threshold": 300}),
    ],
)  # fmt: skip
def test_a_line_and_its_document_say_the_same(text: str, document: dict[str, object]) -> None:
    assert read_expression(text) == document
    assert read_expression(write_expression(document)) == document


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no condition"),
        ("> 3", "is no condition"),
        ("session_cost daily", "an operator is missing: >, >=, <, <="),
        ("session_cost daily >", "a threshold is missing"),
        ("session_cost daily > much", "'much' is no number"),
        ("session_cost daily weekly > 3", "'weekly'"),
        ("session_cost daily = 3", "is no metric"),
        ("session_cost daily > 3x", "median or mad"),
        ("session_cost daily > 3 4", "clear, least, floor"),
        ("session_cost daily > 3 least", "the number after 'least' is missing"),
        ("session_cost daily > 3 mad windows 1.5", "takes a whole number"),
        ("session_cost{model} daily > 3", "is no metric"),
        ("a b c d > 3", "is a second"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_can(text: str, said: str) -> None:
    with pytest.raises(AlertRuleError, match="session_cost daily > 20") as caught:
        read_expression(text)

    assert said in str(caught.value)


@pytest.mark.parametrize("document", PACK, ids=lambda document: document["id"])
def test_a_rule_of_the_pack_is_the_same_after_it_was_written_in_a_line(document: dict[str, object]) -> None:
    first = write_expression({key: value for key, value in document.items() if key != "and"})
    rest = {key: document[key] for key in ("scope", "schedule") if key in document}

    rule = parse({"id": "x", **read_expression(first), **rest})

    assert rule.conditions[0] == parse(document).conditions[0]


@given(st.floats(min_value=-1e12, max_value=1e12, allow_nan=False).map(lambda value: round(value, 6)))
def test_a_threshold_is_read_as_it_was_written(value: float) -> None:
    document = {"metric": "turns", "operator": ">", "threshold": value}

    assert read_expression(write_expression(document)) == document


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_value_of_a_label_comes_back(value: str) -> None:
    document = {"metric": "turns", "where": {"project": [value]}, "operator": ">", "threshold": 1}

    assert read_expression(write_expression(document)) == document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20", 20),
        ("$20", 20),
        ("15%", 0.15),
        ("0.7", 0.7),
        ("500k", 500_000),
        ("1.5M", 1_500_000),
        ("1_000", 1_000),
        ("-2", -2),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, value: float) -> None:
    assert read_number(text) == value


def test_labels_are_read_from_options() -> None:
    assert read_where('model=a|b,tool="x y"') == {"model": ["a", "b"], "tool": ["x y"]}
    with pytest.raises(AlertRuleError, match="label=value"):
        read_where("nonsense")


def test_options_become_keys_of_a_document() -> None:
    single, when = changes(
        {
            "when": "session_cost daily > 20", "and": "turns daily > 5", "for": "10m", "severity": "critical", "only": ("shop",),
            "channel": ("log", "team"), "label": ("team=web",), "schedule": "Mon-Fri 09:00-18:00", "threshold": "30",
            "enabled": False,
        }
    )  # fmt: skip

    assert when == {"metric": "session_cost", "window": "daily", "operator": ">", "threshold": 20}
    assert single == {
        "and": {"metric": "turns", "window": "daily", "operator": ">", "threshold": 5}, "for": "10m",
        "severity": "critical", "only": ["shop"], "channels": ["log", "team"], "labels": {"team": "web"},
        "schedule": {"days": "Mon-Fri", "hours": "09:00-18:00"}, "threshold": 30, "enabled": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threshold": "much"}, "--threshold"),
        ({"baseline": "4"}, "--baseline"),
        ({"where": ("x",)}, "--where"),
        ({"and": "x"}, "--and"),
        ({"when": "x"}, "--when"),
        ({"schedule": "Mon-Fri Sat"}, "--schedule"),
    ],
)
def test_an_option_that_cannot_be_read_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(AlertRuleError, match=said):
        changes(options)
