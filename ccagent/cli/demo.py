"""`ccagent demo`: something to look at without a session of one's own."""

from __future__ import annotations

import click

from ccagent.cli.options import Amount
from ccagent.config import split_listen


@click.command(name="demo")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help='Where /metrics is served; "off" opens no port, port 0 takes any. [default: a free port of 127.0.0.1]',
)
@click.option(
    "--seconds",
    type=Amount(min=0, min_open=True),
    metavar="N",
    help="End by itself N seconds after the live session began, instead of at Ctrl-C.",
)
@click.option("--keep", is_flag=True, help="Leave the demo's files behind and say where they are.")
@click.pass_context
def command(ctx: click.Context, listen: str | None, seconds: float | None, keep: bool) -> None:
    """Show an invented past week, then one live session; your own data is not touched."""
    if listen is not None:
        split_listen(listen, "--listen")
    from ccagent.demo.session import run_demo

    ctx.exit(run_demo(listen, keep, seconds))
