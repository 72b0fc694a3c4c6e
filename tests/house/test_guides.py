"""The pages that people read first: the index names every page, and a message on a page is one that the code says."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.house.source import ROOT, modules, strings

DOCS = ROOT / "docs"
TEXT = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLANK = re.compile(r"\{[^{}]*\}")
"""What a template leaves open."""

SHORTEST = 6
"""Characters of a part of a message that say something."""


@cache
def said() -> str:
    """Every text of the package, one a line, with a mark where something is put in."""
    return "\n".join(BLANK.sub("…", text) for path in modules() for text, _ in strings(path))


def messages() -> list[str]:
    """The messages of the page, with `…` for what differs."""
    return [body.strip() for body in TEXT.findall((DOCS / "troubleshooting.md").read_text(encoding="utf-8"))]


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", index))

    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} == linked


def test_troubleshooting_has_messages() -> None:
    assert len(messages()) > 15


@pytest.mark.parametrize("message", messages(), ids=lambda message: message[:40])
def test_a_message_is_what_the_code_says(message: str) -> None:
    parts = [part.strip() for part in message.split("…")]
    telling = [part for part in parts if len(part) >= SHORTEST]

    assert telling
    assert [part for part in telling if part not in said()] == []


def test_every_problem_says_more_than_its_symptom() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    problems = re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)

    assert len(problems) >= 15
    assert [title for title, body in problems if len(TEXT.sub("", body).split()) < 15] == []
