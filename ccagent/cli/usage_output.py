"""Usage rows as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import click

from ccagent.cli.output import MAX_WIDTH, clean, money, rfc3339, terminal_width

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA_VERSION: Final = 1
TOKEN_KINDS: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
QUALITIES: Final = ("final", "partial", "placeholder", "estimated")
COUNTS: Final = (
    "requests",
    "unpriced_requests",
    "sessions",
    "tool_calls",
    "tool_calls_relayed",
    "tool_errors",
    "compactions",
    "lines_bad",
)

DROP_ORDER: Final = ("errors", "tools", "sessions", "cache write", "cache read", "input", "output", "requests")
"""Columns that go, the least telling first, where the terminal is too narrow: a number is never cut."""

LABEL_WIDTH: Final = 26
"""So much of a name is worth a column: a model with its date, a moment with its offset."""

MIN_LABEL_WIDTH: Final = 8

GAP: Final = 2
"""Blanks between columns."""


class Row(Protocol):
    """What a usage row offers; the store's own row does."""

    @property
    def key(self) -> str: ...
    @property
    def requests(self) -> int: ...
    @property
    def tokens(self) -> Mapping[str, int]: ...
    @property
    def cost_microusd(self) -> int | None: ...
    @property
    def unpriced_requests(self) -> int: ...
    @property
    def sessions(self) -> int: ...
    @property
    def tool_calls(self) -> int: ...
    @property
    def tool_calls_relayed(self) -> int: ...
    @property
    def tool_errors(self) -> int: ...
    @property
    def compactions(self) -> int: ...
    @property
    def lines_bad(self) -> int: ...
    @property
    def quality(self) -> Mapping[str, int]: ...


def usage_document(rows: Sequence[Row], *, by: str, since_ms: int | None, until_ms: int | None) -> dict[str, object]:
    """Give the JSON document: money in micro-dollars, tokens by kind, quality as shares of the row's requests."""
    return {
        "schema_version": SCHEMA_VERSION,
        "by": by,
        "since": rfc3339(since_ms),
        "until": rfc3339(until_ms),
        "rows": [_row_document(row) for row in rows],
    }


def _row_document(row: Row) -> dict[str, object]:
    return {
        "key": row.key,
        "requests": row.requests,
        "tokens": {kind: row.tokens.get(kind, 0) for kind in TOKEN_KINDS},
        "cost_microusd": row.cost_microusd,
        "unpriced_requests": row.unpriced_requests,
        "sessions": row.sessions,
        "tool_calls": row.tool_calls,
        "tool_calls_relayed": row.tool_calls_relayed,
        "tool_errors": row.tool_errors,
        "compactions": row.compactions,
        "lines_bad": row.lines_bad,
        "quality": shares(row.quality),
    }


def shares(quality: Mapping[str, int]) -> dict[str, float]:
    """Give each quality's share of the requests, 0 to 1; all 0 where there are none."""
    total = sum(quality.values())
    return {name: (quality.get(name, 0) / total if total else 0.0) for name in QUALITIES}


def usage_csv(rows: Sequence[Row], *, by: str) -> str:
    """Give the rows as CSV with a header; an unknown cost is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    counts = list(COUNTS)
    writer.writerow([by, *counts, *(f"tokens_{kind}" for kind in TOKEN_KINDS), "cost_microusd"])
    for row in rows:
        tokens = [row.tokens.get(kind, 0) for kind in TOKEN_KINDS]
        cost = "" if row.cost_microusd is None else row.cost_microusd
        writer.writerow([clean(row.key), *(getattr(row, name) for name in counts), *tokens, cost])
    return out.getvalue()


def print_usage(rows: Sequence[Row], *, by: str) -> None:
    """Print the table, and beneath it what is not final and what has no price."""
    from rich.console import Console

    out = io.StringIO()
    width = min(terminal_width(), MAX_WIDTH)
    Console(file=out, width=width, color_system=None, highlight=False).print(_table(rows, by, width))
    for line in out.getvalue().splitlines():
        click.echo(line.rstrip())
    for note in notes(rows, by):
        click.echo(note)


def notes(rows: Sequence[Row], by: str) -> list[str]:
    """Say in lines below the table what its marks mean and how much of the usage is not final."""
    lines = ["Cost is API-equivalent: what the API would have charged, whatever your plan."]
    requests = sum(sum(row.quality.values()) for row in rows)
    not_final = requests - sum(row.quality.get("final", 0) for row in rows)
    if not_final:
        parts = [
            f"{name} {count}" for name in QUALITIES[1:] if (count := sum(row.quality.get(name, 0) for row in rows))
        ]
        lines.append(f"~ {percent(not_final, requests)} of the requests are not final ({', '.join(parts)}).")
    if unpriced := sum(row.unpriced_requests for row in rows):
        lines.append(f"+ {unpriced} requests have no known price and are not in the cost.")
    if by == "total" and (bad := sum(row.lines_bad for row in rows)):
        lines.append(f"{bad} lines could not be read.")
    return lines


def percent(part: int, whole: int) -> str:
    """Give a share as a per cent that never rounds something to nothing."""
    share = 100 * part / whole
    return "<0.1 %" if share < 0.1 else f"{share:.1f} %"


def cost_text(row: Row) -> str:
    """Give the cost with its marks: ~ where usage is not final, + where unpriced requests are left out."""
    if row.cost_microusd is None or (row.unpriced_requests and row.unpriced_requests >= row.requests):
        return "—"
    not_final = sum(row.quality.values()) > row.quality.get("final", 0)
    return ("~" if not_final else "") + money(row.cost_microusd) + ("+" if row.unpriced_requests else "")


def _table(rows: Sequence[Row], by: str, width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    labels = [] if by == "total" else [clean(row.key) or "—" for row in rows]
    longest = max((len(label) for label in [*labels, by]), default=0) if labels else 0
    columns = _fitting({name: [cell(row) for row in rows] for name, cell in _COLUMNS.items()}, longest, width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP - 1, 0, 0), show_edge=False)
    if labels:
        # The label alone gives way; rich would take the same share from the numbers.
        left = width - sum(_width(name, cells) + GAP for name, cells in columns.items())
        table.add_column(by, overflow="ellipsis", no_wrap=True, max_width=max(left, MIN_LABEL_WIDTH))
    for name, cells in columns.items():
        table.add_column(name, justify="right", no_wrap=True, min_width=_width(name, cells))
    for index in range(len(rows)):
        table.add_row(*([Text(labels[index])] if labels else []), *(cells[index] for cells in columns.values()))
    return table


def _fitting(columns: dict[str, list[str]], longest_label: int, width: int) -> dict[str, list[str]]:
    """Drop columns until all that stay stand whole beside the label, or LABEL_WIDTH of it."""
    label = min(longest_label, LABEL_WIDTH)
    for name in DROP_ORDER:
        if label + sum(_width(one, cells) + GAP for one, cells in columns.items()) <= width:
            break
        columns.pop(name)
    return columns


def _width(name: str, cells: Sequence[str]) -> int:
    return max(len(text) for text in [name, *cells])


class _Cell(Protocol):
    def __call__(self, row: Row, /) -> str: ...


def _cache_write(row: Row) -> int:
    return row.tokens.get("cache_write_5m", 0) + row.tokens.get("cache_write_1h", 0)


_COLUMNS: Final[dict[str, _Cell]] = {
    "requests": lambda row: f"{row.requests:,}",
    "input": lambda row: f"{row.tokens.get('input', 0):,}",
    "output": lambda row: f"{row.tokens.get('output', 0):,}",
    "cache read": lambda row: f"{row.tokens.get('cache_read', 0):,}",
    "cache write": lambda row: f"{_cache_write(row):,}",
    "sessions": lambda row: f"{row.sessions:,}",
    "tools": lambda row: f"{row.tool_calls:,}",
    "errors": lambda row: f"{row.tool_errors:,}",
    "cost": cost_text,
}
