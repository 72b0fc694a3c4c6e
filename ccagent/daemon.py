"""The daemon: wires store, threads and signals, in this order of life.

Start: lock → database → watch → scan → ready (the listener says so) → catch-up. Stop: threads are asked to end, each
finishes or rolls back its transaction; nothing is drained, because everything due stands in the database. A thread
that dies ends the process, so that the supervisor restarts a whole daemon.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

from ccagent import __version__, config_reload
from ccagent.alerts.series import Series
from ccagent.clock import Clock, SystemClock
from ccagent.config import Config
from ccagent.errors import (
    AwayError,
    CcagentError,
    DamagedError,
    InstanceRunningError,
    PortTakenError,
    StoreError,
    ThreadDiedError,
)
from ccagent.follow.roots import default_roots
from ccagent.git_history import Histories
from ccagent.logs import configure, get_logger
from ccagent.machine import host_id
from ccagent.metrics import names as metric
from ccagent.metrics.snapshot import Snapshot
from ccagent.native_telemetry import beside, choose, detect
from ccagent.otlp_settings import OtlpSettings, resolve, tier_in_force
from ccagent.planning import Planning, follow_conventions
from ccagent.power import system_power
from ccagent.price_file import load_prices
from ccagent.service.alerting import Alerting, asks_standing
from ccagent.service.caring import Caring
from ccagent.service.channels import check_channels
from ccagent.service.exporting import Exporting, describe
from ccagent.service.following import Following
from ccagent.service.gauges import Memory, make_snapshot, own_gauges
from ccagent.service.live import Live, StatusFile
from ccagent.service.measuring import Measuring
from ccagent.service.notifying import Notifying
from ccagent.service.own_traces import OwnSending
from ccagent.service.retaining import Retaining
from ccagent.service.scheduling import Scheduling, keep_zone
from ccagent.service.supervisor import Pulse, Supervisor
from ccagent.store.compat import switch
from ccagent.store.connection import Connection
from ccagent.store.damage import heal, suspect
from ccagent.store.filesystem import refuse_network
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database
from ccagent.store.migrations import Prepared
from ccagent.store.opening import open_readers, open_store
from ccagent.store.provenance import outdated
from ccagent.store.rescue import Rescue
from ccagent.store.side import discard
from ccagent.store.writer import Writer
from ccagent.tracing import OFF, Tracer, watch_reader
from ccagent.worktrees import Worktrees
from ccagent.zone import local_zone

STOP_SECONDS: Final = 1.5
"""What the threads get to end, together; the process is to be gone 2 s after SIGTERM."""

PROGRESS_SECONDS: Final = 0.2
ALONE_SECONDS: Final = 1.0
"""Between two looks of the main thread, with somebody at the terminal and without: it only sees to reloads."""

BIND_SECONDS: Final = 15.0
"""Between two tries for a taken port, under a service manager."""

AWAY_SECONDS: Final = (0.5, 15.0)
"""First and longest pause between two tries to reach the database's server at the start."""

AWAY_EXTENSION_SECONDS: Final = 60.0
"""What a service manager grants the start at each of these tries; a try itself may take half of it."""

AWAY_WORD_SECONDS: Final = 60.0
"""Between two lines of the log that say so."""

EXPORT_STOP_SECONDS: Final = 0.3
"""A sender that waits for an answer is not waited for: a resend has the same ids."""


class ToldToEndError(Exception):
    """Raised when a signal ends the wait for the database's server: nothing was begun."""


class Daemon:
    """One database and everything that works on it, in this process."""

    def __init__(
        self, config: Config, env: Mapping[str, str], clock: Clock | None = None, *, patient: bool = False
    ) -> None:
        """Open the store under its lock. Errors of configuration, store or another instance are raised here.

        With `patient` a server that is away is waited for, since a laptop may start without its network; signals are
        heeded meanwhile (ToldToEndError).
        """
        os.umask(0o077)
        self.config = config
        self.env = env
        self.clock = clock or SystemClock()
        self.live = Live(started_ms=self.clock.now_ms())
        self.stop = threading.Event()
        roots = list(config.sources) or default_roots(env, Path.home())
        self.compat = choose(config.compat, detect(env, roots))
        self.settings = self._resolve(config)
        self._pulse = Pulse("follow", "schedule")
        self._supervisor = Supervisor(env, self.clock, self._pulse)
        self._log = get_logger()
        self._failure: BaseException | None = None
        self._reload = threading.Event()
        self._exporting: Exporting | None = None
        self._own: OwnSending | None = None
        self._listener: Any = None
        self._memories = {False: Memory(), True: Memory()}
        self._waken: Callable[[], None] = self._leave_soon
        self._hurry: threading.Timer | None = None
        self.database = parse_database(config.database, config.paths.state_dir)
        if self.database.kind == "sqlite":
            refuse_network(self.database.target)  # before anything there is touched: a dead server never answers
        self._instance = InstanceLock(self.database)
        self._instance.acquire()
        self.status_file = StatusFile(self.database.sidecar)
        try:
            self._heal()
            if patient:
                self.install_signals()
            follow_conventions(config.features.task_pattern)
            self.store = self._open_store(patient)
            self._tell_migration(self.store.prepared)
            self.store.told = self._told
            self.readers = open_readers(self.database)
            self._reader = self.readers.reader
            discard(self.store)
            with self.readers.reader() as conn:
                prices = self.store.ingest_state.prices.version
                self.live.problem("facts", outdated(conn, self.store.host, prices))
            self.zone = keep_zone(self.store, config.rollups.timezone or local_zone(env))
            switch(self.store, on=self.compat.on)
            self.following = Following(
                self.store, roots, self.live, self.clock, max_line=config.ingest.max_line_bytes,
                scan_seconds=config.ingest.scan_interval_seconds,
                battery_scan_seconds=config.ingest.battery_scan_interval_seconds, power=system_power(),
                on_change=self._changed,
                rescue=Rescue.due(self.store, lambda path, words: self._log.warning("rescue", file=path, said=words)),
            )  # fmt: skip
            self.following.turned = partial(self._pulse.beat, "follow")
            self._settle_signals()
            self.caring = Caring(self.store, self.live, self.clock, config.backup)
            self.retaining = Retaining(
                self.store, self.readers.reader, self.zone, self.live, self.clock, config.retention
            )
            self.histories = Histories(self.store, self.clock, env) if config.git.history else None
            self.measuring = Measuring(
                self.store, self.readers.reader, self.zone, self.live, self.clock, self._exportable(),
                lambda: self.config.metrics.project_label,
            )  # fmt: skip
            self.notifying = Notifying(
                config.alerts, self.settings, self.store, lambda: self._reader(), self.zone, self.live, self.clock, env
            )
            self.alerting = Alerting(
                self.store, lambda: self._reader(), self.zone, self.live, self.clock, config.alerts, self._series
            )
            self.alerting.told = self.notifying.wake
            self.scheduling = Scheduling(
                self.store, self.zone, self.live, self.clock, self.status_file, self.caring, self.retaining,
                Worktrees(self.store, self.clock), self.histories,
                Planning(self.store, self.clock, config.features.documents), self.measuring, self.alerting,
            )  # fmt: skip
            self.scheduling.turned = partial(self._pulse.beat, "schedule")
        except BaseException as error:
            self._suspect(error)
            self.status_file.remove()
            self._instance.release()
            raise

    def _resolve(self, config: Config) -> OtlpSettings:
        """Where telemetry goes, marked where Claude Code's own runs beside it."""
        return beside(resolve(config, self.env), config.compat, self.compat.native)

    def _open_store(self, patient: bool) -> Writer:
        exportable, prices, host = self._exportable(), load_prices(self.config), host_id(self.config)
        pause, longest = AWAY_SECONDS
        next_word = 0.0
        while True:
            try:
                store = open_store(
                    self.database, clock=self.clock, host_id=host, prices=prices, exportable=exportable,
                    budgets=self.config.metrics.label_budgets,
                )  # fmt: skip
            except AwayError as error:
                if not patient:
                    raise
                self._told(f"{error}; ccagent waits for it")
                self._supervisor.waiting(str(error), AWAY_EXTENSION_SECONDS)
                if self.clock.monotonic() >= next_word:
                    next_word = self.clock.monotonic() + AWAY_WORD_SECONDS
                    self._log.error("store.away", error=str(error))
                if self.stop.wait(pause):
                    raise ToldToEndError from error
                pause = min(longest, 2 * pause)
            else:
                self.live.problem("store", None)
                return store

    def _leave_soon(self) -> None:
        """Told to end before the store is open: a server that does not answer is not waited for. Nothing was begun."""
        self._hurry = threading.Timer(STOP_SECONDS, os._exit, args=(0,))
        self._hurry.daemon = True
        self._hurry.start()

    def _settle_signals(self) -> None:
        """Everything is open: from now on the end is an orderly one."""
        self._waken = self._wake_and_leave
        if self._hurry is not None:
            self._hurry.cancel()

    def _wake_and_leave(self) -> None:
        """Told to end: nobody sleeps on, nobody waits for a server that is away."""
        self.following.wake.set()
        self.store.leave()

    def _told(self, text: str | None) -> None:
        """What the store waits for. Written at once: the thread that writes it otherwise may wait for the same."""
        self._pulse.excuse()
        self.live.problem("store", text)
        with suppress(StoreError):  # a status that cannot be written is told by the thread that writes it
            self.status_file.write(self.live)

    def _heal(self) -> None:
        aside = heal(self.database, self.clock, lambda words: self._log.warning("database.look", said=words))
        if aside is not None:
            self._log.error("database.set_aside", database=self.database.display, reason=aside.reason, file=aside.file)

    def _suspect(self, error: BaseException) -> None:
        """Damage was met: the next start looks thoroughly."""
        if isinstance(error, DamagedError):
            suspect(self.database, str(error))

    def _tell_migration(self, prepared: Prepared) -> None:
        if prepared.migrated:
            self._log.info(
                "database.migrated", database=self.database.display, schema_before=prepared.found,
                seconds=round(prepared.seconds, 3), backup=str(prepared.backup or ""),
            )  # fmt: skip

    def _exportable(self) -> Callable[[str | None], bool]:
        """Whether facts of a folder may leave, as booked with each total (its own resolver: one thread a resolver)."""
        from ccagent.export.privacy import TierResolver

        tiers = TierResolver(self.settings.personal_tier, self.clock.now_ms)
        return lambda cwd: tiers.tier(cwd) >= 1

    def _changed(self) -> None:
        self.scheduling.changed()
        if self._exporting is not None:
            self._exporting.wake()

    # ---- running ---------------------------------------------------------------------------------------------------

    def run(self, progress: Callable[[Live], None] | None = None) -> int:
        """Run until a signal; the exit code."""
        self._announce()
        threads = [
            self._thread("follow", lambda: self.following.run(self.stop)),
            self._thread("schedule", lambda: self.scheduling.run(self.stop)),
        ]
        try:
            self._open_listener()
            self._start_exports(self._make_exporting(self.settings) if self.settings.enabled else None)
            self._trace_own(self.settings)
            self.notifying.start(self._thread)
            self._wait(progress)
        except CcagentError as error:
            self._failure = self._failure or error
        finally:
            self.stop.set()
            self._end(threads)
        if self._failure is not None:
            raise self._failure
        return 0

    def once(self, progress: Callable[[int, int], None] | None = None) -> dict[str, str]:
        """Take in all there is, roll up, send what is due once; what could not be sent, by signal."""
        try:
            self.following.once(progress)
            self.scheduling.refresh()
            self._evaluate_once()
            problems = self.notifying.drain()
            if not self.settings.enabled:
                return problems
            self.measuring.tick(self.clock.monotonic())
            return self._make_exporting(self.settings).drain() | problems
        except DamagedError as error:
            self._suspect(error)
            raise
        finally:
            self.following.follower.close()
            self.close()

    def _evaluate_once(self) -> None:
        """Evaluate the alert rules; a second time where they ask for gauges that take their time to measure."""
        self.alerting.evaluate()
        if asks_standing(self.alerting.active()):
            self.measuring.tick(self.clock.monotonic())
            self.alerting.evaluate()

    def close(self) -> None:
        """Close the database and give up the lock."""
        try:
            self.caring.close()
            if self.histories is not None:
                self.histories.close()
            self.retaining.close()
            self.readers.close()
            self.store.close()
        finally:
            self._instance.release()

    def _announce(self) -> None:
        self._log.info("daemon.start", version=__version__, pid=os.getpid(), zone=self.zone.key)
        # Its own environment may hold what that of whoever asks for the status does not.
        self.live.notices = (*self.config.notices, *self.settings.notices, *self.compat.notices)
        for notice in self.live.notices:
            self._log.warning("config.notice", notice=notice)
        if self.compat.native is not None:
            self._log.info("native_telemetry.found", where=self.compat.native.where, compatible_set=self.compat.on)
        if self.settings.enabled:
            self._log.info("export.on", **describe(self.settings))
        self.live.tier = tier_in_force(self.config, self.settings)
        self.following.count({(metric.STARTS, (str(self.settings.personal_tier),), True): 1})

    def _wait(self, progress: Callable[[Live], None] | None) -> None:
        next_bind = self.clock.monotonic() + BIND_SECONDS
        while not self.stop.wait(PROGRESS_SECONDS if progress is not None or self._supervisor.waits else ALONE_SECONDS):
            self._supervisor.tick(self.live)
            if progress is not None:
                progress(self.live)
            if self._reload.is_set():
                self._reload.clear()
                self._supervisor.reloading()
                self._reload_config()
                self._supervisor.reloaded()
            if self._listener is None and self.config.listen_address and self.clock.monotonic() >= next_bind:
                next_bind = self.clock.monotonic() + BIND_SECONDS
                self._open_listener()

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """A thread whose death ends the process."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                if not self.stop.is_set():
                    self._died(name, error)
            else:
                if not self.stop.is_set() and name in ("follow", "schedule"):
                    self._died(name, RuntimeError("it returned"))

        thread = threading.Thread(target=guarded, name=f"ccagent-{name}", daemon=True)
        thread.start()
        return thread

    def _died(self, name: str, error: BaseException) -> None:
        self._log.error("thread.died", thread=name, error=f"{type(error).__name__}: {error}", exc_info=error)
        self._suspect(error)
        self._failure = ThreadDiedError(
            f"the {name} thread died ({type(error).__name__}: {error}); start ccagent again"
        )
        if isinstance(error, InstanceRunningError):
            self._failure = error  # no defect: somebody else has taken this host's place
        self.stop.set()
        self._waken()

    def _end(self, threads: list[threading.Thread]) -> None:
        self._supervisor.stopping()
        self._waken()
        if self._listener is not None:
            self._listener.stop()
        if self._own is not None:
            self._own.stop(EXPORT_STOP_SECONDS)
        if self._exporting is not None:
            self._exporting.stop(EXPORT_STOP_SECONDS)
        self.notifying.stop(EXPORT_STOP_SECONDS)
        deadline = self.clock.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0.05, deadline - self.clock.monotonic()))
        self.status_file.remove()
        self._log.info("daemon.stop", unread_bytes=self.live.unread_bytes, pending_bytes=self.live.pending_bytes)
        if any(thread.is_alive() for thread in threads):
            # A transaction that does not end in time is rolled back by the next start: the lines are read again.
            sys.stderr.flush()
            os._exit(0 if self._failure is None else getattr(self._failure, "exit_code", ThreadDiedError.exit_code))
        self.close()

    # ---- faces -----------------------------------------------------------------------------------------------------

    def snapshot(self, *, exportable_only: bool = False) -> Snapshot:
        """All metrics of this moment, over a connection of its own."""
        try:
            with self._reader() as conn:
                return make_snapshot(
                    conn, self.live, self.database, self.store.host_id, self.clock.now_ms(),
                    project_label=self.config.metrics.project_label, exportable_only=exportable_only,
                    compat=self.compat.on, measured=self.measuring.found, exemplars=self.store.exemplars.all(),
                    alerts=self.alerting.firing, memory=self._memories[exportable_only],
                )  # fmt: skip
        except DamagedError as error:
            self._died("metrics", error)
            raise

    def _series(self, conn: Connection, now_ms: int) -> Series:
        """What alert rules ask of this moment."""
        from ccagent.store.alert_series import StoreSeries

        gauges = {**own_gauges(conn, self.live, self.database, now_ms), **self.measuring.found.local}
        return StoreSeries(
            conn, self.zone, now_ms, gauges, write=self.store.write, prices=self.store.ingest_state.prices
        )  # fmt: skip

    def _open_listener(self) -> None:
        address = self.config.listen_address
        if address is None:
            self.live.listen = "off"
            return
        from ccagent.api.routes import AppState
        from ccagent.api.server import HttpListener

        state = AppState(snapshot=self.snapshot, ready=lambda: self.live.ready, version=__version__)
        listener = HttpListener(state, *address, on_death=lambda error: self._died("listener", error))
        try:
            listener.start()
        except PortTakenError as error:
            if sys.stderr.isatty():
                raise
            self.live.problem("listen", str(error))
            self._log.error("listen.taken", error=str(error), retry_seconds=BIND_SECONDS)
            return
        self._listener = listener
        self.live.problem("listen", None)
        self.live.listen = listener.url
        self._log.info("listen.open", url=listener.url)

    def _make_exporting(self, settings: OtlpSettings) -> Exporting:
        return Exporting(
            settings, self.store, lambda: self._reader(), self.live, self.clock, __version__,
            lambda: self.snapshot(exportable_only=True),
        )  # fmt: skip

    def _start_exports(self, exporting: Exporting | None) -> None:
        if exporting is not None:
            exporting.start(self._thread)
        self._exporting = exporting

    def _trace_own(self, settings: OtlpSettings) -> None:
        """Begin with ccagent's own traces, or go over to other settings; nothing of them is kept in between."""
        if self._own is not None:
            self._own.stop(EXPORT_STOP_SECONDS)
            self._own = None
        tracer: Tracer = OFF
        if settings.self_traces and self._exporting is not None:
            self._own = OwnSending(settings, self.store.instance_id, __version__, self._exporting.observed, self.clock)
            tracer = self._own.tracer
            self._own.start(self._thread)
        self.following.tracer = self.scheduling.tracer = self.alerting.tracer = tracer
        self._reader = watch_reader(self.readers.reader, tracer)
        if self._exporting is not None:
            self._exporting.tracer = tracer

    # ---- signals ---------------------------------------------------------------------------------------------------

    def install_signals(self) -> None:
        """SIGTERM and SIGINT end it (a second one at once), SIGHUP reloads, SIGUSR1 dumps all stacks."""

        def end(number: int, frame: FrameType | None) -> None:
            if self.stop.is_set():
                os._exit(130 if number == signal.SIGINT else 1)
            self.stop.set()
            self._waken()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        signal.signal(signal.SIGHUP, lambda number, frame: self._reload.set())
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        faulthandler.enable()  # a watchdog ends a hung daemon with SIGABRT: the log is to tell where it hung

    def _reload_config(self) -> None:
        """Take the new configuration if it is whole and sound; else keep the old one and say so."""
        try:
            fresh = config_reload.again(self.config, self.env)
            settings = self._resolve(fresh)
            changed = settings != self.settings
            check_channels(fresh.alerts.channels)
            # Before anything else changes: what cannot be used must not leave the daemon without any.
            exporting = self._exporting
            if changed and exporting is not None:
                exporting.reload(settings)
            elif changed and settings.enabled:
                exporting = self._make_exporting(settings)
        except CcagentError as error:
            self.live.reload_ok = False
            self.live.problem("config", f"the old configuration is kept: {error}")
            self._log.error("config.reload_failed", error=str(error))
            return
        stays = config_reload.needs_restart(self.config, fresh)
        self.config = fresh
        self.retaining.reload(fresh.retention)
        self.notifying.reload(fresh.alerts, settings)
        self.alerting.reload(fresh.alerts)
        configure(level=fresh.log.level, format=fresh.log.format)
        if changed:
            self.settings = settings
            self.live.tier = tier_in_force(fresh, settings)
            self.store.ingest_state.ledger.leaves = self._exportable()
            self.measuring.leaves = self._exportable()
            if self._exporting is None:
                self._start_exports(exporting)
            self._trace_own(settings)
            if settings.enabled:
                self._log.info("export.on", **describe(settings))
        self.live.reload_ok = True
        self.live.notices = (*fresh.notices, *settings.notices, *self.compat.notices)
        self.live.problem("config", f"restart to apply: {', '.join(stays)}" if stays else None)
        self._log.info("config.reloaded", restart_for=stays)


def run_forever(config: Config, env: Mapping[str, str], progress: Callable[[Live], None] | None = None) -> int:
    """`ccagent run`: follow until a signal; the exit code."""
    configure(level=config.log.level, format=config.log.format)
    try:
        daemon = Daemon(config, env, patient=not sys.stderr.isatty())
    except ToldToEndError:
        return 0
    daemon.install_signals()
    return daemon.run(progress)


def run_once(
    config: Config, env: Mapping[str, str], progress: Callable[[int, int], None] | None = None
) -> tuple[Live, dict[str, str]]:
    """`ccagent run --once`: what was taken in, and what could not be sent."""
    configure(level=config.log.level, format=config.log.format)
    daemon = Daemon(config, env)
    problems = daemon.once(progress)
    return daemon.live, problems
