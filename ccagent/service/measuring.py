"""Gauges of facts: measured by the schedule thread at intervals and kept, so that a scrape never asks the facts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ccagent.clock import Clock
from ccagent.metrics import names as metric
from ccagent.metrics.labels import BUDGETS, OVERFLOW, sanitised
from ccagent.metrics.ledger import Exportable, project_label
from ccagent.metrics.snapshot import Gauges
from ccagent.metrics.standing import FORECAST_TYPES, HOURS
from ccagent.rollups.buckets import DAY_MS, bucket_end, bucket_start, buckets_between, local_hour
from ccagent.rollups.metrics import MICRO, Period
from ccagent.rollups.outlook import FORECAST_DAYS, anomaly_ratio, month_forecast
from ccagent.service.live import Live
from ccagent.store import standing
from ccagent.store.connection import Connection, snapshot
from ccagent.store.live_queries import cache_hit_ratios
from ccagent.store.standing import Active, Cost, Tasks
from ccagent.store.writer import Writer

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

LIVE_MS: Final = 30 * 60 * 1_000

QUICK_SECONDS: Final = 10.0
"""Between two measurements of what costs as much as it shows: active sessions, links, the last day's cache hits."""

SLOW_SECONDS: Final = 60.0
"""Between two measurements of costs, over months of rollups, and of tasks and threads, over all facts of a kind. Those of
facts wait until something was written."""

SLOW_REST: Final = 300.0
"""Rest after such a measurement, as a multiple of the time it took: with a million facts that is some minutes."""

HISTORY_DAYS: Final = 180
"""Days looked through for those with work."""
HOURS_DAYS: Final = 28
"""Days whose hours are added up by hour of the day."""

Reader = Callable[[], AbstractContextManager[Connection]]
Values = dict[tuple[str, tuple[str, ...]], int | float]


@dataclass(frozen=True, slots=True)
class Measured:
    """Gauges as they were measured: all of them, and over what may leave the machine. `projects`: whether the project
    is told apart; without it that label is empty."""

    local: Gauges
    leaving: Gauges
    projects: bool


NOT_MEASURED: Final = Measured({}, {}, projects=False)


class Measuring:
    """Driven by `tick(now)`; what it found last is in `found`, for any thread.

    In a database of several hosts one of them shows these gauges, the one that makes the rollups: they are of the whole
    database, and a sum over machines must count nothing twice.
    """

    def __init__(
        self, store: Writer, reader: Reader, zone: ZoneInfo, live: Live, clock: Clock, leaves: Exportable,
        projects: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.found = NOT_MEASURED
        self.leaves = leaves
        """May be replaced while the daemon runs, when its destinations change."""
        self._store = store
        self._reader = reader
        self._zone = zone
        self._live = live
        self._clock = clock
        self._projects = projects
        self._costly: Values = {}
        self._slow: tuple[Values, Values] = {}, {}
        self._commits: int | None = None
        self._next_quick = 0.0
        self._next_slow = 0.0

    def tick(self, now: float) -> None:
        """Measure what is due at `now` (steady seconds)."""
        if not self._live.caught_up or now < self._next_quick:
            return
        self._next_quick = now + QUICK_SECONDS
        if not self._store.elected():
            self.found = NOT_MEASURED
            return
        slow = now >= self._next_slow
        started = time.thread_time()
        self.measure(slow=slow)
        if slow:
            self._next_slow = now + max(SLOW_SECONDS, SLOW_REST * (time.thread_time() - started))

    def measure(self, *, slow: bool = True) -> None:
        """Measure now; without `slow` costs, tasks and threads stay as they were found last."""
        now, apart = self._clock.now_ms(), self._projects()
        if apart != self.found.projects:
            slow, self._commits = True, None
        local: Values = {}
        leaving: Values = {}
        with self._reader() as conn, snapshot(conn):
            since = {"live": now - LIVE_MS, "day": now - DAY_MS}
            sessions = {kind: standing.active(conn, start) for kind, start in since.items()}
            for model, ratio in cache_hit_ratios(conn, now - DAY_MS).items():
                local[metric.CACHE_HIT_RATIO, (model,)] = ratio
            for kind, number in standing.low_links(conn).items():
                local[metric.LINKS_LOW_CONFIDENCE, (kind,)] = number
            if slow:
                self._costly = self._costs(conn, now, apart)
                commits = standing.commits(conn)
                if commits != self._commits:
                    self._slow, self._commits = self._slowly(conn, now, apart), commits
        local |= _sessions(sessions, apart)
        leaving |= _sessions(
            {kind: [row for row in rows if self.leaves(row.cwd, row.project)] for kind, rows in sessions.items()}, apart
        )
        self.found = Measured(local | self._costly | self._slow[0], leaving | self._slow[1], apart)

    def _slowly(self, conn: Connection, now: int, apart: bool) -> tuple[Values, Values]:
        known, loose = standing.tasks(conn, now), standing.loose(conn)
        local = _tasks(known, apart) | _progress(known, apart)
        leaving = _tasks([row for row in known if self.leaves(row.cwd, row.project)], apart)
        for values, rows in ((local, loose), (leaving, [row for row in loose if self.leaves(row.cwd, row.project)])):
            values[metric.THREADS_UNRESOLVED, ()] = sum(row.unresolved for row in rows)
            values[metric.THREADS_ORPHANED, ()] = sum(row.orphaned for row in rows)
        return local, leaving

    def _costs(self, conn: Connection, now: int, apart: bool) -> Values:
        today = bucket_start(self._zone, "day", now)
        first = bucket_start(self._zone, "day", today - HISTORY_DAYS * DAY_MS)
        days = standing.costs(conn, Period.DAILY, first)
        if not days:
            return {}  # nothing is rolled up yet
        found = _forecast(self._zone, days, now)
        by_hour = dict.fromkeys(HOURS, 0)
        for bucket, _, cost in standing.costs(conn, Period.HOURLY, now - HOURS_DAYS * DAY_MS):
            by_hour[HOURS[local_hour(self._zone, bucket)]] += cost
        found |= {(metric.COST_BY_HOUR, (hour,)): cost / MICRO for hour, cost in by_hour.items()}
        return found | _anomalies(days, today, apart)


def _forecast(zone: ZoneInfo, costs: Iterable[Cost], now: int) -> Values:
    by_day = _summed((cost.bucket, cost.cost) for cost in costs)
    today = bucket_start(zone, "day", now)
    week = [start for start, _ in buckets_between(zone, "day", today - (FORECAST_DAYS + 1) * DAY_MS, today)]
    begun = min(by_day)
    before = [by_day.get(start, 0) for start in week if start >= begun]
    month = bucket_start(zone, "month", now)
    left = sum(
        1 for _ in buckets_between(zone, "day", bucket_end(zone, "day", today), bucket_end(zone, "month", month))
    )
    spent = sum(cost for start, cost in by_day.items() if month <= start < today)
    cost = month_forecast(before, spent, by_day.get(today, 0), left)
    return {} if cost is None else {(metric.COST_FORECAST, (FORECAST_TYPES[0],)): cost / MICRO}


def _anomalies(costs: Iterable[Cost], today: int, apart: bool) -> Values:
    """One a project, for those with the highest costs of late; or one over all."""
    by_project: dict[str, dict[int, int]] = {}
    for bucket, project, cost in costs:
        days = by_project.setdefault(_label(project, apart), {})
        days[bucket] = days.get(bucket, 0) + cost
    found: Values = {}
    for label in sorted(by_project, key=lambda label: (-sum(by_project[label].values()), label))[: BUDGETS["project"]]:
        days = by_project[label]
        ratio = anomaly_ratio([days[day] for day in sorted(days) if day < today], days.get(today, 0))
        if ratio is not None:
            found[metric.COST_ANOMALY, (label,)] = ratio
    return found


def _sessions(active: Mapping[str, Iterable[Active]], apart: bool) -> Values:
    found: Values = {} if apart else {(metric.SESSIONS_ACTIVE, (kind, "")): 0 for kind in active}
    for kind, rows in active.items():
        sums = _budgeted((_label(row.project, apart), row.sessions) for row in rows)
        found |= {(metric.SESSIONS_ACTIVE, (kind, label)): number for label, number in sums.items()}
    return found


def _tasks(tasks: Iterable[Tasks], apart: bool) -> Values:
    sums = _budgeted((_label(row.project, apart), row.known) for row in tasks)
    if not apart:
        sums.setdefault("", 0)
    return {(metric.TASKS_KNOWN, (label,)): number for label, number in sums.items()}


def _progress(tasks: Iterable[Tasks], apart: bool) -> Values:
    """The mean over the features of a project; a feature whose tasks were all dropped has no progress."""
    features: dict[str, dict[int, tuple[int, int]]] = {}
    for row in tasks:
        if row.feature is not None:
            of_project = features.setdefault(_label(row.project, apart), {})
            wanted, finished = of_project.get(row.feature, (0, 0))
            of_project[row.feature] = wanted + row.known - row.dropped, finished + row.finished
    found: Values = {}
    for label in sorted(features, key=lambda label: (-len(features[label]), label))[: BUDGETS["project"]]:
        shares = [finished / wanted for wanted, finished in features[label].values() if wanted]
        if shares:
            found[metric.FEATURE_PROGRESS, (label,)] = sum(shares) / len(shares)
    return found


def _label(project: str | None, apart: bool) -> str:
    return sanitised(project_label(project)) if apart else ""


def _summed(pairs: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    sums: dict[Any, int] = {}
    for key, number in pairs:
        sums[key] = sums.get(key, 0) + int(number)
    return sums


def _budgeted(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Sums by label, the largest by themselves, those beyond the budget as one."""
    sums = _summed(pairs)
    kept = sorted(sums, key=lambda label: (-sums[label], label))
    found = {label: sums[label] for label in kept[: BUDGETS["project"]]}
    rest = sum(sums[label] for label in kept[BUDGETS["project"] :])
    if rest:
        found[OVERFLOW] = found.get(OVERFLOW, 0) + rest
    return found
