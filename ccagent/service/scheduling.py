"""The schedule thread: rollups of what became stale, and care for the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from ccagent.clock import Clock
from ccagent.errors import DamagedError, StoreError
from ccagent.git_history import Histories
from ccagent.logs import get_logger
from ccagent.planning import Planning
from ccagent.service.alerting import Alerting
from ccagent.service.caring import Caring
from ccagent.service.live import Live, StatusFile
from ccagent.service.measuring import Measuring
from ccagent.service.retaining import Retaining
from ccagent.store.memory import return_memory
from ccagent.store.refreshing import refresh_slice
from ccagent.store.writer import Writer
from ccagent.tracing import OFF, Tracer
from ccagent.worktrees import Worktrees

TICK_SECONDS: Final = 1.0
ROLLUP_SECONDS: Final = 5.0
"""Between two looks for stale rollups while lines come in: usage reads the facts of stale hours, so nobody waits."""

OTHERS_SECONDS: Final = 30.0
"""Between two looks for rollups that other hosts' facts have made stale."""

ROLLUP_REST: Final = 200.0
POINTS_REST: Final = 200.0
"""Rest after rollups, and after the points of sessions, as a multiple of the processor time that they took: half a
percent of a core each. Mostly that is less than the five seconds; an hour in which five agents wrote 16,000 lines takes
a quarter of a second to make anew."""

LONGEST_REST: Final = 120.0
"""Alert rules judge amounts by rollups, so these do not rest for longer."""

LARGE_SECONDS: Final = 0.05
"""A refresh that takes longer has held thousands of rows, whose memory the allocator would keep."""

REPLACED_SECONDS: Final = 30.0
"""Between two checks that the database at its path is still the one that is open."""

OPTIMIZE_SECONDS: Final = 24 * 3_600.0
SLICE: Final = 24
"""Dirty quarters of one rollup transaction: to write their rows takes less than the 50 ms that a lock may be held."""


class Scheduling:
    """Driven by `tick(now)`; nothing in it learns the time in any other way."""

    def __init__(
        self,
        store: Writer,
        zone: ZoneInfo,
        live: Live,
        clock: Clock,
        status: StatusFile | None,
        caring: Caring | None = None,
        retaining: Retaining | None = None,
        worktrees: Worktrees | None = None,
        histories: Histories | None = None,
        planning: Planning | None = None,
        measuring: Measuring | None = None,
        alerting: Alerting | None = None,
    ) -> None:
        self.turned: Callable[[], None] = lambda: None
        """Called after each piece of work, however small."""
        self.tracer: Tracer = OFF
        self._worktrees = worktrees
        self._histories = histories
        self._planning = planning
        self._measuring = measuring
        self._alerting = alerting
        self._caring = caring
        self._retaining = retaining
        self._store = store
        self._zone = zone
        self._live = live
        self._clock = clock
        self._status = status
        self._changed = threading.Event()
        self._changed.set()
        self._failing: set[str] = set()
        self._next_rollup = 0.0
        self._next_points = 0.0
        self._points_wait = False
        self._next_look = 0.0
        self._next_check = REPLACED_SECONDS
        self._next_optimize = OPTIMIZE_SECONDS
        self._log = get_logger()

    def changed(self) -> None:
        """Facts were written; their rollups are stale. Thread-safe."""
        self._changed.set()

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop` is set."""

        def stopping() -> bool:
            # Long work, a backup's check say, asks again and again: that is how it shows that it goes on.
            self.turned()
            return stop.is_set()

        while not stop.is_set():
            self.tick(self._clock.monotonic(), stopping)
            self.turned()
            stop.wait(TICK_SECONDS)
        if self._alerting is not None:
            self._attempt("alerts", partial(self._alerting.book, self._clock.now_ms()))

    def tick(self, now: float, stopping: Callable[[], bool] = lambda: False) -> None:
        """Whatever is due at `now` (steady seconds). StoreError when the database was replaced under the process."""
        # While the first catch-up runs every bucket would be computed many times over.
        others = self._store.conn.dialect.shared and now >= self._next_look
        points = now >= self._next_points
        stale = others or (points and self._points_wait) or self._changed.is_set()
        if self._live.caught_up and stale and now >= self._next_rollup:
            self._changed.clear()
            self._next_rollup, self._next_look = now + ROLLUP_SECONDS, now + OTHERS_SECONDS
            started = time.thread_time()
            self.refresh(points=False)
            made = time.thread_time()
            self._next_rollup = now + max(ROLLUP_SECONDS, min(LONGEST_REST, ROLLUP_REST * (made - started)))
            self._points_wait = not points
            if points:
                self.refresh(hours=False)
                self._next_points = now + min(LONGEST_REST, POINTS_REST * (time.thread_time() - made))
            if time.thread_time() - started > LARGE_SECONDS:
                return_memory()
        if now >= self._next_check:
            self._next_check = now + REPLACED_SECONDS
            if self._store.replaced():
                raise StoreError(
                    f"the database {self._store.database.display} was removed or replaced while open; what is written now"
                    " would be lost, so ccagent ends and is to be started again"
                )
        if now >= self._next_optimize:
            self._next_optimize = now + OPTIMIZE_SECONDS
            self._attempt("optimize", self._store.optimize)
        if self._caring is not None:
            self._caring.tick(now, stopping)
        if self._retaining is not None:
            self._retaining.tick(self.refresh, stopping)
        if self._worktrees is not None and self._live.caught_up:
            self._attempt("worktrees", partial(self._worktrees.tick, now))
        if self._planning is not None and self._live.caught_up:
            self._attempt("planning", partial(self._planning.tick, now))
        if self._histories is not None and self._live.caught_up:
            self._attempt("git_history", partial(self._histories.tick, now))
        if self._measuring is not None:
            self._attempt("measure", partial(self._measuring.tick, now))
        if self._alerting is not None:
            self._attempt("alerts", partial(self._alerting.tick, now))
        if self._status is not None:
            self._attempt("status", partial(self._status.write, self._live))

    def _attempt(self, what: str, work: Callable[[], None]) -> None:
        """What may fail, on a full disk say, and is due again later; told once until it succeeds."""
        try:
            work()
        except DamagedError:
            raise
        except StoreError as error:
            if what not in self._failing:
                self._log.error(f"{what}.failed", error=str(error))
            self._failing.add(what)
        else:
            self._failing.discard(what)

    def refresh(self, *, points: bool = True, hours: bool = True) -> int:
        """Recompute the rollups that are stale now, in slices; the number of quarters and sessions. In a shared database
        one host does.

        Without `points` those of sessions wait, without `hours` all others. What becomes stale meanwhile waits: live
        sessions write faster than a large hour is made anew, so this would never end.
        """
        total = 0
        if not self._store.elected():
            return total
        try:
            with self.tracer.span("rollup run") as span:
                total = self._slices(SLICE, points=False) if hours else 0
                if points:
                    total += self._slices(1, hours=False)  # a slice may end early, at a long session
                span.set(quarters=total)
                if not total:
                    span.discard()
        except DamagedError:
            raise
        except StoreError as error:
            self._changed.set()
            self._log.error("rollup.failed", error=str(error))
            return total
        self._live.rollups_at = self._clock.now_ms()
        return total

    def _slices(self, enough: int, *, points: bool = True, hours: bool = True) -> int:
        """Slices until one serves less than `enough`."""
        total, done = 0, enough
        while done >= enough:
            done = refresh_slice(self._store, self._zone, limit=SLICE, points=points, hours=hours)
            total += done
            self.turned()
        return total


def keep_zone(store: Writer, wanted: str) -> ZoneInfo:
    """The zone of the rollups: the one that the store has kept since its first start, else `wanted`, kept now."""
    kept = store.meta("zone")
    if kept is None:
        zone = ZoneInfo(wanted)
        store.set_meta("zone", wanted)
        return zone
    return ZoneInfo(kept)
