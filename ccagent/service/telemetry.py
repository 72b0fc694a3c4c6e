"""What leaves by OTLP over changes of the configuration: its senders, and ccagent's own traces beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ccagent.clock import Clock
from ccagent.otlp_settings import OtlpSettings
from ccagent.service.exporting import Exporting, Guard
from ccagent.service.own_traces import OwnSending
from ccagent.tracing import OFF, Tracer

EXPORT_STOP_SECONDS: Final = 0.3
"""A sender that waits for an answer is not waited for: a resend has the same ids."""


class Telemetry:
    """Nothing is sent until `take`. `make` gives the senders of some settings, `guard` threads whose death ends the
    process; `traced` hears which tracer is in force."""

    def __init__(
        self,
        make: Callable[[OtlpSettings], Exporting],
        guard: Guard,
        traced: Callable[[Tracer], None],
        clock: Clock,
        instance_id: str,
        version: str,
    ) -> None:
        self._make = make
        self._guard = guard
        self._traced = traced
        self._clock = clock
        self._instance_id = instance_id
        self._version = version
        self._exporting: Exporting | None = None
        self._own: OwnSending | None = None

    def prepare(self, settings: OtlpSettings) -> Exporting | None:
        """The senders of these settings, for `take`; None where nothing is to be sent.

        Raises ConfigError for what cannot be used, before anything else changes: the daemon must not be left without
        any. Senders that run already have gone over to the settings when this returns.
        """
        if self._exporting is not None:
            self._exporting.reload(settings)
            return self._exporting
        return self._make(settings) if settings.enabled else None

    def take(self, settings: OtlpSettings, exporting: Exporting | None) -> None:
        """Start what was prepared, where it does not run yet, and trace as the settings say."""
        if self._exporting is None:
            if exporting is not None:
                exporting.start(self._guard)
            self._exporting = exporting
        self._trace_own(settings)

    def wake(self) -> None:
        """Facts were written: something may be due. Thread-safe."""
        if self._exporting is not None:
            self._exporting.wake()

    def drain(self, settings: OtlpSettings) -> dict[str, str]:
        """Send what is due once; what is wrong, by signal."""
        return self._make(settings).drain()

    def stop(self) -> None:
        """Ask all of them to end, and wait a little."""
        if self._own is not None:
            self._own.stop(EXPORT_STOP_SECONDS)
        if self._exporting is not None:
            self._exporting.stop(EXPORT_STOP_SECONDS)

    def _trace_own(self, settings: OtlpSettings) -> None:
        """Begin with ccagent's own traces, or go over to other settings; nothing of them is kept in between."""
        if self._own is not None:
            self._own.stop(EXPORT_STOP_SECONDS)
            self._own = None
        tracer: Tracer = OFF
        if settings.self_traces and self._exporting is not None:
            self._own = OwnSending(settings, self._instance_id, self._version, self._exporting.observed, self._clock)
            tracer = self._own.tracer
            self._own.start(self._guard)
        self._traced(tracer)
        if self._exporting is not None:
            self._exporting.tracer = tracer
