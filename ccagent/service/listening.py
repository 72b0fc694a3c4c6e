"""The listener of the metrics page in a daemon: bound at the start, or later where its port is taken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ccagent.clock import Clock
from ccagent.errors import PortTakenError
from ccagent.logs import get_logger
from ccagent.metrics.snapshot import Snapshot
from ccagent.service.live import Live

if TYPE_CHECKING:
    from ccagent.api.server import HttpListener

BIND_SECONDS: Final = 15.0
"""Between two tries for a taken port, under a service manager."""


class Listening:
    """Asks `address` before each try, which gives None where nothing is to listen. `died` hears of a listener that
    cannot go on."""

    def __init__(
        self,
        address: Callable[[], tuple[str, int] | None],
        snapshot: Callable[[], Snapshot],
        live: Live,
        clock: Clock,
        version: str,
        died: Callable[[BaseException], None],
    ) -> None:
        self._address = address
        self._snapshot = snapshot
        self._live = live
        self._clock = clock
        self._version = version
        self._died = died
        self._listener: HttpListener | None = None
        self._next_try = 0.0

    def open(self) -> None:
        """Listen. A taken port is a PortTakenError at a terminal; elsewhere it is told, and `tick` tries again."""
        self._next_try = self._clock.monotonic() + BIND_SECONDS
        address = self._address()
        if address is None:
            self._live.listen = "off"
            return
        from ccagent.api.routes import AppState
        from ccagent.api.server import HttpListener

        state = AppState(snapshot=self._snapshot, ready=lambda: self._live.ready, version=self._version)
        listener = HttpListener(state, *address, on_death=self._died)
        try:
            listener.start()
        except PortTakenError as error:
            if sys.stderr.isatty():
                raise
            self._live.problem("listen", str(error))
            get_logger().error("listen.taken", error=str(error), retry_seconds=BIND_SECONDS)
            return
        self._listener = listener
        self._live.problem("listen", None)
        self._live.listen = listener.url
        get_logger().info("listen.open", url=listener.url)

    def tick(self) -> None:
        """Try again where the port was taken, every BIND_SECONDS."""
        if self._listener is None and self._clock.monotonic() >= self._next_try and self._address() is not None:
            self.open()

    def stop(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._listener.stop()
