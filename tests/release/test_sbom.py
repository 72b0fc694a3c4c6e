"""The bill of materials names what ccagent is installed with, and how the parts hang together."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import ccagent
from scripts.sbom import canonical, document

ROOT = Path(ccagent.__file__).resolve().parents[1]


@pytest.fixture
def bill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The bill of an installation of the checkout: its metadata, and whatever of its needs is installed here."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    place = tmp_path / f"ccagent-{ccagent.__version__}.dist-info"
    place.mkdir()
    needs = "".join(f"Requires-Dist: {line}\n" for line in declared["dependencies"])
    extras = 'Requires-Dist: ruff; extra == "dev"\n'
    (place / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: ccagent\nVersion: {ccagent.__version__}\nLicense-Expression: MIT\n{needs}{extras}"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return document()


def test_everything_that_is_needed_is_in_it_with_the_version_that_is_installed(bill: dict[str, Any]) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = [re.split(r"[\[<>=~; ]", line)[0] for line in declared if "platform_system" not in line]
    held = {canonical(one["name"]): one for one in bill["components"]}

    assert {canonical(name) for name in names} <= held.keys()
    assert {name: held[canonical(name)]["version"] for name in names} == {name: version(name) for name in names}
    assert "anyio" in held, "what starlette needs is needed too"
    assert "ruff" not in held, "what developers need is not"


def test_it_is_of_this_version_under_its_license(bill: dict[str, Any]) -> None:
    described = bill["metadata"]["component"]

    assert (described["type"], described["name"], described["version"]) == (
        "application",
        "ccagent",
        ccagent.__version__,
    )
    assert described["licenses"] == [{"license": {"id": "MIT"}}]


def test_every_reference_leads_to_a_component(bill: dict[str, Any]) -> None:
    refs = {one["bom-ref"] for one in [*bill["components"], bill["metadata"]["component"]]}
    graph = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}

    assert graph.keys() == refs
    assert {ref for needs in graph.values() for ref in needs} <= refs
    assert {ref for needs in graph.values() for ref in needs} == {one["bom-ref"] for one in bill["components"]}
    assert len(graph[f"pkg:pypi/ccagent@{ccagent.__version__}"]) > 10


def test_the_same_installation_gives_the_same_document(bill: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert document() == bill
    assert "timestamp" not in bill["metadata"]

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")

    assert document()["metadata"]["timestamp"] == "2026-09-21T14:13:20Z"
    assert document()["serialNumber"] != bill["serialNumber"]


def test_it_is_a_cyclonedx_document(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    assert json.loads(json.dumps(bill)) == bill
