"""How usage is shown: as a table with its marks, as JSON, as CSV; and the moments that limit it."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import pytest

from ccagent.cli.span import parse_moment
from ccagent.cli.usage_output import TOKEN_KINDS, cost_text, notes, print_usage, shares, usage_csv, usage_document
from ccagent.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
NOW_MS = int(dt.datetime(2025, 3, 30, 12, 0, tzinfo=BERLIN).timestamp() * 1_000)
"""Noon of a day on which the clocks went forward: its midnight is eleven hours ago."""

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A usage row with telling numbers."""

    key: str = "claude-opus-4-6"
    requests: int = 1_200
    tokens: Mapping[str, int] = field(
        default_factory=lambda: dict(zip(TOKEN_KINDS, (1_234_567, 234_567, 123_456_789, 1_000, 234), strict=True))
    )
    cost_microusd: int | None = 123_456_789
    unpriced_requests: int = 0
    sessions: int = 12
    tool_calls: int = 2_345
    tool_calls_relayed: int = 7
    tool_errors: int = 20
    compactions: int = 1
    lines_bad: int = 0
    quality: Mapping[str, int] = field(default_factory=lambda: {"final": 1_200})


def shown(capsys: pytest.CaptureFixture[str], *rows: Row, by: str = "model") -> list[str]:
    print_usage(rows, by=by)
    return capsys.readouterr().out.splitlines()


def test_the_document_has_every_field_with_integer_money_and_shares() -> None:
    row = Row(quality={"final": 900, "partial": 300}, unpriced_requests=3)

    document = usage_document([row], by="model", since_ms=0, until_ms=None)

    assert document["schema_version"] == 1
    assert (document["since"], document["until"]) == ("1970-01-01T00:00:00.000Z", None)
    assert document["rows"] == [
        {
            "key": "claude-opus-4-6",
            "requests": 1_200,
            "tokens": {
                "input": 1_234_567,
                "output": 234_567,
                "cache_read": 123_456_789,
                "cache_write_5m": 1_000,
                "cache_write_1h": 234,
            },
            "cost_microusd": 123_456_789,
            "unpriced_requests": 3,
            "sessions": 12,
            "tool_calls": 2_345,
            "tool_calls_relayed": 7,
            "tool_errors": 20,
            "compactions": 1,
            "lines_bad": 0,
            "quality": {"final": 0.75, "partial": 0.25, "placeholder": 0.0, "estimated": 0.0},
        }
    ]


def test_shares_of_no_requests_are_zero() -> None:
    assert set(shares({}).values()) == {0.0}


def test_csv_reads_back_with_whole_numbers_and_an_empty_unknown_cost() -> None:
    text = usage_csv([Row(key='a,"b"'), Row(cost_microusd=None)], by="branch")

    first, second = csv.DictReader(io.StringIO(text))
    assert (first["branch"], first["tokens_cache_read"], first["cost_microusd"]) == ('a,"b"', "123456789", "123456789")
    assert second["cost_microusd"] == ""


def test_a_key_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, Row(key="\x1b[31mred\n[bold]b[/bold]"))

    assert "\\x1b[31mred\\n[bold]b[/bol" in lines[2]


@pytest.mark.parametrize("columns", [200, 100, 80, 60, 40])
def test_the_table_fits_and_cuts_no_number(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    lines = shown(capsys, Row(key="a-very-long-name-" * 10), Row(key="short"))[:4]

    assert max(len(line) for line in lines) <= min(columns, 100)
    assert lines[3].startswith("short")
    assert lines[3].endswith("$123.46")
    assert "…" not in lines[0] + lines[3]


def test_a_wide_enough_table_shows_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, Row(), by="total")

    assert lines[2].split() == [
        "1,200", "1,234,567", "234,567", "123,456,789", "1,234", "12", "2,345", "20", "$123.46",
    ]  # fmt: skip


def test_the_table_has_no_colour_when_it_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert not any("\x1b" in line for line in shown(capsys, Row()))


def test_cost_is_called_api_equivalent(capsys: pytest.CaptureFixture[str]) -> None:
    assert any("API-equivalent" in line for line in shown(capsys, Row()))


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (Row(), "$123.46"),
        (Row(quality={"final": 1_199, "placeholder": 1}), "~$123.46"),
        (Row(unpriced_requests=3), "$123.46+"),
        (Row(cost_microusd=None), "—"),
        (Row(unpriced_requests=1_200, cost_microusd=0), "—"),
        (Row(cost_microusd=0), "$0.00"),
        (Row(cost_microusd=1), "<$0.01"),
        (Row(cost_microusd=1_234_567_890_000), "$1,234,567.89"),
    ],
)
def test_a_cost_carries_its_marks(row: Row, text: str) -> None:
    assert cost_text(row) == text


def test_the_share_that_is_not_final_stands_below_the_table() -> None:
    row = Row(quality={"final": 990, "partial": 9, "placeholder": 1})

    assert "~ 1.0 % of the requests are not final (partial 9, placeholder 1)." in notes([row], "model")


def test_a_tiny_share_is_not_rounded_to_nothing() -> None:
    assert any("<0.1 %" in note for note in notes([Row(quality={"final": 99_999, "partial": 1})], "model"))


def test_final_and_priced_usage_has_no_caveats() -> None:
    assert len(notes([Row()], "model")) == 1


def test_bad_lines_are_told_with_the_total() -> None:
    assert "2 lines could not be read." in notes([Row(lines_bad=2)], "total")


@pytest.mark.parametrize(
    ("text", "hours_ago"),
    [
        ("now", 0),
        ("24h", 24),
        ("90m", 1.5),
        ("7d", 7 * 24),
        ("2w", 14 * 24),
        ("today", 11),
        ("Yesterday", 35),
        ("2025-03-30", 11),
        ("2025-03-30T10:00", 2),
        ("2025-03-30 10:00:00", 2),
        ("2025-03-30T10:00:00Z", 0),
        ("2025-03-30T10:00:00+01:00", 1),
    ],
)
def test_moments_are_read_in_the_zone(text: str, hours_ago: float) -> None:
    assert parse_moment(text, NOW_MS, BERLIN, "--since") == NOW_MS - int(hours_ago * HOUR_MS)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "7y", "2025-13-01", "-3d", "٣d", "99999999d", "0001-01-01T00:00+10:00", "9999-12-31T23:59-10:00"],
)
def test_what_is_no_moment_is_refused_with_the_option(text: str) -> None:
    with pytest.raises(UsageError, match="--until"):
        parse_moment(text, NOW_MS, BERLIN, "--until")
