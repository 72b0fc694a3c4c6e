"""Options that say what an alert rule is: those of `ccagent alerts add` and `edit`."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ccagent.errors import UsageError

Verb = TypeVar("Verb", bound=Callable[..., Any])

STDIN: Final = "-"

_TEXTS: Final = (
    ("--when", "when", "EXPR", 'The condition in one line: "session_cost daily > 20".'),
    ("--and", "and_", "EXPR", 'A second condition that must hold, too: "turns session > 200".'),
    ("--name", "name", "TEXT", "What people call it."),
    ("--metric", "metric", "NAME", "A metric of docs/metrics.md, or of the rollups (session_cost, turns …)."),
    ("--aggregation", "aggregation", "WORD", "sum, rate, count, mean, max, p50, p90, p95, p99 or last."),
    ("--per", "per", "METRIC", "Divide by this metric."),
    ("--window", "window", "WINDOW", "session, hourly, daily, weekly, monthly, or such as 6h and 7d."),
    ("--operator", "operator", "OP", "> >= < or <=."),
    ("--threshold", "threshold", "NUMBER", "Such as 20, 15%, 500k."),
    ("--baseline", "baseline", "TEXT", 'In place of a threshold: "4x median", "3 mad same_weekday".'),
    ("--clear", "clear", "NUMBER", "It ends only when the reading is past this."),
    ("--least", "least", "NUMBER", "With fewer than this the reading says nothing."),
    ("--floor", "floor", "NUMBER", "The reading must be at least this much."),
    ("--scope", "scope", "SCOPE", "global, project, feature or session: what is looked at one by one."),
    ("--for", "for_", "TIME", "The condition must hold so long: 10m, 1h30m."),
    ("--keep-firing", "keep_firing", "TIME", "It must be over for so long before it ends."),
    ("--cooldown", "cooldown", "TIME", "After its end it does not fire again for so long."),
    ("--severity", "severity", "WORD", "info, warning or critical."),
    ("--schedule", "schedule", "TEXT", 'When it is looked at: "Mon-Fri 09:00-18:00".'),
    ("--summary", "summary", "TEXT", "The first line of its messages."),
    ("--reason", "reason", "TEXT", "Why there is this rule."),
)
_REPEATED: Final = (
    ("--where", "where", "LABEL=VALUE", "Count only this of the metric; may be repeated."),
    ("--only", "only", "SUBJECT", "Only this project, feature or session; may be repeated."),
    ("--channel", "channel", "NAME", "Where it is told; may be repeated."),
    ("--label", "label", "NAME=VALUE", "Goes with its messages; may be repeated."),
)


def rule_options(verb: Verb) -> Verb:
    """Add an option for every key of a rule."""
    verb = click.option("--enabled/--disabled", "enabled", default=None, help="Whether it is evaluated.")(verb)
    verb = click.option("--absent", is_flag=True, help="It fires where the window holds nothing.")(verb)
    for flag, name, metavar, text in reversed(_REPEATED):
        verb = click.option(flag, name, metavar=metavar, multiple=True, help=text)(verb)
    for flag, name, metavar, text in reversed(_TEXTS):
        verb = click.option(flag, name, metavar=metavar, help=text)(verb)
    return verb


def said(options: dict[str, Any]) -> dict[str, Any]:
    """The options by the names that `ccagent.alerts.options` has for them, without those that were not given."""
    return {
        name.rstrip("_"): value
        for name, value in options.items()
        if value not in (None, (), False) or (value is False and name == "enabled")
    }


def read_document(path: Path) -> dict[str, Any]:
    """A rule's document from a TOML or JSON file, or from standard input (`-`). UsageError where it is none."""
    try:
        text = sys.stdin.read() if str(path) == STDIN else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--from {path}: cannot be read ({error}); name a file with a rule, or - for standard input"
        ) from error
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--from {path}: is neither JSON nor TOML: {error}") from error
    if not isinstance(found, dict) or "metric" not in found:
        raise UsageError(
            f"--from {path}: is no rule; it has at least id, metric, operator and threshold (docs/alerts.md)"
        )
    return found
