"""A database that is older than a metric: it starts when it is first opened, and a rebuild books all that is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ccagent.job import Job
from ccagent.metrics import names
from ccagent.metrics.catalogue import METRICS
from ccagent.store.connection import Connection
from ccagent.store.generation import OF_FACTS, restarts
from ccagent.store.held import LATER, held, held_by_all
from tests.backfill.ground import Ground, fork, session
from tests.transcripts import Session

COUNTED = (
    names.AGENT_REQUESTS, names.SESSIONS, names.ACTIVE, names.SESSION_DURATION, names.SESSION_FANOUT,
    names.CONTEXT_UTILIZATION, names.COMMITS, names.PULL_REQUESTS, names.DELIVERY, names.LINK_CONFIDENCE,
    names.SKILL_ACTIVATIONS, names.TURN_TOOL_CALLS, names.TOOL_DECISIONS,
)  # fmt: skip
"""Metrics of which the ground below has something to tell."""


def delivered() -> Session:
    """A session with a commit, a pull request and a skill."""
    made = Session("delivering", branch="topic", start=1_770_700_000_000)
    made.prompt("go")
    made.tool("Skill", {"skill": "sew"})
    printed = "[topic 1111111] Words\n 1 file changed, 1 insertion(+)\n"
    made.tool("Bash", {"command": "git commit -m x"}, printed, details={"stdout": printed})
    url = "https://github.com/demo/atlas/pull/9"
    made.tool("Bash", {"command": "gh pr create --fill"}, url, details={"stdout": url})
    made.prompt("and on", after_ms=90_000)
    made.request()
    return made


@pytest.fixture
def full(ground: Ground) -> Ground:
    """A ground with sessions, a fork and deliveries, all taken in."""
    sessions = [session(number) for number in range(2)]
    ground.tree.write(*sessions, fork(sessions[0], 0, 12), delivered())
    ground.take_in()
    return ground


def age(ground: Ground) -> None:
    """Make the database one that had these metrics never booked."""

    def forget(conn: Connection) -> None:
        for metric in sorted(LATER):
            conn.execute("DELETE FROM total WHERE metric = ?", (metric,))
            conn.execute("DELETE FROM histogram WHERE metric = ?", (metric,))
        conn.execute("DELETE FROM meta WHERE name LIKE 'held.%'")

    with Job(ground.config(), ground.env) as job:
        job.store.write(forget)


def histograms(ground: Ground) -> dict[tuple[str, str], tuple[list[int], object]]:
    """Every histogram of facts as it was booked, by metric and labels."""
    found: dict[tuple[str, str], tuple[list[int], object]] = {}
    for metric, labels, counts, total in ground.rows(
        "SELECT metric, labels, counts, sum FROM histogram ORDER BY exportable"
    ):
        if METRICS[metric].from_facts and any(json.loads(counts)):
            assert (metric, labels) not in found
            found[metric, labels] = json.loads(counts), pytest.approx(total)
    return found


def fresh(ground: Ground, folder: Path) -> Ground:
    """A new store on the same tree."""
    other = Ground(folder, str(folder / "fresh.db"))
    shutil.rmtree(other.tree.root)
    other.tree.root.symlink_to(ground.tree.root)
    other.take_in()
    return other


def test_a_new_database_holds_every_metric(full: Ground) -> None:
    with full.reader() as conn:
        assert held(conn, 1) == held_by_all(conn) == set(OF_FACTS)
        assert restarts(conn, 1) == {}
    assert all(full.counters().get(name, 0) > 0 for name in COUNTED)
    assert full.faults() == []


def test_metrics_that_an_older_database_lacks_start_when_it_is_opened(full: Ground) -> None:
    age(full)

    full.take_in()
    with full.reader() as conn:
        first = restarts(conn, 1)
    full.take_in()

    with full.reader() as conn:
        assert held(conn, 1) == set(OF_FACTS) - LATER
        assert set(first) == LATER
        assert restarts(conn, 1) == first
    assert full.faults() == []


def test_a_rebuild_of_an_older_database_books_what_a_new_one_would_hold(full: Ground, tmp_path: Path) -> None:
    other = fresh(full, tmp_path / "fresh")
    age(full)

    full.rebuild()

    assert histograms(full) == histograms(other)
    for name in OF_FACTS:
        assert full.labels(name) == other.labels(name), name
    assert all(full.counters().get(name, 0) == 0 for name in OF_FACTS)
    with full.reader() as conn:
        assert held(conn, 1) == set(OF_FACTS)
    assert full.faults() == []


def test_a_rebuild_changes_no_metric_that_was_held(full: Ground) -> None:
    totals, observations = {name: full.labels(name) for name in OF_FACTS}, histograms(full)

    full.rebuild()

    assert {name: full.labels(name) for name in OF_FACTS} == totals
    assert histograms(full) == observations


def test_facts_whose_transcripts_are_gone_are_booked_as_they_are(full: Ground) -> None:
    totals, observations = {name: full.labels(name) for name in LATER}, histograms(full)
    age(full)
    gone = next(path for path in full.tree.root.rglob("delivering.jsonl"))
    gone.unlink()

    full.rebuild()

    pauses = {'["user"]': 90_000}  # the pause before a prompt is told by its line alone
    assert {
        name: {
            key: value + (pauses.get(key, 0) if name == names.ACTIVE else 0) for key, value in full.labels(name).items()
        }
        for name in LATER
    } == totals
    assert histograms(full) == observations
