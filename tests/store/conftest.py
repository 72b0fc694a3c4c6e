"""A store filled by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.builder import Builder, builders


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Builder]:
    """An empty store on disk."""
    builder = Builder(tmp_path / "ccagent.db")
    yield builder
    builder.close()


@pytest.fixture(scope="module")
def new_store(either_store: str, request: pytest.FixtureRequest) -> Iterator[Callable[[], Builder]]:
    """Makes empty stores of either kind; making one ends the one before."""
    with builders(either_store, request) as make:
        yield make
