"""`ccagent uninstall`: the service, and the files that ccagent has written, each shown before."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ccagent.cli.options import config_option, db_option, load_config
from ccagent.cli.output import size
from ccagent.errors import ConfigError, InstanceRunningError, UsageError
from ccagent.paths import display, resolve


@click.command(name="uninstall")
@click.option("--purge", is_flag=True, help="Remove the database, its backups and the configuration, too.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("-y", "--yes", is_flag=True, help="Remove without asking.")
@db_option
@config_option
def command(purge: bool, dry_run: bool, yes: bool, db: str | None, config_path: Path | None) -> None:
    """Remove what ccagent has written, showing each file first; transcripts are never touched.

    Without --purge database, backups and configuration stay. The program itself is removed by what has installed it:
    the last line says how.
    """
    from ccagent import leavings
    from ccagent.installation import removal
    from ccagent.store.instance import holder
    from ccagent.store.location import parse_database

    places = resolve(os.environ)
    try:
        config = load_config(config_path, db=db)
        database, file = parse_database(config.database, places.state_dir), config.file
    except ConfigError as error:
        database, file = parse_database(db or str(places.database), places.state_dir), config_path
        click.echo(f"ccagent: {error}; what lies in the usual places is removed", err=True)
    asked = not yes and not dry_run
    if asked and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("nothing is removed without a word of yours: --yes removes, --dry-run shows what would go")
    _service(dry_run=True)
    work = leavings.plan(places, database, purge=purge, config_file=file)
    for leaving in work.removed:
        click.echo(f"remove  {display(leaving.path)} ({size(leaving.bytes)})")
    for leaving in work.kept:
        click.echo(f"keep    {display(leaving.path)} ({size(leaving.bytes)}); --purge removes it")
    if database.kind == "postgres":
        click.echo("keep    the Postgres database: its owner drops it")
    if not dry_run:
        if asked and not click.confirm("Remove the service and these files?", default=False):
            click.echo("nothing was removed")
            return
        _service(dry_run=False)
        if (pid := holder(database.sidecar)) is not None:
            raise InstanceRunningError(
                f"a ccagent runs (process {pid or 'unknown'}) and would write these files anew; stop it, then call again"
            )
        leavings.remove(leavings.plan(places, database, purge=purge, config_file=file))
        click.echo("removed; what is not listed was not ccagent's")
    click.echo(f"the program itself: {removal(Path(sys.prefix))}")


def _service(*, dry_run: bool) -> None:
    """Stop and remove the service, or show what that would do; nothing where the platform has no service manager."""
    from ccagent.errors import ServiceError
    from ccagent.install.managing import choose
    from ccagent.install.steps import Hands

    try:
        manager = choose(os.environ)
    except ServiceError:
        return
    manager.uninstall(Hands(os.environ, lambda line: click.echo(f"service {line}"), dry_run))
