"""A store filled by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.builder import Builder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Builder]:
    """An empty store on disk."""
    builder = Builder(tmp_path / "ccagent.db")
    yield builder
    builder.close()
