"""The versions that everything is checked with are among those that an installation may have."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement

from scripts.sbom import canonical
from tests.house.source import ROOT


def test_what_everything_is_checked_with_is_within_the_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    versions = {canonical(name): version for name, version in pinned.items()}
    wanted = [Requirement(line) for line in lines if not line.startswith("ccagent[")]

    assert [str(one) for one in wanted if versions[canonical(one.name)] not in one.specifier] == []


def test_what_cannot_do_its_work_is_outside_of_them() -> None:
    """apsw without arrays takes in nothing; rich cut the last digit of a cost; psycopg waited for a dead session for ever;
    click's completion of zsh was another; prometheus-client passed over the escaping that was asked for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = {canonical(one.name): one.specifier for one in map(Requirement, project["dependencies"])}
    broken = {
        "apsw": "3.50.4.0",
        "rich": "14.2.0",
        "psycopg": "3.2.10",
        "click": "8.1.3",
        "prometheus-client": "0.22.1",
    }

    assert [name for name, version in broken.items() if version in bounds[name]] == []
