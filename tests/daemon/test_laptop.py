"""What a laptop does to a daemon: old transcripts go, it is frozen, killed, upgraded, and its log is moved away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from calendar import timegm
from contextlib import closing
from pathlib import Path

import pytest

from ccagent import __version__
from ccagent.store.schema import SCHEMA_VERSION
from tests.daemon.rig import DEADLINE_SECONDS, ROOT, STOP_SECONDS, Daemon, Ground, small_session, until

OFTEN = {"CCAGENT_INGEST_SCAN_INTERVAL_SECONDS": "1"}


def run_with(ground: Ground, redirection: str, **streams: int) -> subprocess.Popen[bytes]:
    """A daemon of which a shell has set the standard streams; the caller ends it."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh"]
    started: subprocess.Popen[bytes] = subprocess.Popen(
        [*command, *ground.command("run", "--source", str(ground.root), "--listen", "127.0.0.1:0")],
        env=ground.environment(), cwd=ground.home, **streams,
    )  # fmt: skip
    ground.started.append(Daemon(ground=ground, process=started, log=Path(os.devnull)))
    return started


def set_schema(ground: Ground, version: int) -> None:
    with closing(sqlite3.connect(ground.database)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


# ---- transcripts go after 30 days --------------------------------------------------------------------------------


def test_what_deleted_transcripts_said_stays_with_the_daemon_running_and_after_a_restart(ground: Ground) -> None:
    old, new = small_session("old", requests=4, cwd="/home/demo/old"), small_session("new", requests=2)
    folder = ground.tree.write(old).parent
    ground.tree.write(new)
    daemon = ground.start(**OFTEN)
    daemon.until_caught_up()
    daemon.until(lambda: ground.requests() == 6, "both sessions are there")
    usage, tokens = ground.usage(), daemon.tokens()

    shutil.rmtree(folder)
    daemon.until(lambda: ground.status().get("files") == 1, "the scan has seen that one is gone")
    ground.tree.write(small_session("newer", requests=1))
    daemon.until(lambda: ground.requests() == 7, "following goes on")

    status = ground.status()
    assert (status["lost_bytes"], status["unreadable"], status["problems"]) == (0, 0, [])
    daemon.until(lambda: sum(daemon.tokens().values()) > sum(tokens.values()), "the page has the new one as well")
    assert all(daemon.tokens()[kind] >= amount for kind, amount in tokens.items())
    assert daemon.terminate() == 0

    again = ground.start()
    again.until_caught_up()

    assert ground.requests() == 7
    assert ground.usage()["sessions"] == usage["sessions"] + 1
    assert again.terminate() == 0
    assert ground.verb("verify", "--source", str(ground.root)).returncode == 0


# ---- frozen and killed -------------------------------------------------------------------------------------------


def test_what_is_written_while_it_is_frozen_is_taken_in_when_it_goes_on(ground: Ground) -> None:
    session = small_session("one", requests=2)
    ground.tree.write(session)
    daemon = ground.start()
    daemon.until(lambda: ground.requests() == 2, "the session is there")

    daemon.process.send_signal(signal.SIGSTOP)
    ground.tree.write(small_session("two", requests=3))
    time.sleep(1.5)  # longer than the second between two looks
    frozen = ground.requests()
    daemon.process.send_signal(signal.SIGCONT)

    daemon.until(lambda: ground.requests() == 5, "it has caught up")
    assert frozen == 2
    assert daemon.terminate() == 0


def test_after_a_kill_the_status_says_when_it_was_last_alive_and_what_to_do(ground: Ground) -> None:
    ground.tree.write(small_session("one"))
    daemon = ground.start()
    daemon.until_caught_up()
    daemon.until(lambda: ground.status().get("caught_up"), "the status is written")
    daemon.kill()

    said = ground.verb("status")
    last = ground.status()["last_seen"]

    assert said.returncode == 3
    assert "not running; `ccagent run` starts it" in said.stdout
    assert f"(pid {daemon.process.pid})" in said.stdout
    assert "the next start goes on where it stood" in said.stdout
    assert last["pid"] == daemon.process.pid
    assert abs(time.time() - timegm(time.strptime(last["at"], "%Y-%m-%dT%H:%M:%SZ"))) < 120


def test_after_an_orderly_end_the_status_speaks_of_no_kill(ground: Ground) -> None:
    daemon = ground.start()
    daemon.until_caught_up()
    assert daemon.terminate() == 0

    assert "last_seen" not in ground.status()


# ---- upgrade and downgrade ---------------------------------------------------------------------------------------


def test_a_downgrade_ends_with_78_says_so_and_touches_nothing(ground: Ground) -> None:
    ground.tree.write(small_session("one"))
    assert ground.once().returncode == 0
    set_schema(ground, SCHEMA_VERSION + 1)
    before = ground.database.read_bytes()

    daemon = ground.start()
    code = daemon.process.wait(DEADLINE_SECONDS)
    status = ground.verb("status", "--json")

    words = f"newer ccagent (schema {SCHEMA_VERSION + 1}, this one knows {SCHEMA_VERSION}); upgrade ccagent"
    assert code == 78, daemon.words
    assert words in daemon.words
    assert "Traceback" not in daemon.words
    assert ground.database.read_bytes() == before
    assert status.returncode == 3
    assert any(words in problem for problem in json.loads(status.stdout)["problems"])
    assert ground.verb("usage").returncode == 78

    set_schema(ground, SCHEMA_VERSION)
    again = ground.start()
    again.until_caught_up()
    assert ground.requests() == 2


def test_a_database_of_another_program_ends_it_with_78(ground: Ground) -> None:
    ground.database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(ground.database)) as connection:
        connection.execute("CREATE TABLE somebody (name TEXT)")

    daemon = ground.start()

    assert daemon.process.wait(DEADLINE_SECONDS) == 78
    assert "of another program; name another --db" in daemon.words


def test_beside_a_daemon_of_an_older_version_the_status_asks_for_a_restart_which_reads_nothing_again(
    ground: Ground, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(ROOT / "ccagent", older / "ccagent", ignore=shutil.ignore_patterns("__pycache__"))
    version = older / "ccagent" / "__init__.py"
    version.write_text(version.read_text().replace(f'"{__version__}"', '"0.0.9"'))
    ground.tree.write(small_session("one", requests=3))
    daemon = ground.start(PYTHONPATH=str(older))
    daemon.until(lambda: ground.requests() == 3, "the older one follows")
    daemon.until(lambda: ground.status().get("caught_up"), "and tells how it is")

    problems = ground.status()["problems"]
    refused = ground.db("migrate")
    ended = daemon.terminate()
    newer = ground.start()
    newer.until_caught_up()

    assert problems == [
        f"the daemon is ccagent 0.0.9, this is {__version__}; restart it, and it goes on where it stands"
    ]
    assert refused.returncode == 75
    assert ended == 0
    assert ground.requests() == 3
    assert ground.status()["problems"] == []
    read = {key: value for key, value in newer.samples().items() if key[0] == "ccagent_ingest_bytes_total"}
    assert sum(read.values()) == ground.taken()


# ---- the log -----------------------------------------------------------------------------------------------------


def test_without_standard_streams_it_runs_and_ends_with_0(ground: Ground) -> None:
    ground.tree.write(small_session("one"))
    process = run_with(ground, "<&- >&- 2>&-")

    until(lambda: ground.requests() == 2 or process.poll() is not None, "it follows")
    held = {number: str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in range(3)}
    process.send_signal(signal.SIGUSR1)
    ground.tree.write(small_session("two"))
    until(lambda: ground.requests() == 4 or process.poll() is not None, "it follows on")
    process.terminate()

    assert held == dict.fromkeys(range(3), os.devnull)
    assert process.wait(STOP_SECONDS) == 0


def test_a_reader_of_the_log_that_goes_away_changes_nothing_and_it_ends_with_0(ground: Ground) -> None:
    process = run_with(ground, "", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    with process.stderr:
        assert b"daemon.start" in process.stderr.readline()

    ground.tree.write(small_session("one"))
    until(lambda: ground.requests() == 2 or process.poll() is not None, "it follows")
    process.terminate()

    assert process.wait(STOP_SECONDS) == 0


def test_a_bad_configuration_ends_with_78_though_nobody_reads_why(ground: Ground) -> None:
    ground.config.write_text("nonsense = 1\n")
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            ground.command("run", "--config", str(ground.config)), env=ground.environment(), cwd=ground.home,
            stdout=write, stderr=write, timeout=DEADLINE_SECONDS, check=False,
        )  # fmt: skip
    finally:
        os.close(write)

    assert done.returncode == 78


@pytest.mark.parametrize("way", ["renamed", "removed", "copied and cut"])
def test_a_log_file_that_is_rotated_under_it_changes_nothing(ground: Ground, way: str) -> None:
    log = ground.folder / "agent.log"
    process = run_with(ground, f"2>>'{log}'", stdout=subprocess.DEVNULL)
    until(lambda: log.exists() and b"listen.open" in log.read_bytes(), "it is up")
    moved = log.with_suffix(".1")
    if way == "renamed":
        log.rename(moved)
    elif way == "removed":
        log.unlink()
    else:
        shutil.copy(log, moved)
        os.truncate(log, 0)

    ground.tree.write(small_session("one"))
    until(lambda: ground.requests() == 2 or process.poll() is not None, "it follows")
    process.terminate()

    assert process.wait(STOP_SECONDS) == 0
    if way == "copied and cut":
        assert [json.loads(line)["event"] for line in log.read_text().splitlines()] == ["daemon.stop"]
