"""A daemon's life: it ends when told to, alone on its database, and a new one goes on where it stopped."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.collector import PROTOCOLS, options, receiver
from tests.daemon.rig import DEADLINE_SECONDS, STOP_SECONDS, Ground, get, now_ms, small_session, until
from tests.kill import harness, oracle
from tests.otlp.receiver import Answer

TERMS = 10
"""SIGTERMs at random moments under load."""

TAKEN_PORT = "in use by pid"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process holds."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


def test_sigterm_ends_it_with_0_and_its_live_values_go(ground: Ground) -> None:
    ground.tree.write(small_session("one"))
    daemon = ground.start()
    daemon.until_caught_up()
    daemon.until(lambda: "watch" in ground.status(), "the status has live values")

    code = daemon.terminate()

    assert code == 0, daemon.words
    assert not Path(f"{ground.database}.status.json").exists()
    assert not Path(f"{ground.database}-wal").exists()


def test_sigint_ends_it_with_0(ground: Ground) -> None:
    daemon = ground.start()
    daemon.until_caught_up()

    daemon.process.send_signal(signal.SIGINT)

    assert daemon.process.wait(STOP_SECONDS) == 0


@pytest.mark.slow
def test_sigterm_at_any_moment_under_load_ends_it_soon_with_0_and_nothing_is_lost(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "ground")
    play = harness.Ground.below(tmp_path / "play")
    ground.root, ground.database = play.tree, play.database
    choice = random.Random(7)
    codes = []
    try:
        with harness.writing(play, seed=7, pause_ms=1):
            for _ in range(TERMS):
                daemon = ground.start()
                daemon.until_logged("daemon.start")
                time.sleep(choice.uniform(0, 0.6))  # the moment is what the test is about
                codes.append(daemon.terminate())
        harness.settle(play)
    finally:
        ground.end()

    assert codes == [0] * TERMS
    assert oracle.findings(play.database, play.tree, play.manifest) == []


def test_a_second_daemon_ends_with_75_and_names_the_first(ground: Ground) -> None:
    first = ground.start()
    first.until_caught_up()

    second = ground.once()

    assert second.returncode == 75
    assert f"pid {first.process.pid}" in second.stderr
    assert first.process.poll() is None


def test_after_a_kill_the_next_one_starts_and_has_what_came_meanwhile(ground: Ground) -> None:
    ground.tree.write(small_session("one", requests=2))
    first = ground.start()
    first.until_caught_up()
    first.kill()
    ground.tree.write(small_session("two", requests=3))

    second = ground.start()

    second.until(lambda: ground.requests() == 5, "both sessions are there")
    assert ground.status()["pid"] == second.process.pid


def test_a_thread_that_dies_ends_the_process_with_70_and_the_next_start_goes_on(ground: Ground) -> None:
    ground.tree.write(small_session("one", requests=2))
    daemon = ground.start(CCAGENT_FAILPOINT="after_facts:raise")

    code = daemon.process.wait(DEADLINE_SECONDS)

    assert code == 70, daemon.words
    assert "the follow thread died (InjectedFaultError" in daemon.words
    assert ground.requests() == 0
    again = ground.start()
    again.until(lambda: ground.requests() == 2, "the next start takes the lines in")


def test_a_dead_daemon_is_said_with_3_and_what_is_stored_is_still_shown(ground: Ground) -> None:
    ground.tree.write(small_session("one", start=now_ms() - 1_000))
    daemon = ground.start()
    daemon.until_caught_up()
    daemon.kill()

    done = ground.verb("status", "--json")

    status = json.loads(done.stdout)
    assert done.returncode == 3
    assert (status["running"], status["pid"]) == (False, None)
    assert "today" in status
    assert "watch" not in status


def test_a_living_daemon_is_said_with_0(ground: Ground) -> None:
    daemon = ground.start()
    daemon.until_caught_up()

    done = ground.verb("status", "--json")

    status = json.loads(done.stdout)
    assert done.returncode == 0
    assert (status["running"], status["pid"]) == (True, daemon.process.pid)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_collector_that_never_answers_does_not_hold_up_the_end(ground: Ground, protocol: str) -> None:
    ground.tree.write(small_session("one"))
    with receiver(protocol) as collector:
        collector.received.rule = lambda _request: Answer(silent=True)
        daemon = ground.start(*options(collector.http, protocol))
        daemon.until(lambda: collector.received.offered, "a request hangs")

        assert daemon.terminate() == 0, daemon.words


def test_sigusr1_writes_all_stacks_and_it_lives_on(ground: Ground) -> None:
    daemon = ground.start()
    daemon.until_caught_up()

    for _ in range(20):
        daemon.process.send_signal(signal.SIGUSR1)
        time.sleep(0.01)

    daemon.until(lambda: "Thread ccagent-follow:" in daemon.words, "the stacks are written")
    assert "in turn\n" in daemon.words or "in run\n" in daemon.words
    assert get(f"{daemon.url}/healthz") == (200, "ok\n")


def test_a_database_that_another_process_writes_to_is_waited_for(ground: Ground) -> None:
    daemon = ground.start()
    daemon.until_caught_up()
    with sqlite3.connect(ground.database, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        ground.tree.write(small_session("one"))
        daemon.until(lambda: "unread" in json.dumps(ground.status()), "the status still answers")
        other.execute("ROLLBACK")
    other.close()

    daemon.until(lambda: ground.requests() == 2, "the lines are there")


def test_a_taken_port_does_not_stop_the_following_and_the_status_says_so(ground: Ground, taken: int) -> None:
    ground.tree.write(small_session("one"))
    daemon = ground.start(listen=f"127.0.0.1:{taken}")

    daemon.until(lambda: ground.requests() == 2, "the lines are there")
    daemon.until(lambda: any(TAKEN_PORT in one for one in ground.status()["problems"]), "the status names the port")
    assert any(f"{TAKEN_PORT} {os.getpid()}" in one for one in ground.status()["problems"])


def test_a_taken_port_on_a_terminal_is_an_error_that_names_its_holder(ground: Ground, taken: int) -> None:
    main, terminal = pty.openpty()
    try:
        command = ground.command("run", "--source", str(ground.root), "--listen", f"127.0.0.1:{taken}")
        process = subprocess.Popen(
            command, env=ground.environment(), stdin=terminal, stdout=terminal, stderr=terminal, cwd=ground.home
        )
        os.close(terminal)
        words = b""
        try:
            while piece := os.read(main, 4_096):
                words += piece
        except OSError:
            pass  # Linux says so when the other end is closed
        code = process.wait(STOP_SECONDS)
    finally:
        os.close(main)

    assert code == 1
    assert f"port {taken} is in use by pid {os.getpid()}; choose another --listen or stop it" in words.decode()


def test_a_person_at_a_terminal_is_told_where_to_look(ground: Ground) -> None:
    ground.tree.write(small_session("one"))
    main, terminal = pty.openpty()
    command = ground.command("run", "--source", str(ground.root), "--listen", "127.0.0.1:0")
    process = subprocess.Popen(
        command, env=ground.environment(), stdin=terminal, stdout=terminal, stderr=terminal, cwd=ground.home
    )
    words = b""
    try:
        os.close(terminal)
        os.set_blocking(main, False)

        def told() -> bool:
            nonlocal words
            try:
                words += os.read(main, 4_096)
            except BlockingIOError:
                pass
            return b"/metrics" in words

        until(told, "the address of the metrics is told")
        process.terminate()
        code = process.wait(STOP_SECONDS)
    finally:
        os.close(main)
        if process.poll() is None:
            process.kill()
            process.wait()

    assert code == 0
    assert b"Following 1 files" in words
    assert b"Nothing leaves this machine" in words
