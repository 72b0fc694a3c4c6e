"""`ccagent usage`: requests, tokens and cost of a span of time, by what one asks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import print_json
from ccagent.cli.span import parse_moment
from ccagent.cli.usage_output import print_usage, usage_csv, usage_document
from ccagent.errors import NoDataError, UsageError
from ccagent.paths import display

BY: Final = (
    "total",
    "day",
    "hour",
    "week",
    "month",
    "project",
    "branch",
    "model",
    "provider",
    "tool",
    "skill",
    "agent",
    "session",
    "feature",
)


@click.command(name="usage")
@click.option("--by", type=click.Choice(BY), default="total", show_default=True, help="What a row stands for.")
@click.option("--since", metavar="WHEN", help="From this moment on: 2025-01-31, 2025-01-31T08:00, 7d, 24h, today.")
@click.option("--until", metavar="WHEN", help="Up to, not including, this moment; same forms.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values with a header.")
@db_option
@config_option
def command(
    by: str,
    since: str | None,
    until: str | None,
    as_json: bool,
    as_csv: bool,
    db: str | None,
    config_path: Path | None,
) -> None:
    """Show what was used and what it would have cost by the API's prices; ends with 20 on an empty store."""
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other; take one")
    config = load_config(config_path, db=db)
    from ccagent.store.open import open_reader
    from ccagent.store.queries import stored_zone, usage

    now_ms = time.time_ns() // 1_000_000
    with open_reader(config.database) as reader:
        # A day that is asked for is one of the rows: it begins where theirs do, whatever zone this machine is in today.
        zone = stored_zone(reader)
        since_ms = parse_moment(since, now_ms, zone, "--since") if since else None
        until_ms = parse_moment(until, now_ms, zone, "--until") if until else None
        if since_ms is not None and until_ms is not None and since_ms >= until_ms:
            raise UsageError(f"--since {since} does not lie before --until {until}")
        rows = usage(reader, by=by, since_ms=since_ms, until_ms=until_ms, timezone=None)
    if not any(row.requests or row.sessions or row.tool_calls for row in rows) and since_ms is None is until_ms:
        raise NoDataError(f"{display(config.database)} holds no usage yet; `ccagent run --once` takes in what there is")
    if as_json:
        print_json(usage_document(rows, by=by, since_ms=since_ms, until_ms=until_ms))
    elif as_csv:
        click.echo(usage_csv(rows, by=by), nl=False)
    else:
        print_usage(rows, by=by)
