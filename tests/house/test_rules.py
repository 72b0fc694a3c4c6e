"""Every rule that judges has a docstring that says how, and a row in docs/rules.md with the reason and its figures."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest

from ccagent.facts.rules import RULES
from tests.house.source import ROOT

PAGE = ROOT / "docs" / "rules.md"
COLUMNS = ["Rule", "Where", "What it decides, and why", "Judged", "Read", "Wrong"]
FIGURE = re.compile(r"(\d[\d,]*|—)([ (,;:].*)?")
"""A number, perhaps with a word on it; a dash with a reason where nothing could be counted."""

SENTENCE = 40
"""Characters below which a cell explains nothing."""


def rows() -> list[list[str]]:
    """The cells of the table of rules, without its head."""
    lines = PAGE.read_text(encoding="utf-8").partition("## The rules\n")[2].splitlines()
    table = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    assert table[0] == COLUMNS
    return table[1:]


def function(place: str) -> Any:
    module, _, name = f"ccagent.{place}".rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rules_docstring_says_what_it_decides(rule: str) -> None:
    judge = function(RULES[rule])
    module = importlib.import_module(judge.__module__)

    assert re.search(r"\bRule\b", f"{judge.__doc__}\n{module.__doc__}")


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_has_one_row_that_names_its_module(rule: str) -> None:
    found = [row for row in rows() if row[0] == rule]

    assert len(found) == 1
    module = f"ccagent/{RULES[rule].rpartition('.')[0].replace('.', '/')}"
    assert found[0][1] in (f"`{module}.py`", f"`{module}/__init__.py`")
    assert (ROOT / found[0][1].strip("`")).exists()


def test_every_row_is_of_a_rule_and_is_whole() -> None:
    table = rows()

    assert table
    assert [row[0] for row in table if row[0] not in RULES] == []
    assert [row for row in table if len(row) != len(COLUMNS)] == []
    assert [row[0] for row in table if len(row[2]) < SENTENCE] == []
    assert [row[0] for row in table for cell in row[3:] if not FIGURE.fullmatch(cell)] == []


def test_no_rule_was_judged_worse_than_it_was_read() -> None:
    def number(cell: str) -> int:
        found = re.match(r"[\d,]+", cell)
        return int(found.group().replace(",", "")) if found else 0

    assert [row[0] for row in rows() if number(row[5]) > number(row[4]) or number(row[4]) > number(row[3])] == []
