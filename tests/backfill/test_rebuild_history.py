"""Commits of the local history, which no transcript can give back, outlive a rebuild and pass the checks."""

from __future__ import annotations

from ccagent.clock import SystemClock
from ccagent.facts.reflog import Made, Span
from ccagent.store.history import add_commits
from ccagent.store.location import parse_database
from ccagent.store.opening import open_store
from tests.backfill.ground import Ground, session

SHA = "1234567" + "0" * 33


def test_commits_of_the_history_outlive_a_rebuild(ground: Ground) -> None:
    ground.tree.write(session(0))
    ground.take_in()
    ((name, began),) = ground.rows("SELECT native, occurred_at FROM fact WHERE type = 1")
    store = open_store(parse_database(ground.database), clock=SystemClock(), host_id=ground.host_id)
    add_commits(store, [(Made(SHA, began + 1_000, "commit", "topic"), Span(name, "/repo", began, began + 9_000))])
    store.close()
    before = ground.dump()

    ground.rebuild()

    assert "commit:1234567" in before
    assert ground.dump() == before
    assert ground.faults() == []
