"""A database that an earlier release has written is brought up to date and rebuilt."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.backfill.ground import Ground
from tests.store.releases import RELEASES, Release


@pytest.mark.parametrize("release", RELEASES, ids=str)
@pytest.mark.parametrize("gone", [False, True], ids=["whole", "without transcripts"])
def test_a_released_database_is_rebuilt(release: Release, gone: bool, tmp_path: Path) -> None:
    ground, other = (
        Ground(tmp_path / "one", str(tmp_path / "one.db")),
        Ground(tmp_path / "two", str(tmp_path / "two.db")),
    )
    for one in (ground, other):
        release.write_transcripts(one.tree.root)
    release.write_database(Path(ground.database), ground.tree.root.resolve())
    ground.take_in()
    other.take_in()
    before = ground.dump()
    if gone:
        shutil.rmtree(ground.tree.root)
        ground.tree.root.mkdir()

    report = ground.rebuild()

    assert ground.dump() == (before if gone else other.dump())
    assert (report["facts"]["kept"] > 0) is gone
    assert ground.faults(recount=not gone) == []
