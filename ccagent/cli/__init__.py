"""The command line: one module a verb, loaded when it is called; every error becomes one line and an exit code."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from ccagent import __version__, standard_streams
from ccagent.errors import CcagentError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""

EXIT_FAILED: Final = 1

EXIT_USAGE: Final = 2

_SURROUNDINGS: Final = frozenset(
    (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    )
)
"""What the machine refuses, whatever the program: a line says more of it than a stack of calls. All else is a defect."""

DEFAULT_VERB: Final = "status"
"""What the bare command does: one screen of what is, never a wall of help."""

VERBS: Final[dict[str, str]] = {
    "init": "Look for transcripts, write a configuration, take in what there is.",
    "run": "Follow the transcripts; with --once take in all there is and end.",
    "service": "Run it from login on: install, remove, restart, look at its log.",
    "status": "Show on one screen whether it runs and what it has.",
    "doctor": "Look at everything ccagent needs, and say what to do.",
    "usage": "Show requests, tokens and cost by day, model, project and more.",
    "session": "Show one session: turns, sub-agents, files, errors and cost.",
    "alerts": "Show what fires; make, change, silence and try alert rules.",
    "backfill": "Take in what is missing; derive facts or costs anew.",
    "verify": "Recount the transcripts independently and compare.",
    "export": "Send traces of the past once, on request.",
    "reconcile": "Compare Claude Code's own telemetry with the transcripts.",
    "drift": "Show what is new in the transcripts, by client version.",
    "tap": "Show spans and log records as they leave, live.",
    "db": "Check, copy, compact and mend the database.",
    "demo": "Show an invented week and a live session, apart from your data.",
    "config": "Show, check and explain the configuration.",
    "completion": "Print the completion of this command for a shell.",
    "uninstall": "Remove what ccagent has written, showing each file first.",
}
"""Verbs with their one line of help: `--help` imports none of them."""


class LazyGroup(click.Group):
    """A group whose verbs are imported when one is called; without a verb it runs DEFAULT_VERB."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs in the order in which they are met."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb's module and give its command."""
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"ccagent.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from their one-liners, so that help stays quick."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the verbs from their names alone: a key pressed in a shell waits for the answer."""
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(name, help=told) for name, told in VERBS.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; an unknown one is answered with its nearest match."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in VERBS:
            from ccagent.config_file import nearest

            match = nearest(name, VERBS)
            ctx.fail(f"there is no verb {name!r}" + (f"; did you mean {match!r}?" if match else ""))
        return super().resolve_command(ctx, args)


@click.command(
    cls=LazyGroup,
    name="ccagent",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="ccagent %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Follows the transcripts of Claude Code and Codex: usage, cost, Prometheus metrics, OpenTelemetry.

    Without a verb it shows the status. Nothing leaves this machine unless you name where to.
    """
    if ctx.invoked_subcommand is None:
        verb = cli.get_command(ctx, DEFAULT_VERB)
        assert verb is not None
        with verb.make_context(DEFAULT_VERB, [], parent=ctx) as verb_context:
            verb.invoke(verb_context)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code; what went wrong stands in one line on standard error."""
    standard_streams.hold()
    try:
        return _run(args)
    finally:
        standard_streams.settle()


def _run(args: Sequence[str] | None) -> int:
    try:
        result = cli.main(args=None if args is None else list(args), prog_name="ccagent", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE if isinstance(error, click.UsageError) else error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return EXIT_INTERRUPTED
    except CcagentError as error:
        _say(str(error))
        return error.exit_code
    except OSError as error:
        if error.errno not in _SURROUNDINGS:
            raise
        _say(_refused(error))
        return EXIT_FAILED
    return result if isinstance(result, int) else 0


def _refused(error: OSError) -> str:
    """What the system would not do, and to what; what has no name is mostly the answer itself, on its way out."""
    if not isinstance(error.filename, str | bytes):
        return f"cannot write: {error.strerror}; make room, or send the answer somewhere else"
    from ccagent.paths import display

    return f"{display(error.filename)}: {error.strerror}; see to its owner, mode and disk, or name another place"


def _say(message: str) -> None:
    from ccagent.cli.output import clean

    told = "\n".join(map(clean, message.split("\n")))
    try:
        click.echo(f"ccagent: {told}", err=True)
    except (OSError, ValueError):
        return
