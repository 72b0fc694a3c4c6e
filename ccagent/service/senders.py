"""One sender: what it drives, its own stop and wake-up, and the loop that its thread runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from ccagent.clock import Clock
from ccagent.errors import DamagedError, StoreError
from ccagent.logs import get_logger
from ccagent.service.observed import Observed

if TYPE_CHECKING:
    from ccagent.export.otlp.circuit import Circuit
    from ccagent.export.otlp.observe import Step
    from ccagent.export.otlp.outbox import Outbox
    from ccagent.export.otlp.sender import Sender
    from ccagent.otlp_destination import Destination

GATHER_SECONDS: Final = 1.0
"""After facts were written, before they are sent: live sessions write several lines a second, and a request costs as much
with one item as with fifty. A span is to be at the collector within three seconds."""

IDLE_SECONDS: Final = 5.0
"""Between two looks for closed facts that nobody announced; what is announced is looked for at once, or gathered for a moment."""

STORE_SECONDS: Final = 2.0
"""Before a sender asks again a store that refused."""


class Ticking(Protocol):
    """What a sender thread drives."""

    circuit: Circuit

    def tick(self, now_ms: int) -> Step:
        """One request at most."""


class SenderThread:
    """One signal to one destination. `run` is its thread, `drain` sends once in the caller's.

    `outbox` has a cursor to name and a backlog to tell; None for metrics, which need neither. `prepare` gets ready what
    the store has to give (StoreError: it is asked again), `told` hears what project files say.
    """

    def __init__(
        self,
        target: Destination,
        ticking: Ticking,
        sender: Sender,
        *,
        outbox: Outbox | None,
        observed: Observed,
        clock: Clock,
        prepare: Callable[[], None],
        told: Callable[[], None],
    ) -> None:
        self.target = target
        self.thread: threading.Thread | None = None
        self._ticking = ticking
        self._sender = sender
        self._outbox = outbox
        self._observed = observed
        self._clock = clock
        self._prepare = prepare
        self._told = told
        self._state = ticking.circuit.state
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._log = get_logger()

    def run(self, named_ms: int) -> None:
        """Send until stopped; `named_ms` is when the destination was named, for its first cursor."""
        try:
            self._until_stored(lambda: self._begin(named_ms))
            while not self._stop.is_set():
                self._until_stored(self._turn)
        except Exception:
            # Its connection was closed under it, to end it: that is no death.
            if not self._stop.is_set():
                raise
        finally:
            self._sender.close()  # it may have opened another one since it was told to stop

    def wake(self) -> None:
        """Something may be due. Thread-safe."""
        self._wake.set()

    def stop(self) -> None:
        """Ask it to end; an answer that is waited for is given up. What is not sent stays behind its cursor."""
        self._stop.set()
        self._wake.set()
        self._sender.close()

    def drain(self) -> str:
        """Send what is due once; what is wrong, "" when nothing is."""
        self._prepare()
        now = self._clock.now_ms()
        if self._outbox is None:
            step = self._ticking.tick(now)
            return self._ticking.circuit.problem if step.outcome in ("failed", "waiting") else ""
        drained = self._outbox.drain_once(now)
        if drained.problem or not drained.backlog:
            return drained.problem
        return f"{drained.backlog} wait"

    def _begin(self, named_ms: int) -> None:
        self._prepare()
        if self._outbox is not None:
            self._outbox.name(named_ms)

    def _turn(self) -> None:
        self._wake.clear()
        now = self._clock.now_ms()
        step = self._ticking.tick(now)
        if self._stop.is_set():
            return
        values: dict[str, Any] = {}
        if self._outbox is not None and step.outcome != "sent":
            values["backlog"] = self._outbox.backlog(now)
        name, signal = self.target.name, self.target.signal
        circuit = self._ticking.circuit
        self._observed.tell(name, signal, circuit, now)
        if circuit.state is not self._state:
            self._say(circuit)
        self._observed.note(name, signal, **values)
        self._told()
        if step.wait_ms > 0:
            # What the breaker or the interval holds back stays held back, whatever was written; but a wall clock
            # that jumps (the machine slept) is noticed.
            self._stop.wait(min(step.wait_ms / 1_000, IDLE_SECONDS))
        elif step.outcome == "idle" and self._wake.wait(IDLE_SECONDS):
            self._stop.wait(GATHER_SECONDS)

    def _say(self, circuit: Circuit) -> None:
        """One line of the log for each change of the state: the breaker bounds how often that is."""
        tell = self._log.info if circuit.state == "active" else self._log.warning
        tell(
            "export.turned", destination=self.target.name, signal=self.target.signal, before=str(self._state.value),
            after=str(circuit.state.value), problem=circuit.problem,
        )  # fmt: skip
        self._state = circuit.state

    def _until_stored(self, work: Callable[[], None]) -> None:
        """Do it, again where the store refuses."""
        while not self._stop.is_set():
            try:
                work()
                return
            except DamagedError:
                raise
            except StoreError as error:
                self._log.error(
                    "export.store", destination=self.target.name, signal=self.target.signal, error=str(error)
                )
                self._stop.wait(STORE_SECONDS)
