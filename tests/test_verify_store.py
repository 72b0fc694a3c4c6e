"""`verify` against a real store: equal after an ingest, a fault where the store lost or doubled something."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from ccagent.clock import SystemClock
from ccagent.config import Config, load
from ccagent.follow.follower import Follower
from ccagent.intake import Intake, file_states
from ccagent.recount import Json
from ccagent.store.sqlite import SqliteStore
from ccagent.verify import verify

FIXTURES = Path(__file__).parent / "fixtures" / "transcripts"


def ingested(root: Path, home: Path) -> Config:
    """The configuration of a database that took in everything below `root`."""
    database = home / "facts.db"
    store = SqliteStore(database, clock=SystemClock())
    try:
        follower = Follower([root], file_states(store))
        follower.scan()
        intake = Intake(follower, store)
        while intake.step():
            pass
    finally:
        store.close()
    return load({"database": str(database), "sources": [str(root)]}, {"HOME": str(home)})


def answer(config: Config, home: Path) -> Json:
    return verify(config, {"HOME": str(home)})


@pytest.mark.parametrize("version", sorted(path.name for path in FIXTURES.iterdir()))
def test_the_golden_transcripts_in_the_store_equal_their_recount(version: str, tmp_path: Path) -> None:
    config = ingested((FIXTURES / version / "projects").resolve(), tmp_path)

    report = answer(config, tmp_path)

    assert [row for row in report["totals"] if row["verdict"] != "equal"] == []  # type: ignore[attr-defined]
    assert report["status"] == "equal"
    assert report["files"]["bytes_taken_in"] > 0  # type: ignore[index]


@pytest.mark.corpus
def test_real_transcripts_in_the_store_equal_their_recount(corpus: Path, tmp_path: Path) -> None:
    config = ingested(corpus / "projects", tmp_path)

    assert answer(config, tmp_path)["status"] == "equal"


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM fact WHERE key = (SELECT min(key) FROM fact WHERE token_output > 0)",
        "UPDATE fact SET token_output = token_output * 2 WHERE token_output > 0",
        "UPDATE total SET value = value + 1 WHERE metric = 'tokens'",
        "UPDATE total SET value = value + 1 WHERE metric = 'ingest.records'",
        "DELETE FROM quarantine",
        "UPDATE file SET lines = lines - 1",
    ],
    ids=["lost fact", "doubled tokens", "doubled total", "record read twice", "forgotten bad line", "lost line"],
)
def test_damage_to_the_store_is_a_fault(damage: str, tmp_path: Path) -> None:
    config = ingested((FIXTURES / "2.0.76" / "projects").resolve(), tmp_path)
    conn = apsw.Connection(config.database)
    conn.execute(damage)
    conn.close()

    assert answer(config, tmp_path)["status"] == "fault"
