"""What signals tell the daemon: to end, to read its configuration again, to show its stacks."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Final

STOP_SECONDS: Final = 1.5
"""What the threads get to end, together; the process is to be gone 2 s after SIGTERM."""


class Signals:
    """`stop` and `reload` are set by signals, once `install` was called; `waken` then hurries whoever sleeps or waits.

    Until `settle` says that everything is open there is nothing to close, so an end that takes long is cut short.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.reload = threading.Event()
        self.waken: Callable[[], None] = self._leave_soon
        self._hurry: threading.Timer | None = None

    def install(self) -> None:
        """SIGTERM and SIGINT end it (a second one at once), SIGHUP reloads, SIGUSR1 dumps all stacks."""

        def end(number: int, frame: FrameType | None) -> None:
            if self.stop.is_set():
                os._exit(130 if number == signal.SIGINT else 1)
            self.stop.set()
            self.waken()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        signal.signal(signal.SIGHUP, lambda number, frame: self.reload.set())
        signal.signal(signal.SIGUSR1, lambda number, frame: _write(stacks()))
        faulthandler.enable()  # a watchdog ends a hung daemon with SIGABRT: the log is to tell where it hung

    def settle(self, waken: Callable[[], None]) -> None:
        """Everything is open: from now on the end is an orderly one, and `waken` is what it begins with."""
        self.waken = waken
        if self._hurry is not None:
            self._hurry.cancel()

    def _leave_soon(self) -> None:
        """Told to end before the store is open: a server that does not answer is not waited for. Nothing was begun."""
        self._hurry = threading.Timer(STOP_SECONDS, os._exit, args=(0,))
        self._hurry.daemon = True
        self._hurry.start()


def stacks() -> str:
    """What each thread does at this moment, the innermost call last.

    faulthandler would show a thread that holds the interpreter, too, but reads the stacks of those that go on meanwhile,
    and has ended a daemon by that. Whoever is to learn where a daemon hangs, ends it with SIGABRT.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        parts += [f"Thread {names.get(ident, ident)}:\n", *traceback.format_stack(frame)]
    return "".join(parts)


def _write(text: str) -> None:
    """To standard error, past Python's own buffer: the signal may have come while that was written to."""
    rest = text.encode(errors="backslashreplace")
    try:
        while rest:
            rest = rest[os.write(2, rest) :]
    except OSError:
        return  # nobody reads it any more
