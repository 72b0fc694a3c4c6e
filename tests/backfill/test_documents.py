"""The JSON answers of the verb hold the fields that docs/json.md names."""

from __future__ import annotations

import re
from pathlib import Path

from ccagent.backfill import preview
from ccagent.rebuild import recompute_prices
from ccagent.selection import Selection
from tests.backfill.ground import Ground, session

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"


def rows() -> dict[str, str]:
    """The first column of the verb's table, field by field, with the second."""
    (section,) = re.findall(r"## `ccagent backfill --json`\n(.*?)(?=\n## |\Z)", PAGE.read_text(), re.DOTALL)
    found = re.findall(r"^\| (`.*?) \| (.*) \|$", section, re.MULTILINE)
    return {field: meaning for names, meaning in found for field in re.findall(r"`(\w+)`", names)}


def test_the_page_and_the_answers_name_the_same_fields(tmp_path: Path) -> None:
    ground = Ground(tmp_path, str(tmp_path / "ccagent.db"))
    ground.tree.write(session(0))
    answers = [
        preview(ground.config(), ground.env, Selection()),
        ground.take_in(),
        ground.rebuild(),
        recompute_prices(ground.config(), ground.env),
    ]

    named = rows()

    assert {field for answer in answers for field in answer} - {"schema_version"} == set(named)
    assert [answer["mode"] for answer in answers] == ["dry run", "backfill", "rebuild", "recompute prices"]
    for field, inner in (
        ("left", answers[1]),
        ("facts", answers[2]),
        ("projects", {"projects": answers[0]["projects"][0]}),
    ):
        assert set(inner[field]) == set(re.findall(r"`(\w+)`", named[field])), field
