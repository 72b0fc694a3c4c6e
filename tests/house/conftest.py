"""What the tests of the house leave behind: nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.house.source import tree


@pytest.fixture(autouse=True, scope="module")
def parsed_modules() -> Iterator[None]:
    """Millions of nodes go again: kept to the end they would make every collection of garbage in this process slow."""
    yield
    tree.cache_clear()
