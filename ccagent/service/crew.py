"""The daemon's threads: one that dies ends the process, so that a supervisor starts a whole daemon again."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Final

from ccagent.clock import Clock
from ccagent.errors import InstanceRunningError, ThreadDiedError
from ccagent.logs import get_logger
from ccagent.service.signals import STOP_SECONDS, Signals

PREFIX: Final = "ccagent-"
"""Begins the names of all threads, as stacks and tools of the system show them."""

LASTING: Final = ("follow", "schedule")
"""Threads that have work as long as the process lives: one that returns has died."""

LEAST_SECONDS: Final = 0.05
"""What each thread gets to end, also when those before it have used up the time."""


class Crew:
    """Makes threads and sees to their end. `failure` is what ended the process, where nobody asked for it.

    `suspect` hears of what a thread died of, before anything else is done.
    """

    def __init__(self, signals: Signals, clock: Clock, suspect: Callable[[BaseException], None]) -> None:
        self.failure: BaseException | None = None
        self._signals = signals
        self._clock = clock
        self._suspect = suspect

    def thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """A thread whose death ends the process."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                if not self._signals.stop.is_set():
                    self.died(name, error)
            else:
                if not self._signals.stop.is_set() and name in LASTING:
                    self.died(name, RuntimeError("it returned"))

        thread = threading.Thread(target=guarded, name=f"{PREFIX}{name}", daemon=True)
        thread.start()
        return thread

    def died(self, name: str, error: BaseException) -> None:
        """This part of the daemon cannot go on: end all of it."""
        get_logger().error("thread.died", thread=name, error=f"{type(error).__name__}: {error}", exc_info=error)
        self._suspect(error)
        self.failure = ThreadDiedError(f"the {name} thread died ({type(error).__name__}: {error}); start ccagent again")
        if isinstance(error, InstanceRunningError):
            self.failure = error  # no defect: somebody else has taken this host's place
        self._signals.stop.set()
        self._signals.waken()

    def join(self, threads: list[threading.Thread]) -> None:
        """Wait for threads that were asked to end, STOP_SECONDS for all of them."""
        deadline = self._clock.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(LEAST_SECONDS, deadline - self._clock.monotonic()))

    def leave_behind(self, threads: list[threading.Thread]) -> None:
        """End the process at once where one of them is still at work.

        A transaction that does not end in time is rolled back by the next start: the lines are read again.
        """
        if any(thread.is_alive() for thread in threads):
            sys.stderr.flush()
            os._exit(0 if self.failure is None else getattr(self.failure, "exit_code", ThreadDiedError.exit_code))
