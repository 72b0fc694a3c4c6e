"""The answer of `ccagent drift` as text: one line a finding, in the width of the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from ccagent.cli.output import MAX_WIDTH, clean, terminal_width
from ccagent.drift import met, report

_COLUMNS: Final = ("kind", "name", "client", "first", "last", "met")
_DROPPED: Final = ("first", "met", "client", "last")
"""What goes, in this order, where the terminal is narrower than the table."""

_GAP: Final = 2
_DAY: Final = len("2026-01-31")


def print_drift(document: Mapping[str, Any]) -> None:
    """Print the table, or that there is nothing, and what can be done."""
    for line in drift_lines(document, min(terminal_width(), MAX_WIDTH)):
        click.echo(line)


def print_report(document: Mapping[str, Any]) -> None:
    """Print the text for a bug report."""
    for line in report(document):
        click.echo(clean(line))


def drift_lines(document: Mapping[str, Any], width: int) -> Iterator[str]:
    """Give the answer as lines of at most `width` columns."""
    rows = [_cells(row) for row in document["findings"]]
    yield from _fitted(rows, width)
    hidden = "" if any(row["accepted"] for row in document["findings"]) else _hidden(document["accepted"])
    if document["new"]:
        yield f"{document['new']} new{hidden}"
        yield "`ccagent drift --report` prints a text for a bug report, --accept hides what is shown"
    else:
        yield f"nothing new{' since then' if document['since'] else ''}{hidden}"


def _hidden(accepted: int) -> str:
    return f"; {accepted} accepted, shown with --all" if accepted else ""


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    versions: Sequence[str] = row["client_versions"]
    client = versions[0] if len(versions) == 1 else f"{versions[0]} … {versions[-1]}"
    return {
        "kind": clean(row["kind"]),
        "name": clean(row["name"]) + (" (accepted)" if row["accepted"] else ""),
        "client": clean(client),
        "first": (row["first_seen"] or "?")[:_DAY],
        "last": (row["last_seen"] or "?")[:_DAY],
        "met": met(row),
    }


def _fitted(rows: list[dict[str, str]], width: int) -> Iterator[str]:
    if not rows:
        return
    columns = list(_COLUMNS)
    titled = [{name: name for name in _COLUMNS}, *rows]
    widths = {name: max(len(row[name]) for row in titled) for name in _COLUMNS}
    for dropped in _DROPPED:
        if _width(columns, widths) > width:
            columns.remove(dropped)
    widths["name"] = max(8, widths["name"] - max(0, _width(columns, widths) - width))
    for row in titled:
        cells = (_cut(row[name], widths[name]).ljust(widths[name]) for name in columns)
        yield (" " * _GAP).join(cells).rstrip()[:width]


def _width(columns: Sequence[str], widths: Mapping[str, int]) -> int:
    return sum(widths[name] for name in columns) + _GAP * (len(columns) - 1)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
