"""The senders of one configuration: one thread a destination and signal, each behind its own durable cursor; none waits
for another."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from ccagent.clock import Clock
from ccagent.metrics.snapshot import Snapshot
from ccagent.outgoing import encoding_of, resource_of
from ccagent.paths import display
from ccagent.service.leaving import Leaving
from ccagent.service.live import Live
from ccagent.service.observed import Observed
from ccagent.service.senders import SenderThread
from ccagent.store.consent import keep_acknowledgement, keep_project_key
from ccagent.store.writer import Writer
from ccagent.tracing import OFF, Tracer

if TYPE_CHECKING:
    from ccagent.otlp_destination import Destination
    from ccagent.otlp_settings import OtlpSettings

BOOK_SECONDS: Final = 5.0
"""Between two bookings of what the senders counted of themselves."""

RELOAD_SECONDS: Final = 0.3
"""A sender that goes with a new configuration and waits for an answer is not waited for: a resend has the same ids."""

IDENTITY_TIER: Final = 2

SWITCH_SECONDS: Final = 0.000_5
"""How long a thread keeps the interpreter while another one wants it. Following gives it away at every statement to the
store, so at the usual 5 ms a sender with a backlog would delay each append by many times that."""

Reader = Callable[[], AbstractContextManager[Any]]
Guard = Callable[[str, Callable[[], None]], threading.Thread]


class Exporting:
    """All senders of one configuration. `start` runs them in threads, `drain` once in the caller's.

    Raises ConfigError for a destination that cannot be used, before anything is sent to any.
    """

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
        self.observed = Observed(live)
        self.tracer: Tracer = OFF
        self._settings = settings
        self._store = store
        self._reader = reader
        self._live = live
        self._clock = clock
        self._version = version
        self._snapshot = snapshot
        self._stop = threading.Event()
        self._guard: Guard | None = None
        self._books: threading.Thread | None = None
        self._prepared = threading.Lock()
        self._projects: dict[str, tuple[list[str], dict[str, int]]] = {}
        self._senders = {target.key: self._make(target, settings) for target in settings.destinations}
        for target in settings.destinations:
            self._tell(target)
        self._send_to(settings)

    def start(self, guard: Guard) -> None:
        """One thread a sender; `guard` makes a thread whose death ends the process."""
        self._guard = guard
        sys.setswitchinterval(SWITCH_SECONDS)
        for sender in self._senders.values():
            self._start(sender)
        self._books = guard("export-book", self._book)

    def reload(self, settings: OtlpSettings) -> None:
        """Go over to other settings; senders whose destination stays as it is go on undisturbed.

        Raises ConfigError before anything is changed.
        """
        same = _shared(settings) == _shared(self._settings)
        fresh = {
            target.key: self._make(target, settings)
            for target in settings.destinations
            if not same or target.key not in self._senders or self._senders[target.key].target != target
        }
        wanted = {target.key for target in settings.destinations}
        gone = [sender for key, sender in self._senders.items() if key in fresh or key not in wanted]
        self._settings = settings
        _end(gone, RELOAD_SECONDS)
        for sender in gone:
            del self._senders[sender.target.key]
            self.observed.forget(sender.target.name, sender.target.signal)
            self._projects.pop(sender.target.key, None)
        self._show_projects()
        self._senders |= fresh
        for sender in fresh.values():
            self._tell(sender.target)
        self._send_to(settings)
        for sender in fresh.values():
            self._start(sender)

    def wake(self) -> None:
        """Facts were written: something may be due. Thread-safe."""
        for sender in list(self._senders.values()):
            sender.wake()

    def stop(self, seconds: float) -> None:
        """Ask the threads to end and wait a little; what is not sent stays behind its cursor."""
        self._stop.set()
        _end(list(self._senders.values()), seconds)
        if self._books is not None:
            self._books.join(seconds)

    def drain(self) -> dict[str, str]:
        """Send what is due once (`run --once`); what is wrong, by signal, or by destination and signal."""
        problems = {}
        for sender in self._senders.values():
            if problem := sender.drain():
                problems[_short(sender.target)] = problem
        self.observed.book(self._store)
        for sender in self._senders.values():
            sender.stop()
        return problems

    # ---- making them -----------------------------------------------------------------------------------------------

    def _make(self, target: Destination, settings: OtlpSettings) -> SenderThread:
        from ccagent.export.otlp.outbox import Outbox
        from ccagent.export.otlp.own import Traced
        from ccagent.export.otlp.push import MetricsPush
        from ccagent.export.otlp.sender import make_sender
        from ccagent.export.privacy import TierResolver, anonymous

        sender = Traced(make_sender(target), target.name, lambda: self.tracer)
        resource = resource_of(settings, self._store.instance_id)
        tiers = TierResolver(settings.personal_tier, self._clock.now_ms, identity=settings.identity)

        def prepare() -> None:
            with self._prepared:
                tiers.key = keep_project_key(self._store)
                if settings.personal_tier >= IDENTITY_TIER:
                    keep_acknowledgement(self._store, self._clock.now_ms())

        def told() -> None:
            self._projects[target.key] = tiers.notices, tiers.files
            self._show_projects()

        if target.signal == "metrics":
            leaving = Leaving(self._reader, tiers.policy, lambda label: anonymous(label, tiers.key or ""))
            push = MetricsPush(
                target.name, sender, snapshot=lambda now_ms: leaving.renamed(self._snapshot(), now_ms),
                resource=resource, version=self._version, observe=self.observed,
                interval_ms=round(target.interval_seconds * 1_000),
            )  # fmt: skip
            return SenderThread(
                target, push, sender, outbox=None, observed=self.observed, clock=self._clock, prepare=prepare, told=told
            )
        outbox = Outbox(
            target.name, sender, encoding=encoding_of(target, settings), host=self._store.host, resource=resource, version=self._version,
            reader=self._reader, write=self._store.write, policy=tiers.policy, observe=self.observed,
            epoch=lambda: self._store.epoch,
        )  # fmt: skip

        return SenderThread(
            target, outbox, sender, outbox=outbox, observed=self.observed, clock=self._clock, prepare=prepare, told=told
        )

    def _start(self, sender: SenderThread) -> None:
        if self._guard is not None:
            now = self._clock.now_ms()
            sender.thread = self._guard(f"export-{sender.target.key}", lambda: sender.run(now))

    def _tell(self, target: Destination) -> None:
        """Show how a destination is set up: whoever asks may have another environment."""
        self.observed.begin(target.name, target.signal, **set_up(target))

    def _show_projects(self) -> None:
        """Show what the files of projects say, as each sender has read them last."""
        told = list(self._projects.values())
        text = "; ".join(dict.fromkeys(one for notices, _ in told for one in notices)) or None
        if text != self._live.problems.get("projects"):
            self._live.problem("projects", text)
        found = {file: tier for _, files in told for file, tier in files.items()}
        if found != self._live.project_files:
            self._live.project_files = found

    def _send_to(self, settings: OtlpSettings) -> None:
        """Changes in what left already are counted for whoever got it as a span or log record."""
        self._store.send_to(settings.item_targets)

    def _book(self) -> None:
        while not self._stop.wait(BOOK_SECONDS):
            self.observed.book(self._store)


def _shared(settings: OtlpSettings) -> tuple[object, ...]:
    """What every sender has of the settings, besides its destination."""
    return (
        settings.personal_tier, settings.identity, settings.service_name, settings.resource_attributes, settings.limits
    )  # fmt: skip


def _end(senders: list[SenderThread], seconds: float) -> None:
    for sender in senders:
        sender.stop()
    for sender in senders:
        if sender.thread is not None:
            sender.thread.join(seconds / len(senders))


def set_up(target: Destination) -> dict[str, object]:
    """How a destination is set up, for people: secrets masked."""
    from ccagent.config_reference import mask

    files = {
        "certificate": target.certificate,
        "client_certificate": target.client_certificate,
        "client_key": target.client_key,
    }
    return {
        "endpoint": target.url,
        "protocol": target.protocol,
        "compression": target.compression,
        "headers": {name: mask(value) for name, value in target.headers.items()},
        "tls": {name: display(path) for name, path in files.items() if path is not None},
        "timeout_seconds": target.timeout_seconds,
        "max_age_days": target.max_age_days,
    }


def _short(target: Destination) -> str:
    from ccagent.config_file import UNNAMED

    return target.signal if target.name == UNNAMED else target.key


def describe(settings: OtlpSettings) -> Mapping[str, object]:
    """What leaves the machine and where to, for the start-up log line and `status`."""
    return {
        "tier": settings.personal_tier, "named_by": settings.named_by,
        "to": {_short(target): f"{target.protocol} {target.url}" for target in settings.destinations},
    }  # fmt: skip
