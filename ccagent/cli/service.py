"""`ccagent service`: the daemon as a service of its user, under systemd or launchd."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ccagent.cli.options import config_option, json_option, load_config
from ccagent.cli.output import print_json

dry_run_option = click.option("--dry-run", is_flag=True, help="Show files and commands; change nothing.")


@click.group(name="service")
def command() -> None:
    """Run ccagent in the background from login on: a systemd user unit, or a launchd agent on macOS."""


@command.command()
@dry_run_option
@config_option
def install(dry_run: bool, config_path: Path | None) -> None:
    """Write the unit and start it; shows each file and command. Again: brings it up to date."""
    from ccagent.install.managing import choose
    from ccagent.install.place import survey
    from ccagent.install.steps import Hands
    from ccagent.paths import display, home

    place = survey(load_config(config_path), os.environ, home(os.environ), sys.argv)
    choose(os.environ).install(place, Hands(os.environ, click.echo, dry_run))
    if place.unseen:
        click.echo(
            f"ccagent: set here, and not seen by the service: {', '.join(place.unseen)}; what it needs of them belongs"
            f" into the configuration or into {display(place.env_file)} (mode 0600)",
            err=True,
        )


@command.command()
@dry_run_option
def uninstall(dry_run: bool) -> None:
    """Stop it and remove what was written; configuration and database stay."""
    from ccagent.install.managing import choose
    from ccagent.install.steps import Hands

    choose(os.environ).uninstall(Hands(os.environ, click.echo, dry_run))


@command.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show how the service stands; ends with 3 where it does not run."""
    from ccagent.install.managing import choose

    standing = choose(os.environ).standing()
    if as_json:
        print_json(standing.document())
    else:
        for line in standing.lines():
            click.echo(line)
    ctx.exit(0 if standing.running else 3)


@command.command()
@click.option("-n", "--lines", type=click.IntRange(min=1), default=100, show_default=True, help="Lines from the end.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.pass_context
def logs(ctx: click.Context, lines: int, follow: bool) -> None:
    """Show its log."""
    from ccagent.install.managing import choose

    ctx.exit(choose(os.environ).logs(lines=lines, follow=follow))


@command.command()
@dry_run_option
def restart(dry_run: bool) -> None:
    """Restart it."""
    from ccagent.install.managing import choose
    from ccagent.install.steps import Hands

    choose(os.environ).restart(Hands(os.environ, click.echo, dry_run))
