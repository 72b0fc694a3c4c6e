"""The chart of a backtest."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.cli.alerts_chart import ASCII, BLOCKS, HEIGHT, WIDTH, Point, chart, coloured, signs

HOUR = 3_600_000


def points(*values: float | None, bound: float | None = 5.0) -> list[Point]:
    return [(place * HOUR, value, bound) for place, value in enumerate(values)]


def drawn(*values: float | None, **keys: Any) -> list[str]:
    bound = keys.pop("bound", 5.0)
    return chart(points(*values, bound=bound), shown=lambda value: f"{value:g}", zone=dt.UTC, **keys)


def test_bars_are_as_high_as_readings_and_the_threshold_is_a_line() -> None:
    assert drawn(10, 5, None, 0.5, fired=[0]) == [
        "10 │█",
        "   │█",
        "   │█",
        " 5 │██╌╌",
        "   │██",
        " 0 │██ ▂",
        "   └▲",
        "    1970-01-01 00:00 to 1970-01-01 03:00",
    ]


def test_a_terminal_without_blocks_gets_ascii() -> None:
    lines = drawn(10, 5, None, 0.5, fired=[0], drawn=ASCII)

    assert "\n".join(lines).isascii()
    assert lines[0] == "10 |#"
    assert lines[3] == " 5 |##--"
    assert lines[6] == "   +^"


def test_many_hours_share_columns_and_none_of_their_peaks_is_lost() -> None:
    values = [1.0] * 1_000
    values[617] = 9.0

    lines = drawn(*values, width=60)

    assert max(map(len, lines)) <= 60
    assert lines[0].count("█") == 1
    assert all(not line.endswith(" ") for line in lines)


def test_of_a_rule_about_too_little_the_least_is_shown() -> None:
    values = [9.0] * 1_000
    values[500] = 1.0

    top = drawn(*values, width=60, below=True)[0]

    assert top.count("█") == len(top.partition("│")[2]) - 1


def test_nothing_to_read_is_no_chart() -> None:
    assert drawn(None, None) == []
    assert drawn() == []


def test_what_is_beyond_the_threshold_is_red_where_colours_are_wanted() -> None:
    above = "\n".join(drawn(10, 1, colour=True))
    below = "\n".join(drawn(10, 1, colour=True, below=True))

    assert above.count("\x1b[31m") == HEIGHT
    assert below.count("\x1b[31m") == 1


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e9, allow_nan=False)), max_size=300),
    st.one_of(st.none(), st.floats(0, 1e9, allow_nan=False)),
    st.integers(40, 200),
)
def test_no_line_is_wider_than_it_may_be(values: list[float | None], bound: float | None, width: int) -> None:
    lines = drawn(*values, bound=bound, width=width)

    assert all(len(line) <= min(width, WIDTH) for line in lines)


def test_signs_and_colours_follow_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    for encoding, found in (("utf-8", BLOCKS), ("ascii", ASCII), ("latin-1", ASCII)):
        monkeypatch.setattr("sys.stdout", Terminal(io.BytesIO(), encoding=encoding))
        assert signs() is found
    assert coloured()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured()
