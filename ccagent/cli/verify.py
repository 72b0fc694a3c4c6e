"""`ccagent verify`: an independent recount of the transcripts, beside what the store says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config, source_option
from ccagent.cli.output import Progress, print_json, print_verify


@click.command(name="verify")
@source_option
@db_option
@config_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, source: tuple[str, ...], db: str | None, config_path: Path | None, as_json: bool
) -> None:
    """Recount the transcripts that still exist and compare; ends with 1 where anything differs."""
    config = load_config(config_path, source=source, db=db)
    from ccagent.verify import verify

    with Progress() as progress:
        report: Mapping[str, object] = verify(config, os.environ, progress)
    if as_json:
        print_json(report)
    else:
        print_verify(report)
    ctx.exit(0 if report.get("equal") else 1)
