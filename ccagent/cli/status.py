"""`ccagent status`: one screen of what is, with the daemon alive or dead."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import print_json, print_status
from ccagent.errors import NotRunningError, UsageError


@click.command(name="status")
@db_option
@config_option
@click.option("--otel", is_flag=True, help="Show the export: tier, destinations and how they are, label budgets.")
@click.option("--check", "checking", is_flag=True, help="End with 10 where it runs and an alert fires.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, db: str | None, config_path: Path | None, otel: bool, checking: bool, as_json: bool
) -> None:
    """Show on one screen whether it runs and what it has; ends with 3 where it does not run."""
    if otel and checking:
        raise UsageError("--check asks for alerts, which --otel does not show; take one")
    config = load_config(config_path, db=db)
    if otel:
        from ccagent import otel_status

        status = otel_status.collect(config, os.environ)
    else:
        from ccagent.status import collect

        status = collect(config, os.environ)
    if as_json:
        print_json(status)
    elif otel:
        from ccagent.cli.otel_output import print_otel

        print_otel(status)
    else:
        print_status(status)
    if not status.get("running"):
        ctx.exit(NotRunningError.exit_code)
    if checking and status.get("alerts", {}).get("count"):
        from ccagent.alert_reading import FIRING

        ctx.exit(FIRING)
    ctx.exit(0)
