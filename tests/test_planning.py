"""Planning documents that name sessions: read below known projects, stated as certain links, taken back."""

from __future__ import annotations

import os
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ccagent.config import load
from ccagent.errors import ConfigError
from ccagent.facts.evidence import DEFAULT
from ccagent.planning import DOCUMENT_BYTES, LOOK_SECONDS, Planning, documents, follow_conventions
from ccagent.service.live import Live
from ccagent.service.scheduling import Scheduling
from ccagent.sources.claude.standing import Standing
from tests.sources.feed import START_MS, Feed
from tests.store.worked import entity_links, links
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")

GLOBS = ("docs/plans/**/*.md",)
SESSION = "8463c716-0000-4000-8000-000000000001"


def made(cwd: Path, branch: str = "main") -> Session:
    session = Session(SESSION, cwd=str(cwd), branch=branch)
    session.prompt("hello")
    session.request("hi")
    return session


def plan(root: Path, name: str, front: str) -> Path:
    path = root / "docs" / "plans" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\n{front}\n---\n# A plan\n")
    return path


def features(feed: Feed) -> list[tuple[str, float, str]]:
    return [
        (row["target_id"], row["confidence"], row["origin"])
        for row in entity_links(feed, SESSION)
        if row["target_type"] == "feature"
    ]


def test_a_document_that_names_a_session_ties_it_for_certain(tmp_path: Path) -> None:
    plan(tmp_path, "login-form.md", f"sessions: [{SESSION}]")
    feed = Feed(now_ms=START_MS + 60_000).read(made(tmp_path, "feat/search"))
    planning = Planning(feed.store, feed.clock, GLOBS)
    before = features(feed)

    opened = planning.look()

    assert before == [("search", 0.62, "auto")]
    assert opened == 1
    assert features(feed) == [("login-form", 1.0, "manual"), ("search", 0.42, "auto")]
    session = feed.event(f"session:{SESSION}")
    assert (session["feature_id"], session["confidence"]) == ("search", 0.42)  # its branch names one


def test_what_a_document_states_outlives_new_evidence_and_is_taken_back_with_it(tmp_path: Path) -> None:
    path = plan(tmp_path, "login-form.md", f"sessions: [{SESSION}]")
    session = made(tmp_path)
    feed = Feed(now_ms=START_MS + 60_000).read(session)
    planning = Planning(feed.store, feed.clock, GLOBS)
    planning.look()

    session.bash("git commit -m 'ENT-1'")
    feed.read(session)
    kept = features(feed)
    path.write_text("---\nsessions: []\n---\n")
    os.utime(path, ns=(1, 1))
    planning.look()

    assert kept == [("login-form", 1.0, "manual")]
    assert features(feed) == []


def test_an_unchanged_document_is_not_opened_again(tmp_path: Path) -> None:
    path = plan(tmp_path, "login-form.md", f"sessions: [{SESSION}]")
    feed = Feed(now_ms=START_MS + 60_000).read(made(tmp_path))
    planning = Planning(feed.store, feed.clock, GLOBS)

    opened = [planning.look(), planning.look()]
    before = links(feed)
    path.write_text(path.read_text() + "more\n")
    opened.append(planning.look())

    assert opened == [1, 0, 1]
    assert links(feed) == before


def test_a_session_that_is_read_later_is_tied_all_the_same(tmp_path: Path) -> None:
    plan(tmp_path, "login-form.md", f"sessions: [{SESSION}]")
    other = Session("other", cwd=str(tmp_path))
    other.prompt("hello")
    feed = Feed(now_ms=START_MS + 60_000).read(other)
    Planning(feed.store, feed.clock, GLOBS).look()

    feed.read(made(tmp_path))

    assert feed.event(f"session:{SESSION}")["feature_id"] == "login-form"


def test_nothing_is_read_unless_globs_are_given_or_while_history_is_read(tmp_path: Path) -> None:
    plan(tmp_path, "login-form.md", f"sessions: [{SESSION}]")
    feed = Feed(now_ms=START_MS + 60_000).read(made(tmp_path))
    live = Live(caught_up=False)

    def scheduling(*globs: str) -> Scheduling:
        planning = Planning(feed.store, feed.clock, globs)
        return Scheduling(feed.store, ZoneInfo("UTC"), live, feed.clock, None, planning=planning)

    scheduling(*GLOBS).tick(0.0)
    while_reading = features(feed)
    live.caught_up = True
    scheduling().tick(LOOK_SECONDS)
    without_globs = features(feed)
    scheduling(*GLOBS).tick(LOOK_SECONDS)

    assert while_reading == without_globs == []
    assert features(feed) == [("login-form", 1.0, "manual")]


def test_only_plain_files_within_the_project_are_found(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    wanted = [plan(root, "a.md", "x: y"), plan(root, "deep/er/b.md", "x: y")]
    plan(root, "c.txt", "x: y")
    plan(root, "node_modules/d.md", "x: y")
    outside = plan(tmp_path / "elsewhere", "e.md", "x: y")
    (root / "docs" / "plans" / "linked").symlink_to(outside.parent)
    (root / "linked").symlink_to(tmp_path / "elsewhere")

    assert list(documents(str(root), GLOBS)) == [str(path) for path in wanted]
    assert list(documents(str(root), ("docs/plans/*.md",))) == [str(wanted[0])]
    for pattern in ("linked/docs/plans/*.md", "../elsewhere/**/*.md", f"{tmp_path}/elsewhere/**/*.md", "gone/*.md"):
        assert list(documents(str(root), (pattern,))) == []
    assert list(documents(str(root), GLOBS, entries=1)) == []
    assert list(documents(str(root), GLOBS, far={f"{root}/docs/plans/deep"})) == [str(wanted[0])]


def test_a_large_file_a_link_and_a_pipe_are_passed_by(tmp_path: Path) -> None:
    large = plan(tmp_path, "large.md", f"sessions: [{SESSION}]")
    large.write_text(large.read_text() + "x" * DOCUMENT_BYTES)
    (tmp_path / "docs" / "plans" / "link.md").symlink_to(large)
    os.mkfifo(tmp_path / "docs" / "plans" / "pipe.md")
    feed = Feed(now_ms=START_MS + 60_000).read(made(tmp_path))

    assert Planning(feed.store, feed.clock, GLOBS).look() == 0


def test_the_pattern_of_task_ids_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Standing, "conventions", DEFAULT)
    config = load({"features.task_pattern": r"T\d+"}, {"HOME": str(tmp_path)})

    follow_conventions(config.features.task_pattern)
    own = Standing.conventions
    follow_conventions(None)

    assert own.task.search("see T12")
    assert Standing.conventions is DEFAULT
    with pytest.raises(ConfigError, match=re.escape("features.task_pattern is no regular expression")):
        load({"features.task_pattern": "("}, {"HOME": str(tmp_path)})
