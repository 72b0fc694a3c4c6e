"""A line that ends the process itself, with no exception: the daemon is started again and again, as by its manager."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from ccagent.crash_guard import DEATHS
from tests.daemon.rig import DEADLINE_SECONDS, ROOT, Daemon, Ground, small_session
from tests.transcripts import Session, Usage, text

POISON = "the line that ends the process"

ABORTS = f"""
import os
from ccagent.sources.claude.derive import Deriver

derive = Deriver._record

def aborting(self, record):
    if {POISON.encode()!r} in self.raw:
        os.abort()
    derive(self, record)

Deriver._record = aborting
"""
"""Stands in for a fault in machine code: what a rule does cannot end a process by itself."""


@pytest.fixture
def aborts(tmp_path: Path) -> dict[str, str]:
    """Variables with which a process dies on the line."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(ABORTS)
    return {"PYTHONPATH": f"{folder}:{ROOT}"}


def poisoned(name: str, start: int) -> Session:
    """A session with three requests, of which the second stands on a line that ends the process."""
    session = Session(seed=name, start=start)
    session.prompt("hello")
    for number, words in enumerate(("before", POISON, "behind")):
        session.assistant(text(words), usage=Usage(input=10**number, output=1))
    session.turn_duration(5_000)
    return session


def died(daemon: Daemon) -> None:
    assert daemon.process.wait(DEADLINE_SECONDS) == -signal.SIGABRT, daemon.words


def test_a_line_that_ends_the_process_is_put_aside_and_all_else_is_taken_in(
    ground: Ground, aborts: dict[str, str]
) -> None:
    session = poisoned("bad", 1_770_714_000_000)
    ground.tree.write(session, small_session("good"))
    line = next(line for line in session.content.splitlines(keepends=True) if POISON.encode() in line)

    for _ in range(1 + DEATHS):
        died(ground.start(**aborts))
    daemon = ground.start(**aborts)
    daemon.until_caught_up()

    assert ground.requests() == 4
    assert ground.rows('SELECT "offset", length, reason, recovered FROM quarantine') == [
        (session.content.index(line), len(line), "crash", 0)
    ]
    assert '"ingest.lines_left_out"' in daemon.log.read_text()
    assert daemon.samples()["ccagent_quarantine_lines_total", (("reason", "crash"),)] == 1
    tokens = ground.usage()["tokens"]["input"]
    assert tokens == 1 + 100 + 1 + 2
    assert daemon.terminate() == 0


def test_a_copy_of_it_in_another_file_ends_nobody_and_a_rebuild_reads_past_it(
    ground: Ground, aborts: dict[str, str]
) -> None:
    session = poisoned("bad", 1_770_714_000_000)
    ground.tree.write(session)
    for _ in range(1 + DEATHS):
        died(ground.start(**aborts))
    daemon = ground.start(**aborts)
    daemon.until_caught_up()

    ground.tree.put("-home-demo-atlas/11111111-2222-4333-8444-555555555555.jsonl", session.content)
    daemon.until(lambda: ground.taken() == 2 * len(session.content), "the copy is taken in")
    assert daemon.terminate() == 0
    aside = 'SELECT file, "offset", length, hash, reason FROM quarantine ORDER BY file'
    before = ground.rows(aside)
    rebuilt = ground.verb("backfill", "--rebuild", "--source", str(ground.root), **aborts)
    left = ground.rows(aside), ground.requests()
    verified = ground.verb("verify", "--json", "--source", str(ground.root))
    retried = ground.verb("backfill", "--rebuild", "--retry-crashed", "--source", str(ground.root))

    assert rebuilt.returncode == 0, rebuilt.stderr
    assert len(before) == 2
    assert left == (before, 2)
    assert verified.returncode == 1, "what was left out is told, not hidden"
    assert "records on which a rule failed" in json.dumps(json.loads(verified.stdout))
    assert retried.returncode == 0, retried.stderr
    assert (ground.rows(aside), ground.requests()) == ([], 3), "a version that can read it takes it in"


def test_a_line_that_was_taken_in_after_all_stays_though_a_copy_of_it_is_gone(
    ground: Ground, aborts: dict[str, str]
) -> None:
    session = poisoned("bad", 1_770_714_000_000)
    ground.tree.write(session)
    copy = ground.tree.put("-home-demo-atlas/11111111-2222-4333-8444-555555555555.jsonl", session.content)
    for _ in range(1 + DEATHS):
        died(ground.start(**aborts))
    assert ground.once(**aborts).returncode == 0
    assert ground.rows("SELECT COUNT(*) FROM quarantine WHERE reason = 'crash'") == [(2,)]
    copy.unlink()

    retried = ground.verb("backfill", "--rebuild", "--retry-crashed", "--source", str(ground.root))
    after = ground.requests()
    again = ground.verb("backfill", "--rebuild", "--source", str(ground.root))

    assert (retried.returncode, again.returncode) == (0, 0), again.stderr
    assert (after, ground.requests()) == (3, 3)
    assert ground.verb("verify", "--source", str(ground.root)).returncode == 0


def test_a_retry_does_not_go_on_with_a_rebuild_that_left_the_line_out(ground: Ground, aborts: dict[str, str]) -> None:
    ground.tree.write(poisoned("bad", 1_770_714_000_000))
    for _ in range(1 + DEATHS):
        died(ground.start(**aborts))
    assert ground.once(**aborts).returncode == 0
    options = ("backfill", "--rebuild", "--source", str(ground.root))
    interrupted = ground.verb(*options, CCAGENT_FAILPOINT="rebuild_filled:kill", **aborts)

    retried = ground.verb(*options, "--retry-crashed")

    assert (interrupted.returncode, retried.returncode) == (-signal.SIGKILL, 0), retried.stderr
    assert (ground.requests(), ground.rows("SELECT reason FROM quarantine")) == (3, [])


def test_kills_of_a_busy_daemon_condemn_no_line(ground: Ground) -> None:
    """`after_facts` lies behind deriving: a hundred of these are no fault of a line."""
    ground.tree.write(poisoned("one", 1_770_714_000_000))

    for _ in range(2 + DEATHS):
        killed = ground.start(CCAGENT_FAILPOINT="after_facts:kill")
        assert killed.process.wait(DEADLINE_SECONDS) == -signal.SIGKILL
    daemon = ground.start()
    daemon.until_caught_up()

    assert ground.requests() == 3
    assert ground.rows("SELECT * FROM quarantine") == []
