"""What `ccagent alerts backtest` prints: firings, a chart of the readings, and how much was looked at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from ccagent.alerts.figures import worded
from ccagent.cli.alerts_chart import WIDTH, Signs, chart, coloured, signs
from ccagent.cli.alerts_output import counted, moment, subject_of, table
from ccagent.cli.output import clean, terminal_width

FIRINGS_SHOWN: Final = 20
"""Firings of a rule that are listed; JSON has all."""


def print_backtest(document: Mapping[str, Any]) -> None:
    """Print one rule whole, with its chart; several as a table."""
    width = min(terminal_width(), WIDTH)
    zone = ZoneInfo(document["zone"])
    lines = (
        rule_lines(document["rules"][0], document, zone, width, signs(), colour=coloured())
        if len(document["rules"]) == 1
        else summary_lines(document, zone, width)
    )
    for line in lines:
        click.echo(line)


def rule_lines(
    row: Mapping[str, Any],
    document: Mapping[str, Any],
    zone: ZoneInfo,
    width: int,
    drawn: Signs,
    *,
    colour: bool = False,
) -> Iterator[str]:
    """One rule: what it asks, its chart, its firings."""
    what_if = "" if document.get("what_if") is None else " (what if)"
    yield f"{row['id']}: {clean(row['condition'])}{what_if}"
    if row["problem"]:
        yield row["problem"]
        return
    points = [(ms(point["at"]), point["value"], point["threshold"]) for point in row["series"]]
    while points and points[0][1] is None:
        points.pop(0)  # the chart is of the time in which there was anything to read
    while points and points[-1][1] is None:
        points.pop()
    fired = {ms(one["fired_at"]) for one in row["firings"]}
    yield from chart(
        points, shown=lambda value: worded(value, row["unit"]), zone=zone, below=row["below"], fired=fired, width=width,
        drawn=drawn, colour=colour,
    )  # fmt: skip
    firings: Sequence[Mapping[str, Any]] = row["firings"]
    if firings:
        yield from table(
            ("fired", "ended", "reached", "threshold", "subject"),
            [
                {
                    "fired": moment(one["fired_at"], zone),
                    "ended": moment(one["ended_at"], zone) if one["ended_at"] else "fires",
                    "reached": worded(one["worst"], row["unit"]),
                    "threshold": "" if one["threshold"] is None else worded(one["threshold"], row["unit"]),
                    "subject": subject_of(row["scope"], one["subject"]),
                }
                for one in firings[-FIRINGS_SHOWN:]
            ],
            width,
            dropped=("ended", "threshold"),
            stretched="subject",
        )
    if len(firings) > FIRINGS_SHOWN:
        yield f"… and {len(firings) - FIRINGS_SHOWN} before these"
    yield counted(row)


def summary_lines(document: Mapping[str, Any], zone: ZoneInfo, width: int) -> Iterator[str]:
    """A line a rule."""
    rows = [
        {
            "rule": row["id"],
            "fired": "no past" if row["problem"] else str(len(row["firings"])),
            "last": moment(row["firings"][-1]["fired_at"], zone) if row["firings"] else "",
            "condition": clean(row["condition"]),
        }
        for row in document["rules"]
    ]
    yield from table(("rule", "fired", "last", "condition"), rows, width, dropped=("last",), stretched="condition")
    yield f"from {moment(document['since'], zone)} to {moment(document['until'], zone)}; name one rule to see its chart"


def ms(text: str) -> int:
    """Ms UTC of what a document has as RFC 3339."""
    return int(dt.datetime.fromisoformat(text).timestamp() * 1_000)
