"""What the verbs of `ccagent alerts` print for people."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from ccagent.alerts.figures import worded
from ccagent.alerts.message import shown
from ccagent.alerts.rule import Scope
from ccagent.cli.output import MAX_WIDTH, clean, terminal_width

if TYPE_CHECKING:
    from ccagent.alert_changes import Change

GAP: Final = 2
LEAST: Final = 12
"""Columns that the widest cell keeps at least."""

FIRST: Final = ("firing", "pending", "unreadable", "waiting", "inactive", "off")
"""States in the order in which `list` has them."""

_INDENT: Final = "  "


def print_rules(document: Mapping[str, Any], zone: dt.tzinfo | None, *, firing_only: bool = False) -> None:
    """Print the table of `list`, what fires first; with `--check` what fires alone."""
    for line in rule_list(document, zone, min(terminal_width(), MAX_WIDTH), firing_only=firing_only):
        click.echo(line)


def rule_list(
    document: Mapping[str, Any], zone: dt.tzinfo | None, width: int, *, firing_only: bool = False
) -> Iterator[str]:
    """Give it as lines."""
    rules: Sequence[Mapping[str, Any]] = document["rules"]
    if not rules:
        yield "no rules yet: ccagent's own come with the first `ccagent run`"
        return
    shown_rules = sorted(
        (row for row in rules if not firing_only or row["firing"]),
        key=lambda row: (FIRST.index(row["state"]), row["id"]),
    )
    rows = [
        {
            "rule": row["id"],
            "state": row["state"] + (" (silenced)" if row["silenced_until"] else ""),
            "severity": row["severity"],
            "asks": clean(row["condition"]),
            "from": {"default": "ccagent", "config": "file"}.get(row["origin"], row["origin"])
            + ("*" if row["edited"] else ""),
            "last fired": moment(row["last_fired"], zone) if row["last_fired"] else "",
        }
        for row in shown_rules
    ]
    if rows:
        yield from table(
            ("rule", "state", "severity", "asks", "from", "last fired"), rows, width,
            dropped=("from", "last fired", "severity"), stretched="asks",
        )  # fmt: skip
    for row in shown_rules:
        for one in row["firing"]:
            yield f"{row['id']} fires {_of(row, one)}{reading(row, one)} since {moment(one['since'], zone)}"
        if row["note"] and row["enabled"]:
            yield f"{row['id']}: {clean(row['note'])}"
    number = document["firing"]
    yield f"{number or 'no'} rule{'s fire' if number != 1 else ' fires'}; `ccagent alerts show RULE` tells more"


def print_rule(document: Mapping[str, Any], zone: dt.tzinfo | None) -> None:
    """Print everything about one rule."""
    for line in rule_lines(document, zone, min(terminal_width(), MAX_WIDTH)):
        click.echo(line)


def rule_lines(document: Mapping[str, Any], zone: dt.tzinfo | None, width: int) -> Iterator[str]:
    """Give it as lines."""
    yield f"{document['id']}: {clean(document['name'])}"
    origin = {"default": "ccagent's own", "config": "of the configuration file"}.get(
        document["origin"], f"by {document['origin']}"
    )
    edited = ", edited" if document["edited"] else ""
    yield f"{_INDENT}{document['state']}, {document['severity']}, {origin}{edited}"
    yield f"{_INDENT}{clean(document['condition'])}"
    if document["note"]:
        yield f"{_INDENT}{clean(document['note'])}"
    if document["silenced_until"]:
        yield f"{_INDENT}silenced until {moment(document['silenced_until'], zone)}"
    reason = document["rule"].get("reason")
    if reason:
        yield from _wrapped(clean(str(reason)), width)
    yield ""
    for key, value in document["rule"].items():
        if key not in ("id", "name", "reason"):
            yield f"{_INDENT}{key:<12} {_value(value)}"
    if document["standings"]:
        yield ""
        yield from table(
            ("subject", "state", "since", "value", "threshold", "times"),
            [
                {
                    "subject": subject_of(document["scope"], one["subject"]),
                    "state": one["state"],
                    "since": moment(one["since"], zone),
                    "value": reading_of(document, one["value"]),
                    "threshold": reading_of(document, one["threshold"]),
                    "times": str(one["episodes"]),
                }
                for one in document["standings"]
            ],
            width,
            dropped=("times", "threshold"),
            stretched="subject",
        )
    if document["history"]:
        yield ""
        yield from _history(document["history"], zone, width)
    yield ""
    changed_by = document["changed_by"]
    yield f"to change it: {clean(changed_by)}"


def print_history(document: Mapping[str, Any], zone: dt.tzinfo | None) -> None:
    """Print transitions, the newest first."""
    if not document["transitions"]:
        click.echo("nothing fired" + (f" since {moment(document['since'], zone)}" if document["since"] else " yet"))
        return
    for line in _history(document["transitions"], zone, min(terminal_width(), MAX_WIDTH)):
        click.echo(line)


def _history(rows: Sequence[Mapping[str, Any]], zone: dt.tzinfo | None, width: int) -> Iterator[str]:
    yield from table(
        ("at", "rule", "to", "why", "value", "threshold", "told", "subject"),
        [
            {
                "at": moment(row["at"], zone),
                "rule": row["rule"],
                "to": row["to"],
                "why": row["reason"],
                "value": reading_of(row, row["value"]),
                "threshold": reading_of(row, row["threshold"]),
                "told": _told(row),
                "subject": clean(row["subject"]),
            }
            for row in rows
        ],
        width,
        dropped=("why", "threshold", "told", "value"),
        stretched="subject",
    )


def _told(row: Mapping[str, Any]) -> str:
    if row["silenced"]:
        return "silenced"
    return ", ".join(f"{one['channel']} {one['state']}" for one in row.get("deliveries", ()))


def print_silences(document: Mapping[str, Any], zone: dt.tzinfo | None) -> None:
    """Print silences, those that end first first."""
    rows = [
        {
            "id": str(one["id"]),
            "rule": clean(one["rule"]),
            "subject": clean(one["subject"]),
            "until": moment(one["until"], zone),
            "comment": clean(one["comment"]),
        }
        for one in document["silences"]
    ]
    if not rows:
        click.echo("no silences")
    for line in table(
        ("id", "rule", "subject", "until", "comment"), rows, min(terminal_width(), MAX_WIDTH), stretched="comment"
    ):
        click.echo(line)


def print_change(change: Change, word: str, report: Mapping[str, Any] | None) -> None:
    """Print what became of a rule, key by key, and what it would have done."""
    click.echo(f"{change.id} {word}" if change.differences else f"{change.id}: nothing to change")
    for key, before, after in change.differences:
        if change.before is None:
            click.echo(f"{_INDENT}{key:<12} {_value(after)}")
        else:
            was = "nothing" if before is None else _value(before)
            click.echo(f"{_INDENT}{key:<12} {was} → {'nothing' if after is None else _value(after)}")
    if report is not None:
        click.echo(report["problem"] or f"in the past: {counted(report)}")


# ---- pieces --------------------------------------------------------------------------------------------------------


def table(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    width: int,
    *,
    dropped: Sequence[str] = (),
    stretched: str = "",
) -> Iterator[str]:
    """A table in so many columns of text: empty ones go, then `dropped` in their order, then `stretched` is cut."""
    if not rows:
        return
    kept = [name for name in columns if any(row[name] for row in rows)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in kept}
    for name in dropped:
        least = {**widths, stretched: min(widths.get(stretched, 0), LEAST)} if stretched in widths else widths
        if sum(least[one] for one in kept) + GAP * (len(kept) - 1) > width and name in kept:
            kept.remove(name)
    over = sum(widths[one] for one in kept) + GAP * (len(kept) - 1) - width
    if over > 0 and stretched in kept:
        widths[stretched] = max(LEAST, widths[stretched] - over)
    for row in ({name: name for name in columns}, *rows):
        cells = (_cut(row[name], widths[name]).ljust(widths[name]) for name in kept)
        yield (" " * GAP).join(cells).rstrip()[:width]


def moment(text: str | None, zone: dt.tzinfo | None) -> str:
    """A moment of a document as local time, to the minute."""
    if text is None:
        return "—"
    return dt.datetime.fromisoformat(text).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def subject_of(scope: str, subject: str) -> str:
    """A subject as people know it: a project by its last folder."""
    return clean(shown(subject) if scope == Scope.PROJECT else subject) if subject else ""


def counted(row: Mapping[str, Any]) -> str:
    """How often it would have fired, of how much."""
    number = len(row["firings"])
    subjects = "" if row["scope"] == "global" else f" ({row['subjects']:,} {row['scope']}s)"
    often = f"fired {times(number)}" if number else "never fired"
    return f"{often} in {row['hours']:,} hours, {row['hours_read']:,} of them with anything to read{subjects}"


def times(number: int) -> str:
    """once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def reading(row: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """`at $7.00 (threshold $5.00)`; empty where nothing was read."""
    if one["value"] is None:
        return ""
    bound = "" if one["threshold"] is None else f" (threshold {reading_of(row, one['threshold'])})"
    return f"at {reading_of(row, one['value'])}{bound}"


def reading_of(row: Mapping[str, Any], value: float | None) -> str:
    """An amount in the unit of what the rule reads."""
    return "" if value is None else worded(value, str(row["unit"]))


def _of(row: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    subject = subject_of(row["scope"], one["subject"])
    return f"for {subject} " if subject else ""


def _value(value: object) -> str:
    return clean(value) if isinstance(value, str) else clean(json.dumps(value, ensure_ascii=False))


def _wrapped(text: str, width: int) -> Iterator[str]:
    import textwrap

    yield from textwrap.wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
