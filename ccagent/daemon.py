"""The daemon: wires store, threads and signals (`ccagent/service/`), in this order of life.

Start: lock → database → watch → scan → ready (the listener says so) → catch-up. Stop: threads are asked to end, each
finishes or rolls back its transaction; nothing is drained, because everything due stands in the database. A thread
that dies ends the process, so that the supervisor restarts a whole daemon.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from ccagent import __version__, config_reload
from ccagent.alerts.series import Series
from ccagent.clock import Clock, SystemClock
from ccagent.config import Config
from ccagent.errors import CcagentError, DamagedError
from ccagent.follow.roots import default_roots
from ccagent.git_history import Histories
from ccagent.logs import configure, get_logger
from ccagent.machine import host_id
from ccagent.metrics import names as metric
from ccagent.metrics.ledger import Exportable
from ccagent.metrics.snapshot import Snapshot
from ccagent.native_telemetry import beside, choose, detect
from ccagent.otlp_settings import OtlpSettings, resolve, tier_in_force
from ccagent.planning import Planning, follow_conventions
from ccagent.power import system_power
from ccagent.price_file import load_prices
from ccagent.service.alerting import Alerting, asks_standing
from ccagent.service.awaiting import Awaiting, ToldToEndError
from ccagent.service.caring import Caring
from ccagent.service.channels import check_channels
from ccagent.service.crew import Crew
from ccagent.service.exporting import Exporting, describe
from ccagent.service.following import Following
from ccagent.service.gauges import Memory, make_snapshot, own_gauges
from ccagent.service.listening import Listening
from ccagent.service.live import Live, StatusFile
from ccagent.service.measuring import Measuring
from ccagent.service.notifying import Notifying
from ccagent.service.retaining import Retaining
from ccagent.service.scheduling import Scheduling, keep_zone
from ccagent.service.signals import Signals
from ccagent.service.soundness import mend, note_damage, tell_migration
from ccagent.service.supervisor import Pulse, Supervisor
from ccagent.service.telemetry import EXPORT_STOP_SECONDS, Telemetry
from ccagent.store.compat import switch
from ccagent.store.connection import Connection
from ccagent.store.consent import keep_project_key
from ccagent.store.filesystem import refuse_network
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database
from ccagent.store.opening import open_readers, open_store
from ccagent.store.provenance import outdated
from ccagent.store.rescue import Rescue
from ccagent.store.side import discard
from ccagent.store.writer import Writer
from ccagent.tracing import Tracer, watch_reader
from ccagent.worktrees import Worktrees
from ccagent.zone import local_zone

PROGRESS_SECONDS: Final = 0.2
ALONE_SECONDS: Final = 1.0
"""Between two looks of the main thread, with somebody at the terminal and without: it only sees to reloads."""


class Daemon:
    """One database and everything that works on it, in this process."""

    def __init__(
        self, config: Config, env: Mapping[str, str], clock: Clock | None = None, *, patient: bool = False,
        once: bool = False,
    ) -> None:  # fmt: skip
        """Open the store under its lock. Errors of configuration, store or another instance are raised here.

        With `patient` a server that is away is waited for, since a laptop may start without its network; signals are
        heeded meanwhile (ToldToEndError). `once`: `once()` will be called, and nothing else.
        """
        os.umask(0o077)
        self.config = config
        self.env = env
        self.clock = clock or SystemClock()
        self.live = Live(started_ms=self.clock.now_ms())
        self.signals = Signals()
        self.stop = self.signals.stop
        roots = list(config.sources) or default_roots(env, Path.home())
        self.compat = choose(config.compat, detect(env, roots))
        self.settings = self._resolve(config)
        self._pulse = Pulse("follow", "schedule")
        self._supervisor = Supervisor(env, self.clock, self._pulse)
        self._log = get_logger()
        self._crew = Crew(self.signals, self.clock, lambda error: note_damage(self.database, error))
        self._memories = {False: Memory(), True: Memory()}
        self.database = parse_database(config.database, config.paths.state_dir)
        if self.database.kind == "sqlite":
            refuse_network(self.database.target)  # before anything there is touched: a dead server never answers
        self._instance = InstanceLock(self.database)
        self._instance.acquire()
        self.status_file = StatusFile(self.database.sidecar)
        waits = Awaiting(self.live, self.status_file, self.clock, self._pulse, self._supervisor, self.stop)
        try:
            mend(self.database, self.clock)
            if patient:
                self.signals.install()
            follow_conventions(config.features.task_pattern)
            self.store = waits.store(self._opened, patient=patient)
            tell_migration(self.database, self.store.prepared)
            self.store.told = waits.told
            self.readers = open_readers(self.database, self._supervisor.at_work, once=once)
            self._reader = self.readers.reader
            discard(self.store)
            with self.readers.reader() as conn:
                prices = self.store.ingest_state.prices.version
                self.live.problem("facts", outdated(conn, self.store.host, prices))
            self.zone = keep_zone(self.store, config.rollups.timezone or local_zone(env))
            switch(self.store, on=self.compat.on)
            keep_project_key(
                self.store
            )  # before anything is sent: the preview of the first request has the same numbers
            self.following = Following(
                self.store, roots, self.live, self.clock, max_line=config.ingest.max_line_bytes,
                scan_seconds=config.ingest.scan_interval_seconds,
                battery_scan_seconds=config.ingest.battery_scan_interval_seconds, power=system_power(),
                on_change=self._changed,
                rescue=Rescue.due(
                    self.store, lambda path, words: self._log.warning("rescue", file=path, said=words),
                    self._supervisor.at_work,
                ),
            )  # fmt: skip
            self.following.turned = partial(self._pulse.beat, "follow")
            self.signals.settle(self._wake_and_leave)
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
            self.telemetry = Telemetry(
                self._make_exporting, self._crew.thread, self._traced, self.clock, self.store.instance_id, __version__
            )
            self.listening = Listening(
                lambda: self.config.listen_address, self.snapshot, self.live, self.clock, __version__,
                partial(self._crew.died, "listener"),
            )  # fmt: skip
        except BaseException as error:
            note_damage(self.database, error)
            self.status_file.remove()
            self._instance.release()
            raise

    def _resolve(self, config: Config) -> OtlpSettings:
        """Where telemetry goes, marked where Claude Code's own runs beside it."""
        return beside(resolve(config, self.env), config.compat, self.compat.native)

    def _opened(self) -> Writer:
        return open_store(
            self.database, clock=self.clock, host_id=host_id(self.config), prices=load_prices(self.config),
            exportable=self._exportable(), budgets=self.config.metrics.label_budgets,
            at_work=self._supervisor.at_work,
        )  # fmt: skip

    def _wake_and_leave(self) -> None:
        """Told to end: nobody sleeps on, nobody waits for a server that is away."""
        self.following.wake.set()
        self.store.leave()

    def _exportable(self) -> Exportable:
        """Whether work may leave, by folder and project, as booked with each total (one thread a resolver: its own)."""
        from ccagent.export.privacy import TierResolver

        return TierResolver(self.settings.personal_tier, self.clock.now_ms).allows

    def _changed(self) -> None:
        self.scheduling.changed()
        self.telemetry.wake()

    # ---- running ---------------------------------------------------------------------------------------------------

    def run(self, progress: Callable[[Live], None] | None = None) -> int:
        """Run until a signal; the exit code."""
        self._announce()
        threads = [
            self._crew.thread("follow", lambda: self.following.run(self.stop)),
            self._crew.thread("schedule", lambda: self.scheduling.run(self.stop)),
        ]
        try:
            self.listening.open()
            self.telemetry.take(self.settings, self.telemetry.prepare(self.settings))
            self.notifying.start(self._crew.thread)
            self._wait(progress)
        except CcagentError as error:
            self._crew.failure = self._crew.failure or error
        finally:
            self.stop.set()
            self._end(threads)
        if self._crew.failure is not None:
            raise self._crew.failure
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
            return self.telemetry.drain(self.settings) | problems
        except DamagedError as error:
            note_damage(self.database, error)
            raise
        finally:
            self.following.close()
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
        while not self.stop.wait(PROGRESS_SECONDS if progress is not None or self._supervisor.waits else ALONE_SECONDS):
            self._supervisor.tick(self.live)
            if progress is not None:
                progress(self.live)
            if self.signals.reload.is_set():
                self.signals.reload.clear()
                self._supervisor.reloading()
                self._reload_config()
                self._supervisor.reloaded()
            self.listening.tick()

    def _end(self, threads: list[threading.Thread]) -> None:
        self._supervisor.stopping()
        self.signals.waken()
        self.listening.stop()
        self.telemetry.stop()
        self.notifying.stop(EXPORT_STOP_SECONDS)
        self._crew.join(threads)
        self.status_file.remove()
        self._log.info("daemon.stop", unread_bytes=self.live.unread_bytes, pending_bytes=self.live.pending_bytes)
        self._crew.leave_behind(threads)
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
            self._crew.died("metrics", error)
            raise

    def _series(self, conn: Connection, now_ms: int) -> Series:
        """What alert rules ask of this moment."""
        from ccagent.store.alert_series import StoreSeries

        gauges = {**own_gauges(conn, self.live, self.database, now_ms), **self.measuring.found.local}
        return StoreSeries(
            conn, self.zone, now_ms, gauges, write=self.store.write, prices=self.store.ingest_state.prices
        )  # fmt: skip

    def _make_exporting(self, settings: OtlpSettings) -> Exporting:
        return Exporting(
            settings, self.store, lambda: self._reader(), self.live, self.clock, __version__,
            lambda: self.snapshot(exportable_only=True),
        )  # fmt: skip

    def _traced(self, tracer: Tracer) -> None:
        self.following.tracer = self.scheduling.tracer = self.alerting.tracer = tracer
        self._reader = watch_reader(self.readers.reader, tracer)

    def _reload_config(self) -> None:
        """Take the new configuration if it is whole and sound; else keep the old one and say so."""
        try:
            fresh = config_reload.again(self.config, self.env)
            settings = self._resolve(fresh)
            changed = settings != self.settings
            check_channels(fresh.alerts.channels)
            exporting = self.telemetry.prepare(settings) if changed else None
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
            self.telemetry.take(settings, exporting)
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
    daemon.signals.install()
    return daemon.run(progress)


def run_once(
    config: Config, env: Mapping[str, str], progress: Callable[[int, int], None] | None = None
) -> tuple[Live, dict[str, str]]:
    """`ccagent run --once`: what was taken in, and what could not be sent."""
    configure(level=config.log.level, format=config.log.format)
    daemon = Daemon(config, env, once=True)
    problems = daemon.once(progress)
    return daemon.live, problems
