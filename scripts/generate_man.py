"""Write the man page from the command line: `python scripts/generate_man.py [--check]`.

With --check nothing is written; it ends with 1 where ccagent/packaging/man/ccagent.1 no longer says what the code does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ccagent import __version__  # noqa: E402 - the checkout goes before an installed package
from ccagent.cli import VERBS, cli  # noqa: E402
from scripts.generate_docs import EXIT_CODES  # noqa: E402

PAGE = ROOT / "ccagent" / "packaging" / "man" / "ccagent.1"

WIDTH = 78
"""Columns of the help texts, which stand as they are."""

FILES = {
    "$XDG_CONFIG_HOME/ccagent/config.toml": "configuration; `ccagent config default` prints every key",
    "$XDG_CONFIG_HOME/ccagent/env": "secrets of the service, mode 0600",
    "$XDG_DATA_HOME/ccagent/ccagent.db": "the database, with its backups in the folder backups",
    "$XDG_STATE_HOME/ccagent": "what stands for a served database on this machine",
}
"""Below ~/.config, ~/.local/share and ~/.local/state where the variables are not set."""


def page() -> str:
    """Give the man page."""
    root = click.Context(cli, info_name="ccagent")
    lines = [
        '.\\" Made by scripts/generate_man.py from the command line; do not edit.',
        f'.TH CCAGENT 1 "" "ccagent {__version__}" "User Commands"',
        ".SH NAME",
        "ccagent \\- follow the transcripts of Claude Code and Codex",
        ".SH SYNOPSIS",
        ".B ccagent",
        ".RI [ verb ]",
        ".RI [ options ]",
        ".SH DESCRIPTION",
        *_paragraphs(cli.help or ""),
        ".SH VERBS",
    ]
    for verb, told in VERBS.items():
        command = cli.get_command(root, verb)
        assert command is not None
        lines += [f".SS ccagent {_text(verb)}", _text(told), *_help([verb], command, root)]
        if isinstance(command, click.Group):
            group = click.Context(command, info_name=verb, parent=root)
            for name, inner in sorted(command.commands.items()):
                lines += [f".SS ccagent {_text(verb)} {_text(name)}", *_help([verb, name], inner, group)]
    lines += [".SH FILES", *_defined(FILES)]
    lines += [".SH EXIT STATUS", *_defined({str(code): meaning for code, meaning in EXIT_CODES.items()})]
    return "\n".join(lines) + "\n"


def _help(words: list[str], command: click.Command, parent: click.Context) -> Iterator[str]:
    """What a verb prints with --help, as it stands."""
    with click.Context(
        command, info_name=words[-1], parent=parent, max_content_width=WIDTH, terminal_width=WIDTH
    ) as context:
        yield ".PP"
        yield ".nf"
        yield from (_text(line) for line in command.get_help(context).splitlines())
        yield ".fi"


def _paragraphs(text: str) -> Iterator[str]:
    for part in text.split("\n\n"):
        yield ".PP"
        yield _text(" ".join(part.split()))


def _defined(terms: dict[str, str]) -> Iterator[str]:
    for term, meaning in terms.items():
        yield ".TP"
        yield f".B {_text(term)}"
        yield _text(meaning)


def _text(line: str) -> str:
    """A line that roff takes as text: no escape, no request, and hyphens that can be copied."""
    line = (
        line.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("~", "\\(ti").replace("^", "\\(ha")
    )
    line = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in line)
    return f"\\&{line}" if line.startswith((".", "'")) else line


def main(arguments: list[str]) -> int:
    """Write the page, or with --check only compare it."""
    if arguments not in ([], ["--check"]):
        print("usage: generate_man.py [--check]", file=sys.stderr)
        return 2
    text = page()
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    if arguments:
        print("ccagent/packaging/man/ccagent.1 is stale; run python scripts/generate_man.py", file=sys.stderr)
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print("wrote ccagent/packaging/man/ccagent.1")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
