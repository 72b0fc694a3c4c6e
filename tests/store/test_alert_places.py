"""Where the work of an alert's subject was done."""

from __future__ import annotations

import pytest

from ccagent.alerts.rule import Scope
from ccagent.store.alert_places import places
from tests.sources.feed import Feed
from tests.store.worked import worked
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")


def session(name: str, cwd: str, seed: int) -> Session:
    made = Session(name, cwd=cwd, seed=seed)
    made.prompt("hello")
    made.request()
    return made


def test_a_session_has_its_folders_and_their_project() -> None:
    feed = Feed().read(session("one", "/home/x/atlas", 1), session("two", "/home/x/other", 2))

    assert places(feed.store.conn, Scope.SESSION, "one") == [("/home/x/atlas", "/home/x/atlas")]
    assert places(feed.store.conn, Scope.SESSION, "nobody's") == []


def test_of_everything_each_project_is_named_once() -> None:
    feed = Feed().read(
        session("one", "/home/x/atlas", 1), session("two", "/home/x/other", 2), session("three", "/home/x/atlas", 3)
    )

    found = places(feed.store.conn, Scope.GLOBAL, "")

    assert sorted(found) == [("/home/x/atlas", "/home/x/atlas"), ("/home/x/other", "/home/x/other")]


def test_a_project_is_where_it_is() -> None:
    assert places(Feed().store.conn, Scope.PROJECT, "/home/x/atlas") == [("/home/x/atlas", "/home/x/atlas")]


def test_a_project_was_worked_on_in_its_folders_and_worktrees_too() -> None:
    root, tree = "/home/x/atlas", "/home/x/atlas/.worktrees/1"
    made = session("one", root, 1)
    made.cwd = f"{root}/private"
    made.request()
    feed = Feed().read(made, session("two", tree, 2), session("three", "/home/x/other", 3))

    found = places(feed.store.conn, Scope.PROJECT, root)

    assert found[0] == (root, root)
    assert set(found[1:]) == {(f"{root}/private", root), (tree, root)}


def test_a_feature_was_worked_on_where_its_sessions_were() -> None:
    feed = Feed().read(worked(), session("elsewhere", "/home/x/other", 5))

    found = places(feed.store.conn, Scope.FEATURE, "login-form")

    assert len(found) == 1
    assert found == places(feed.store.conn, Scope.SESSION, "one")
    assert places(feed.store.conn, Scope.FEATURE, "another") == []
