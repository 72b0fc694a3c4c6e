"""Whatever a document holds, it is a rule or is refused with words."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ccagent.alerts import schedules
from ccagent.alerts.condition_document import KEYS, parse_window
from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.metrics import known
from ccagent.alerts.parsing import RULE_KEYS, dump, parse

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["daily", "session", "6h", "now", "median", "any", "10m", ">", "<", "log", "project", "global", *known()]
    )
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
WORDS = st.sampled_from([*RULE_KEYS, "kind", "factor", "against", "windows", "days", "hours", "model", "tool", "type"])
TABLES = st.dictionaries(WORDS, ANYTHING, max_size=5)
SOUND = {
    "id": "one", "metric": "session_cost", "threshold": 5, "window": "6h", "operator": ">=",
    "baseline": {"kind": "mad", "factor": 3}, "and": {"metric": "turns", "threshold": 1}, "per": {"metric": "requests"},
    "schedule": {"days": "Mon"}, "where": {"model": ["x"]}, "labels": {"a": "b"}, "absent": True,
}  # fmt: skip


def taken(document: dict[str, Any]) -> bool:
    """Whether it is a rule; and then it is the same one when written and read again."""
    try:
        rule = parse(document)
    except AlertRuleError as fault:
        assert str(fault)  # noqa: PT017  (either outcome is right, if it says so)
        return False
    assert parse(dump(rule)) == rule
    return True


@given(st.dictionaries(st.sampled_from(RULE_KEYS), ANYTHING | TABLES, max_size=8))
def test_no_document_makes_the_parser_fall(document: dict[str, Any]) -> None:
    taken({"id": "one", "metric": "session_cost", **document})


@settings(max_examples=300)
@given(st.sets(st.sampled_from(list(SOUND))), st.sampled_from(RULE_KEYS), ANYTHING | TABLES)
def test_nor_does_one_wrong_value_in_a_sound_one(kept: set[str], key: str, value: object) -> None:
    taken({**{name: SOUND[name] for name in kept | {"id", "metric"}}, key: value})


@given(st.sampled_from(KEYS), ANYTHING | TABLES)
def test_nor_in_its_second_condition(key: str, value: object) -> None:
    taken(
        {"id": "one", "metric": "turns", "threshold": 1, "and": {"metric": "session_cost", "threshold": 5, key: value}}
    )


def test_what_is_sound_is_taken() -> None:
    least = {"id": "one", "metric": "session_cost"}

    assert taken({**least, "threshold": 5, "where": SOUND["where"], "and": SOUND["and"], "schedule": SOUND["schedule"]})
    assert taken({**least, "baseline": SOUND["baseline"], "window": "6h", "operator": ">="})
    assert not taken({**least, "threshold": 5, "baseline": SOUND["baseline"]})


@given(ANYTHING)
def test_windows_and_schedules_take_anything(value: object) -> None:
    with suppress(AlertRuleError):
        assert parse_window(value).name == value
    with suppress(AlertRuleError):
        assert schedules.parse(value).days
    with suppress(AlertRuleError):
        assert schedules.parse({"days": value}).days
    with suppress(AlertRuleError):
        assert schedules.parse({"hours": value}).end_minute
