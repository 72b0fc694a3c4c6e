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

from ccagent.config import load
from ccagent.config_reference import default_file
from ccagent.follow.roots import Root
from ccagent.inventory import choices, is_session, take, write_config
from tests.daemon.rig import ROOT, Ground, grounds, now_ms, small_session


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
    assert f'\ndatabase = "{ground.database}"\n' in file.read_text(), "the next call uses the same without being told"
    assert [line for line in file.read_text().splitlines() if line not in default_file().splitlines()] == [
        f'database = "{ground.database}"'
    ]
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    assert not ground.database.exists(), "nobody said yes"


def test_a_second_call_leaves_a_changed_file_as_it_is(ground: Ground) -> None:
    at_home(ground)
    init(ground)
    file = ground.home / ".config" / "ccagent" / "config.toml"
    file.write_text('listen = "off"\n')

    said = init(ground).stdout

    assert f"kept      {file} as it is, without the database of this call" in said
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
    assert f"wrote     {file}: database set, every other key with its default" in written.stdout


def test_a_dry_run_writes_nothing(ground: Ground) -> None:
    at_home(ground)

    said = init(ground, "--dry-run", "--yes").stdout

    assert "to write" in said
    assert [path for path in ground.home.rglob("*") if path.is_file() and ".claude" not in path.parts] == []
    assert not ground.database.exists()


def test_without_transcripts_it_names_where_it_looked(ground: Ground) -> None:
    said = init(ground).stdout

    assert str(ground.home / ".claude" / "projects") in said
    assert f"{ground.home / '.claude' / 'projects'} (not there)" in said
    assert "name their folder with --source" in said


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


def test_sources_that_were_named_are_followed_by_the_next_call_too(ground: Ground) -> None:
    at_home(ground)
    for name in ("a 'quoted' \"tree\"", "sessions"):
        (ground.home / name).mkdir()
    (ground.home / "sessions" / "rollout-one.jsonl").write_text("{}\n")

    init(ground, "--source", "a 'quoted' \"tree\"", "--source", "codex:sessions")
    roots = json.loads(init(ground, "--json").stdout)["roots"]

    assert [(one["path"], one["kind"], one["files"]) for one in roots] == [
        (str(ground.home / "a 'quoted' \"tree\""), "claude", 0), (str(ground.home / "sessions"), "codex", 1),
    ]  # fmt: skip


def test_a_source_that_is_not_there_is_not_written(ground: Ground) -> None:
    said = init(ground, "--source", "/nowhere").stdout

    assert "found     no transcripts in /nowhere (not there)" in said
    assert "/nowhere" not in (ground.home / ".config" / "ccagent" / "config.toml").read_text()


@pytest.mark.parametrize("name", ["facts\udcff.db", "facts\x7f.db"])
def test_a_path_that_no_configuration_can_hold_is_not_written(tmp_path: Path, name: str) -> None:
    config = load({"database": str(tmp_path / name), "sources": (str(tmp_path),)}, {"HOME": str(tmp_path)})

    assert write_config(tmp_path / "config.toml", choices(config))
    assert load({}, {}, tmp_path / "config.toml").sources == (Root(tmp_path),)


def test_a_password_is_not_written_into_the_configuration(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    secret, plain = "postgresql://me:secret@server/facts", "postgresql://me@server/facts"

    assert choices(load({"database": secret}, env)) == {}
    assert choices(load({"database": plain}, env)) == {"database": plain}
    assert choices(load({}, {**env, "CCAGENT_DATABASE_URL": plain})) == {}, "a variable speaks for itself"


def test_where_no_configuration_can_be_written_it_says_what_it_found_and_why(ground: Ground) -> None:
    at_home(ground)
    (ground.home / "file").write_text("")

    done = ground.verb("init", "--yes", "--config", str(ground.home / "file" / "config.toml"))

    assert (done.returncode, "1 project, 1 session" in done.stdout) == (78, True)
    assert done.stderr.startswith("ccagent: cannot create the folder")
    assert not ground.database.exists()


def test_history_without_recent_usage_is_said_to_be_old(ground: Ground) -> None:
    root = at_home(ground)
    for file in root.rglob("*.jsonl"):
        file.write_bytes(small_session("old", start=now_ms() - 90 * 24 * 3_600_000).content)

    assert "30 days   no usage: what was taken in is older" in init(ground, "--yes").stdout


def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / ".claude" / "projects"
    for name in ("open", "closed"):
        (root / name).mkdir(parents=True)
        (root / name / "one.jsonl").write_text("{}\n")
    real_scan, real_access, refused = os.scandir, os.access, os.fsencode(root / "closed")

    def scan(folder: bytes) -> Any:
        if folder == refused:
            raise PermissionError(13, "Permission denied")
        return real_scan(folder)

    # Whoever runs the tests may be allowed everything.
    monkeypatch.setattr(os, "scandir", scan)
    monkeypatch.setattr(
        os, "access", lambda path, mode: not os.fsencode(path).endswith(b"one.jsonl") and real_access(path, mode)
    )
    env = {"HOME": str(tmp_path)}
    found = take(load({}, env), env)[0]

    assert found.files == 1
    assert found.document()["unreadable"] == [str(root / "closed"), str(root / "open" / "one.jsonl")]
