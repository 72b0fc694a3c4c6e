"""Every verb that answers something has --json, and docs/json.md describes each answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ccagent.cli import VERBS, cli, main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"

WITHOUT = {
    "run", "demo",  # they follow until they are ended
    "service install", "service uninstall", "service restart",  # a line a step, as it is done
    "service logs", "config default", "completion",  # texts of a form of their own
}  # fmt: skip


def verbs(name: str, command: click.Command) -> Iterator[tuple[str, bool]]:
    """Each verb below a command that can be called, and whether it has --json."""
    if isinstance(command, click.Group):
        for inner, one in command.commands.items():
            yield from verbs(f"{name} {inner}", one)
    else:
        yield name, any("--json" in option.opts for option in command.params)


def all_verbs() -> dict[str, bool]:
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in VERBS}
    return {verb: has for name, one in commands.items() if one is not None for verb, has in verbs(name, one)}


def section(verb: str) -> str:
    found = re.findall(rf"## `ccagent {verb} --json`\n(.*?)(?=\n## |\Z)", PAGE.read_text(), re.DOTALL)
    return str(found[0]) if found else ""


def named(verb: str) -> set[str]:
    """The fields in the first column of a verb's table."""
    rows = re.findall(r"^\| (`.*?) \|", section(verb), re.MULTILINE)
    return {field for row in rows for field in re.findall(r"`(\w+)`", row)}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no service manager is asked
    return tmp_path


def test_every_verb_that_answers_has_json() -> None:
    assert {verb for verb, has in all_verbs().items() if not has} == WITHOUT


def test_the_page_has_every_verb_with_json() -> None:
    page = PAGE.read_text()

    assert [
        verb for verb, has in all_verbs().items() if has and not re.search(rf"`ccagent {verb}( --json)?`", page)
    ] == []


@pytest.mark.parametrize(
    ("verb", "options"),
    [("uninstall", ["--yes", "--purge"]), ("config path", []), ("config show", ["--origin"]), ("config check", [])],
)
def test_the_page_and_the_answer_name_the_same(
    verb: str, options: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb.split(), "--json", *options]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document.pop("schema_version") == 1
    assert set(document) == named(verb)


def test_an_uninstall_in_json_tells_each_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / ".config" / "ccagent" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("")

    assert main(["uninstall", "--json", "--dry-run"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert main(["uninstall", "--json", "--purge"]) == 2, "it never asks"
    assert capsys.readouterr().out == ""
    assert main(["uninstall", "--json", "--purge", "--yes"]) == 0
    done = json.loads(capsys.readouterr().out)

    told = {"path": str(file), "sort": "config", "bytes": 0}
    assert (shown["removed"], shown["kept"], shown["folders"]) == ([], [told], [])
    assert (done["removed"], done["kept"], done["folders"]) == ([told], [], [str(file.parent)])


def test_a_check_in_json_names_what_leaves(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCAGENT_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("CCAGENT_NONSENSE", "1")

    assert main(["config", "check", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert {(each["destination"], each["signal"]) for each in document["leaves"]} == {
        (None, "traces"), (None, "metrics"), (None, "logs"),
    }  # fmt: skip
    assert any("CCAGENT_NONSENSE" in notice for notice in document["notices"])
