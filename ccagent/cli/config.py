"""`ccagent config`: what applies and why, whether it is right, and where everything lies."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ccagent import config_reference, otlp_settings
from ccagent.cli.options import config_option, json_option, load_config
from ccagent.cli.output import print_json
from ccagent.config_file import UNNAMED
from ccagent.config_keys import CONFIG_VARIABLE
from ccagent.errors import ConfigError
from ccagent.paths import display, expand, resolve

SCHEMA_VERSION = 1


@click.group(name="config")
def command() -> None:
    """Show, check and explain the configuration."""


@command.command()
@config_option
@click.option("--origin", is_flag=True, help="Say what set each value.")
@json_option
def show(config_path: Path | None, origin: bool, as_json: bool) -> None:
    """Show what applies: option, then environment, then file, then default; secrets are masked."""
    config = load_config(config_path)
    if not as_json:
        for line in config_reference.show(config, origin=origin):
            click.echo(line)
        return
    values = config_reference.shown(config)
    document: dict[str, object] = {"schema_version": SCHEMA_VERSION, "values": values}
    if origin:
        document["origins"] = {name: config_reference.describe_origin(config, name) for name in values}
    print_json(document)


@command.command()
def default() -> None:
    """Print the configuration file with every key, its purpose and its default."""
    click.echo(config_reference.default_file(), nl=False)


@command.command()
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> None:
    """Check file and environment; ends with 78 where the daemon would refuse them."""
    from ccagent.service.channels import check_channels, sending_channels

    config = load_config(config_path)
    settings = otlp_settings.resolve(config, os.environ)
    check_channels(config.alerts.channels)
    for destination in settings.destinations:
        for file in (destination.certificate, destination.client_certificate, destination.client_key):
            if file is not None and not file.is_file():
                raise ConfigError(f"{display(file)}: there is no such file; it is named for the export's TLS")
    telling = sending_channels(config.alerts.channels)
    if as_json:
        leaves = [
            {"destination": None if each.name == UNNAMED else each.name, "signal": each.signal, "url": each.url,
             "protocol": each.protocol}
            for each in settings.destinations
        ]  # fmt: skip
        print_json({
            "schema_version": SCHEMA_VERSION, "file": display(config.file) if config.file else None, "leaves": leaves,
            "alerts": [{"channel": name, "where": where} for name, where in telling.items()],
            "notices": [*config.notices, *settings.notices],
        })  # fmt: skip
        return
    for notice in settings.notices:
        click.echo(f"ccagent: {notice}", err=True)
    click.echo(f"{display(config.file) if config.file else 'no configuration file'}: all is well")
    for destination in settings.destinations:
        name = "" if destination.name == UNNAMED else f"{destination.name} at "
        click.echo(f"{destination.signal} go to {name}{destination.url} by {destination.protocol}")
    for name, where in telling.items():
        click.echo(f"alerts go to {name}{where} where a rule names it")
    if not settings.enabled and not telling:
        click.echo("nothing leaves this machine")


@command.command()
@config_option
@json_option
def path(config_path: Path | None, as_json: bool) -> None:
    """Print where configuration, database, state and cache lie, the database as it is set; no password is shown."""
    from ccagent.store.location import parse_database

    places = resolve(os.environ)
    file = config_path or (expand(named, os.environ) if (named := os.environ.get(CONFIG_VARIABLE)) else None)
    try:
        database = parse_database(load_config(config_path).database, places.state_dir)
        where = database.display if database.kind == "postgres" else str(Path(database.target).absolute())
    except ConfigError as error:
        where = str(places.database)
        click.echo(f"ccagent: {error}; the database is named as if none were set", err=True)
    rows: dict[str, Path | str] = {
        "config": file or places.config_file,
        "env": places.env_file,
        "database": where,
        "state": places.state_dir,
        "cache": places.cache_dir,
    }
    shown = {name: display(each) for name, each in rows.items()}
    if as_json:
        print_json({"schema_version": SCHEMA_VERSION, **shown})
        return
    for name, each in shown.items():
        click.echo(f"{name:<9} {each}")
