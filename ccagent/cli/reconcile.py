"""`ccagent reconcile`: how much of the transcripts Claude Code's own telemetry has caught."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ccagent.cli.options import config_option, json_option, load_config, source_option
from ccagent.cli.output import print_json
from ccagent.cli.reconcile_output import print_reconcile, waiting
from ccagent.cli.span import parse_duration
from ccagent.errors import UsageError


@click.command(name="reconcile")
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option("--listen", "address", metavar="HOST:PORT", help="Receive OTLP there (HTTP and gRPC), on loopback only.")
@click.option("--for", "lasting", metavar="10m", help="How long to listen; until interrupted where it is left out.")
@source_option
@config_option
@json_option
def command(
    file: Path | None,
    address: str | None,
    lasting: str | None,
    source: tuple[str, ...],
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Compare Claude Code's own telemetry with the transcripts, by request and tool call.

    FILE is OTLP as a Collector's file exporter writes it: JSON or protobuf, gzip or not. Ends with 0 whatever differs,
    with 20 where there is nothing to compare. Nothing is written or sent.
    """
    if (file is None) == (address is None):
        raise UsageError("give either a FILE of telemetry or --listen HOST:PORT")
    if lasting is not None and address is None:
        raise UsageError("--for says how long to listen; give --listen HOST:PORT too")
    seconds = None if lasting is None else parse_duration(lasting, "--for")
    from ccagent.reconcile.report import of_file, of_receiver

    if file is not None:
        document = of_file(load_config(config_path, source=source), os.environ, file)
    else:
        from ccagent.reconcile.listening import loopback

        assert address is not None
        host, port = loopback(address)
        config = load_config(config_path, source=source)
        document = of_receiver(config, os.environ, host, port, waiting(host, seconds))
    if as_json:
        print_json(document)
    else:
        print_reconcile(document)
