"""The version stands in one place, and the changelog tells of it."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import ccagent

ROOT = Path(ccagent.__file__).resolve().parents[1]

SECTION = re.compile(r"^## (\d+)\.(\d+)\.(\d+), (\d{4}-\d{2}-\d{2}|not yet released)$", re.MULTILINE)


def sections() -> list[re.Match[str]]:
    return list(SECTION.finditer((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))


def numbers(section: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(part) for part in section.groups()[:3])


def test_the_version_is_declared_once() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert "version" not in declared["project"]
    assert declared["project"]["dynamic"] == ["version"]
    assert declared["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "ccagent.__version__"}


def test_the_changelog_begins_with_the_present_version_and_says_something_of_it() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest, *older = sections()
    told = text[newest.end() : older[0].start() if older else None]

    assert ".".join(map(str, numbers(newest))) == ccagent.__version__
    assert re.search(r"^- \S", told, re.MULTILINE)


def test_every_heading_of_the_changelog_names_a_version_and_its_day() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert len(re.findall(r"^## ", text, re.MULTILINE)) == len(sections())


def test_versions_follow_one_another_and_only_the_newest_is_not_released() -> None:
    found = sections()

    assert all(numbers(newer) > numbers(older) for newer, older in pairwise(found))
    assert "not yet released" not in [section[4] for section in found[1:]]
