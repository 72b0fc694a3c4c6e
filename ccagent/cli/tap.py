"""`ccagent tap`: what leaves, live."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ccagent.cli.options import Amount, config_option, db_option, json_option, load_config, otlp_options
from ccagent.cli.output import clean, print_json, terminal_width
from ccagent.config_keys import SIGNALS

if TYPE_CHECKING:
    from ccagent.tapping import Tapped

LOOK_SECONDS: Final = 0.25
"""Between two looks at the cursors."""


@click.command(name="tap")
@click.option("--signal", type=click.Choice([one for one in SIGNALS if one != "metrics"]), help="Only this signal.")
@click.option("--for", "seconds", metavar="SECONDS", type=Amount(min=0), help="End after so long.")
@otlp_options
@json_option
@db_option
@config_option
def command(
    signal: str | None,
    seconds: float | None,
    otlp_endpoint: str | None,
    otlp_protocol: str | None,
    as_json: bool,
    db: str | None,
    config_path: Path | None,
) -> None:
    """Show spans and log records as they leave, one a line, until Ctrl-C.

    With --json one document a line: the item in OTLP's JSON form. Metrics are totals that are sent again and again;
    `ccagent export preview --signal metrics` shows them.
    """
    config = load_config(config_path, db=db, otlp_endpoint=otlp_endpoint, otlp_protocol=otlp_protocol)
    from ccagent.errors import ConfigError
    from ccagent.outgoing import settle
    from ccagent.store.location import parse_database
    from ccagent.store.open import open_reader
    from ccagent.tapping import Tap

    settings, _ = settle(config, os.environ)
    database = parse_database(config.database, config.paths.state_dir)
    tap = Tap(lambda: open_reader(database), config, settings, shared=database.kind != "sqlite")
    if not tap.targets:
        raise ConfigError("no destination gets traces or logs, so nothing passes here; see `ccagent status --otel`")
    if not as_json:
        click.echo(f"ccagent: watching {', '.join(one.key for one in tap.targets)}; Ctrl-C ends it", err=True)
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        for one in tap.poll():
            if signal in (None, one.signal):
                _print(one, as_json)
        if end is not None and time.monotonic() >= end:
            return
        time.sleep(LOOK_SECONDS)


def _print(one: Tapped, as_json: bool) -> None:
    from ccagent.otlp_json import otlp_json

    if as_json:
        print_json(
            {"schema_version": 1, "destination": one.destination, "signal": one.signal, "item": otlp_json(one.item)}
        )
        return
    from ccagent.tapping import sentence

    click.echo(clean(sentence(one))[: terminal_width()])
