"""A ground on each kind of store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backfill.ground import Ground


@pytest.fixture(params=["sqlite", "postgres"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """A tree and a store, both empty."""
    if request.param == "postgres":
        return Ground(tmp_path, request.getfixturevalue("pg_database"))
    return Ground(tmp_path, str(tmp_path / "ccagent.db"))
