"""Write the generated pages of docs/ from the code: `python scripts/generate_docs.py [--check]`.

With --check nothing is written; it ends with 1 and names the pages that no longer say what the code does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ccagent import config_reference  # noqa: E402 - the checkout goes before an installed package
from ccagent.cli import VERBS, cli  # noqa: E402

HELP_WIDTH = 100


def cli_page() -> str:
    """Give docs/cli.md: each verb with the help that it prints."""
    lines = [
        "# Command line",
        "",
        "Standard output holds data, standard error talk. Money in JSON is integer `cost_microusd`; ignore keys that",
        "you do not know. A bare `ccagent` is `ccagent status`.",
        "",
        "| Exit code | Meaning |",
        "|--|--|",
        *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()),
        "",
    ]
    for words, command in _walk():
        title = " ".join(["ccagent", *words])
        with click.Context(
            command, info_name=title, max_content_width=HELP_WIDTH, terminal_width=HELP_WIDTH
        ) as context:
            lines += [f"## `{title}`", "", "```text", command.get_help(context).strip(), "```", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


EXIT_CODES = {
    0: "done",
    1: "failed",
    2: "wrong usage",
    3: "not running (`status`)",
    10: "an alert fires (`alerts --check`, `status --check`); something is new (`drift`), or to be done (`doctor`)",
    20: "no data: no database yet, nothing in it (`usage`, `drift`), no such session, nothing to compare (`reconcile`)",
    70: "a thread died; the supervisor restarts the whole daemon",
    75: "another instance holds the database",
    78: "bad configuration, or a database of a newer version; a restart does not help",
    130: "interrupted",
}


def _walk() -> Iterator[tuple[list[str], click.Command]]:
    root = click.Context(cli)
    for verb in VERBS:
        command = cli.get_command(root, verb)
        assert command is not None
        yield [verb], command
        if isinstance(command, click.Group):
            for name, inner in sorted(command.commands.items()):
                yield [verb, name], inner


PAGES: dict[str, Callable[[], str]] = {
    "docs/cli.md": cli_page,
    "docs/configuration.md": config_reference.reference_page,
}
"""Page → what makes it. One line a generated page."""


def stale(root: Path) -> list[str]:
    """Name the pages whose text is not what the code makes of them."""
    return [name for name, make in PAGES.items() if not _same(root / name, make())]


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check only compare them."""
    if arguments not in ([], ["--check"]):
        print("usage: generate_docs.py [--check]", file=sys.stderr)
        return 2
    names = stale(ROOT)
    if arguments:
        for name in names:
            print(f"{name} is stale; run python scripts/generate_docs.py", file=sys.stderr)
        return 1 if names else 0
    for name in names:
        (ROOT / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
