"""A daemon that is told to look into local git history, and one that is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ccagent.clock import SystemClock
from ccagent.config import load
from ccagent.daemon import Daemon
from ccagent.store.view import canonical_dump
from tests.daemon.rig import Ground
from tests.transcripts import Session

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

HOUR_MS = 3_600_000


@contextmanager
def daemon_of(ground: Ground, **flags: object) -> Iterator[Daemon]:
    """A daemon in this process, without threads."""
    mask = os.umask(0o077)
    flags |= {"database": str(ground.database), "sources": (str(ground.root),), "listen": "off"}
    daemon = Daemon(load(flags, {}), {"HOME": str(ground.home), "PATH": os.environ["PATH"]}, SystemClock())
    try:
        yield daemon
    finally:
        daemon.following.follower.close()
        daemon.close()
        os.umask(mask)


@pytest.fixture
def committed(ground: Ground) -> str:
    """A session of an hour ago in a repository with one commit, made then; its hash."""
    began = SystemClock().now_ms() - HOUR_MS
    folder = ground.home / "atlas"
    folder.mkdir(parents=True)
    date = f"{began // 1_000 + 60} +0000"
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    env |= {f"GIT_{role}_{field}": "a@example.com" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}

    def git(*words: str) -> str:
        return subprocess.run(("git", *words), cwd=folder, env=env, capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "words")
    session = Session("s", version="2.1.230", start=began, cwd=str(folder))
    session.prompt("do it")
    session.wait(600_000)
    session.request()
    ground.tree.write(session)
    return git("rev-parse", "HEAD").strip()


def commits(daemon: Daemon) -> list[str]:
    with daemon.readers.reader() as conn:
        return [line for line in canonical_dump(conn) if '"git.commit"' in line]


def turn_until_found(daemon: Daemon) -> None:
    deadline = time.monotonic() + 20
    while not commits(daemon) and time.monotonic() < deadline:
        daemon.scheduling.tick(daemon.clock.monotonic())


def test_one_that_is_told_finds_the_commit_when_it_has_read_the_transcripts(ground: Ground, committed: str) -> None:
    with daemon_of(ground, **{"git.history": True}) as daemon:
        daemon.scheduling.tick(daemon.clock.monotonic())
        before = daemon.histories is not None and daemon.histories.busy
        while daemon.following.turn():
            pass
        turn_until_found(daemon)

        (found,) = commits(daemon)

    assert not before
    assert f'"commit:{committed[:7]}"' in found


def test_one_that_is_not_told_runs_nothing(ground: Ground, committed: str) -> None:
    assert committed
    with daemon_of(ground) as daemon:
        while daemon.following.turn():
            pass
        for _ in range(5):
            daemon.scheduling.tick(daemon.clock.monotonic())

        assert daemon.histories is None
        assert commits(daemon) == []
