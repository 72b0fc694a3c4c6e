"""Long work on the store without a daemon: under its lock, no port opened, nothing sent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

from ccagent.clock import Clock, SystemClock
from ccagent.config import Config
from ccagent.crash_guard import CrashGuard
from ccagent.errors import InstanceRunningError
from ccagent.follow.roots import default_roots
from ccagent.intake import STEP_BYTES
from ccagent.machine import host_id
from ccagent.metrics.ledger import Exportable
from ccagent.native_telemetry import choose, detect
from ccagent.otlp_settings import OtlpSettings, resolve
from ccagent.paths import home
from ccagent.planning import follow_conventions
from ccagent.price_file import load_prices
from ccagent.service.live import Live
from ccagent.service.scheduling import Scheduling, keep_zone
from ccagent.service.soundness import note_damage
from ccagent.store.compat import switch
from ccagent.store.filesystem import refuse_network
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database
from ccagent.store.opening import open_store
from ccagent.zone import local_zone

LEAST_BYTES: Final = 64 * 1024
"""The smallest step: less costs more in transactions than it says in smoothness."""

STEP_SECONDS: Final = 0.25
"""How long a step at a bounded rate lasts."""

HINT: Final = "a running daemon takes in by itself what is new; rebuilding and recomputing need it stopped"
"""What to do where a daemon runs."""


class Throttle:
    """A token bucket: `spent` waits until the rate allows what was taken; the bucket holds one step.

    `rate` in bytes a second, None for no bound.
    """

    def __init__(
        self, rate: float | None, monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._rate = rate
        self._monotonic = monotonic
        self._sleep = sleep
        self._free_at = monotonic()

    @property
    def step(self) -> int:
        """Bytes to take at once."""
        return STEP_BYTES if self._rate is None else min(STEP_BYTES, max(LEAST_BYTES, int(self._rate * STEP_SECONDS)))

    def spent(self, taken: int) -> None:
        """So many bytes were taken."""
        if self._rate is None:
            return
        self._free_at = max(self._free_at, self._monotonic() - self.step / self._rate) + taken / self._rate
        wait = self._free_at - self._monotonic()
        if wait > 0:
            self._sleep(wait)


class Job:
    """The store of a configuration, opened under its lock as a context manager.

    Entering raises InstanceRunningError (75) while a daemon has it, which takes in by itself what is new.
    """

    def __init__(self, config: Config, env: Mapping[str, str], clock: Clock | None = None, *, hint: str = HINT) -> None:
        self.config = config
        self._hint = hint
        self.clock = clock or SystemClock()
        self.roots = list(config.sources) or default_roots(env, home(env))
        self.database = parse_database(config.database, config.paths.state_dir)
        follow_conventions(config.features.task_pattern)
        self._env = env
        self._lock = InstanceLock(self.database)

    def __enter__(self) -> Job:
        os.umask(0o077)
        if self.database.kind == "sqlite":
            refuse_network(self.database.target)
        try:
            self._lock.acquire()
        except InstanceRunningError as error:
            raise InstanceRunningError(f"{error} ({self._hint})") from error
        try:
            settings = resolve(self.config, self._env)
            self.store = open_store(
                self.database, clock=self.clock, host_id=host_id(self.config), prices=load_prices(self.config),
                exportable=self._exportable(settings), budgets=self.config.metrics.label_budgets,
            )  # fmt: skip
            try:
                self.store.send_to(settings.item_targets)
                switch(self.store, on=choose(self.config.compat, detect(self._env, self.roots)).on)
                self.zone = keep_zone(self.store, self.config.rollups.timezone or local_zone(self._env))
                self.guard = CrashGuard(self.database.sidecar, self.store.crash_lines())
            except BaseException as error:
                note_damage(self.database, error)
                self.store.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            note_damage(self.database, error)
        try:
            self.guard.close()
            self.store.close()
        finally:
            self._lock.release()

    def refresh_rollups(self) -> int:
        """Make stale rollups anew; the number of quarter hours that they lie in."""
        return Scheduling(self.store, self.zone, Live(), self.clock, None).refresh()

    def _exportable(self, settings: OtlpSettings) -> Exportable:
        from ccagent.export.privacy import TierResolver

        return TierResolver(settings.personal_tier, self.clock.now_ms).allows
