"""The command as a whole: exit codes, one clear line for what went wrong, and a quick start."""

from __future__ import annotations

import importlib.util
import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import ccagent
from ccagent import errors
from ccagent.cli import VERBS, cli, main

ROOT = Path(__file__).parents[2]

HEAVY = ("grpc", "psycopg", "opentelemetry", "rich", "uvicorn", "starlette", "watchdog", "structlog", "google.protobuf")
"""Packages that cost tens of milliseconds and that a status or a help text does not need."""

PROBE = """
import sys
from ccagent.cli import main
main(sys.argv[1:])
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


def heavy_imports(*arguments: str) -> str:
    probe = PROBE.format(heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", probe, *arguments], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["run", "--help"], ["usage", "--help"], ["config", "show"]], ids=" ".join
)
def test_help_and_configuration_load_nothing_heavy(arguments: list[str]) -> None:
    assert heavy_imports(*arguments) == "[]"


@pytest.mark.skipif(importlib.util.find_spec("ccagent.status") is None, reason="ccagent.status is not there")
@pytest.mark.parametrize("arguments", [[], ["status"], ["status", "--json"]], ids=" ".join)
def test_the_status_loads_nothing_heavy(arguments: list[str]) -> None:
    assert heavy_imports(*arguments) == "[]"


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--version"])

    assert (code, capsys.readouterr().out) == (0, f"ccagent {ccagent.__version__}\n")


def test_the_module_can_be_run_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ccagent", "config", "default"], capture_output=True, timeout=60, check=True, cwd=ROOT
    )

    assert done.stdout.startswith(b"## ccagent")


def test_every_verb_has_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    codes = {verb: main([verb, "--help"]) for verb in VERBS}

    assert set(codes.values()) == {0}
    assert capsys.readouterr().out.count("Usage: ccagent ") == len(VERBS)


def test_the_help_of_the_command_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])

    shown = capsys.readouterr().out
    assert [verb for verb in VERBS if f"  {verb} " not in shown] == []


def test_every_verb_is_named_as_its_module() -> None:
    context = cli.make_context("ccagent", ["config"], resilient_parsing=True)

    assert [command.name for verb in VERBS if (command := cli.get_command(context, verb))] == list(VERBS)


def test_a_misspelt_verb_is_wrong_usage_and_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["uasge"])

    assert code == 2
    assert "did you mean 'usage'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["usage", "--by", "moon"],
        ["run", "--nonsense"],
        ["usage", "--json", "--csv"],
        ["backfill", "--rate", "nan"],
        ["backfill", "--rate", "inf"],
        ["tap", "--for", "nan"],
        ["demo", "--seconds", "inf"],
        ["export", "traces", "--since", "all", "--rate", "nan"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().out == ""


def test_a_bad_configuration_ends_with_78_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["run", "--listen", "nowhere"])

    shown = capsys.readouterr()
    assert (code, shown.out) == (78, "")
    assert shown.err.startswith("ccagent: --listen: 'nowhere' is no HOST:PORT")
    assert shown.err.count("\n") == 1


def test_an_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdout", Interrupted())

    assert main(["config", "default"]) == 130


def test_an_unknown_variable_of_ours_is_said_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCAGENT_LISTN", "off")

    main(["config", "show"])

    assert capsys.readouterr().err == "ccagent: the variable CCAGENT_LISTN means nothing to ccagent; CCAGENT_LISTEN?\n"


def test_each_error_of_the_tree_has_the_exit_code_that_its_module_draws() -> None:
    drawn = errors.__doc__ or ""
    kinds = [errors.CcagentError, *errors.CcagentError.__subclasses__()]

    assert [kind.__name__ for kind in kinds if f"{kind.__name__} ({kind.exit_code})" not in drawn] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["config", "default"], ["--help"], ["config", "show", "--json"]], ids=" ".join)
def test_an_answer_that_finds_no_room_is_one_line_and_a_failure(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ccagent", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
            check=False, cwd=ROOT,
        )  # fmt: skip

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("ccagent: cannot write: No space left")


NOT_TO_BE_SEEN = "n" * 300
"""A path that the system refuses to look at, to root too, as it does to others in a folder of somebody else's."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["usage"], ["session", "x"], ["verify"], ["db", "check"], ["db", "backup"], ["db", "prune"], ["db", "vacuum"],
        ["alerts"], ["alerts", "enable", "session-cost"], ["backfill", "--dry-run"], ["init", "--dry-run"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_database_that_may_not_be_looked_at_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    code = main([*arguments, "--db", str(tmp_path / NOT_TO_BE_SEEN)])

    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (78, 1)
    assert "cannot look at " in said


@pytest.mark.parametrize(
    "arguments", [["usage"], ["session", "x"], ["alerts"], ["alerts", "enable", "session-cost"]], ids=" ".join
)
def test_another_programs_database_is_said_to_be_one(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(tmp_path / "notes.db")) as conn:
        conn.execute("CREATE TABLE note (words TEXT)")

    code = main([*arguments, "--db", str(tmp_path / "notes.db")])

    assert code == 78
    assert "is the SQLite database of another program; name another --db" in capsys.readouterr().err


def test_a_configuration_that_may_not_be_looked_at_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / NOT_TO_BE_SEEN))

    code = main(["status"])

    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (78, 1)


def test_status_shows_the_rest_where_the_database_may_not_be_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["status", "--json", "--db", str(tmp_path / NOT_TO_BE_SEEN)])

    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (code, problem.startswith("cannot look at ")) == (3, True)
