"""The follow thread: hints wake it, the scan is the truth, each step is one transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ccagent.clock import Clock
from ccagent.crash_guard import CrashGuard
from ccagent.errors import DamagedError, OutdatedError, StoreError
from ccagent.follow.follower import Follower
from ccagent.follow.roots import Kinds, Place
from ccagent.follow.watch import Watcher
from ccagent.intake import STEP_BYTES, Intake, file_states
from ccagent.logs import get_logger
from ccagent.metrics import names as metric
from ccagent.power import Power, mains
from ccagent.service.live import Live
from ccagent.store.rescue import Rescue
from ccagent.store.writer import Writer
from ccagent.tracing import OFF, Tracer

POLL_SECONDS: Final = 1.0
"""Between two looks at hinted and hot files: what no event announces is seen after so long."""

QUIET_SECONDS: Final = 1.0
"""A file that is read to its end and has not grown for so long lets its last request close."""

TIMERS_SECONDS: Final = 30.0
BUSY_TIMERS_SECONDS: Final = 0.5
"""Between two looks for what timers close: while nothing is read, and while lines come in. A look is a transaction, and
live sessions write several lines a second."""

AWAKE_SECONDS: Final = 10.0
"""A longer gap between the wall clock and the steady one means that the machine slept, or its clock was set."""

_REFUSED: Final = "folders of transcripts that may not be read: {}; `ccagent doctor` says what to do"

RETRY_SECONDS: Final = (0.2, 30.0)
"""First and longest wait after the store refused a write."""


class Following:
    """Drives follower and intake. `run` is the thread; `turn` one round of it, for tests and `--once`."""

    def __init__(
        self,
        store: Writer,
        roots: Sequence[Place],
        live: Live,
        clock: Clock,
        *,
        max_line: int,
        scan_seconds: float,
        battery_scan_seconds: float = 0.0,
        power: Power = mains,
        on_change: Callable[[], None] = lambda: None,
        rescue: Rescue | None = None,
    ) -> None:
        """`rescue`: what is still to be saved after a damage, once everything that is left has been read.

        While `power` says that the machine runs on its battery, all files are looked at every `battery_scan_seconds`
        where that is longer; what events announce is read as soon as ever.
        """
        self.wake = threading.Event()
        self.turned: Callable[[], None] = lambda: None
        """Called after each piece of work, however small."""
        self.tracer: Tracer = OFF
        self._store = store
        self._roots = roots
        self._live = live
        self._clock = clock
        self._max_line = max_line
        self._counted: dict[tuple[str, tuple[str, ...], bool], int] = {}
        self._guard = CrashGuard(store.database.sidecar, store.crash_lines())
        self._begin()
        self._scan_seconds = scan_seconds
        self._battery_scan_seconds = battery_scan_seconds
        self._power = power
        self._on_battery = False
        self._on_change = on_change
        self._rescue = rescue
        self._outdated = False
        self._watcher: Watcher | None = None
        self._rescan = threading.Event()
        self._next_scan = 0.0
        self._next_hot = 0.0
        self._spare_until = 0.0
        self._next_timers = 0.0
        self._next_busy_timers = 0.0
        self._busy_until = 0.0
        self._retry = 0.0
        self._wait = 0.0
        self._drift = self._skew()
        self._seen_lost = 0
        self._seen_missed = 0
        self._rate: tuple[float, int] | None = None
        self._log = get_logger()
        if self._guard.fresh:
            self._log.error("ingest.lines_left_out", lines=len(self._guard.fresh), reason="crash")

    def _begin(self) -> None:
        """A follower that stands where the store says."""
        clock = self._clock
        self.follower = Follower(
            self._roots, file_states(self._store), max_line=self._max_line, clock=clock.monotonic,
            wall_ns=lambda: clock.now_ms() * 1_000_000, turned=lambda: self.turned(),
        )  # fmt: skip
        self.intake = Intake(self.follower, self._store, Kinds(self._roots), self._guard)

    # ---- the thread ------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set (and `wake` with it)."""
        self._watcher = Watcher(
            self._roots, lambda path: self.follower.hint(path), on_overflow=self._overflowed, wake=self.wake
        )
        # Watch first, then scan: the other order has a hole.
        self._watcher.start()
        self.follower.watching = self._watcher.health().mode == "events"
        try:
            while not stop.is_set():
                more = self.turn()
                self.turned()
                if not more:
                    self.wake.wait(POLL_SECONDS)
                    self.wake.clear()
        finally:
            self._watcher.stop()
            self.close()

    def close(self) -> None:
        """Give up what is held of files."""
        self.follower.close()
        self._guard.close()

    def turn(self) -> bool:
        """One round: look, take in one step, close what is over. Whether there may be more to do at once."""
        now = self._clock.monotonic()
        if abs(self._skew() - self._drift) > AWAKE_SECONDS:
            self._log.info("clock.jumped", seconds=round(self._skew() - self._drift))
            self._drift = self._skew()
            self._next_scan = self._spare_until = self._retry = self._wait = 0.0
        if self._rescan.is_set() or (now >= self._next_scan and not self._spared(now)):
            self._scan(now)
        else:
            self._poll(now)
        if self._live.paused:
            self._publish(now)
            return False
        if self._retry > now:
            return False
        try:
            if self._outdated:
                self._read_anew()
            self._book_counted()
            self._book()
            with self.tracer.span("ingest batch") as span:
                taken = self.intake.step(STEP_BYTES)
                span.set(bytes=taken)
                if not taken:
                    span.discard()
            self._settled(taken, now)
        except StoreError as error:
            self._refused(error, now)
            return False
        return taken > 0 or (self._rescue is not None and self.follower.caught_up)

    def once(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Take in everything there is, then close what is over. StoreError when the store refuses."""
        self._scan(self._clock.monotonic())
        self._book()
        while self.intake.step(STEP_BYTES):
            self._publish(self._clock.monotonic())
            if progress is not None:
                progress(self._live.total_bytes - self._live.unread_bytes, self._live.total_bytes)
        self._caught_up()
        while self._rescue is not None and self.follower.caught_up:
            self._caught_up()
        known = self._known()
        while self._store.close_due(known, known):
            pass
        self._publish(self._clock.monotonic())

    # ---- parts of a round ------------------------------------------------------------------------------------------

    def _spared(self, now: float) -> bool:
        """Whether a scan that is due waits, for the battery's sake. A cable is noticed within one ordinary interval.

        Where no events come the scan alone finds what is new, so it does not wait there.
        """
        on_battery = self._power()
        if on_battery != self._on_battery:
            self._on_battery = on_battery
            self._log.info("power.changed", on_battery=on_battery)
        if not on_battery or not self.follower.watching or now >= self._spare_until:
            return False
        self._next_scan = min(now + self._scan_seconds, self._spare_until)
        return True

    def _poll(self, now: float) -> None:
        """Look at what was announced, and once in a while at all that changed lately, for what was not."""
        hot = now >= self._next_hot or not self.follower.watching
        if hot:
            self._next_hot = now + POLL_SECONDS
        self.follower.poll(hot=hot)

    def _scan(self, now: float) -> None:
        self._rescan.clear()
        report = self.follower.scan()
        if self._watcher is not None:
            self._watcher.refresh(report.directories)
            health = self._watcher.health()
            self._live.watch_mode, self._live.watch_reason = health.mode, health.reason
            self._live.problem("watch", health.reason or None)
            self.follower.watching = health.mode == "events"
        for problem in report.problems:
            self._log.warning("file.unreadable", reason=problem.reason)
        self._live.roots = tuple(root.decode("utf-8", "replace") for root in report.roots)
        self._live.sources = report.sources
        self._live.refused = report.refused
        self._live.problem("folders", _REFUSED.format(report.refused) if report.refused else None)
        self._live.ready = True
        self._next_scan = now + self._scan_seconds
        self._spare_until = now + self._battery_scan_seconds

    def _settled(self, taken: int, now: float) -> None:
        if taken:
            self._busy_until = now + 2 * POLL_SECONDS + QUIET_SECONDS
            self._on_change()
        elif self.follower.caught_up:
            self._caught_up()
        if not taken and (now >= self._next_timers or self._next_busy_timers <= now < self._busy_until):
            self._timers(now)
        self._live.problem("store", None)
        self._retry = self._wait = 0.0
        self._publish(now)

    def _caught_up(self) -> None:
        if not self._live.caught_up and self.follower.caught_up:
            if self._rescue is not None and self._rescue.step():
                return
            self._rescue = None
            known = self._known()
            # What timers close of history belongs to the catch-up: later it would look like this minute's work.
            while self._store.close_due(known, known):
                self.turned()
            self._store.catch_up_done()
            self._live.caught_up = True
            self._log.info("ingest.caught_up", files=self.follower.files, bytes=self.follower.total_bytes)

    def _timers(self, now: float) -> None:
        quiet = self.follower.quiet_ids(now, QUIET_SECONDS)
        closed = self._store.close_due(self.follower.quiet_ids(now, 0.0), quiet)
        self._next_timers = now if closed else now + TIMERS_SECONDS
        self._next_busy_timers = now if closed else now + BUSY_TIMERS_SECONDS
        if closed:
            self._on_change()

    def count(self, amounts: Mapping[tuple[str, tuple[str, ...], bool], int]) -> None:
        """Have these booked before the next step, and again until the store takes them. Called before `run`."""
        self._counted.update(amounts)

    def _book_counted(self) -> None:
        if self._counted:
            self._store.book(self._counted)
            self._counted.clear()

    def _known(self) -> set[int]:
        return self.follower.quiet_ids(self._clock.monotonic() + 1.0, 0.0)

    def _book(self) -> None:
        """Growth of what only the follower knows: before the store learns that a file is gone, since nobody asks again."""
        amounts: dict[tuple[str, tuple[str, ...], bool], int] = {}
        lost, missed = self.follower.lost_bytes, self.follower.missed
        if lost > self._seen_lost:
            amounts[metric.INGEST_LOST, (), True] = lost - self._seen_lost
        if missed > self._seen_missed:
            amounts[metric.WATCH_MISSED, (), True] = missed - self._seen_missed
        self._store.book(amounts)
        self._seen_lost, self._seen_missed = max(lost, self._seen_lost), missed

    def _refused(self, error: StoreError, now: float) -> None:
        """Nothing was written; the same lines are read again after a while. Damage is not waited for."""
        if isinstance(error, OutdatedError):
            self._log.error("store.outdated", error=str(error))
            # Until that is done nothing may be written: these positions would pass over what the store has lost.
            self._outdated = True
            try:
                self._read_anew()
            except StoreError as again:
                error = again
        if isinstance(error, DamagedError):
            raise error
        key = (metric.STORE_FAILURES, (error.reason,), True)
        self._counted[key] = self._counted.get(key, 0) + 1  # booked as soon as the store takes something again
        first, longest = RETRY_SECONDS
        self._wait = min(longest, max(first, 2 * self._wait))
        self._retry = now + self._wait
        self._live.problem("store", str(error))
        self._log.error("store.refused", error=str(error), retry_seconds=round(self._wait, 1))

    def _read_anew(self) -> None:
        """Positions and carried state are no longer what the store holds: take them from there. StoreError when it cannot
        be asked."""
        before = self.follower
        self._store.resume()
        self._begin()
        before.close()
        self.follower.watching = before.watching
        self._seen_lost = self._seen_missed = 0
        self._next_scan = self._spare_until = 0.0
        if not self._store.ingest_state.live:
            self._live.caught_up = False  # the end of the first catch-up is among what the store has lost
        self._outdated = False

    def _overflowed(self) -> None:
        self._rescan.set()
        self.wake.set()

    def _skew(self) -> float:
        return self._clock.now_ms() / 1_000 - self._clock.monotonic()

    def _publish(self, now: float) -> None:
        follower, live = self.follower, self._live
        live.files, live.total_bytes = follower.files, follower.total_bytes
        live.unread_bytes, live.pending_bytes = follower.unread_bytes, follower.pending_bytes
        live.lost_bytes, live.unreadable, live.missed = follower.lost_bytes, follower.unreadable, follower.missed
        oldest = follower.oldest_unread_mtime_ns
        live.oldest_unread_ms = None if oldest is None else oldest // 1_000_000
        if self._rate is None or now - self._rate[0] >= 1.0:
            if self._rate is not None:
                live.bytes_per_second = (follower.bytes_read - self._rate[1]) / (now - self._rate[0])
            self._rate = (now, follower.bytes_read)
