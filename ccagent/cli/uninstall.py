"""`ccagent uninstall`: the service, and the files that ccagent has written, each shown before."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import print_json, size
from ccagent.errors import ConfigError, InstanceRunningError, UsageError
from ccagent.paths import display, resolve

if TYPE_CHECKING:
    from ccagent.leavings import Leaving, Plan
    from ccagent.store.location import Database

SCHEMA_VERSION: Final = 1


@click.command(name="uninstall")
@click.option("--purge", is_flag=True, help="Remove the database, its backups and the configuration, too.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("-y", "--yes", is_flag=True, help="Remove without asking.")
@db_option
@config_option
@json_option
def command(purge: bool, dry_run: bool, yes: bool, db: str | None, config_path: Path | None, as_json: bool) -> None:
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
        # A file that was named and is no configuration may be anybody's.
        database, file = parse_database(db or str(places.database), places.state_dir), None
        click.echo(f"ccagent: {error}; what lies in the usual places is removed", err=True)
    asked = not yes and not dry_run
    if asked and (as_json or not (sys.stdin.isatty() and sys.stdout.isatty())):
        raise UsageError("nothing is removed without a word of yours: --yes removes, --dry-run shows what would go")
    service = _service(dry_run=True)
    work = leavings.plan(places, database, purge=purge, config_file=file)
    if not as_json:
        _show(service, work, database)
    gone: list[Path] = []
    if not dry_run:
        if asked and not click.confirm("Remove the service and these files?", default=False):
            click.echo("nothing was removed")
            return
        shown, service = service, _service(dry_run=False)
        for line in service if not as_json else ():
            if line not in shown:
                click.echo(f"service {line}")  # what only came to light by doing it
        if (pid := holder(database.sidecar)) is not None:
            raise InstanceRunningError(
                f"a ccagent runs (process {pid or 'unknown'}) and would write these files anew; none was removed:"
                " stop it, then call again"
            )
        work = leavings.plan(places, database, purge=purge, config_file=file)
        gone = leavings.remove(work)
    if as_json:
        document = _document(service, work, gone, database)
        print_json({"schema_version": SCHEMA_VERSION, "dry_run": dry_run, "purge": purge, **document})
        return
    if not dry_run:
        click.echo("removed; what is not listed was not ccagent's")
    click.echo(f"the program itself: {removal(Path(sys.prefix))}")


def _show(service: list[str], work: Plan, database: Database) -> None:
    for line in service:
        click.echo(f"service {line}")
    for leaving in work.removed:
        click.echo(f"remove  {display(leaving.path)} ({size(leaving.bytes)})")
    for leaving in work.kept:
        click.echo(f"keep    {display(leaving.path)} ({size(leaving.bytes)}); --purge removes it")
    if database.kind == "postgres":
        click.echo("keep    the Postgres database: its owner drops it")


def _document(service: list[str], work: Plan, gone: list[Path], database: Database) -> dict[str, Any]:
    """As docs/json.md has it."""
    from ccagent.installation import removal

    def listed(leavings: tuple[Leaving, ...]) -> list[dict[str, object]]:
        return [{"path": display(each.path), "sort": each.sort.value, "bytes": each.bytes} for each in leavings]

    return {
        "service": service,
        "removed": listed(work.removed),
        "kept": listed(work.kept),
        "folders": [display(folder) for folder in gone],
        "served_database": database.display if database.kind == "postgres" else None,
        "program": removal(Path(sys.prefix)),
    }


def _service(*, dry_run: bool) -> list[str]:
    """Stop and remove the service, or only tell what that would do, a line a step; none where the platform has no service
    manager."""
    from ccagent.errors import ServiceError
    from ccagent.install.managing import choose
    from ccagent.install.steps import Hands

    said: list[str] = []
    try:
        manager = choose(os.environ)
    except ServiceError:
        return said
    manager.uninstall(Hands(os.environ, said.append, dry_run))
    return said
