"""Starting while the server is away, or will not have us: who waits, who ends, and what they say."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from pathlib import Path

import pytest

from tests.daemon.rig import STOP_SECONDS, small_session
from tests.outages.rig import Served, served
from tests.pg import Server, dbname
from tests.pgproxy import Proxy

NOBODY = "postgresql://someone@127.0.0.1:1/ccagent"
"""Nothing listens on port 1."""

CANARY = "c4n4ry"


def test_a_server_that_is_away_is_waited_for_and_then_all_is_taken_in(tmp_path: Path, own_pg_server: Server) -> None:
    url = own_pg_server.tcp_uri(own_pg_server.create_database())
    own_pg_server.stop()
    with served(tmp_path / "ground", url) as ground:
        ground.tree.write(small_session("one", requests=2))
        daemon = ground.start()
        daemon.until_logged("store.away")
        status = ground.status()
        assert status["running"]
        assert any("does not answer" in one and "ccagent waits for it" in one for one in status["problems"])

        own_pg_server.start()

        daemon.until_caught_up()
        daemon.until(lambda: ground.requests() == 2, "the lines are taken in")
        ground.until_clean()
        assert ground.events(daemon, "store.away") == 1, "it is said once a minute"


def test_the_wait_ends_with_0_at_sigterm(tmp_path: Path) -> None:
    with served(tmp_path / "ground", NOBODY) as ground:
        daemon = ground.start()
        daemon.until_logged("store.away")

        code = daemon.terminate()

        assert code == 0, daemon.words
        assert not ground.status()["running"]


def test_sigterm_ends_a_daemon_that_hangs_in_its_first_connection(tmp_path: Path, pg_server: Server) -> None:
    with Proxy(pg_server.tcp_port) as proxy:
        proxy.freeze()
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?connect_timeout=600"
        with served(tmp_path / "ground", url) as ground:
            daemon = ground.start()
            daemon.until(lambda: proxy.connections, "it connects")

            assert daemon.terminate() == 0, daemon.words


def test_sigterm_ends_a_daemon_whose_server_has_fallen_silent(
    tmp_path: Path, pg_server: Server, pg_database: str
) -> None:
    with Proxy(pg_server.tcp_port) as proxy:
        url = pg_server.tcp_uri(dbname(pg_database), port=proxy.port)
        with served(tmp_path / "ground", url, direct=pg_database) as ground:
            daemon = ground.start()
            daemon.until_caught_up()
            proxy.freeze()
            ground.tree.write(small_session("one"))
            time.sleep(0.5)  # whatever it does with the lines, it hangs in it

            assert daemon.terminate() == 0, daemon.words


def test_at_a_terminal_a_server_that_is_away_is_an_error(tmp_path: Path) -> None:
    with served(tmp_path / "ground", NOBODY) as ground:
        code, words = at_a_terminal(ground)

        assert code == 1
        assert "127.0.0.1:1/ccagent does not answer" in words


def at_a_terminal(ground: Served) -> tuple[int, str]:
    """Run the daemon where a person looks on, until it ends by itself; exit code and what it said."""
    main, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            ground.command("run", "--source", str(ground.root)), env=ground.environment(), cwd=ground.home,
            stdin=terminal, stdout=terminal, stderr=terminal,
        )  # fmt: skip
        os.close(terminal)
        words = b""
        try:
            while piece := os.read(main, 4_096):
                words += piece
        except OSError:
            pass  # Linux says so when the other end is closed
        return process.wait(STOP_SECONDS), " ".join(words.decode().split())
    finally:
        os.close(main)


def test_run_once_does_not_wait(tmp_path: Path) -> None:
    with served(tmp_path / "ground", NOBODY) as ground:
        done = ground.once()

        assert done.returncode == 1
        assert "does not answer" in done.stderr


def refusals(server: Server, database: str) -> dict[str, tuple[str, int, str]]:
    """URLs that no waiting mends: with the exit code, and words that must be said."""
    return {
        "password": (server.tcp_uri(database, password=CANARY), 1, "refuses the login"),
        "user": (server.tcp_uri(database, user="stranger"), 1, "refuses the login"),
        "database": (server.tcp_uri("absent"), 1, "has no such database"),
        "port": (f"postgresql://me:{CANARY}@localhost:port/db", 1, "the database's URL cannot be read"),
        "kind": (f"mysql://me:{CANARY}@localhost/db", 78, "other databases are not known"),
    }


@pytest.mark.parametrize("what", ["password", "user", "database", "port", "kind"])
def test_what_no_waiting_mends_ends_a_daemon_at_once(
    tmp_path: Path, pg_server: Server, pg_database: str, what: str
) -> None:
    url, code, words = refusals(pg_server, dbname(pg_database))[what]
    with served(tmp_path / "ground", url) as ground:
        done = ground.verb("run", "--source", str(ground.root))

        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert CANARY not in done.stdout + done.stderr
