"""What the tests of killed daemons share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kill.harness import Ground


@pytest.fixture(params=["sqlite", "postgres"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """A ground of the test's own, once with a database file and once with a database that Postgres serves."""
    return Ground.below(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("pg_database"))
