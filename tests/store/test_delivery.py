"""Deliveries with the time of the work behind them, from either store."""

from __future__ import annotations

import pytest

from ccagent.store.delivery import Delivery, deliveries
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session, Usage

pytestmark = pytest.mark.usefixtures("either_store")

MINUTE = 60_000
URL = "https://github.com/demo/atlas/pull/7"


def session_of(name: str, branch: str, start: int = START_MS, cwd: str = "/repo/atlas") -> Session:
    return Session(name, version="2.1.230", branch=branch, start=start, cwd=cwd)


def run(session: Session, command: str, output: str) -> None:
    session.tool("Bash", {"command": command}, output, usage=Usage(input=1), took_ms=0)


def commit(session: Session, sha: str) -> None:
    run(session, "git commit -m x", f"[{session.branch or 'main'} {sha}] Words\n")


def delivered(*sessions: Session) -> list[Delivery]:
    feed = Feed().read(*sessions)
    return deliveries(feed.store.conn)


def only(found: list[Delivery], native: str) -> Delivery:
    (delivery,) = [each for each in found if each.native == native]
    return delivery


def test_nothing_was_delivered() -> None:
    assert delivered(session_of("s", "topic")) == []


def test_the_work_on_a_branch_begins_with_its_first_prompt_in_any_session() -> None:
    first, second = session_of("a", "topic"), session_of("b", "topic", START_MS + 60 * MINUTE)
    first.prompt("begin")
    second.prompt("go on")
    commit(second, "1234567")
    feed = Feed().read(second, first)
    began = feed.events("prompt")[0]["occurred_at"]

    (found,) = deliveries(feed.store.conn)

    assert (found.kind, found.branch, found.project, found.confidence) == ("commit", "topic", "/repo/atlas", 0.95)
    assert (found.strategy, found.began, found.cycle_ms) == ("branch", began, (found.at or 0) - began)
    assert (found.cycle_ms or 0) >= 60 * MINUTE


@pytest.mark.parametrize("branch", ["main", "develop", ""])
def test_where_everything_is_done_the_work_is_the_session(branch: str) -> None:
    first, second = session_of("a", branch), session_of("b", branch, START_MS + 60 * MINUTE)
    first.prompt("begin")
    second.prompt("go on")
    commit(second, "1234567")

    (found,) = delivered(first, second)

    assert (found.strategy, found.session) == ("session", "b")
    assert 0 <= (found.cycle_ms or 0) < MINUTE


def test_the_same_branch_of_another_project_is_other_work() -> None:
    first, second = session_of("a", "topic", cwd="/repo/other"), session_of("b", "topic", START_MS + 60 * MINUTE)
    first.prompt("begin")
    second.prompt("go on")
    commit(second, "1234567")

    found = only(delivered(first, second), "1234567")

    assert (found.strategy, (found.cycle_ms or 0) < MINUTE) == ("branch", True)


def test_a_worktree_is_the_same_project() -> None:
    first = session_of("a", "topic")
    second = session_of("b", "topic", START_MS + 60 * MINUTE, "/repo/atlas/.claude/worktrees/one")
    first.prompt("begin")
    commit(second, "1234567")

    found = only(delivered(first, second), "1234567")

    assert (found.strategy, (found.cycle_ms or 0) >= 60 * MINUTE) == ("branch", True)


def test_a_branch_that_was_made_a_moment_ago_belongs_to_its_session() -> None:
    session = session_of("s", "main")
    session.prompt("begin")
    session.wait(5 * MINUTE)
    run(
        session, "git checkout -b topic && git commit -m x", "Switched to a new branch 'topic'\n[topic 1234567] Words\n"
    )

    (found,) = delivered(session)

    assert (found.branch, found.strategy, (found.cycle_ms or 0) >= 5 * MINUTE) == ("topic", "session", True)


def test_without_a_prompt_no_time_is_known() -> None:
    session = session_of("s", "topic")
    commit(session, "1234567")

    (found,) = delivered(session)

    assert (found.strategy, found.began, found.cycle_ms) == (None, None, None)


def test_a_pull_request_took_until_it_was_opened() -> None:
    session = session_of("s", "topic")
    session.prompt("begin")
    session.wait(9 * MINUTE)
    run(session, "gh pr create --fill", URL)
    session.wait(9 * MINUTE)
    run(session, "gh pr close 7", "")
    run(session, "gh pr reopen 7", "")

    found = only(delivered(session), "github.com/demo/atlas/pull/7")

    assert (found.kind, found.strategy, found.reopened, found.branch) == ("pull_request", "branch", 1, "topic")
    assert 9 * MINUTE <= (found.cycle_ms or 0) < 10 * MINUTE


def test_a_pull_request_whose_opening_was_not_seen() -> None:
    session = session_of("s", "topic")
    session.prompt("begin")
    session.pull_request(7)

    (found,) = delivered(session)

    assert (found.at, found.cycle_ms, found.reopened, found.confidence) == (None, None, None, 1.0)


def test_one_that_was_opened_and_stayed_so() -> None:
    session = session_of("s", "topic")
    session.prompt("begin")
    run(session, "gh pr create --fill", URL)

    assert [each.reopened for each in delivered(session)] == [0]


def test_attempts_deliver_nothing() -> None:
    session = session_of("s", "topic")
    run(session, "git commit -qm x", "")

    feed = Feed().read(session)

    assert len(feed.events("git.commit")) == 1
    assert deliveries(feed.store.conn) == []


def test_a_range_holds_its_start_and_not_its_end() -> None:
    session = session_of("s", "topic")
    session.prompt("begin")
    commit(session, "1111111")
    session.wait(MINUTE)
    commit(session, "2222222")
    feed = Feed().read(session)
    conn = feed.store.conn
    first, second = (each.at or 0 for each in deliveries(conn))

    assert [each.native for each in deliveries(conn, since_ms=first, until_ms=second)] == ["1111111"]
    assert [each.native for each in deliveries(conn, since_ms=second)] == ["2222222"]
    assert deliveries(conn, since_ms=second)[0].began is not None
