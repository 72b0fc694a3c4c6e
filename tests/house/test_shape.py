"""Sizes and names of modules."""

from __future__ import annotations

from pathlib import Path

from tests.house.source import PACKAGE, ROOT, modules

MODULE_LINES = 600
"""Hard stop; beyond it a module holds more than one noun."""

TEST_LINES = 500

NAMELESS = ("utils", "helpers", "common", "misc", "util", "helper")
"""File names that say nothing of what is inside."""


def lines(path: Path) -> int:
    return len(path.read_bytes().splitlines())


def test_no_module_is_longer_than_the_hard_stop() -> None:
    found = {str(path.relative_to(ROOT)): lines(path) for path in modules() if lines(path) > MODULE_LINES}

    assert found == {}


def test_no_script_or_test_file_is_too_long() -> None:
    files = [*modules(ROOT / "tests"), *modules(ROOT / "scripts"), *modules(ROOT / "benchmarks")]

    assert {str(path.relative_to(ROOT)): lines(path) for path in files if lines(path) > TEST_LINES} == {}


def test_every_file_is_named_for_what_it_holds() -> None:
    assert [str(path.relative_to(ROOT)) for path in modules() if path.stem in NAMELESS] == []


def test_every_module_says_what_it_gives() -> None:
    undocumented = [
        str(path.relative_to(ROOT))
        for path in modules()
        if path.stat().st_size and not path.read_text(encoding="utf-8").startswith('"""')
    ]

    assert undocumented == []


def test_the_package_ships_its_type_marker() -> None:
    assert (PACKAGE / "py.typed").exists()
