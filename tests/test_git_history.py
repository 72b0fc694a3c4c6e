"""Commits that no transcript shows, from real repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ccagent import git_history
from ccagent.git_history import LOOK_SECONDS, OUTPUT_BYTES, READ_SECONDS, SETTLED_MS, Histories, Reading, root_of
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session, Usage

pytestmark = [
    pytest.mark.usefixtures("either_store"),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
]

LATER_MS = START_MS + 2 * SETTLED_MS
ENV = {"PATH": os.environ.get("PATH", ""), "HOME": "/nowhere", "LC_ALL": "C"}


class Repository:
    """A repository of its own, whose clock the test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str, at_ms: int = START_MS) -> str:
        date = f"{at_ms // 1_000} +0000"
        who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "a"}
        env = ENV | who | {"GIT_COMMITTER_EMAIL": "a@example.com", "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date}
        done = subprocess.run(("git", *words), cwd=self.folder, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, words: str, at_ms: int) -> str:
        """An empty commit; its hash."""
        self.git("commit", "-q", "--allow-empty", "-m", words, at_ms=at_ms)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "atlas")


@pytest.fixture
def session(repository: Repository) -> Session:
    """Ten minutes of work in that repository."""
    session = Session("s", version="2.1.230", branch="main", start=START_MS, cwd=str(repository.folder))
    session.prompt("do it")
    session.wait(600_000)
    session.request()
    return session


def look(feed: Feed, env: dict[str, str] | None = None) -> Histories:
    """One whole look, turned by hand."""
    feed.clock.jump(LATER_MS)
    histories = Histories(feed.store, feed.clock, ENV if env is None else env)
    histories.tick(0.0)
    turn(histories)
    return histories


def turn(histories: Histories) -> None:
    for _ in range(100):
        if not histories.busy:
            return
        histories.tick(0.0)
    raise AssertionError("the look does not come to an end")


def test_a_commit_that_no_transcript_shows_belongs_to_the_session_active_then(
    repository: Repository, session: Session
) -> None:
    sha = repository.commit("a secret message", START_MS + 60_000)
    feed = Feed().read(session)

    look(feed)

    (row,) = feed.events("git.commit")
    assert (row["source_key"], row["commit_hash"], row["confidence"]) == (f"commit:{sha[:7]}", sha[:7], 0.4)
    assert (row["session_id"], row["project_id"], row["git_branch"]) == ("s", str(repository.folder), "main")
    assert (row["occurred_at"], row["status"], row["detail"]) == (START_MS + 60_000, "ok", "commit")
    assert row["closed_seq"] is not None
    assert "secret" not in "".join(feed.dump())


def test_what_a_transcript_showed_stays_as_it_is(repository: Repository, session: Session) -> None:
    sha = repository.commit("words", START_MS + 60_000)
    session.tool("Bash", {"command": "git commit -m x"}, f"[main {sha[:9]}] words\n", usage=Usage(input=1))
    feed = Feed().read(session)
    before = feed.dump()

    look(feed)

    assert feed.dump() == before


def test_a_transcript_that_comes_later_has_the_commit(repository: Repository, session: Session) -> None:
    sha = repository.commit("words", START_MS + 60_000)
    feed = Feed().read(session)
    look(feed)
    session.tool(
        "Bash",
        {"command": "git commit -m x"},
        f"[topic {sha[:9]}] words\n 1 file changed, 3 insertions(+)\n",
        usage=Usage(input=1),
    )

    feed.read(session)

    (row,) = feed.events("git.commit")
    assert (row["confidence"], row["size"], row["lines_added"]) == (0.95, 1, 3)
    assert row["turn_key"] is not None


def test_looking_again_changes_nothing(repository: Repository, session: Session) -> None:
    repository.commit("words", START_MS + 60_000)
    feed = Feed().read(session)
    histories = look(feed)
    before = feed.scalar("SELECT SUM(seq) FROM host")

    histories.tick(LOOK_SECONDS)
    turn(histories)

    assert feed.scalar("SELECT SUM(seq) FROM host") == before
    assert len(feed.events("git.commit")) == 1


def test_commits_outside_of_sessions_and_young_ones_are_left_out(repository: Repository, session: Session) -> None:
    repository.commit("before", START_MS - 3_600_000)
    repository.commit("long after", START_MS + 3_600_000)
    session.wait(3 * SETTLED_MS)
    session.request()
    repository.commit("young", LATER_MS - 1_000)
    feed = Feed().read(session)

    look(feed)

    assert feed.events("git.commit") == []


def test_a_look_starts_one_process_a_repository_however_many_sessions_and_folders(
    repository: Repository, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = repository.folder / "src"
    inside.mkdir()
    repository.commit("words", START_MS)
    repository.git("worktree", "add", "-q", "-b", "side", str(repository.folder.parent / "elsewhere"))
    others = [
        Session(f"s{number}", version="2.1.230", start=START_MS, cwd=str(folder))
        for number, folder in enumerate((repository.folder, inside, repository.folder.parent / "elsewhere"))
    ]
    for other in others:
        other.prompt("do it")
    feed = Feed().read(session, *others)
    started: list[str] = []
    begin = Reading.__init__

    def counted(self: Reading, git: str, folder: str, env: dict[str, str], now: float) -> None:
        started.append(folder)
        begin(self, git, folder, env, now)

    monkeypatch.setattr(Reading, "__init__", counted)

    look(feed)

    assert started == [str(repository.folder)]


def test_commits_of_worktrees_are_found_in_their_repository(repository: Repository, session: Session) -> None:
    repository.commit("first", START_MS - 3_600_000)
    side = repository.folder.parent / "elsewhere"
    repository.git("worktree", "add", "-q", "-b", "side", str(side))
    repository.git("-C", str(side), "commit", "-q", "--allow-empty", "-m", "x", at_ms=START_MS + 1_000)
    feed = Feed().read(session)

    look(feed)

    assert [row["event_type"] for row in feed.events() if row["event_type"] == "git.commit"] == ["git.commit"]


def test_folders_that_are_gone_or_hold_no_repository_are_passed_over(tmp_path: Path) -> None:
    for number, cwd in enumerate((str(tmp_path), str(tmp_path / "gone"), "C:\\repo", "relative")):
        session = Session(f"s{number}", version="2.1.230", start=START_MS, cwd=cwd)
        session.prompt("do it")
        feed = Feed().read(session)
        feed.clock.jump(LATER_MS)

        assert Histories(feed.store, feed.clock, ENV).repositories() == []


def test_without_git_nothing_is_read(session: Session) -> None:
    feed = Feed().read(session)

    look(feed, {"PATH": "/nowhere"})

    assert feed.events("git.commit") == []


def test_the_repositorys_own_settings_run_nothing(repository: Repository, session: Session) -> None:
    trap = repository.folder.parent / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {trap}.sprung\n")
    trap.chmod(0o755)
    for name in (
        "core.pager",
        "pager.log",
        "core.fsmonitor",
        "gpg.program",
        "core.sshCommand",
        "core.editor",
        "alias.log",
    ):
        repository.git("config", name, f"!{trap}" if name == "alias.log" else str(trap))
    repository.git("config", "log.showSignature", "true")
    repository.commit("words", START_MS + 60_000)
    sprung = Path(f"{trap}.sprung")
    sprung.unlink()  # the commit itself has asked the monitor
    feed = Feed().read(session)

    look(feed)

    assert len(feed.events("git.commit")) == 1
    assert not sprung.exists()


def fake(folder: Path, script: str) -> str:
    """A program named git that does something else."""
    program = folder / "git"
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_a_process_that_does_not_end_is_ended_in_time(tmp_path: Path) -> None:
    reading = Reading(fake(tmp_path, "import time; time.sleep(600)"), str(tmp_path), ENV, now=5.0)

    assert reading.step(now=5.0)
    assert reading.step(now=4.9 + READ_SECONDS)
    assert not reading.step(now=5.0 + READ_SECONDS)
    assert reading.text is None
    assert reading._process.poll() is not None


def test_output_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_history, "SLICE_SECONDS", 30.0)
    reading = Reading(fake(tmp_path, "import os\nwhile True: os.write(1, b'x' * 65536)"), str(tmp_path), ENV, now=0.0)

    assert not reading.step(now=0.0)
    assert reading.text is None
    assert reading._bytes <= OUTPUT_BYTES + 64 * 1024
    assert reading._process.poll() is not None


def test_what_a_failed_process_printed_counts_for_nothing(tmp_path: Path) -> None:
    reading = Reading(fake(tmp_path, "print('x'); raise SystemExit(128)"), str(tmp_path), ENV, now=0.0)

    while reading.step(now=0.0):
        pass

    assert reading.text is None


def test_closing_ends_the_process(session: Session, tmp_path: Path) -> None:
    feed = Feed().read(session)
    feed.clock.jump(LATER_MS)
    fake(tmp_path, "import time; time.sleep(600)")
    histories = Histories(feed.store, feed.clock, {"PATH": str(tmp_path)})
    histories.tick(0.0)
    histories.tick(0.0)
    assert histories._reading is not None
    process = histories._reading[0]._process

    histories.close()

    assert process.poll() is not None


def test_the_root_of_a_folder(repository: Repository, tmp_path: Path) -> None:
    inside = repository.folder / "a" / "b"
    inside.mkdir(parents=True)

    assert root_of(str(inside)) == root_of(str(repository.folder)) == str(repository.folder)
    assert [root_of(folder) for folder in (str(tmp_path), "relative", "/a\0b", "")] == [None] * 4
