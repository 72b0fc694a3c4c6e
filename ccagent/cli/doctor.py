"""`ccagent doctor`: a line a check, and what to do next."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from ccagent.cli.options import FLAG_KEYS, config_option, db_option, json_option, source_option
from ccagent.cli.output import print_json

_STATE_WIDTH = 5
_CHECK_WIDTH = 12


@click.command(name="doctor")
@click.option("--deep", is_flag=True, help="Look at every page of the database too; takes seconds.")
@click.option("--offline", is_flag=True, help="Ask no collector and no receiver of alerts.")
@source_option
@db_option
@config_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    deep: bool,
    offline: bool,
    source: tuple[str, ...],
    db: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Look at everything that ccagent needs, and say what to do; works with the daemon dead and without a database.

    The report can be shown to anybody: no path, name of a session, project, branch or host is in it. Collectors that
    you named are sent a request without content. Ends with 0 where all is well, 10 where something is to be done, 1
    where something does not work.
    """
    from ccagent.doctor import report
    from ccagent.doctor.ground import Ground
    from ccagent.title import hide_passwords

    if db is not None and "://" in db:
        hide_passwords(db)
    flags = {FLAG_KEYS[name]: value for name, value in (("source", source), ("db", db))}
    config, told = report.configuration(flags, os.environ, config_path)
    findings = [told]
    if config is not None:
        now = time.time_ns() // 1_000_000
        ground = Ground(config, os.environ, now_ms=now, network=not offline, deep=deep)
        findings = report.examine(ground, told)
    if as_json:
        print_json(report.document(findings))
    else:
        about = report.about()
        click.echo(" · ".join((f"ccagent {about['ccagent']}", f"Python {about['python']}", about["system"])))
        for finding in findings:
            todo = f" → {finding.todo}" if finding.todo else ""
            click.echo(f"{finding.state.value:<{_STATE_WIDTH}} {finding.check:<{_CHECK_WIDTH}} {finding.said}{todo}")
    ctx.exit(report.exit_code(findings))
