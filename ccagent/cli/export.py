"""`ccagent export`: what would be sent, and the past sent once on request."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ccagent.cli.export_preview import preview
from ccagent.cli.options import Amount, config_option, db_option, json_option, load_config
from ccagent.cli.output import Progress, print_json
from ccagent.cli.span import parse_moment, zone_of

if TYPE_CHECKING:
    from ccagent.history_export import Report, Tally


@click.group(name="export")
def command() -> None:
    """Show what would be sent next; send the past once, on request."""


command.add_command(preview)


@command.command()
@click.option(
    "--since", metavar="WHEN", required=True, help="Traces with anything since: 24h, 7d, 2026-11-01, today; or all."
)
@click.option("--project", metavar="NAME", help="Only this project: a path, its last folder, or the name it leaves by.")
@click.option("--destination", metavar="NAME", help="Only this destination; by default all that get traces.")
@click.option("--dry-run", is_flag=True, help="Count what would be sent; nothing is sent.")
@click.option("--again", is_flag=True, help="What the live export sends or has sent, too; the ids are the same.")
@click.option("--rate", metavar="N", type=Amount(min=0, min_open=True), help="Spans a second at most; default 2000.")
@db_option
@config_option
@json_option
@click.pass_context
def traces(
    ctx: click.Context,
    since: str,
    project: str | None,
    destination: str | None,
    dry_run: bool,
    again: bool,
    rate: float | None,
    db: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Send the traces of the past once: what was over before a destination was named. Ends with 1 if not all went.

    It reads only, runs beside a daemon or without one, and leaves the live export as it is. It may be interrupted and
    repeated: the ids stay the same. Projects that allow no export are left out.
    """
    config = load_config(config_path, db=db)
    from ccagent.history_export import CAVEAT, RATE, Wanted, export_traces

    since_ms = 0
    if since.strip().lower() != "all":
        since_ms = parse_moment(since, time.time_ns() // 1_000_000, zone_of(config.rollups.timezone), "--since")
    wanted = Wanted(
        since_ms=since_ms, project=project, destination=destination, again=again, dry_run=dry_run, rate=rate or RATE
    )
    with Progress() as progress:
        report = export_traces(config, os.environ, wanted, show=progress.count)
    if as_json:
        print_json(report.document())
    else:
        _print(report)
        click.echo(f"ccagent: {CAVEAT}", err=True)
    ctx.exit(0 if report.complete else 1)


def _print(report: Report) -> None:
    for tally in report.destinations:
        click.echo(_sentence(tally, "would send" if report.dry_run else "sent"))
        if tally.problem:
            click.echo(f"ccagent: {tally.destination}: {tally.problem}; run it again when that is mended", err=True)
    for notice in report.notices:
        click.echo(f"ccagent: {notice}", err=True)


def _sentence(tally: Tally, verb: str) -> str:
    rest = [
        f"{count:,} {what}"
        for count, what in (
            (tally.withheld, "of projects that allow no export"),
            (tally.live, "left to the live export"),
            (tally.refused, "refused by the receiver"),
        )
        if count
    ]
    found = f"{tally.destination}: {verb} {tally.spans:,} spans of {tally.turns:,} turns"
    return found + (f"; {', '.join(rest)}" if rest else "")
