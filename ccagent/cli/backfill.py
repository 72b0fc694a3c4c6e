"""`ccagent backfill`: what the store has not yet; or all facts anew by today's rules, or costs by today's prices."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from ccagent.cli.backfill_output import print_backfill
from ccagent.cli.options import Amount, config_option, db_option, json_option, load_config, source_option
from ccagent.cli.output import Progress, print_json
from ccagent.cli.span import parse_moment, zone_of
from ccagent.errors import UsageError


@click.command(name="backfill")
@click.option(
    "--project", "projects", metavar="NAME", multiple=True, help="Only this project: a path, or its last folder."
)
@click.option("--all-projects", is_flag=True, help="All projects; so it is without --project.")
@click.option("--since", metavar="WHEN", help="Only transcripts that changed since: 2025-01-31, 30d, 24h, today.")
@click.option("--dry-run", is_flag=True, help="List what would be read; nothing is opened or written.")
@click.option("--rate", metavar="MB/s", type=Amount(min=0, min_open=True), help="Read no more than that a second.")
@click.option("--rebuild", "rebuild_", is_flag=True, help="Derive all facts anew that still have their transcripts.")
@click.option("--retry-crashed", is_flag=True, help="With --rebuild: lines that ended the process, too.")
@click.option("--recompute-prices", is_flag=True, help="Compute all costs anew with today's prices, nothing else.")
@source_option
@db_option
@config_option
@json_option
def command(
    projects: tuple[str, ...],
    all_projects: bool,
    since: str | None,
    dry_run: bool,
    rate: float | None,
    rebuild_: bool,
    retry_crashed: bool,
    recompute_prices: bool,
    source: tuple[str, ...],
    db: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Take in the transcripts that the store has not yet, without starting a daemon; opens no port, sends nothing.

    It may be interrupted at any time: the next run goes on. Ends with 75 while a daemon runs, which does this itself.
    """
    whole = [name for name, given in (("--rebuild", rebuild_), ("--recompute-prices", recompute_prices)) if given]
    chosen = [name for name, given in (("--project", projects), ("--since", since), ("--dry-run", dry_run)) if given]
    if projects and all_projects:
        raise UsageError("--project and --all-projects exclude each other; take one")
    if len(whole) > 1 or (whole and chosen):
        raise UsageError(f"{whole[0]} is about everything, so it goes without {', '.join((*whole[1:], *chosen))}")
    if retry_crashed and not rebuild_:
        raise UsageError("--retry-crashed is a part of --rebuild; give both")
    config = load_config(config_path, source=source, db=db)
    bytes_a_second = None if rate is None else rate * 1_000_000
    with Progress() as progress:
        if rebuild_:
            from ccagent.rebuild import rebuild

            report = rebuild(
                config, os.environ, rate=bytes_a_second, retry_crashed=retry_crashed, progress=progress,
                told=progress.tell,
            )  # fmt: skip
        elif recompute_prices:
            from ccagent.rebuild import recompute_prices as recompute

            report = recompute(config, os.environ, progress=progress.count, told=progress.tell)
        else:
            from ccagent.backfill import backfill, preview
            from ccagent.selection import Selection

            zone = zone_of(config.rollups.timezone)
            since_ms = parse_moment(since, time.time_ns() // 1_000_000, zone, "--since") if since else None
            selection = Selection(projects=projects, since_ms=since_ms)
            if dry_run:
                report = preview(config, os.environ, selection)
            else:
                report = backfill(config, os.environ, selection, rate=bytes_a_second, progress=progress)
    if as_json:
        print_json(report)
    else:
        print_backfill(report)
