"""The repository of a worktree, by its `.git` file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ccagent.service.live import Live
from ccagent.service.scheduling import Scheduling
from ccagent.store.filesystem import Mount
from ccagent.store.queries import usage
from ccagent.worktrees import FILE_BYTES, LOOK_SECONDS, Worktrees, repository_of
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A real repository with one commit."""
    folder = tmp_path / "repo"
    git(tmp_path, "init", "-q", str(folder))
    (folder / "a").write_text("a")
    git(folder, "add", "a")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "first")
    return folder


def git(folder: Path, *words: str) -> None:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run(["git", *words], cwd=folder, env=environment, check=True, timeout=30)


def test_a_linked_worktree_and_its_folders_belong_to_the_repository(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere" / "src").mkdir()

    assert repository_of(str(tmp_path / "elsewhere")) == str(repository)
    assert repository_of(str(tmp_path / "elsewhere" / "src")) == str(repository)


def test_a_relative_path_and_a_bare_repository_are_followed(tmp_path: Path) -> None:
    written(tmp_path / "one", "gitdir: ../repo/.git/worktrees/one\n")
    written(tmp_path / "two", f"gitdir: {tmp_path}/store.git/worktrees/two\r\n")

    assert repository_of(str(tmp_path / "one")) == str(tmp_path / "repo")
    assert repository_of(str(tmp_path / "two")) == str(tmp_path / "store.git")


def written(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / ".git").write_text(text)
    return folder


def test_a_repository_of_its_own_and_a_submodule_are_no_worktrees(repository: Path, tmp_path: Path) -> None:
    module = written(tmp_path / "module", "gitdir: ../repo/.git/modules/module\n")

    assert repository_of(str(repository)) is None
    assert repository_of(str(repository / "src")) is None
    assert repository_of(str(module)) is None


def test_what_is_gone_strange_or_large_names_nothing(tmp_path: Path) -> None:
    garbage = written(tmp_path / "garbage", "hello\n")
    large = written(tmp_path / "large", f"gitdir: /r/.git/worktrees/x\n{'#' * FILE_BYTES}")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / ".git").symlink_to(written(tmp_path / "target", "gitdir: /r/.git/worktrees/x\n") / ".git")
    pipe = tmp_path / "pipe"
    pipe.mkdir()
    os.mkfifo(pipe / ".git")

    for folder in (garbage, large, linked, pipe, tmp_path / "gone", Path("/")):
        assert repository_of(str(folder)) is None
    for text in ("relative/folder", "C:\\work\\repo", "", "/a\0b"):
        assert repository_of(text) is None


def test_nothing_on_another_machine_s_disk_is_asked(tmp_path: Path) -> None:
    written(tmp_path / "one", "gitdir: /r/.git/worktrees/one\n")
    far = (Mount(point="/", type="ext4"), Mount(point=str(tmp_path), type="nfs4"))
    near = (Mount(point="/", type="ext4"),)

    assert repository_of(str(tmp_path / "one"), far) is None
    assert repository_of(str(tmp_path / "one"), near) == "/r"


def session(cwd: Path) -> Session:
    made = Session("one", cwd=str(cwd))
    made.prompt("hello")
    made.request("hi")
    return made


def test_the_scheduler_folds_a_worktree_and_remembers_it(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "elsewhere"))
    feed = Feed(now_ms=START_MS + 60_000).read(session(tmp_path / "elsewhere"))
    looking = Worktrees(feed.store, feed.clock)
    live = Live(caught_up=True)
    scheduling = Scheduling(feed.store, ZoneInfo("UTC"), live, feed.clock, None, worktrees=looking)

    scheduling.tick(0.0)
    folded = projects(feed)
    (tmp_path / "elsewhere" / ".git").unlink()
    scheduling.tick(LOOK_SECONDS + 1)

    assert folded == [str(repository)]
    assert projects(feed) == folded
    assert looking.look() == 0


def test_nothing_is_looked_at_while_history_is_read(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "elsewhere"))
    feed = Feed(now_ms=START_MS + 60_000).read(session(tmp_path / "elsewhere"))
    live = Live(caught_up=False)
    scheduling = Scheduling(
        feed.store, ZoneInfo("UTC"), live, feed.clock, None, worktrees=Worktrees(feed.store, feed.clock)
    )

    scheduling.tick(0.0)

    assert projects(feed) == [str(tmp_path / "elsewhere")]


def projects(feed: Feed) -> list[str]:
    rows = usage(feed.store.conn, by="project", since_ms=None, until_ms=None, timezone=None)
    return [row.key for row in rows]
