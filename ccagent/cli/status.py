"""`ccagent status`: one screen of what is, with the daemon alive or dead."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import print_json, print_status
from ccagent.errors import NotRunningError


@click.command(name="status")
@db_option
@config_option
@json_option
@click.pass_context
def command(ctx: click.Context, db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Show on one screen whether it runs and what it has; ends with 3 where it does not run."""
    config = load_config(config_path, db=db)
    from ccagent.status import collect

    status = collect(config, os.environ)
    if as_json:
        print_json(status)
    else:
        print_status(status)
    ctx.exit(0 if status.get("running") else NotRunningError.exit_code)
