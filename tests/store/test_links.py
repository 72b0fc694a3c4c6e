"""The table of links: from evidence, whatever its order, and kept when the evidence is gone."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.facts.links import WHOLE
from ccagent.store.links import relink_everything
from ccagent.store.salvage import carry_over
from tests.sources.feed import START_MS, Feed, files_of
from tests.sources.orders import shuffled
from tests.store.pruned import DAY_MS, feed_in_zone, prune
from tests.store.worked import ACTIONS, BRANCHES, act, copied, entity_links, links, passing, worked
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")

SOME = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_a_session_is_linked_to_what_it_worked_on() -> None:
    feed = Feed().read(worked())

    found = {(row["target_type"], row["target_id"]): row for row in entity_links(feed, "one")}

    assert found.keys() == {
        ("feature", "login-form"), ("task", "ENT-109"), ("task", "ENT-110"), ("phase", "2"),
        ("project", "/home/demo/atlas"),
    }  # fmt: skip
    feature = found["feature", "login-form"]
    assert (feature["confidence"], feature["inferred"], feature["strategy"]) == (0.95, 1, "command")
    assert (feature["share"], feature["ambiguity"], feature["origin"], feature["link_type"]) == (
        1,
        0,
        "auto",
        "related",
    )
    assert feature["evidence"] == 4  # branch, command, edit, read
    assert [found["task", task]["share"] for task in ("ENT-109", "ENT-110")] == [0.5, 0.5]
    assert found["task", "ENT-109"]["ambiguity"] == 0.5
    assert found["project", "/home/demo/atlas"]["strategy"] == "worktree"


def test_a_session_without_evidence_has_no_link() -> None:
    feed = Feed().read(passing())

    assert links(feed) == []
    assert {event["feature_id"] for event in feed.events()} == {None}


def test_links_follow_their_evidence_line_by_line() -> None:
    session = Session("one", branch="feat/search")
    session.prompt("hello")
    feed = Feed().read(session)
    before = [(row["target_id"], row["confidence"]) for row in entity_links(feed, "one")]

    session.tool("Write", {"file_path": "/home/demo/atlas/docs/plans/billing.md", "content": "x"})
    feed.read(session)

    assert before == [("search", 0.62)]
    after = [(row["target_id"], row["confidence"], row["place"]) for row in entity_links(feed, "one")]
    assert after == [("billing", 0.67, 1), ("search", 0.42, 2)]


def test_what_was_read_already_writes_no_link_again() -> None:
    session = worked()
    feed = Feed().read(session)
    before = feed.scalar("SELECT seq FROM host"), links(feed)

    for path, data in files_of(session).items():
        feed.take((path, data), again=True)

    assert (feed.scalar("SELECT seq FROM host"), links(feed)) == before


def test_a_fact_belongs_to_the_feature_of_its_branch_else_to_its_session_s_strongest() -> None:
    session = worked(branch="feat/search")
    session.branch = "main"
    session.prompt("on the trunk")
    feed = Feed().read(session)

    found = {(event["git_branch"], event["feature_id"], event["confidence"]) for event in feed.events("tool.call")}
    trunk = {
        (event["feature_id"], event["confidence"]) for event in feed.events("prompt") if event["git_branch"] == "main"
    }

    assert found == {("feat/search", "search", 0.42)}
    assert trunk == {("login-form", 0.95)}


def test_evidence_of_a_task_and_a_phase_names_it() -> None:
    feed = Feed().read(worked())

    facts = feed.events("artifact.linked")

    assert {event["task_id"] for event in facts} == {None, "ENT-109", "ENT-110"}
    assert {event["phase"] for event in facts} == {None, "2"}


def test_a_session_hangs_below_those_that_it_comes_from() -> None:
    feed = Feed()
    for child, parent in (("b", "a"), ("c", "b"), ("d", "c")):
        related(feed, child, parent)

    found = {event["session_id"]: event for event in feed.events("session.lifecycle")}

    assert {name: (row["parent_session_id"], row["root_session_id"]) for name, row in found.items()} == {
        "b": ("a", "a"), "c": ("b", "a"), "d": ("c", "a"),
    }  # fmt: skip
    assert [row["link_type"] for row in entity_links(feed, "c")] == ["child"]


def test_a_ring_of_parents_ends() -> None:
    feed = Feed()
    for child, parent in (("a", "b"), ("b", "a")):
        related(feed, child, parent)

    found = {event["session_id"]: event["root_session_id"] for event in feed.events("session.lifecycle")}

    assert found.keys() == {"a", "b"}
    assert set(found.values()) <= {"a", "b"}


def related(feed: Feed, child: str, parent: str) -> None:
    """Lines of one session that say that they were copied from another."""
    session = Session(child, seed=child)
    session.prompt("hello", forkedFrom={"sessionId": parent, "messageUuid": "u"})
    feed.read(session)


@SOME
@given(
    st.lists(
        st.tuples(st.sampled_from(BRANCHES), st.lists(st.sampled_from(ACTIONS), max_size=12)), min_size=1, max_size=3
    ),
    st.integers(1, 20),
    st.integers(0, 2**32),
)
def test_any_order_of_files_and_any_cut_end_in_the_same_links(
    plans: list[tuple[str, list[str]]], cuts: int, seed: int
) -> None:
    chance = random.Random(seed)
    sessions: list[Session] = []
    for number, (branch, actions) in enumerate(plans):
        session = Session(f"s{number}", branch=branch, seed=number, start=START_MS + number * 1_000)
        session.prompt("hello")
        for action in actions:
            act(session, action, chance)
        sessions.append(session)
        if "fork" in actions:
            sessions.append(copied(session, f"f{number}"))
    files = files_of(*sessions)
    plain, mixed = Feed(), Feed()

    for path in sorted(files):
        plain.take((path, files[path]))
    for batch in shuffled(files, cuts, chance):
        mixed.take(*batch)

    assert links(mixed) == links(plain)
    assert mixed.dump() == plain.dump()
    sums = mixed.store.conn.execute("SELECT source, target_kind, SUM(share) FROM link WHERE kind = 1 GROUP BY 1, 2")
    assert {int(row[2]) for row in sums} <= {WHOLE}
    before = links(mixed)
    mixed.store.run(relink_everything)
    assert links(mixed) == before


def test_a_pruned_session_keeps_its_links_also_when_a_late_line_comes() -> None:
    session = worked()
    feed = feed_in_zone()
    feed.read(session, passing("young", start=START_MS + 39 * DAY_MS))
    feed.until(START_MS + 2 * DAY_MS)
    before = links(feed)

    prune(feed, START_MS + 40 * DAY_MS)
    gone = feed.scalar("SELECT COUNT(*) FROM fact f JOIN context c ON c.id = f.context"
                       " JOIN name n ON n.id = c.session WHERE n.value = 'one'")  # fmt: skip
    session.bash("cat docs/plans/billing.md")
    feed.read(session)

    assert gone == 0
    assert before
    assert links(feed) == before


def test_a_new_database_has_the_links_of_the_old_one_also_of_what_was_pruned() -> None:
    source = feed_in_zone()
    source.read(worked("old"), worked("new", start=START_MS + 39 * DAY_MS))
    source.until(START_MS + 39 * DAY_MS + 3_600_000)
    prune(source, START_MS + 40 * DAY_MS)
    target = Feed()

    carry_over(source.store.conn, target.store)
    first = links(target)
    carry_over(source.store.conn, target.store)

    assert first == links(source)
    assert {line.split('"')[1] for line in first} == {"old", "new"}
    assert links(target) == first


def test_texts_that_links_name_stay_when_their_facts_go() -> None:
    feed = feed_in_zone()
    feed.read(worked())
    feed.until(START_MS + 2 * DAY_MS)

    prune(feed, START_MS + 40 * DAY_MS)

    lost = feed.scalar("SELECT COUNT(*) FROM link l LEFT JOIN name s ON s.id = l.source LEFT JOIN name t"
                       " ON t.id = l.target WHERE s.id IS NULL OR t.id IS NULL")  # fmt: skip
    assert feed.scalar("SELECT COUNT(*) FROM link") > 0
    assert lost == 0
