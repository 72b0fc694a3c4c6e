"""`ccagent run`: the foreground service, and its one-shot form."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ccagent.cli.options import config_option, db_option, listen_option, load_config, otlp_options, source_option
from ccagent.cli.output import Progress, size

NO_TRANSCRIPTS = (
    "No transcripts yet in {roots}. They are followed as soon as Claude Code or Codex writes some;"
    " `ccagent demo` shows invented ones meanwhile."
)
NOWHERE = "~/.claude/projects and ~/.codex/sessions"


@click.command(name="run")
@click.option("--once", is_flag=True, help="Take in all there is, roll up, send what is due, then end; opens no port.")
@source_option
@db_option
@listen_option
@otlp_options
@config_option
@click.pass_context
def command(
    ctx: click.Context,
    once: bool,
    source: tuple[str, ...],
    db: str | None,
    listen: str | None,
    otlp_endpoint: str | None,
    otlp_protocol: str | None,
    config_path: Path | None,
) -> None:
    """Follow the transcripts until told to stop; this is what a service manager starts."""
    config = load_config(
        config_path, source=source, db=db, listen=listen, otlp_endpoint=otlp_endpoint, otlp_protocol=otlp_protocol
    )
    from ccagent.daemon import run_forever, run_once

    if not once:
        ctx.exit(run_forever(config, os.environ, _Terminal() if sys.stderr.isatty() else None))
    with Progress() as progress:
        live, problems = run_once(config, os.environ, progress)
    click.echo(
        f"{live.files:,} files, {size(live.total_bytes - live.unread_bytes)} read; {size(live.pending_bytes)} of unfinished lines wait,"
        f" {live.unreadable} files and {live.refused} folders cannot be read"
    )
    for signal, problem in problems.items():
        click.echo(f"not sent ({signal}): {problem}", err=True)
    if not live.files:
        click.echo(live.problems.get("folders") or NO_TRANSCRIPTS.format(roots=_roots(config.sources)), err=True)


class _Terminal:
    """Tells a person at a terminal what the first minutes do: progress of the catch-up, then where to look."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._told = False

    def __call__(self, live: object) -> None:
        from ccagent.service.live import Live

        assert isinstance(live, Live)
        if self._told or not live.ready:
            return
        if not live.caught_up and live.unread_bytes:
            if self._progress is None:
                self._progress = Progress()
                self._progress.__enter__()
            self._progress(live.total_bytes - live.unread_bytes, live.total_bytes)
            return
        if not live.caught_up:
            return
        self._told = True
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
        if live.files:
            click.echo(
                f"Following {live.files:,} files ({size(live.total_bytes)}). `ccagent usage` shows yours.", err=True
            )
        else:
            no_transcripts = NO_TRANSCRIPTS.format(roots=", ".join(live.roots) or NOWHERE)
            click.echo(live.problems.get("folders") or no_transcripts, err=True)
        if live.listen.startswith("http"):
            click.echo(
                f"Metrics: {live.listen}/metrics. Nothing leaves this machine unless you name a destination.", err=True
            )


def _roots(sources: tuple[object, ...]) -> str:
    return ", ".join(str(source) for source in sources) or NOWHERE
