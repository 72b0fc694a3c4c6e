"""`ccagent db prune` killed at each of its transactions: what the next run leaves is what one run would have left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ccagent import failpoints
from ccagent.store import audit_references, audit_rollups
from ccagent.store.connection import Connection
from ccagent.store.coverage import stored_zone
from ccagent.store.open import connect_reader
from ccagent.store.view import CANONICAL_COLUMNS, canonical_dump, event_columns
from tests.kill.harness import DEADLINE_SECONDS, Ground, settle
from tests.rollups.oracle import stored
from tests.transcripts import Session, Tree, Usage

DAY_MS = 86_400_000

MOST_KILLS = 40
"""More transactions than a run on so small a tree has."""


@pytest.fixture(params=["sqlite", "postgres"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """A store with sessions on both sides of the default thirteen months, one of them with a sub-agent."""
    url = request.getfixturevalue("pg_database") if request.param == "postgres" else None
    made = Ground.below(tmp_path, url)
    now = time.time_ns() // 1_000_000
    tree = Tree(made.tree)
    for number in range(6):
        session = Session(f"session-{number}", seed=number, start=now - (200 + 100 * number) * DAY_MS)
        for _ in range(25):
            session.prompt("hello")
            session.bash("ls", usage=Usage(input=3, output=50))
            session.edit("/a.py", added=3, removed=1, usage=Usage(output=7))
        launched = session.launch(usage=Usage(output=9))
        child = session.agent()
        child.prompt("look into it")
        child.bash("ls", usage=Usage(output=11))
        session.landed(launched, child)
        tree.write(session)
    settle(made)
    return made


def verb(ground: Ground, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`ccagent db …` on this ground, facts archived."""
    return subprocess.run(
        [sys.executable, "-m", "ccagent", "db", *words, "--db", str(ground.database), "--json"],
        env=ground.environment(CCAGENT_RETENTION_ARCHIVE=str(archive(ground)), **variables),
        cwd=ground.home,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def archive(ground: Ground) -> Path:
    return ground.home / "archive"


def asked(ground: Ground) -> Connection:
    return connect_reader(ground.database)


def dump(ground: Ground) -> list[str]:
    with closing(asked(ground)) as conn:
        return list(canonical_dump(conn))


def rollups(ground: Ground) -> dict[Any, Any]:
    with closing(asked(ground)) as conn:
        return stored(conn)


def booked(ground: Ground) -> dict[Any, int]:
    """All totals but those of the work on the store itself."""
    with closing(asked(ground)) as conn:
        found = conn.execute(
            "SELECT metric, labels, exportable, value FROM total"
            " WHERE metric NOT LIKE 'retention.%' AND metric NOT LIKE 'alert.%'"
        )
        return {tuple(row[:3]): int(row[3]) for row in found}


def broken(ground: Ground) -> dict[str, list[str]]:
    with closing(asked(ground)) as conn:
        found = [*audit_references.laws(conn), *audit_rollups.laws(conn, stored_zone(conn))]
        return {law.name: law.examples for law in found if law.broken}


@pytest.mark.parametrize("point", ["before_commit", "after_commit", "after_archive"])
def test_a_run_that_is_killed_anywhere_is_gone_on_with(ground: Ground, point: str) -> None:
    whole, rows, counted = dump(ground), rollups(ground), booked(ground)
    kills = 0
    while kills < MOST_KILLS:
        # At its second time in a run, at its third in the next …: each run goes a little further than the one before.
        count = 1 if point == "after_archive" and not kills else kills + 2
        done = verb(ground, "prune", **{failpoints.VARIABLE: f"{point}:kill:{count}"})
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
        kills += 1
        assert broken(ground) == {}

    assert kills >= (3 if point != "after_archive" else 1), "the fault did not happen"
    left = {json.loads(line)[3] for line in dump(ground)}
    assert left == {"session-0", "session-1"}
    assert (rollups(ground), booked(ground)) == (rows, counted)

    settle(ground)  # the transcripts are read again where a new parser or a moved file makes it so: here nothing is
    assert {json.loads(line)[3] for line in dump(ground)} == left

    back = verb(ground, "restore", str(archive(ground)))
    assert back.returncode == 0, back.stderr
    assert sorted(map(without_payload, dump(ground))) == sorted(map(without_payload, whole))
    assert (rollups(ground), booked(ground)) == (rows, counted)
    assert broken(ground) == {}


OF_PAYLOAD = frozenset(
    number for number, name in enumerate(CANONICAL_COLUMNS) if "f.extra" in event_columns("sqlite")[name]
)
"""Columns that tell what stands in the payload."""


def without_payload(line: str) -> str:
    """A line of the dump without what goes after ninety days and is in no archive."""
    return json.dumps([None if number in OF_PAYLOAD else part for number, part in enumerate(json.loads(line))])
