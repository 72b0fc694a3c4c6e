"""What a rebuild does to links: they follow the facts, and what cannot be derived stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccagent.job import Job
from ccagent.store.connection import Connection
from ccagent.store.links import fold_project, link_dump
from tests.backfill.ground import Ground
from tests.store.worked import passing, worked


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    ground = Ground(tmp_path, f"{tmp_path}/ccagent.db")
    ground.tree.write(worked(), passing(), worked("gone"))
    ground.take_in()
    return ground


def links(ground: Ground) -> list[str]:
    with ground.reader() as reader:
        return list(link_dump(reader, range(10)))


def test_a_rebuild_ends_in_the_same_links(ground: Ground) -> None:
    before = links(ground)

    ground.rebuild()

    assert before
    assert links(ground) == before


def test_a_rebuild_puts_right_what_is_wrong_and_keeps_what_is_stated(ground: Ground) -> None:
    with Job(ground.config(), ground.env) as job:
        job.store.run(lambda state: fold_project(state, [("/scratch/x", "/home/demo/atlas")]))
        stated = links(ground)

        def spoil(conn: Connection) -> None:
            conn.execute("UPDATE link SET confidence = 1, share = 7 WHERE kind = 1 AND target_kind = 3")
            conn.execute("DELETE FROM link WHERE kind = 8")  # which features branches name

        job.store.write(spoil)
    assert links(ground) != stated

    ground.rebuild()

    assert links(ground) == stated


def test_a_session_whose_transcript_is_gone_keeps_its_links(ground: Ground) -> None:
    before = links(ground)
    for path in ground.tree.root.rglob("gone.jsonl"):
        path.unlink()

    ground.rebuild()

    assert links(ground) == before
    assert any('"gone"' in line for line in before)
