"""How `ccagent status --otel` is printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from ccagent.cli.output import clean, sentence, terminal_width

LABEL: Final = 12
SECONDS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def print_otel(document: Mapping[str, Any]) -> None:
    """Print the document, one fact a line."""
    width = terminal_width()
    for line in otel_lines(document):
        click.echo(line if len(line) <= width else line[: width - 1] + "…")


def otel_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines: tier, each destination with what is to be known of it, then the rest. Sentences are broken to the
    width of the terminal."""
    running = "running" if document["running"] else "not running; what was sent lately is not known"
    yield _pair("ccagent", running)
    yield from _tier_lines(document["tier"])
    if not document["destinations"]:
        yield _pair("export", "disabled: nothing leaves this machine")
    for one in document["destinations"]:
        yield from _destination_lines(one)
    uses: dict[str, list[str]] = {}
    for use in document["labels"]:
        uses.setdefault(use["label"], []).append(f"{use['metric']} {use['used']}/{use['budget']}")
    for label, places in uses.items():
        yield _pair("label", f"{label}: {', '.join(places)}")
    native = document["native_telemetry"]
    yield _pair("native", f"Claude Code's own telemetry: {'on, ' + native['where'] if native['on'] else 'not found'}")
    for notice in document["notices"]:
        yield from _sentence("notice", notice)
    for problem in document["problems"]:
        yield from _sentence("problem", problem)


def _tier_lines(tier: Mapping[str, Any]) -> Iterator[str]:
    said = str(tier["personal"])
    if tier["set_by"]:
        said += f", by {tier['set_by']}"
    if tier["identity"]:
        said += f", as {tier['identity']}"
    if tier["acknowledged_at"]:
        said += f"; tier 2 acknowledged {tier['acknowledged_at']}"
    yield _pair("tier", said)
    for file in tier["project_files"]:
        yield _pair("", f"tier {file['tier']} in {file['file']}")


def _destination_lines(one: Mapping[str, Any]) -> Iterator[str]:
    retry = f", again in {_age(one['retry_in_seconds'])}" if one["retry_in_seconds"] else ""
    yield _pair(one["name"], f"{one['signal']}: {one['state']}{retry}, {one['protocol']} to {one['endpoint']}")
    if one["headers"]:
        yield _pair("", "headers: " + ", ".join(f"{name} {value}" for name, value in one["headers"].items()))
    if one["problem"]:
        yield from _sentence("", f"problem: {one['problem']}")
    if one["advice"]:
        yield from _sentence("", f"what to do: {one['advice']}")
    if one["backlog"] is not None and one["signal"] != "metrics":
        age = f", the oldest since {_age(one['backlog_age_seconds'])}" if one["backlog_age_seconds"] else ""
        yield _pair("", f"waiting: {one['backlog']:,}{age if one['backlog'] else ''}")
    if one["last_hour"] and one["last_day"]:
        yield _pair("", f"last hour: {_counts(one['last_hour'])}; last day: {_counts(one['last_day'])}")
    if one["sent"] is not None:
        yield _pair("", f"ever: {one['sent']:,} sent, {one['rejected']:,} rejected, {one['set_aside']:,} set aside")
    transitions: Sequence[Mapping[str, Any]] = one["transitions"]
    for step in transitions:
        yield _pair("", f"{step['at']} {step['from']} → {step['to']}: {step['reason']}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{amount:,} {what}" for what, amount in counts.items())


def _age(seconds: float) -> str:
    for length, unit in SECONDS:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return "a moment"


def _pair(label: str, text: str) -> str:
    return clean(f"{label:<{LABEL}} {text}")


def _sentence(label: str, text: str) -> Iterator[str]:
    return sentence(label, clean(text), LABEL)
