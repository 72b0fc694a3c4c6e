"""Usage by feature, and by project where a worktree is known for one."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.store import rollups
from ccagent.store.ingest import Ingest
from ccagent.store.links import fold_project, unfolded_projects
from ccagent.store.queries import UNATTRIBUTED, UsageRow, usage
from tests.sources.feed import START_MS, Feed
from tests.store.worked import ACTIONS, BRANCHES, act, entity_links, passing, worked
from tests.transcripts import Session, Usage

pytestmark = pytest.mark.usefixtures("either_store")

SOME = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
UTC = ZoneInfo("UTC")


def by(feed: Feed, what: str) -> dict[str, UsageRow]:
    rows = usage(feed.store.conn, by=what, since_ms=None, until_ms=None, timezone=None)
    assert len({row.key for row in rows}) == len(rows)
    return {row.key: row for row in rows}


def refresh(feed: Feed) -> None:
    def work(state: Ingest) -> int:
        state.wrote = True
        return rollups.refresh(state.conn, UTC)

    while feed.store.run(work):
        pass


def amounts(row: UsageRow) -> Counter[str]:
    found = Counter(row.tokens) + Counter({f"quality {name}": value for name, value in row.quality.items()})
    found["requests"], found["calls"], found["errors"] = row.requests, row.tool_calls, row.tool_errors
    found["cost"], found["unpriced"] = row.cost_microusd or 0, row.unpriced_requests
    return found


def test_a_session_of_one_feature_counts_there_and_one_of_none_is_unattributed() -> None:
    feed = Feed().read(worked(), passing())

    rows = by(feed, "feature")

    assert {key: row.sessions for key, row in rows.items()} == {"login-form": 1, UNATTRIBUTED: 1}
    assert rows["login-form"].tokens["output"] == sum(
        row.tokens["output"] for key, row in by(feed, "session").items() if key == "one"
    )
    assert rows[UNATTRIBUTED].tokens["output"] == 13


def test_amounts_are_split_by_share_and_the_remainder_goes_to_the_largest() -> None:
    session = Session("one", branch="feat/search")
    session.prompt("hello")
    session.branch = "feat/billing"
    session.prompt("and this")
    session.request("done", usage=Usage(input=10, output=101))
    feed = Feed().read(session)

    rows = by(feed, "feature")

    assert {key: row.tokens["output"] for key, row in rows.items()} == {"search": 51, "billing": 50}
    assert sum(row.requests for row in rows.values()) == 1
    assert [row.sessions for row in rows.values()] == [1, 1]


@SOME
@given(
    st.lists(
        st.tuples(st.sampled_from(BRANCHES), st.lists(st.sampled_from(ACTIONS), max_size=10)), min_size=1, max_size=4
    ),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_rows_by_feature_add_up_to_the_total(plans: list[tuple[str, list[str]]], fresh: bool, seed: int) -> None:
    chance = random.Random(seed)
    feed = Feed()
    for number, (branch, actions) in enumerate(plans):
        session = Session(f"s{number}", branch=branch, seed=number, start=START_MS + number * 3_600_000)
        session.prompt("hello")
        for action in actions:
            act(session, action, chance)
            session.request("so", usage=Usage(input=chance.randrange(99), output=chance.randrange(999)))
        feed.read(session)
    feed.store.set_meta("zone", "UTC")
    if fresh:
        refresh(feed)

    rows = by(feed, "feature")
    (total,) = by(feed, "total").values()

    summed: Counter[str] = Counter()
    for row in rows.values():
        summed.update(amounts(row))
    assert +summed == +amounts(total)
    features = {
        link["target_id"] for number in range(len(plans)) for link in entity_links(feed, f"s{number}")
        if link["target_type"] == "feature"
    }  # fmt: skip
    assert rows.keys() - {UNATTRIBUTED} == features


def test_a_worktree_counts_in_the_repository_that_its_git_file_names() -> None:
    feed = Feed()
    here, there = Session("a", cwd="/home/demo/atlas", seed=1), Session("b", cwd="/scratch/x", seed=2)
    for session in (here, there):
        session.prompt("hello")
        session.request("hi", usage=Usage(input=1, output=20))
    feed.read(here, there)
    before = by(feed, "project")
    refresh(feed)

    feed.store.run(lambda state: fold_project(state, [("/scratch/x", "/home/demo/atlas")]))
    after = by(feed, "project")

    assert {key: (row.sessions, row.tokens["output"]) for key, row in before.items()} == {
        "/home/demo/atlas": (1, 20), "/scratch/x": (1, 20),
    }  # fmt: skip
    assert {key: (row.sessions, row.tokens["output"]) for key, row in after.items()} == {"/home/demo/atlas": (2, 40)}


def test_folders_are_asked_for_once_the_latest_first() -> None:
    feed = Feed()
    for number, cwd in enumerate(("/old", "/b", "/a")):
        session = Session(f"s{number}", cwd=cwd, seed=number, start=START_MS + number * 100_000)
        session.prompt("hello")
        feed.read(session)

    def asked(since: int = START_MS + 50_000, limit: int = 9) -> list[Any]:
        return unfolded_projects(feed.store.ask, feed.store.host, since, limit)

    assert asked() == ["/a", "/b"]
    assert asked(limit=1) == ["/a"]
    assert asked(since=0) == ["/a", "/b", "/old"]
    feed.store.run(lambda state: fold_project(state, [("/a", "/repo")]))
    assert asked() == ["/b"]
