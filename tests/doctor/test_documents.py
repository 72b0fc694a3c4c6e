"""docs/json.md names what the answers of `doctor` and `init` hold, and all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ccagent.cli import main
from ccagent.doctor.report import CHECKS
from tests.transcripts import Session, Tree

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"


def section(verb: str) -> str:
    (found,) = re.findall(rf"## `ccagent {verb} --json`\n(.*?)(?=\n## |\Z)", PAGE.read_text(), re.DOTALL)
    return str(found)


def named(verb: str) -> set[str]:
    """The fields in the table of a verb."""
    rows = re.findall(r"^\| (`.*?) \|", section(verb), re.MULTILINE)
    return {field for row in rows for field in re.findall(r"`(\w+)`", row)}


def answer(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    session = Session("one")
    session.prompt("hello")
    Tree(tmp_path / "projects").write(session)
    where = ("--source", str(tmp_path / "projects"), "--db", str(tmp_path / "one.db"))
    main([verb, "--json", *where, *options])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document.pop("schema_version") == 1
    return document


def test_the_page_and_the_doctor_name_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = answer("doctor", tmp_path, capsys)

    assert set(document) == named("doctor")
    assert set(document["checks"][0]) == set(re.findall(r"`(check|state|said|todo)`", section("doctor")))
    listed = set(re.findall(r"`([a-z]+)`", section("doctor").partition("`check` is one of")[2].partition(".")[0]))
    assert listed == {"config", "rules", *CHECKS}
    assert sum(document["counts"].values()) == len(document["checks"])


def test_the_page_and_init_name_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = answer("init", tmp_path, capsys, "--config", str(tmp_path / "config.toml"))

    assert set(document) == named("init")
    text = section("init")
    inner = {*document["roots"][0], *document["config"], *document["left"]}
    assert [field for field in inner if f"`{field}`" not in text] == []
