"""What a service manager that speaks systemd's notify protocol is told: ready, how it goes, that work goes on, the end.

The protocol is a datagram of lines to the socket that `NOTIFY_SOCKET` names; where it is not set nothing is sent.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Collection, Mapping
from typing import Final

from ccagent.clock import Clock
from ccagent.service.crew import PREFIX
from ccagent.service.live import Live

FEEDS: Final = 3
"""Feedings that fit into the time after which the manager calls a service hung: one may be late, two may not."""

SEND_SECONDS: Final = 0.5
"""A manager that does not take a message in so long is busy; the next message comes soon."""

START_SECONDS: Final = (10.0, 120.0)
"""While the start itself takes long: between two words of that, and what each asks for. One may be late."""

STATUS_LENGTH: Final = 200
"""Characters of a status line; a reason may be long, a line of `systemctl status` is not."""


class Pulse:
    """Which of the threads have turned since it was last asked. Each beats for itself, the main thread asks."""

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)
        self._turned: set[str] = set()

    def beat(self, name: str) -> None:
        """This thread has done a piece of work, or found that there is none. Thread-safe."""
        self._turned.add(name)

    def excuse(self) -> None:
        """All threads wait for something outside that is known and told, so none of them hangs. Thread-safe."""
        self._turned = set(self._names)

    def all_turned(self) -> bool:
        """Whether every thread has turned since this last was true."""
        if not self._turned >= self._names:
            return False
        self._turned = set()
        return True


class Supervisor:
    """Tells the manager over its socket. What cannot be sent is dropped: an observer's observer stops nobody.

    The watchdog is fed only when every thread has turned since the last feeding, so that a hung thread is found out
    however well the others are.
    """

    def __init__(self, env: Mapping[str, str], clock: Clock, pulse: Pulse) -> None:
        self._address = _address(env.get("NOTIFY_SOCKET", ""))
        self._clock = clock
        self._pulse = pulse
        self._feed_seconds = _watchdog_seconds(env) / FEEDS
        self._next_feed = 0.0
        self._next_word = 0.0
        self._status = ""
        self._ready = False

    @property
    def waits(self) -> bool:
        """Whether somebody is still to be told that the daemon is ready."""
        return self._address is not None and not self._ready

    def tick(self, live: Live) -> None:
        """Tell what has changed: ready after the first scan, the status, and, where it is due, that work goes on."""
        if self._address is None:
            return
        words = []
        if live.ready and not self._ready:
            self._ready = True
            words.append("READY=1")
        status = describe(live)
        if status != self._status:
            self._status = status
            words.append(f"STATUS={status}")
        now = self._clock.monotonic()
        if self._feed_seconds and now >= self._next_feed and self._pulse.all_turned():
            self._next_feed = now + self._feed_seconds
            words.append("WATCHDOG=1")
        self._send(*words)

    def reloading(self) -> None:
        """The configuration is read anew; `reloaded` follows whatever comes of it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")

    def reloaded(self) -> None:
        """Reading the configuration anew is over."""
        if self._ready:
            self._send("READY=1")

    def stopping(self) -> None:
        """The end has begun; nothing is fed any more."""
        self._send("STOPPING=1", "STATUS=Stopping")

    def waiting(self, reason: str, seconds: float) -> None:
        """The start waits for something outside, and will speak again within `seconds`."""
        self._send(f"STATUS={_line(reason)}", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def at_work(self, waiting: Collection[str] = ()) -> None:
        """The calling thread goes on with something that takes long (a migration, say); called as often as one likes.

        It beats, and so do those that wait for it, by their names. The main thread, before all is ready, asks for time.
        """
        thread = threading.current_thread()
        for name in (thread.name, *waiting):
            self._pulse.beat(name.removeprefix(PREFIX))
        if thread is not threading.main_thread():
            return
        now = self._clock.monotonic()
        if self._ready or now < self._next_word:
            return
        pause, wanted = START_SECONDS
        self._next_word = now + pause
        self.waiting("Preparing the database", wanted)

    def _send(self, *words: str) -> None:
        if self._address is None or not words:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as sender:
                sender.settimeout(SEND_SECONDS)
                sender.sendto("\n".join(words).encode(), self._address)
        except OSError:
            return


def describe(live: Live) -> str:
    """One line for `systemctl status`: what is wrong, else how far reading has come. No path of a transcript in it."""
    if not live.ready:
        return "Starting"
    if problem := live.problems.get("store"):
        return _line(problem)
    if not live.caught_up and live.total_bytes:
        share = 100 * (live.total_bytes - live.unread_bytes) // live.total_bytes
        return f"Reading what was written before: {share} % of {_count(live.files, 'file')}"
    others = len(live.problems)
    suffix = f"; {_count(others, 'problem')}, see `ccagent status`" if others else ""
    return f"Following {_count(live.files, 'file')}{suffix}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _line(text: str) -> str:
    return " ".join(text.split())[:STATUS_LENGTH]


def _address(name: str) -> str | None:
    """The socket's address; None where there is none that can be used. A leading @ is the abstract namespace."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _watchdog_seconds(env: Mapping[str, str]) -> float:
    """How often the manager wants to hear of this process; 0 where it does not, or means another process."""
    pid, text = env.get("WATCHDOG_PID", ""), env.get("WATCHDOG_USEC", "")
    if (pid and pid != str(os.getpid())) or not (text.isascii() and text.isdigit()):
        return 0.0
    return int(text) / 1e6
