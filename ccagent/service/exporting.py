"""The sender threads: one a destination and signal, each behind its own durable cursor; none waits for another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol

from ccagent.clock import Clock
from ccagent.errors import DamagedError, StoreError
from ccagent.logs import get_logger
from ccagent.metrics import names as metric
from ccagent.metrics.booked import Booking
from ccagent.metrics.snapshot import Snapshot
from ccagent.service.live import Live
from ccagent.store.ingest import Ingest
from ccagent.store.writer import Writer

if TYPE_CHECKING:
    from ccagent.export.otlp.circuit import Circuit, State
    from ccagent.export.otlp.observe import DropReason, ExportStatus, Step
    from ccagent.export.otlp.sender import Sender, Signal
    from ccagent.otlp_settings import Destination as Target
    from ccagent.otlp_settings import OtlpSettings

DESTINATION: Final = "otlp"
"""Name of the one destination that the configuration knows; cursors and labels carry it."""

IDLE_SECONDS: Final = 5.0
"""Between two looks for closed facts that nobody announced; what is announced is looked for at once."""

STORE_SECONDS: Final = 2.0
"""Before a sender asks again a store that refused."""

BOOK_SECONDS: Final = 5.0
"""Between two bookings of what the senders counted of themselves."""

Reader = Callable[[], AbstractContextManager[Any]]


class Ticking(Protocol):
    """What a sender thread drives."""

    circuit: Circuit

    def tick(self, now_ms: int) -> Step:
        """One request at most."""


class Observed:
    """Collects what senders tell, until it is booked. Called from every sender thread."""

    def __init__(self, live: Live) -> None:
        self._booking = Booking()
        self._lock = threading.Lock()
        self._live = live

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

    def note(self, destination: str, signal: str, **values: object) -> None:
        """Show these values in `status`."""
        with self._lock:
            exports = dict(self._live.exports)
            key = f"{destination}/{signal}"
            exports[key] = {**exports.get(key, {}), **values}
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


class Exporting:
    """All senders of one configuration. `start` runs them in threads, `drain` once in the caller's."""

    def __init__(
        self,
        settings: OtlpSettings,
        store: Writer,
        reader: Reader,
        live: Live,
        clock: Clock,
        version: str,
        snapshot: Callable[[], Snapshot],
    ) -> None:
        from ccagent.export.otlp.resource import resource_attributes
        from ccagent.export.privacy import TierResolver

        self.observed = Observed(live)
        self._settings = settings
        self._store = store
        self._reader = reader
        self._live = live
        self._clock = clock
        self._version = version
        self._snapshot = snapshot
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._wakes: dict[str, threading.Event] = {}
        self._senders: list[Sender] = []
        self._log = get_logger()
        self._resource = resource_attributes(
            version=version, instance_id=store.instance_id, service_name=settings.service_name,
            extra=settings.resource_attributes,
        )  # fmt: skip
        self._tiers = TierResolver(settings.personal_tier, clock.now_ms)
        store.send_to((DESTINATION,) if settings.traces is not None else ())
        self._parts: dict[str, Ticking] = {}
        for target in settings.destinations:
            self._parts[target.signal] = self._part(target)
            self._wakes[target.signal] = threading.Event()

    def _part(self, target: Target) -> Ticking:
        from ccagent.export.otlp.outbox import Outbox
        from ccagent.export.otlp.push import MetricsPush
        from ccagent.export.otlp.sender import Destination, make_sender

        sender = make_sender(
            Destination(
                name=DESTINATION, urls={target.signal: target.url},  # type: ignore[dict-item]
                protocol=target.protocol,  # type: ignore[arg-type]
                headers=target.headers, timeout_seconds=target.timeout_seconds,
                compression=target.compression,  # type: ignore[arg-type]
                certificate=target.certificate, client_certificate=target.client_certificate,
                client_key=target.client_key,
                insecure=True,  # the settings have refused plain text that the owner did not allow
            )
        )  # fmt: skip
        self._senders.append(sender)
        if target.signal == "metrics":
            return MetricsPush(
                DESTINATION, sender, snapshot=lambda now_ms: self._snapshot(), resource=self._resource,
                version=self._version, observe=self.observed, interval_ms=round(self._settings.interval_seconds * 1_000),
            )  # fmt: skip
        return Outbox(
            DESTINATION, sender, host=self._store.host, resource=self._resource,
            version=self._version, reader=self._reader, write=self._store.write, tier=self._tiers.tier,
            observe=self.observed, epoch=lambda: self._store.epoch,
        )  # fmt: skip

    def start(self, guard: Callable[[str, Callable[[], None]], threading.Thread]) -> None:
        """One thread a part; `guard` makes a thread whose death ends the process."""
        named_ms = self._clock.now_ms()
        for signal, part in self._parts.items():
            self._threads.append(
                guard(f"export-{signal}", lambda part=part, signal=signal: self._run(signal, part, named_ms))  # type: ignore[misc]
            )
        self._threads.append(guard("export-book", self._book))

    def wake(self) -> None:
        """Facts were written: something may be due. Thread-safe."""
        for wake in self._wakes.values():
            wake.set()

    def stop(self, seconds: float) -> None:
        """Ask the threads to end and wait a little; what is not sent stays behind its cursor."""
        self._stop.set()
        self.wake()
        for sender in self._senders:
            sender.close()
        for thread in self._threads:
            thread.join(seconds / max(1, len(self._threads)))

    def drain(self) -> dict[str, str]:
        """Send what is due once (`run --once`); what is wrong, by signal."""
        problems = {}
        for signal, part in self._parts.items():
            now = self._clock.now_ms()
            if signal == "metrics":
                step = part.tick(now)
                if step.outcome in ("failed", "waiting"):
                    problems[signal] = part.circuit.problem
            else:
                drained = part.drain_once(now)  # type: ignore[attr-defined]
                if drained.problem or drained.backlog:
                    problems[signal] = drained.problem or f"{drained.backlog} spans wait"
        self.observed.book(self._store)
        for sender in self._senders:
            sender.close()
        return problems

    def _run(self, signal: str, part: Ticking, named_ms: int) -> None:
        try:
            if signal == "traces":
                self._name(part, named_ms)
            self._send(signal, part)
        except Exception:
            # Its connection was closed under it, to end it: that is no death.
            if not self._stop.is_set():
                raise

    def _name(self, part: Ticking, named_ms: int) -> None:
        """Write down that the destination was named then: what ended long before is history to it."""
        while not self._stop.is_set():
            try:
                part.name(named_ms)  # type: ignore[attr-defined]
                return
            except DamagedError:
                raise
            except StoreError as error:
                self._log.error("export.store", signal="traces", error=str(error))
                self._stop.wait(STORE_SECONDS)

    def _send(self, signal: str, part: Ticking) -> None:
        wake = self._wakes[signal]
        while not self._stop.is_set():
            wake.clear()
            now = self._clock.now_ms()
            try:
                step = part.tick(now)
                values: dict[str, object] = {"problem": part.circuit.problem}
                if signal == "traces" and step.outcome != "sent":
                    values["backlog"] = part.backlog(now)  # type: ignore[attr-defined]
                self.observed.note(DESTINATION, signal, **values)
                if self._tiers.notices:
                    self._live.problem("projects", "; ".join(self._tiers.notices))
            except DamagedError:
                raise
            except StoreError as error:
                self._log.error("export.store", signal=signal, error=str(error))
                self._stop.wait(STORE_SECONDS)
                continue
            if step.wait_ms > 0:
                # What the breaker or the interval holds back stays held back, whatever was written; but a wall clock
                # that jumps (the machine slept) is noticed.
                self._stop.wait(min(step.wait_ms / 1_000, IDLE_SECONDS))
            elif step.outcome == "idle":
                wake.wait(IDLE_SECONDS)

    def _book(self) -> None:
        while not self._stop.wait(BOOK_SECONDS):
            self.observed.book(self._store)


def describe(settings: OtlpSettings) -> Mapping[str, object]:
    """What leaves the machine and where to, for the start-up log line and `status`."""
    return {
        "tier": settings.personal_tier, "named_by": settings.named_by,
        "to": {target.signal: f"{target.protocol} {target.url}" for target in settings.destinations},
    }  # fmt: skip
