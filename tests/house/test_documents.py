"""What the documents name exists: links, files, verbs, options and variables."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest

from tests.house.source import ROOT, modules, strings

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
GUIDES = (
    "quick-start.md",
    "concepts.md",
    "privacy.md",
    "troubleshooting.md",
    "platforms.md",
    "comparison.md",
    "removing.md",
)
HOUSE = ("README.md", "architecture.md", "decisions.md", "CONTRIBUTING.md")
WRITTEN = [path for path in DOCUMENTS if path.name in (*HOUSE, *GUIDES)]
LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
FENCE = re.compile(r"^```(?:sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
VARIABLE = re.compile(r"\bCCAGENT_[A-Z_]+\b")
PATH = re.compile(r"(?<!/)\b(?:ccagent|docs|scripts|tests|packaging|deploy|benchmarks)/[\w./-]*")


def heading_anchor(heading: str) -> str:
    """The anchor that a Markdown heading gets on the usual forges."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    broken = []
    for target in (first or second for first, second in LINK.findall(text)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (document.parent / name) if name else document
        if not file.exists():
            broken.append(target)
        elif anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            if anchor not in map(heading_anchor, headings):
                broken.append(target)

    assert broken == []


@pytest.mark.parametrize("document", WRITTEN, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(document: Path) -> None:
    quoted = INLINE.findall(document.read_text(encoding="utf-8"))
    named = {match.rstrip(".") for text in quoted for match in PATH.findall(text)}

    assert sorted(name for name in named if not (ROOT / name).exists()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_shown_exists(document: Path) -> None:
    unknown = [line for line in shown_commands(document) if not known(line)]

    assert unknown == []


def test_every_verb_is_in_the_readme() -> None:
    shown = {words[1] for line in shown_commands(ROOT / "README.md") if len(words := shlex.split(line)) > 1}

    assert sorted(set(verbs()) - shown) == []


@pytest.mark.parametrize("document", WRITTEN, ids=lambda path: path.name)
def test_every_variable_that_is_named_is_read_somewhere(document: Path) -> None:
    assert sorted(set(VARIABLE.findall(document.read_text(encoding="utf-8"))) - variables()) == []


def test_generated_documents_are_fresh() -> None:
    generators = sorted((ROOT / "scripts").glob("generate_*.py"))
    checked = {
        script.name: subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, cwd=ROOT)
        for script in generators
    }

    assert checked
    assert {name: done.stdout + done.stderr for name, done in checked.items() if done.returncode} == {}


@cache
def variables() -> set[str]:
    """Names that the code holds, and those of the reference."""
    sources = [*modules(), *modules(ROOT / "tests"), *modules(ROOT / "scripts")]
    read = {name for path in sources for text, _ in strings(path) for name in VARIABLE.findall(text)}
    reference = ROOT / "docs" / "configuration.md"  # generated from the keys that the configuration reads
    return read | set(VARIABLE.findall(reference.read_text(encoding="utf-8")))


def shown_commands(document: Path) -> list[str]:
    """Lines of shell fences, and inline code, that call ccagent."""
    text = document.read_text(encoding="utf-8")
    lines = [line for block in FENCE.findall(text) for line in block.splitlines()] + INLINE.findall(text)
    parts = [part.strip() for line in lines for part in line.split("#")[0].split("&&")]
    return [part.removeprefix(".venv/bin/") for part in parts if re.match(r"(\.venv/bin/)?ccagent [a-z-]", part)]


def known(line: str) -> bool:
    """Whether verb, sub-verb and long options of `line` exist."""
    command: click.Command = cli()
    context = click.Context(command)
    for word in shlex.split(line)[1:]:
        if word.startswith("--"):
            options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            if word.split("=")[0] not in options | {"--help", "--version"}:
                return False
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None:
                return False
            command = found
    return True


@cache
def cli() -> click.Group:
    from ccagent.cli import cli as group

    return group


def verbs() -> list[str]:
    return cli().list_commands(click.Context(cli()))
