"""`ccagent session --links` and `ccagent usage --by feature` from the command line to a store and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ccagent.cli import main
from tests.sources.feed import Feed
from tests.store.worked import passing, worked


@pytest.fixture
def database(tmp_path: Path) -> Path:
    feed = Feed(tmp_path / "ccagent.db").read(worked(), passing())
    feed.close()
    return tmp_path / "ccagent.db"


def shown(database: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words, "--db", str(database)]) == 0
    return capsys.readouterr().out


def test_links_are_shown_with_their_evidence_where_they_are_asked_for(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, asked = shown(database, capsys, "session", "one"), shown(database, capsys, "session", "one", "--links")

    assert "Links (" not in plain
    assert "Links (5)" in asked
    assert "0.95 inferred  feature login-form" in asked
    assert "artifact.linked command one.jsonl:0 docs/project_plans/login-form.md" in asked
    assert "none: no branch" in shown(database, capsys, "session", "idle", "--links")


def test_the_document_has_them_too(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain: dict[str, Any] = json.loads(shown(database, capsys, "session", "one", "--json"))
    asked: dict[str, Any] = json.loads(shown(database, capsys, "session", "one", "--links", "--json"))

    assert "links" not in plain
    assert {(link["target_type"], link["target"]) for link in asked["links"]} >= {("feature", "login-form")}
    assert all(link["evidence"] for link in asked["links"])


def test_usage_by_feature_has_a_row_for_what_has_none(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(shown(database, capsys, "usage", "--by", "feature", "--json"))["rows"]

    assert {row["key"] for row in rows} == {"login-form", "unattributed"}
