"""What the tests with a real Collector share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.rig import Ground, grounds


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """A tree, a database and a home of the test's own; its processes end with it."""
    with grounds(tmp_path / "ground") as found:
        yield found
