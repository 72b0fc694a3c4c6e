"""What the schedule thread does for retention: a run ten minutes after the start and then once a day, a little at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Final
from zoneinfo import ZoneInfo

from ccagent.clock import Clock
from ccagent.config import RetentionConfig
from ccagent.errors import DamagedError, StoreError
from ccagent.logs import get_logger
from ccagent.service.live import Live
from ccagent.store.retention import Pruning, Reader
from ccagent.store.retention_rules import Rules
from ccagent.store.writer import Writer

AFTER_START_MS: Final = 10 * 60 * 1_000
"""The first minutes belong to whoever waits for fresh figures."""

JUMP_MS: Final = 10_000
"""Wall and steady clock drift apart by more than that when the machine slept or its clock was set."""

EVERY_MS: Final = 24 * 3_600 * 1_000
AGAIN_MS: Final = 3_600 * 1_000
"""After a run that failed (no room for an archive, say)."""

SLICE_SECONDS: Final = 0.2
"""Of each second in which a run lasts: it is to be noticed as little as the rest."""


def rules_of(config: RetentionConfig) -> Rules:
    """The rules that the configuration names."""
    return Rules(
        payload_days=config.payload_days, fact_months=config.fact_months, max_bytes=config.max_database_bytes,
        archive=config.archive,
    )  # fmt: skip


class Retaining:
    """Driven by `tick`, as the schedule thread is. Goes by the wall clock: a laptop that sleeps prunes when it is awake."""

    def __init__(
        self, store: Writer, reader: Reader, zone: ZoneInfo, live: Live, clock: Clock, config: RetentionConfig
    ) -> None:
        self._store = store
        self._reader = reader
        self._zone = zone
        self._live = live
        self._clock = clock
        self._pruning: Pruning | None = None
        self._steps: Generator[None, None, None] | None = None
        self._log = get_logger()
        self._rules = rules_of(config)
        self._drift_ms = self._skew_ms()
        self._wait(AFTER_START_MS)

    def reload(self, config: RetentionConfig) -> None:
        """Other rules from the next run on. Thread-safe: rules are replaced whole."""
        self._rules = rules_of(config)

    def tick(self, refresh: Callable[[], object], stopping: Callable[[], bool] = lambda: False) -> None:
        """A slice of the run that is due, if one is; `refresh` makes stale rollups anew. What fails is told and tried
        again after an hour."""
        now = self._clock.now_ms()
        if self._pruning is None or self._steps is None:
            self._mistrust(now)
            due = self._live.next_prune_ms or 0
            if due - now > EVERY_MS:  # the clock was set back
                self._wait(EVERY_MS)
            if now < due or not self._live.caught_up:
                return
            self._pruning = Pruning(self._store, self._reader, self._rules, self._zone, refresh, now)
            self._steps = self._pruning.steps()
        self._go_on(self._pruning, self._steps, stopping)

    def close(self) -> None:
        """Give up a run that is under way, while the store is still open; the next start goes on with it."""
        if self._steps is not None:
            self._steps.close()
        self._pruning = self._steps = None

    def _mistrust(self, now: int) -> None:
        """After a jump of the clock a run waits: a clock that starts years ahead is set right by the network within
        minutes, and what a run in between removed would be gone for good."""
        skew = self._skew_ms()
        if abs(skew - self._drift_ms) > JUMP_MS:
            self._live.next_prune_ms = max(self._live.next_prune_ms or 0, now + AFTER_START_MS)
        self._drift_ms = skew

    def _skew_ms(self) -> float:
        return self._clock.now_ms() - 1_000 * self._clock.monotonic()

    def _go_on(self, pruning: Pruning, steps: Generator[None, None, None], stopping: Callable[[], bool]) -> None:
        end = time.perf_counter() + SLICE_SECONDS
        try:
            for _ in steps:
                if stopping() or time.perf_counter() >= end:
                    return
        except DamagedError:
            raise
        except StoreError as error:
            self._live.problem("retention", str(error))
            self._log.error("retention.failed", error=str(error))
            self._end(AGAIN_MS)
            return
        removed = pruning.removed
        self._live.problem("retention", removed.problem)
        if removed.facts or removed.payloads or removed.lines:
            self._log.info(
                "retention.done", facts=removed.facts, sessions=removed.sessions, payloads=removed.payloads,
                lines=removed.lines, archives=len(removed.archived),
            )  # fmt: skip
        self._end(EVERY_MS)

    def _end(self, pause_ms: int) -> None:
        self._pruning = self._steps = None
        self._wait(pause_ms)

    def _wait(self, pause_ms: int) -> None:
        self._live.next_prune_ms = self._clock.now_ms() + pause_ms
