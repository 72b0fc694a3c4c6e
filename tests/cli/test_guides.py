"""The commands of the pages that people read first do what they are shown for, one after the other, on one machine."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

from ccagent.cli import main
from ccagent.config import load

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TRANSCRIPTS = ROOT / "tests" / "fixtures" / "transcripts"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

ELSEWHERE = ("service", "tap")
"""Verbs that need a service manager, or do not end; they have tests of their own."""

NOT_RUNNING = 3
TO_DO = 10
CODES = {"status": {NOT_RUNNING}, "doctor": {0, TO_DO}}
"""What else than 0 is right without a daemon."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with transcripts, where ccagent has never run."""
    for name in (
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
        "XDG_CACHE_HOME",
        "CLAUDE_CONFIG_DIR",
        "CODEX_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CCAGENT_LISTEN", "off")  # the usual port may be taken where tests run
    monkeypatch.chdir(tmp_path)
    shutil.copytree(TRANSCRIPTS, tmp_path / ".claude" / "projects")
    return tmp_path


def blocks(page: str, kind: str) -> list[str]:
    """The fenced blocks of that kind."""
    return [body for found, body in FENCE.findall((DOCS / page).read_text("utf-8")) if found == kind]


def commands(page: str) -> list[list[str]]:
    """The words behind `ccagent` of every command that is shown in a block and can be run here."""
    lines = [shlex.split(line, comments=True) for body in blocks(page, "sh") for line in body.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["ccagent"] and words[1] not in ELSEWHERE]


def files(folder: Path) -> dict[Path, bytes]:
    """Every file below the folder, with what is in it."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(page: str) -> dict[str, int]:
    """Commands of the page that ended with another code than they should, run in their order."""
    codes = {" ".join(words): main(words) for words in commands(page)}
    return {line: code for line, code in codes.items() if code and code not in CODES.get(line.split()[0], set())}


def test_the_quick_start_leads_from_nothing_to_figures(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(commands("quick-start.md")) > 10

    assert refused("quick-start.md") == {}

    assert "claude-opus-5" in capsys.readouterr().out
    assert (home / ".config" / "ccagent" / "config.toml").exists()
    assert (home / ".local" / "share" / "ccagent" / "ccagent.db").exists()


@pytest.mark.parametrize("page", ["privacy.md", "troubleshooting.md"])
def test_what_a_page_tells_to_look_at_can_be_looked_at(home: Path, page: str) -> None:
    main(["run", "--once"])

    assert commands(page)
    assert refused(page) == {}


@pytest.mark.parametrize("body", [*blocks("quick-start.md", "toml")])
def test_a_piece_of_configuration_is_taken_as_it_stands(home: Path, body: str) -> None:
    file = home / "config.toml"
    file.write_text(body)

    assert (
        load({}, {"HOME": str(home)}, file).alerts.daily_budget_usd == tomllib.loads(body)["alerts"]["daily_budget_usd"]
    )


def test_removing_leaves_the_transcripts_and_nothing_of_its_own(home: Path) -> None:
    main(["init", "--yes"])
    before = files(home / ".claude")

    for words in commands("removing.md"):
        assert main(words if "--dry-run" in words else [*words, "--yes"]) == 0

    assert files(home) == before
