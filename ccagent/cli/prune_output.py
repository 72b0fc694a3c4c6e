"""What `ccagent db prune` and `ccagent db restore` print for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from ccagent.cli.output import clean, size

_THINGS: Final = ("facts", "sessions", "payloads", "lines")
_WORDS: Final = {"lines": "notes of bad lines"}


def print_prune(done: Mapping[str, Any]) -> None:
    """Print what was removed, or would be."""
    for line in prune_lines(done):
        click.echo(line)


def prune_lines(done: Mapping[str, Any]) -> Iterator[str]:
    """Give it as lines."""
    if done["dry_run"]:
        yield f"{'in use':<20} {size(done['used_bytes'])}"
        for share in done["rules"]:
            room = f", about {size(share['bytes'])}" if share["bytes"] else ""
            yield f"{share['rule']:<20} {_counted(share)}{_span(share)}{room}"
        if not done["rules"]:
            yield "retention keeps everything"
        return
    yield f"removed {_counted(done)}{_span(done)}"
    for path in done["archives"]:
        yield f"archived in {clean(path)}"
    yield f"{size(done['used_bytes_before'])} in use before, {size(done['used_bytes'])} now"
    if done["problem"]:
        yield clean(done["problem"])


def print_restore(done: Mapping[str, Any]) -> None:
    """Print what came back, or would."""
    for line in restore_lines(done):
        click.echo(line)


def restore_lines(done: Mapping[str, Any]) -> Iterator[str]:
    """Give it as lines."""
    would = "would be " if done["dry_run"] else ""
    yield f"{done['returned']:,} facts {would}returned as they were, {done['new']:,} {would}taken in as new"
    yield f"{done['known']:,} facts were here already"
    if done["unreadable"]:
        yield f"{done['unreadable']:,} records are damaged and were passed over"
    if done["beyond_retention"]:
        yield (
            f"{done['beyond_retention']:,} of them are older than retention.fact_months and go again with the next prune;"
            " raise it to keep them"
        )


def _counted(numbers: Mapping[str, Any]) -> str:
    """The things that there are any of."""
    found = [f"{numbers[thing]:,} {_WORDS.get(thing, thing)}" for thing in _THINGS if numbers[thing]]
    return ", ".join(found) or "nothing"


def _span(numbers: Mapping[str, Any]) -> str:
    return f" from {numbers['since']} to {numbers['until']}" if numbers["since"] else ""
