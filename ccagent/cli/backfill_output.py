"""What `ccagent backfill` says at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from ccagent.cli.output import clean, money, size

SHOWN = 40
"""Project folders that a dry run lists; the JSON has all."""


def print_backfill(report: Mapping[str, Any]) -> None:
    """Print the report as text."""
    for line in _LINES[str(report["mode"])](report):
        click.echo(line)


def _taken_in(report: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{report['files']:,} files, {size(report['bytes'])} taken in: {report['facts_added']:,} facts added,"
        f" {report['facts_closed']:,} closed, in {report['seconds']:.1f} s"
    )
    left, others = report["left"], report["not_selected"]
    if left["files"]:
        yield (
            f"not taken in: {size(left['bytes'])} of {left['files']:,} files (unfinished last lines;"
            f" {left['unreadable']:,} files cannot be read)"
        )
    if others["files"]:
        yield f"not selected: {others['files']:,} files with {size(others['bytes'])} that are not taken in yet"


def _preview(report: Mapping[str, Any]) -> Iterator[str]:
    projects = report["projects"]
    for project in projects[:SHOWN]:
        yield f"{size(project['bytes']):>12}  {project['files']:>6,} files  {clean(project['folder'])}"
    if len(projects) > SHOWN:
        yield f"{'…':>12}  and {len(projects) - SHOWN:,} more folders"
    yield f"{size(report['bytes']):>12}  {report['files']:>6,} files would be read"
    others = report["not_selected"]
    if others["files"]:
        yield f"{size(others['bytes']):>12}  {others['files']:>6,} files are not selected and not taken in yet"


def _rebuilt(report: Mapping[str, Any]) -> Iterator[str]:
    facts = report["facts"]
    yield f"{report['files']:,} files, {size(report['bytes'])} derived anew in {report['seconds']:.1f} s"
    yield (
        f"facts: {facts['added']:,} added, {facts['changed']:,} changed ({facts['merged']:,} of them with transcripts"
        f" that are gone), {facts['dropped']:,} dropped, {facts['kept']:,} kept without a transcript"
    )
    if facts["stale"]:
        yield f"{facts['stale']:,} of them were sent before as they had been; they are not sent again"
    if report["files_left_alone"]:
        yield f"{report['files_left_alone']:,} files could not be read again; their facts stay as they were"
    yield f"metrics begin again at zero (generation {report['generation']})"


def _recomputed(report: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{report['requests']:,} requests: {report['changed']:,} have another cost by the prices {report['prices']}"
        f" ({report['priced']:,} had none before, {report['unpriced']:,} have none any more)"
    )
    yield f"in all {money(report['cost_before'])} before, {money(report['cost_after'])} now (API-equivalent)"
    if report["new_generation"]:
        yield f"metrics of cost begin again at zero (generation {report['generation']})"


_LINES = {"backfill": _taken_in, "dry run": _preview, "rebuild": _rebuilt, "recompute prices": _recomputed}
