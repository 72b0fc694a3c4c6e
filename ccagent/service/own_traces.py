"""ccagent's own traces in a daemon: one thread for each destination that gets traces, none where they are switched off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from ccagent.clock import Clock
from ccagent.outgoing import resource_of
from ccagent.service.observed import Observed
from ccagent.tracing import OFF, Queue, Recorder, Tracer

if TYPE_CHECKING:
    from ccagent.export.otlp.own import OwnTraces
    from ccagent.export.otlp.sender import Sender
    from ccagent.otlp_destination import Destination
    from ccagent.otlp_settings import OtlpSettings

LONGEST_SECONDS: Final = 5.0
"""Between two looks for ended spans at most."""

Guard = Callable[[str, Callable[[], None]], threading.Thread]


class OwnSending:
    """Has a `tracer` for the threads of the daemon, and sends what it records.

    Raises ConfigError for a destination that cannot be used.
    """

    def __init__(
        self, settings: OtlpSettings, instance_id: str, version: str, observed: Observed, clock: Clock
    ) -> None:
        self.tracer: Tracer = OFF
        self._clock = clock
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._senders: list[Sender] = []
        self._parts: Mapping[str, OwnTraces] = {}
        targets = settings.of("traces") if settings.self_traces else ()
        if targets:
            queues = [Queue() for _ in targets]
            self.tracer = Recorder(queues)
            resource = resource_of(settings, instance_id)
            self._parts = {
                target.name: self._part(target, queue, resource, version, observed)
                for target, queue in zip(targets, queues, strict=True)
            }

    def _part(
        self, target: Destination, queue: Queue, resource: Mapping[str, str], version: str, observed: Observed
    ) -> OwnTraces:
        from ccagent.export.otlp.own import OwnTraces
        from ccagent.export.otlp.sender import make_sender

        sender = make_sender(target)
        self._senders.append(sender)
        return OwnTraces(
            sender, queue, resource=resource, version=version,
            lost=lambda spans: observed.dropped(target.name, "traces", "self", spans),
        )  # fmt: skip

    def start(self, guard: Guard) -> None:
        """One thread a destination; `guard` makes a thread whose death ends the process."""
        for name, part in self._parts.items():
            self._threads.append(guard(f"own-traces-{name}", lambda part=part: self._run(part)))  # type: ignore[misc]

    def stop(self, seconds: float) -> None:
        """Ask the threads to end, and wait a little; what was not sent is gone."""
        self._stop.set()
        for sender in self._senders:
            sender.close()
        for thread in self._threads:
            thread.join(seconds / len(self._threads))

    def _run(self, part: OwnTraces) -> None:
        try:
            while not self._stop.is_set():
                step = part.tick(self._clock.now_ms())
                self._stop.wait(min(step.wait_ms / 1_000, LONGEST_SECONDS))
        except Exception:
            # Its connection was closed under it, to end it: that is no death.
            if not self._stop.is_set():
                raise
        finally:
            for sender in self._senders:
                sender.close()
