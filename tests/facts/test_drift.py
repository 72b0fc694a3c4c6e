"""What is known by name, and shapes that give nothing away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.drift import (
    KEYS,
    ODD,
    REQUIRED,
    SAMPLE_LENGTH,
    WORDS,
    Drift,
    client_version,
    known_by_now,
    named,
    sample,
    shape,
    tool_drift,
    version_order,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=30),
    max_leaves=60,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Bash", None),
        ("exit_plan_mode", None),
        ("mcp__linear__list_issues", None),
        ("mcp__some_server__find_it", None),
        ("mcp__plugin_demo_files__read", None),
        ("Teleport", (Drift.TOOL, "Teleport")),
        ("str_replace_20250728", (Drift.TOOL, "str_replace_20250728")),
        ("mcp_linear_list", (Drift.TOOL, "mcp_linear_list")),
        ("read the file, please", (Drift.TOOL, ODD)),
        ("", (Drift.TOOL, ODD)),
        ("mcp__linear", (Drift.MCP, "no_separator")),
        ("mcp__", (Drift.MCP, "no_separator")),
        ("mcp__linear__", (Drift.MCP, "no_tool")),
        ("mcp____list_issues", (Drift.MCP, "no_server")),
    ],
)
def test_a_tool_is_known_or_what_is_new_in_its_name(name: str, expected: tuple[Drift, str] | None) -> None:
    assert tool_drift(name) == expected


@pytest.mark.parametrize(
    "name", ["brand-new", "web_search_tool_result", "x", "_private", "a" * 64, "tool_20260101", "v2"]
)
def test_what_looks_like_a_name_is_told(name: str) -> None:
    assert named(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "two words",
        "src/main.py",
        "a@b",
        "9lives",
        "a" * 65,
        "é",
        "3fa85f64-5717-4562",
        "toolu_01AB23cd4",
        "line\nend",
    ],
)
def test_what_does_not_look_like_a_name_is_not(name: str) -> None:
    assert named(name) == ODD


@pytest.mark.parametrize(
    ("text", "told"),
    [("2.1.237", "2.1.237"), ("2.2.0-beta.1", "2.2.0-beta.1"), (None, "unknown"), ("", "unknown"), ("built by me", ODD),
     ("1", ODD)],
)  # fmt: skip
def test_a_client_version_is_told_where_it_is_one(text: str | None, told: str) -> None:
    assert client_version(text) == told


def test_versions_sort_by_their_numbers() -> None:
    assert sorted(["2.1.9", None, "2.1.237", "odd", "2.1.41-beta"], key=version_order)[2:] == [
        "2.1.9",
        "2.1.41-beta",
        "2.1.237",
    ]


def test_every_required_field_is_a_known_one() -> None:
    assert {kind: set(names) - KEYS[kind] for kind, names in REQUIRED.items() if set(names) - KEYS[kind]} == {}


def test_a_shape_has_types_and_lengths() -> None:
    value = {
        "type": "demo", "count": 3, "ratio": 0.5, "on": True, "none": None, "items": [{"name": "x"}, 2], "empty": [],
        "usage": {"input_tokens": 3},
    }  # fmt: skip

    assert shape(value) == {
        "count": "integer", "empty": "list 0", "items": ["list 2", {"name": "text 1"}], "none": "null", "on": "boolean",
        "ratio": "number", "type": "text 4", "usage": {"input_tokens": "integer"},
    }  # fmt: skip


def test_keys_of_a_map_are_counted_not_told() -> None:
    answers = {"Which colour do you want?": "red", "secretproject": "blue", "status": "ok"}

    assert shape({"answers": answers, "/home/me/x": 1}) == {
        "(more)": 1,
        "answers": {"(more)": 2, "status": "text 2"},
    }


def test_without_keys_only_documented_words_are_told() -> None:
    assert shape({"secretproject": 1, "status": "ok"}, keys=False) == {"(more)": 1, "status": "text 2"}


@given(JSON)
def test_a_shape_holds_no_text_of_the_value_but_names_of_its_first_level(value: Any) -> None:
    own = {key for key in value if named(key) != ODD} if isinstance(value, dict) else set()
    allowed = own | WORDS | {"(more)"}

    assert _keys(shape(value)) <= allowed
    assert all(_told(leaf) for leaf in _leaves(shape(value)))


@given(JSON)
def test_a_sample_is_json_and_short(value: Any) -> None:
    text = sample(value)

    assert len(text) <= SAMPLE_LENGTH
    json.loads(text)


def test_a_large_object_has_a_short_sample() -> None:
    wide = {f"field_{'x' * 50}{chr(97 + one)}": {word: {word: "x"} for word in sorted(WORDS)} for one in range(26)}

    assert len(sample(wide)) <= SAMPLE_LENGTH


def _keys(told: Any) -> set[str]:
    if isinstance(told, dict):
        return set(told).union(*map(_keys, told.values()))
    return set().union(*map(_keys, told)) if isinstance(told, list) else set()


def _leaves(told: Any) -> list[Any]:
    if isinstance(told, dict):
        return [leaf for value in told.values() for leaf in _leaves(value)]
    return [leaf for value in told for leaf in _leaves(value)] if isinstance(told, list) else [told]


def _told(leaf: Any) -> bool:
    if isinstance(leaf, int):
        return True
    word, _, number = leaf.partition(" ")
    return word in ("null", "boolean", "integer", "number", "text", "list", "object") and number.isdecimal() == bool(
        number
    )


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("tool/Bash", True), ("tool/Teleport", False), ("attachment/task_reminder", True), ("block/hologram", False),
        ("mode/plan", True), ("stop/end_turn", True), ("source/sdk", True), ("progress/bash_progress", True),
        ("key/assistant.effort", True), ("key/assistant.novel", False), ("key/assistant.message.usage", True),
        ("key/assistant.message.novel", False), ("key/usage.speed", True), ("key/usage.novel", False),
        ("key/novel.novel", False), ("value/usage.speed=fast", True), ("value/usage.speed=ludicrous", False),
        ("value/novel=1", False), ("missing/assistant.cwd", False), ("record/summary", False),
    ],
)  # fmt: skip
def test_what_has_become_known_is_not_new(title: str, expected: bool) -> None:
    kind, _, name = title.partition("/")

    assert known_by_now(kind, name) is expected
