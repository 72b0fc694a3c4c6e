"""docs/json.md says of verifications and manifests what they hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ccagent.comparison import Cause, Verdict
from tests.verifying import Ground, busy

PAGE = Path(__file__).parent.parent / "docs" / "json.md"


def section(heading: str) -> str:
    (found,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return str(found)


def first_column(heading: str) -> list[str]:
    rows = re.findall(r"^\| (`.*?) \|", section(heading), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_every_verdict_is_explained_in_the_order_of_its_gravity() -> None:
    assert first_column("Verdicts of `ccagent verify`") == [verdict.value for verdict in Verdict]


def test_every_cause_is_named() -> None:
    text = section("`ccagent verify --json`")

    assert [cause for cause in Cause if f"`{cause.value.replace(' ', '_')}`" not in text] == []


def test_every_field_of_a_manifest_is_named(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.tree.write(busy())
    ground.take_in()
    file = tmp_path / "manifest.json"
    ground.verify(manifest=file)
    document = json.loads(file.read_bytes())

    assert set(first_column("Manifests of `ccagent verify`")) == set(document) | set(document["files"][0])


def test_every_field_of_rows_and_checks_is_named(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.tree.write(busy())
    ground.take_in()
    file = tmp_path / "manifest.json"
    answers = [ground.verify(full=True, manifest=file), ground.verify(full=True, manifest=file)]
    text = section("`ccagent verify --json`")

    fields = {name for answer in answers for part in ("totals", "checks") for row in answer[part] for name in row}
    fields |= {name for answer in answers for name in answer["manifest"]}
    assert sorted(name for name in fields if f"`{name}`" not in text) == []
