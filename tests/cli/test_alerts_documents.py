"""docs/alerts.md and docs/json.md say what the verbs do: examples are read, commands are run, fields are compared."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ccagent.alert_cases import Rules
from ccagent.alerts.casefile import read_cases
from ccagent.alerts.caserun import run_case
from ccagent.alerts.expression import read_expression
from ccagent.alerts.pack import PACK
from ccagent.alerts.parsing import parse
from ccagent.cli import main
from ccagent.config import load
from ccagent.store import rollups
from tests.sources.feed import Feed
from tests.transcripts import Session, text

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "alerts.md"
JSON_PAGE = ROOT / "docs" / "json.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = FENCE.findall(PAGE.read_text("utf-8"))
TABLES = [body for kind, body in BLOCKS if kind == "toml"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    now = time.time_ns() // 1_000_000
    session = Session("one", start=now - 3_600_000 * 5)
    session.prompt("hello")
    session.assistant(text("hi"))
    feed = Feed(tmp_path / "one.db", now_ms=now).read(session)
    feed.store.write(lambda conn: rollups.reset(conn, ZoneInfo("UTC")))
    while feed.store.write(lambda conn: rollups.refresh(conn, ZoneInfo("UTC"))):
        pass
    feed.close()
    return tmp_path / "one.db"


@pytest.mark.parametrize("body", TABLES, ids=lambda body: body.split("\n")[0])
def test_every_example_is_taken_as_it_stands(body: str, tmp_path: Path) -> None:
    if "[[case]]" in body:
        cases = read_cases(tomllib.loads(body), Rules(load({}, {"HOME": str(tmp_path)})))
        assert [run_case(case).faults for case in cases] == [()] * len(cases)
        return
    file = tmp_path / "config.toml"
    file.write_text(body)
    variables = {"TEAM_SLACK_URL": "https://hooks.slack.example/T/B/x", "PAGER_TOKEN": "x"}

    config = load({}, {"HOME": str(tmp_path)} | variables, file)

    said = tomllib.loads(body)["alerts"]
    assert [rule["id"] for rule in config.alerts.rules] == list(said.get("rules", {}))
    for rule in config.alerts.rules:
        parse(rule)


def test_every_condition_in_a_line_is_a_rules() -> None:
    (table,) = re.findall(r"\| line \| meaning \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE.read_text("utf-8"))
    lines = re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)

    assert len(lines) > 5
    for line in lines:
        parse({"id": "x", **read_expression(line)})


def test_every_command_does_what_it_is_shown_for(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCAGENT_DATABASE_URL", str(database))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts" / "night.toml").write_text(next(body for body in TABLES if "[[case]]" in body))
    assert main(["alerts", "enable", "session-cost"]) == 0
    shown = [line.partition("  #")[0].strip() for kind, body in BLOCKS if kind == "sh" for line in body.splitlines()]
    words = [shlex.split(line.replace("alerts/*.toml", "alerts/night.toml"))[1:] for line in shown if line]

    assert len(words) > 20
    codes = {" ".join(each): main(each) for each in words}

    assert {line: code for line, code in codes.items() if code} == {}
    capsys.readouterr()


def test_the_refusal_on_the_page_is_what_is_said(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = [body for kind, body in BLOCKS if kind == "text" and body.startswith("$ ")]
    command, answer = block.strip().split("\n")

    main([*shlex.split(command)[2:], "--db", str(database)])

    assert capsys.readouterr().err.strip() == answer


def test_the_generated_part_has_every_rule_and_a_stale_one_fails_the_check(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "generate_alerts_doc.py"
    copy = tmp_path / "scripts" / script.name
    copy.parent.mkdir()
    copy.write_text(script.read_text())
    (tmp_path / "ccagent").symlink_to(ROOT / "ccagent")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / PAGE.name).write_text(PAGE.read_text("utf-8").replace("session_cost session > 5", "x"))
    env = {"PATH": "", "HOME": str(tmp_path)}

    done = subprocess.run([sys.executable, copy, "--check"], capture_output=True, text=True, timeout=120, env=env)

    assert (done.returncode, "docs/alerts.md is stale" in done.stderr) == (1, True)
    assert re.findall(r"^### `([a-z0-9-]+)`$", PAGE.read_text("utf-8"), re.MULTILINE) == [one["id"] for one in PACK]


def test_no_word_of_the_corpus_is_on_the_page() -> None:
    generated = PAGE.read_text("utf-8").partition("<!-- rules: begin")[2]

    assert re.findall(r"/(?:home|Users|work)/", generated) == []
    assert re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}", generated) == []


def named(verb: str) -> set[str]:
    """The fields in the table of a verb in docs/json.md."""
    (section,) = re.findall(
        rf"## `ccagent alerts {verb} --json`\n(.*?)(?=\n## |\Z)", JSON_PAGE.read_text("utf-8"), re.DOTALL
    )
    return {
        field for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for field in re.findall(r"`(\w+)`", row)
    }


def fields(answer: dict[str, Any], *below: str) -> set[str]:
    """Fields of an answer and of the first object of some of its lists."""
    found = set(answer) - {"schema_version"}
    for name in below:
        found |= set(answer[name][0])
    return found


def test_the_page_of_answers_names_their_fields(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        main(["alerts", *words, "--json", "--db", str(database)])
        return dict(json.loads(capsys.readouterr().out))

    add = said("add", "mine", "--when", "turns daily > 3")
    enable = said("enable", "mine")
    listed = said("list")

    assert fields(add) == named("add")
    assert fields(enable) == named("enable")
    assert set(enable["rules"][0]) - {"schema_version"} <= named("add")
    assert fields(listed, "rules") == named("list")
    assert fields(said("show", "mine")) - set(listed["rules"][0]) == named("show")
    assert fields(said("silence", "mine", "--for", "1h")) == named("silence")
    assert fields(said("test", "--rule", "session-cost"), "cases") == named("test")
    assert fields(said("backtest", "mine"), "rules") == named("backtest")
    assert fields(said("history")) <= named("history")
