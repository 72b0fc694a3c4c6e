"""A real daemon under a service manager's socket: what it says from its start to its end, and when it hangs."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.rig import STOP_SECONDS, Ground, small_session

WATCHDOG_SECONDS = 3.0


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
