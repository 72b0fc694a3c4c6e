"""A newer version takes over the database of an older one while sessions go on, and is killed on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ccagent.store.schema import SCHEMA_VERSION
from tests.daemon.rig import DEADLINE_SECONDS, Ground, small_session
from tests.store.releases import Release

VERSIONS = tuple(range(1, SCHEMA_VERSION))


def grown(root: Path, ground: Ground, name: str) -> None:
    """A session that begins, and lines at the end of one that was there."""
    ground.tree.write(small_session(name, requests=2))
    other = small_session(f"{name} goes on", requests=1)
    with max(root.rglob("*.jsonl"), key=lambda path: path.stat().st_size).open("ab") as file:
        file.write(other.content)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_grows_before_while_and_after_an_upgrade_is_counted_once_in_spite_of_kills(
    ground: Ground, version: int
) -> None:
    release = Release(version)
    release.write_transcripts(ground.root)
    ground.database.parent.mkdir(parents=True)
    release.write_database(ground.database, ground.root)
    grown(ground.root, ground, "while it was not running")

    killed = ground.start(CCAGENT_FAILPOINT="after_commit:kill")
    assert killed.process.wait(DEADLINE_SECONDS) < 0, killed.words
    grown(ground.root, ground, "after the kill")
    second = ground.start()
    grown(ground.root, ground, "while it starts")
    second.until_caught_up()
    second.kill()
    third = ground.start()
    third.until_caught_up()
    assert third.terminate() == 0
    assert [path.name for path in ground.database.parent.glob("*.bak")] != [], "the database before is kept"

    verdict = ground.verb("verify", "--full", "--json", "--source", str(ground.root))
    assert json.loads(verdict.stdout)["status"] == "equal", verdict.stdout
