"""`ccagent verify`: an independent recount of the transcripts, beside what the store says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config, source_option
from ccagent.cli.output import Progress, print_json


@click.command(name="verify")
@click.option("--full", is_flag=True, help="Check every session and day, the rollups, and all references, too.")
@click.option(
    "--manifest",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what the transcripts are now to FILE; where there is one, check them against it.",
)
@source_option
@db_option
@config_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    full: bool,
    manifest: Path | None,
    source: tuple[str, ...],
    db: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Recount the transcripts that still exist and compare; ends with 1 where anything is at fault.

    What is missing because its transcript is gone, or because retention removed it, is told and no fault.
    """
    config = load_config(config_path, source=source, db=db)
    from ccagent.cli.verify_output import print_verify
    from ccagent.verify import verify

    with Progress() as progress:
        report: Mapping[str, object] = verify(config, os.environ, progress, full=full, manifest=manifest)
    if as_json:
        print_json(report)
    else:
        print_verify(report)
    ctx.exit(0 if report.get("equal") else 1)
