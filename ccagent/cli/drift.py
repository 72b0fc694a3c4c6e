"""`ccagent drift`: what transcripts hold that this version does not know."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ccagent.cli.drift_output import print_drift, print_report
from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import print_json
from ccagent.cli.span import parse_moment, zone_of
from ccagent.errors import UsageError


@click.command(name="drift")
@click.option("--since", metavar="WHEN", help="Only what was met since a date, a time, or 7d, 24h, today.")
@click.option("--all", "everything", is_flag=True, help="What was accepted, too.")
@click.option("--report", "as_report", is_flag=True, help="Print a text that is ready for a bug report.")
@click.option("--accept", "accepting", is_flag=True, help="Show what is new, and then no longer.")
@click.option("--forget", "forgetting", is_flag=True, help="Show again what was accepted.")
@db_option
@config_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    since: str | None,
    everything: bool,
    as_report: bool,
    accepting: bool,
    forgetting: bool,
    db: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Show what is new in the transcripts, by client version; ends with 10 where anything is.

    New are types of records and blocks, tools, fields and values that this version does not know, and fields that it
    misses. Nothing that is printed comes from the text of a session: names and shapes only.
    """
    if as_report and as_json:
        raise UsageError("--report and --json contradict each other; take one")
    if accepting and forgetting:
        raise UsageError("--accept and --forget contradict each other; take one")
    config = load_config(config_path, db=db)
    from ccagent.drift import NEW, accept, collect, forget

    since_ms = None
    if since:
        since_ms = parse_moment(since, time.time_ns() // 1_000_000, zone_of(config.rollups.timezone), "--since")
    if forgetting:
        forget(config)
    document = collect(config, since_ms=since_ms, everything=everything)
    if as_json:
        print_json(document)
    elif as_report:
        print_report(document)
    else:
        print_drift(document)
    if accepting:
        accept(config, [f"{row['kind']}/{row['name']}" for row in document["findings"]])
    ctx.exit(NEW if document["new"] and not accepting else 0)
