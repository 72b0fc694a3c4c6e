"""Context windows: the table, the suffix, what a longer prompt teaches, and what is only assumed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.windows import SOURCES, bundled, utilization, window

BEFORE = 1_772_000_000_000  # 2026-02-25
FIRST = 1_773_360_000_000  # 2026-03-13, 00:00 UTC


@pytest.mark.parametrize(
    ("model", "used", "at", "expected"),
    [
        ("claude-opus-4-5-20251101", 180_000, None, (200_000, "table")),
        ("claude-opus-4-5-20251101", 200_000, None, (200_000, "table")),
        ("claude-opus-4-5-20251101", 200_001, None, (1_000_000, "learned")),
        ("claude-opus-4-5-20251101[1m]", 10, None, (1_000_000, "suffix")),
        ("CLAUDE-OPUS-4-5[1M]", 10, None, (1_000_000, "suffix")),
        ("claude-opus-4-6", 10, BEFORE, (200_000, "table")),
        ("claude-opus-4-6", 10, FIRST - 1, (200_000, "table")),
        ("claude-opus-4-6", 10, FIRST, (1_000_000, "table")),
        ("claude-opus-4-6", 10, None, (1_000_000, "table")),
        ("claude-opus-4-6", 300_000, BEFORE, (1_000_000, "learned")),
        ("claude-opus-4-6[1m]", 300_000, BEFORE, (1_000_000, "suffix")),
        ("claude-sonnet-4-6", 10, BEFORE, (200_000, "table")),
        ("claude-opus-5", 344_000, None, (1_000_000, "table")),
        ("claude-opus-5", 1_000_001, None, (1_000_001, "learned")),
        ("claude-2.0", 100_001, None, (200_000, "learned")),
        ("home-made", 10, None, (200_000, "assumed")),
        ("home-made", 200_001, None, (1_000_000, "learned")),
        ("home-made[1m]", 10, None, (1_000_000, "suffix")),
        ("claude-opus-4-5-20251101-x", 10, None, (200_000, "assumed")),
        ("", 0, None, (200_000, "assumed")),
        (None, 0, None, (200_000, "assumed")),
    ],
)
def test_the_window_of_a_request(model: str | None, used: int, at: int | None, expected: tuple[int, str]) -> None:
    assert window(model, used, at) == expected


@given(
    st.sampled_from([*bundled().models, "home-made", "claude-opus-4-5[1m]"]),
    st.integers(0, 3_000_000),
    st.none() | st.integers(0, 2_000_000_000_000),
)
def test_no_prompt_is_longer_than_its_window(model: str, used: int, at: int | None) -> None:
    tokens, source = window(model, used, at)

    assert used <= tokens
    assert source in SOURCES
    assert 0 <= utilization(model, used, at) <= 1


@given(st.sampled_from([*bundled().models, "x[1m]"]), st.integers(0, 3_000_000), st.integers(1, 3_000_000))
def test_what_the_transcript_states_holds_in_any_case(model: str, used: int, stated: int) -> None:
    assert window(model, used, None, stated) == (stated, "transcript")
    assert utilization(model, used, None, stated) == used / stated


def test_the_table_is_whole_and_in_order() -> None:
    table = bundled()

    assert list(table.ladder) == sorted(table.ladder)
    assert table.assumed in table.ladder
    assert table.long in table.ladder
    for name, periods in table.models.items():
        starts = [start for start, _ in periods]
        assert name == name.lower()
        assert "'" not in name
        assert starts[0] is None
        assert starts[1:] == sorted(start for start in starts[1:] if start is not None)
        assert all(tokens > 0 for _, tokens in periods)
