"""What senders tell of themselves: kept until it is booked as metrics, and shown in `status`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ccagent.errors import StoreError
from ccagent.metrics import names as metric
from ccagent.metrics.booked import Booking
from ccagent.service.live import Live
from ccagent.store.ingest import Ingest
from ccagent.store.writer import Writer

if TYPE_CHECKING:
    from ccagent.export.otlp.circuit import Circuit, State
    from ccagent.export.otlp.observe import DropReason, ExportStatus
    from ccagent.export.otlp.sender import Signal


class Observed:
    """Collects what senders tell, until it is booked. Called from every sender thread."""

    def __init__(self, live: Live) -> None:
        self._booking = Booking()
        self._lock = threading.Lock()
        self._live = live
        self._gone: set[str] = set()

    def exported(self, destination: str, signal: Signal, status: ExportStatus) -> None:
        """One request was answered, or was not."""
        with self._lock:
            self._booking.count(metric.EXPORTS, (destination, signal, status))

    def dropped(self, destination: str, signal: Signal, reason: DropReason, items: int) -> None:
        """`items` will never be at the destination."""
        with self._lock:
            self._booking.count(metric.EXPORTS_DROPPED, (destination, signal, reason), items)

    def duration(self, destination: str, signal: Signal, seconds: float) -> None:
        """How long one request took."""
        with self._lock:
            self._booking.observe(metric.EXPORT_DURATION, (destination, signal), seconds)

    def state(self, destination: str, signal: Signal, state: State) -> None:
        """The state after a step."""
        self.note(destination, signal, state=str(state.value))

    def begin(self, destination: str, signal: str, **values: object) -> None:
        """It is sent from now on; show these values of it."""
        with self._lock:
            self._gone.discard(f"{destination}/{signal}")
        self.note(destination, signal, **values)

    def note(self, destination: str, signal: str, **values: object) -> None:
        """Show these values in `status`; not of what is sent no longer, whose thread may still wait for an answer."""
        with self._lock:
            key = f"{destination}/{signal}"
            if key in self._gone:
                return
            exports = dict(self._live.exports)
            exports[key] = {**exports.get(key, {}), **values}
            self._live.exports = exports

    def tell(self, destination: str, signal: str, circuit: Circuit, now_ms: int) -> None:
        """Show how it stands with a circuit, and what was sent lately."""
        wait = circuit.wait_ms(now_ms)
        self.note(
            destination, signal, state=str(circuit.state.value), problem=circuit.problem,
            next_try_ms=now_ms + wait if wait else None,
            transitions=[
                {"at_ms": one.at_ms, "from": str(one.before.value), "to": str(one.after.value), "reason": one.reason}
                for one in circuit.history
            ],
            last_hour=circuit.recent.within("hour", now_ms), last_day=circuit.recent.within("day", now_ms),
        )  # fmt: skip

    def forget(self, destination: str, signal: str) -> None:
        """It is sent no longer."""
        with self._lock:
            key = f"{destination}/{signal}"
            self._gone.add(key)
            exports = dict(self._live.exports)
            exports.pop(key, None)
            self._live.exports = exports

    def book(self, store: Writer) -> None:
        """Book what was counted; kept for the next time when the store refuses."""
        with self._lock:
            if not self._booking:
                return
            pending, self._booking = self._booking, Booking()

        def work(state: Ingest) -> None:
            for (name, labels, leaves), amount in pending.amounts.items():
                state.booking.count(name, labels, amount, leaves)
            state.booking.merge(pending.observations)

        try:
            store.run(work)
        except StoreError:
            with self._lock:
                for (name, labels, leaves), amount in pending.amounts.items():
                    self._booking.count(name, labels, amount, leaves)
                self._booking.merge(pending.observations)
