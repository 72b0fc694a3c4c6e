"""`ccagent db`: looking after the database."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import Progress, clean, print_json, size
from ccagent.cli.prune_output import print_prune, print_restore
from ccagent.paths import display


@click.group(name="db")
def command() -> None:
    """Check, copy, compact and mend the database."""


@command.command()
@click.option("--full", is_flag=True, help="Every page, every index entry and every reference; takes longer.")
@db_option
@config_option
@json_option
@click.pass_context
def check(ctx: click.Context, full: bool, db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Look whether the database is sound; ends with 1 where it is damaged. It may run beside a daemon.

    Nothing is changed; a damaged SQLite database is set aside and made anew at the next start of `ccagent run`.
    """
    config = load_config(config_path, db=db)
    from ccagent import upkeep

    report = upkeep.check(config, full=full)
    advice = upkeep.advice(config, report)
    if as_json:
        print_json({**report.document(), "advice": advice or None})
        ctx.exit(0 if report.sound else 1)
    for finding in report.findings:
        said = "damaged" if finding.faults else finding.note or "sound"
        click.echo(f"{finding.name:<16} {clean(said)}")
        for fault in finding.faults:
            click.echo(f"  {clean(fault)}")
    click.echo(advice or f"{clean(report.database)} is sound")
    ctx.exit(0 if report.sound else 1)


@command.command()
@click.argument("target", required=False, type=click.Path(path_type=Path))
@click.option("--keep", metavar="N", type=click.IntRange(min=1), help="Backups that stay in the usual place.")
@db_option
@config_option
@json_option
def backup(target: Path | None, keep: int | None, db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Copy a SQLite database, checked and whole, also while a daemon writes to it.

    Without TARGET the copy lies in the folder `backups` beside the database, and older ones there are removed.
    """
    config = load_config(config_path, db=db)
    from ccagent import upkeep

    made = upkeep.back_up(config, target, keep=keep)
    if as_json:
        print_json(made.document())
        return
    click.echo(f"{display(made.target)} holds {size(made.size)}, checked")
    for path in made.removed:
        click.echo(f"removed the older {display(path)}")


@command.command()
@db_option
@config_option
@json_option
def vacuum(db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Give the room of removed rows back to the disk. Ends with 75 while a daemon runs."""
    config = load_config(config_path, db=db)
    from ccagent import upkeep

    done = upkeep.vacuum(config, os.environ)
    if as_json:
        print_json(done)
    else:
        click.echo(f"{size(done['bytes_before'])} before, {size(done['bytes_after'])} now")


@command.command()
@db_option
@config_option
@json_option
def migrate(db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Bring the tables of an older version up to date, as the next start of a daemon would. Ends with 75 while one runs."""
    config = load_config(config_path, db=db)
    from ccagent import upkeep

    done = upkeep.migrate(config, os.environ)
    if as_json:
        print_json(done)
    elif done["from"] == done["to"]:
        click.echo(f"schema {done['to']}: nothing to do")
    else:
        click.echo(f"brought from schema {done['from']} to {done['to']} in {done['seconds']:.1f} s")
        if done["backup"] is not None:
            click.echo(f"as it was before it lies in {display(done['backup'])}")


@command.command(name="rebuild-rollups")
@click.option("--tz", "zone", metavar="ZONE", help="Days and weeks in this IANA time zone from now on.")
@db_option
@config_option
@json_option
def rebuild_rollups(zone: str | None, db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Sum hours, days and weeks anew from the facts. Ends with 75 while a daemon runs."""
    config = load_config(config_path, db=db)
    from ccagent import upkeep

    with Progress() as progress:
        done = upkeep.rebuild_rollups(
            config, os.environ, zone=zone, progress=lambda made, whole: progress.count(made, whole, "quarter hours")
        )
    if as_json:
        print_json(done)
    else:
        click.echo(f"{done['quarter_hours']:,} quarter hours summed anew, days in {done['zone']}")


@command.command()
@click.option("--dry-run", is_flag=True, help="Say what each rule would remove; nothing is written.")
@db_option
@config_option
@json_option
def prune(dry_run: bool, db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Remove what is older than retention allows; rollups and totals stay.

    Ends with 75 while a daemon runs, which does this daily; --dry-run works beside it.
    """
    config = load_config(config_path, db=db)
    from ccagent import prune as pruning

    done = pruning.plan(config) if dry_run else pruning.prune(config, os.environ)
    if as_json:
        print_json(done)
    else:
        print_prune(done)


@command.command()
@click.argument("archives", nargs=-1, required=True, metavar="FILE|DIR…", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would come back; nothing is written.")
@db_option
@config_option
@json_option
def restore(archives: tuple[Path, ...], dry_run: bool, db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Bring back the facts of archives that `prune` has written. Ends with 75 while a daemon runs.

    What this database has removed returns as it was; what it never had is taken in as new. It may be repeated.
    """
    config = load_config(config_path, db=db)
    from ccagent import prune as pruning

    done = pruning.restore(config, os.environ, archives, dry_run=dry_run)
    if as_json:
        print_json(done)
    else:
        print_restore(done)
