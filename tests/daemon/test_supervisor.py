"""A real daemon under a service manager's socket: what it says from its start to its end, and when it hangs."""

from __future__ import annotations

import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.daemon.rig import STOP_SECONDS, Ground, small_session
from tests.store.releases import RELEASES

WATCHDOG_SECONDS = 3.0

LONG_FEEDINGS = 9
"""What the longest statement lasts at the least: thrice the time after which a hung daemon is ended."""

ROWS = 2_500
"""Joined with themselves twice, 15 billion rows: no machine is done with them while the test looks."""


class Manager:
    """Hears what is sent, and when."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.words: list[str] = []

    @property
    def variables(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self._path), "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))}

    def heard(self, word: str) -> bool:
        """Whether a line that begins so has arrived by now."""
        while True:
            try:
                self.words += self._socket.recv(4_096).decode().splitlines()
            except BlockingIOError:
                return any(line.startswith(word) for line in self.words)

    def feedings(self) -> int:
        """How often the watchdog was fed by now."""
        self.heard("")
        return self.words.count("WATCHDOG=1")

    def forget(self) -> None:
        """From now on only what arrives later counts."""
        self.heard("")
        self.words.clear()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "n")
    yield made
    made.close()


def test_it_is_ready_feeds_reloads_and_says_that_it_ends(ground: Ground, manager: Manager) -> None:
    ground.tree.write(small_session("one"))
    daemon = ground.start(**manager.variables)
    daemon.until(lambda: manager.heard("READY=1"), "it is ready")
    daemon.until(lambda: manager.heard("STATUS=Following 1 file"), "its status")
    manager.forget()
    daemon.until(lambda: manager.heard("WATCHDOG=1"), "the watchdog is fed")

    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: manager.heard("RELOADING=1"), "a reload is told")
    daemon.until(lambda: manager.heard("READY=1"), "and its end")
    code = daemon.terminate()

    assert code == 0, daemon.words
    assert manager.heard("MONOTONIC_USEC=")
    assert manager.heard("STOPPING=1")


def test_a_follow_thread_that_hangs_ends_the_feeding_and_an_abort_tells_where(ground: Ground, manager: Manager) -> None:
    ground.tree.root.mkdir(parents=True, exist_ok=True)
    daemon = ground.start(**manager.variables, CCAGENT_FAILPOINT="after_facts:hang")
    daemon.until(lambda: manager.heard("READY=1"), "it is ready")
    manager.forget()
    daemon.until(lambda: manager.heard("WATCHDOG=1"), "the watchdog is fed while nothing hangs")

    ground.tree.write(small_session("one"))
    quiet_since = time.monotonic()

    def quiet() -> bool:
        nonlocal quiet_since
        if manager.heard("WATCHDOG=1"):
            quiet_since = time.monotonic()
        manager.forget()
        return time.monotonic() - quiet_since > 2 * WATCHDOG_SECONDS

    daemon.until(quiet, "nothing is fed any more")
    daemon.process.send_signal(signal.SIGABRT)

    assert daemon.process.wait(STOP_SECONDS) == -signal.SIGABRT
    assert "failpoints.py" in daemon.log.read_text()


def test_a_start_that_migrates_an_older_database_asks_for_time_before_it_is_ready(
    ground: Ground, manager: Manager
) -> None:
    ground.database.parent.mkdir(parents=True)
    RELEASES[-1].write_database(ground.database)

    daemon = ground.start(**manager.variables)
    daemon.until(lambda: manager.heard("READY=1"), "it is ready")

    asked = next(place for place, line in enumerate(manager.words) if line.startswith("EXTEND_TIMEOUT_USEC="))
    assert manager.words[asked - 1] == "STATUS=Preparing the database"
    assert asked < manager.words.index("READY=1")
    daemon.until_logged("database.migrated")


def test_one_statement_that_takes_many_times_the_watchdogs_time_is_no_hanging(ground: Ground, manager: Manager) -> None:
    """The database itself makes it long, by a trigger, so that everything else is as it always is."""
    ground.tree.write(small_session("one"))
    assert ground.once().returncode == 0
    with closing(sqlite3.connect(ground.database)) as conn, conn:
        conn.execute("CREATE TABLE many(x)")
        conn.executemany("INSERT INTO many VALUES (?)", [(number,) for number in range(ROWS)])
        conn.execute(
            "CREATE TRIGGER long AFTER INSERT ON fact BEGIN"
            " UPDATE many SET x = (SELECT COUNT(a.x + b.x + c.x) FROM many a, many b, many c) WHERE rowid = 1; END"
        )
    daemon = ground.start(**manager.variables)
    daemon.until(lambda: manager.heard("READY=1"), "it is ready")
    daemon.until(lambda: manager.heard("STATUS=Following 1 file"), "its status")

    ground.tree.write(small_session("two"))
    daemon.until(lambda: waits_for_the_writer(ground), "the long statement has begun")
    manager.forget()
    began = time.monotonic()
    daemon.until(lambda: manager.feedings() >= LONG_FEEDINGS, "it is fed all the while")
    took = time.monotonic() - began
    still = waits_for_the_writer(ground)
    code = daemon.terminate()

    assert still
    assert took < LONG_FEEDINGS * WATCHDOG_SECONDS
    assert code == 0, daemon.words
    assert ground.requests() == 2  # the long transaction was rolled back


def waits_for_the_writer(ground: Ground) -> bool:
    """Whether the daemon is within a transaction that writes."""
    with closing(sqlite3.connect(ground.database, timeout=0, isolation_level=None)) as conn:
        try:
            conn.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False
