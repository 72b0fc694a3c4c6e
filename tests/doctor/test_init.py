"""`ccagent init`: what it shows, what it writes, and that a second call changes nothing."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ccagent.config_reference import default_file
from ccagent.inventory import is_session
from tests.daemon.rig import ROOT, Ground, grounds, small_session


@pytest.fixture
def ground(tmp_path: Path) -> Any:
    with grounds(tmp_path / "ground") as found:
        yield found


def at_home(ground: Ground) -> Path:
    """A session where Claude Code keeps it, with a sub-agent's file beside it; its root."""
    root = ground.home / ".claude" / "projects"
    folder = root / "-home-demo-atlas"
    folder.mkdir(parents=True)
    (folder / "one.jsonl").write_bytes(small_session("one").content)
    (folder / "agent-a1.jsonl").write_bytes(small_session("two").content)
    return root


def init(ground: Ground, *options: str) -> subprocess.CompletedProcess[str]:
    done = ground.verb("init", *options)
    assert done.returncode == 0, done.stderr
    return done


def test_it_shows_what_there_is_and_writes_a_private_commented_configuration(ground: Ground) -> None:
    root = at_home(ground)

    said = init(ground).stdout

    file = ground.home / ".config" / "ccagent" / "config.toml"
    assert f"{root} (claude): 1 project, 1 session, 2 files" in said
    assert f"wrote     {file}" in said
    assert "`ccagent run` takes in 2 files" in said
    assert file.read_text() == default_file()
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    assert not ground.database.exists(), "nobody said yes"


def test_a_second_call_leaves_a_changed_file_as_it_is(ground: Ground) -> None:
    at_home(ground)
    init(ground)
    file = ground.home / ".config" / "ccagent" / "config.toml"
    file.write_text('listen = "off"\n')

    said = init(ground).stdout

    assert f"kept      {file}" in said
    assert file.read_text() == 'listen = "off"\n'


def test_yes_takes_the_history_in_and_the_next_call_finds_nothing_left(ground: Ground) -> None:
    at_home(ground)

    first = json.loads(init(ground, "--yes", "--json").stdout)
    second = json.loads(init(ground, "--yes", "--json").stdout)

    assert (first["config"]["written"], second["config"]["written"]) == (True, False)
    assert first["backfill"]["files"] == 2
    assert (second["left"], second["backfill"]) == ({"files": 0, "bytes": 0}, None)
    assert ground.requests() == 4
    last = first["last_30_days"]
    assert (last["requests"], last["models"], last["unpriced_requests"], second["last_30_days"]) == (4, 1, 0, None)
    assert last["cost_microusd"] > 0


def test_a_file_that_is_named_and_not_there_yet_is_the_one_that_is_written(ground: Ground) -> None:
    at_home(ground)
    file = ground.home / "mine" / "own.toml"

    shown = ground.verb("init", "--dry-run", CCAGENT_CONFIG=str(file))
    written = ground.verb("init", CCAGENT_CONFIG=str(file))

    assert (shown.returncode, written.returncode) == (0, 0), shown.stderr
    assert f"to write  {file}" in shown.stdout
    assert file.read_text() == default_file()


def test_a_dry_run_writes_nothing(ground: Ground) -> None:
    at_home(ground)

    said = init(ground, "--dry-run", "--yes").stdout

    assert "to write" in said
    assert [path for path in ground.home.rglob("*") if path.is_file() and ".claude" not in path.parts] == []
    assert not ground.database.exists()


def test_without_transcripts_it_names_where_it_looked(ground: Ground) -> None:
    said = init(ground).stdout

    assert str(ground.home / ".claude" / "projects") in said
    assert "next      `ccagent run` follows what comes" in said


def test_beside_a_daemon_it_takes_in_nothing(ground: Ground) -> None:
    at_home(ground)
    daemon = ground.start(source=False)
    daemon.until_caught_up()

    assert "a daemon runs already" in init(ground, "--yes").stdout


def test_on_a_terminal_it_asks_and_heeds_the_answer(ground: Ground) -> None:
    at_home(ground)
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "ccagent", "init", "--db", str(ground.database)],
        env=ground.environment(PYTHONPATH=str(ROOT)), stdin=slave, stdout=slave, stderr=slave, cwd=ground.home,
    ) as process:  # fmt: skip
        os.close(slave)
        os.write(master, b"y\n")
        shown = b""
        while True:
            try:
                piece = os.read(master, 4_096)
            except OSError:
                break  # the other side has ended
            if not piece:
                break
            shown += piece
        assert process.wait(60) == 0
    os.close(master)

    assert b"Take in 2 files" in shown
    assert b"took in   2 files" in shown
    assert b"API-equivalent, 1 model, 0 unpriced" in shown
    assert ground.requests() == 4


@pytest.mark.parametrize(
    ("path", "kind", "own"),
    [
        (b"/p/-a/one.jsonl", "claude", True),
        (b"/p/-a/agent-a1.jsonl", "claude", False),
        (b"/p/-a/one/subagents/agent-a1.jsonl", "claude", False),
        (b"/p/-a/one/subagents/workflows/x.jsonl", "claude", False),
        (b"/s/2026/01/02/rollout-x.jsonl", "codex", True),
    ],
)
def test_a_session_is_told_from_a_sub_agent_by_its_place(path: bytes, kind: str, own: bool) -> None:
    assert is_session(path, kind) is own
