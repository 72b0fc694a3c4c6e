"""`ccagent export preview`: what would be sent next, to the letter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config, otlp_options
from ccagent.cli.output import print_json, size
from ccagent.config_keys import SIGNALS

if TYPE_CHECKING:
    from ccagent.previewing import Preview


@click.command(name="preview")
@click.option("--signal", type=click.Choice(SIGNALS), help="Only this signal.")
@click.option("--destination", metavar="NAME", help="Only this destination.")
@otlp_options
@json_option
@db_option
@config_option
def preview(
    signal: str | None,
    destination: str | None,
    otlp_endpoint: str | None,
    otlp_protocol: str | None,
    as_json: bool,
    db: str | None,
    config_path: Path | None,
) -> None:
    """Show the next request of each destination, as it would leave. Nothing is sent.

    Names of headers are shown, their values never. Where nothing waits it says so and ends with 0.
    """
    config = load_config(config_path, db=db, otlp_endpoint=otlp_endpoint, otlp_protocol=otlp_protocol)
    from ccagent.previewing import SCHEMA_VERSION, previews

    found = previews(config, os.environ, signal=signal, destination=destination)
    if as_json:
        print_json({"schema_version": SCHEMA_VERSION, "requests": [one.document() for one in found]})
        return
    for one in found:
        _print(one)


def _print(one: Preview) -> None:
    import json

    from ccagent.otlp_json import otlp_json

    left_out = [
        f"{count:,} {what}"
        for count, what in (
            (one.withheld, "of projects that allow no export"),
            (one.passed_over, "of before the destination was named, or too old"),
        )
        if count
    ]
    headers = f", headers {', '.join(one.header_names)}" if one.header_names else ""
    click.echo(f"{one.target.key}: {one.target.protocol} {one.target.url}{headers}")
    if left_out:
        click.echo(f"left out: {', '.join(left_out)}")
    if one.request is None:
        click.echo("nothing is pending")
    else:
        click.echo(f"{one.items:,} {_NOUNS[one.target.signal]}, {size(one.size)} before compression:")
        text = json.dumps(otlp_json(one.request), indent=2, ensure_ascii=False)
        # JSON escapes some of what can command a terminal, and leaves the rest (C1, signs that turn the direction) raw.
        click.echo("".join(sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in text))
    click.echo()


_NOUNS = {"traces": "spans", "metrics": "points", "logs": "records"}
