"""A database's server that is away: waited for at the start, and told of whenever the store waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ccagent.clock import Clock
from ccagent.errors import AwayError, StoreError
from ccagent.logs import get_logger
from ccagent.service.live import Live, StatusFile
from ccagent.service.supervisor import Pulse, Supervisor
from ccagent.store.writer import Writer

AWAY_SECONDS: Final = (0.5, 15.0)
"""First and longest pause between two tries to reach the database's server at the start."""

AWAY_EXTENSION_SECONDS: Final = 60.0
"""What a service manager grants the start at each of these tries; a try itself may take half of it."""

AWAY_WORD_SECONDS: Final = 60.0
"""Between two lines of the log that say so."""


class ToldToEndError(Exception):
    """Raised when a signal ends the wait for the database's server: nothing was begun."""


class Awaiting:
    """Tells of the wait: in the live values, to the service manager, and now and then in the log."""

    def __init__(
        self,
        live: Live,
        status_file: StatusFile,
        clock: Clock,
        pulse: Pulse,
        supervisor: Supervisor,
        stop: threading.Event,
    ) -> None:
        self._live = live
        self._status_file = status_file
        self._clock = clock
        self._pulse = pulse
        self._supervisor = supervisor
        self._stop = stop

    def store(self, opened: Callable[[], Writer], *, patient: bool) -> Writer:
        """What `opened` gives. With `patient` an AwayError is waited out until `stop` is set, which is ToldToEndError."""
        pause, longest = AWAY_SECONDS
        next_word = 0.0
        while True:
            try:
                store = opened()
            except AwayError as error:
                if not patient:
                    raise
                self.told(f"{error}; ccagent waits for it")
                self._supervisor.waiting(str(error), AWAY_EXTENSION_SECONDS)
                if self._clock.monotonic() >= next_word:
                    next_word = self._clock.monotonic() + AWAY_WORD_SECONDS
                    get_logger().error("store.away", error=str(error))
                if self._stop.wait(pause):
                    raise ToldToEndError from error
                pause = min(longest, 2 * pause)
            else:
                self._live.problem("store", None)
                return store

    def told(self, text: str | None) -> None:
        """What the store waits for. Written at once: the thread that writes it otherwise may wait for the same."""
        self._pulse.excuse()
        self._live.problem("store", text)
        with suppress(StoreError):  # a status that cannot be written is told by the thread that writes it
            self._status_file.write(self._live)
