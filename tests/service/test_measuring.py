"""Gauges of facts: measured at intervals, in the zone of the rollups, apart by project and by what may leave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import pytest

from ccagent.metrics import names as metric
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.labels import BUDGETS, OVERFLOW
from ccagent.metrics.ledger import Exportable
from ccagent.service.live import Live
from ccagent.service.measuring import QUICK_SECONDS, SLOW_SECONDS, Measuring
from ccagent.store import rollups, standing
from ccagent.store.connection import Connection
from tests.sources.feed import START_MS, Feed
from tests.sources.happenings import task_created, task_updated
from tests.store.worked import worked
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")

UTC = ZoneInfo("UTC")
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
ATLAS, OTHER = "/home/demo/atlas", "/home/dev/other"


def measuring(
    feed: Feed, live: Live, *, zone: ZoneInfo = UTC, projects: bool = False,
    leaves: Exportable = lambda cwd, project: True,
) -> Measuring:  # fmt: skip
    @contextmanager
    def reader() -> Iterator[Connection]:
        yield feed.store.conn

    live.caught_up = True
    return Measuring(feed.store, reader, zone, live, feed.clock, leaves, lambda: projects)


def rolled_up(*sessions: Session, zone: ZoneInfo = UTC) -> Feed:
    feed = Feed().read(*sessions)
    while feed.store.write(lambda conn: rollups.refresh(conn, zone)):
        pass
    return feed


def working(name: str, *days: int, cwd: str = ATLAS, hour: int = 9, requests: int = 1) -> Session:
    """A session with as many requests on each of these days (0: that on which the builder's sessions begin)."""
    session = Session(name, version="2.1.230", cwd=cwd)
    for day in days:
        session.now = START_MS - START_MS % DAY_MS + day * DAY_MS + hour * HOUR_MS
        session.prompt("hello")
        for _ in range(requests):
            session.request()
    return session


def shown(found: Measuring, name: str, *, leaving: bool = False) -> dict[tuple[str, ...], float]:
    values = found.found.leaving if leaving else found.found.local
    return {labels: value for (measured, labels), value in values.items() if measured == name}


def at_day(feed: Feed, day: int, hour: int = 12) -> None:
    feed.clock.jump(START_MS - START_MS % DAY_MS + day * DAY_MS + hour * HOUR_MS)


def test_active_sessions_are_those_of_half_an_hour_and_of_a_day(live: Live) -> None:
    feed = Feed().read(working("old", -3), working("day", 0, hour=2), working("live", 0, hour=12))
    at_day(feed, 0)
    found = measuring(feed, live)

    found.measure()

    assert shown(found, metric.SESSIONS_ACTIVE) == {("live", ""): 1, ("day", ""): 2}


def test_without_active_sessions_it_says_none(live: Live) -> None:
    feed = Feed().read(working("old", -3))
    at_day(feed, 0)
    found = measuring(feed, live)

    found.measure()

    assert shown(found, metric.SESSIONS_ACTIVE) == {("live", ""): 0, ("day", ""): 0}


def with_tasks() -> tuple[Session, Session]:
    one, two = worked(), working("two", 0, cwd=OTHER)
    for number in ("1", "2"):
        task_created(one, number)
        task_created(two, number)
    task_updated(one, "1", "pending", "completed")
    return one, two


def test_tasks_and_progress_are_told_by_project(live: Live) -> None:
    feed = Feed().read(*with_tasks())
    feed.clock.jump(START_MS + DAY_MS)
    apart, together = measuring(feed, live, projects=True), measuring(feed, live)

    apart.measure()
    together.measure()

    assert shown(apart, metric.TASKS_KNOWN) == {("atlas",): 2, ("other",): 2}
    assert shown(together, metric.TASKS_KNOWN) == {("",): 4}
    assert shown(apart, metric.FEATURE_PROGRESS) == {("atlas",): 0.5}  # the other project has no feature
    assert shown(together, metric.FEATURE_PROGRESS) == {("",): 0.5}


def test_what_may_not_leave_adds_nothing_to_what_does(live: Live) -> None:
    private = with_tasks()[0]
    private.agent(agent_id="nobodys").request()
    others = (working("two", 0, cwd=OTHER), working("three", 0, cwd=OTHER))
    task_created(others[0], "1")
    both, alone = Feed().read(private, *others), Feed().read(*others)
    for feed in (both, alone):
        feed.clock.jump(START_MS + HOUR_MS)
    found = measuring(both, live, projects=True, leaves=lambda cwd, project: cwd == OTHER)
    without = measuring(alone, live, projects=True, leaves=lambda cwd, project: cwd == OTHER)

    found.measure()
    without.measure()

    assert found.found.leaving == without.found.leaving
    assert found.found.local != without.found.local
    assert shown(found, metric.TASKS_KNOWN, leaving=True) == {("other",): 1}
    assert shown(found, metric.THREADS_ORPHANED, leaving=True) == {(): 0}
    assert shown(found, metric.THREADS_ORPHANED) == {(): 1}


def test_all_that_leaves_is_declared_so(live: Live) -> None:
    feed = rolled_up(*with_tasks(), working("days", *range(-9, 1)))
    at_day(feed, 0, hour=23)
    found = measuring(feed, live)

    found.measure()

    assert {METRICS[name].exported for name, _ in found.found.leaving} == {"permitted"}
    assert {name for name, _ in found.found.local} >= {
        metric.SESSIONS_ACTIVE, metric.TASKS_KNOWN, metric.FEATURE_PROGRESS, metric.THREADS_UNRESOLVED,
        metric.THREADS_ORPHANED, metric.COST_FORECAST, metric.COST_BY_HOUR, metric.COST_ANOMALY,
    }  # fmt: skip


def test_a_month_is_forecast_from_its_whole_days(live: Live) -> None:
    feed = rolled_up(working("s", *range(-5, 1)))  # five whole days and today, all alike
    at_day(feed, 0)
    found = measuring(feed, live)
    found.measure()
    (each,) = {row["cost_microusd"] for row in feed.events("llm.request")}

    # the builder's sessions begin on the tenth of a month of 28 days; days -5 to 27 - 9 are in it
    (forecast,) = shown(found, metric.COST_FORECAST).values()

    assert forecast == pytest.approx((5 + 1 + 18) * each / 1_000_000)


def test_below_three_whole_days_there_is_no_forecast(live: Live) -> None:
    feed = rolled_up(working("s", -2, -1, 0))
    at_day(feed, 0)
    found = measuring(feed, live)

    found.measure()

    assert shown(found, metric.COST_FORECAST) == {}


def test_a_day_without_work_is_a_whole_day_too(live: Live) -> None:
    feed = rolled_up(working("s", -3, 0))
    at_day(feed, 0)
    found = measuring(feed, live)

    found.measure()

    assert len(shown(found, metric.COST_FORECAST)) == 1


def test_costs_by_hour_are_in_the_zone_of_the_rollups(live: Live) -> None:
    zone = ZoneInfo("Asia/Kolkata")  # five and a half hours ahead
    feed = rolled_up(working("s", -1, 0, hour=9), working("old", -40, hour=3), zone=zone)
    at_day(feed, 0)
    found = measuring(feed, live, zone=zone)
    found.measure()
    (each,) = {row["cost_microusd"] for row in feed.events("llm.request")}

    hours = {labels[0]: cost for labels, cost in shown(found, metric.COST_BY_HOUR).items()}

    assert list(hours) == [f"{hour:02d}" for hour in range(24)]
    assert {hour: cost for hour, cost in hours.items() if cost} == {"14": pytest.approx(2 * each / 1_000_000)}


def test_an_unusual_day_is_told_by_project(live: Live) -> None:
    feed = rolled_up(
        working("calm", *range(-8, 1)), working("wild", *range(-8, 0), cwd=OTHER),
        working("today", 0, cwd=OTHER, requests=40), working("young", -2, -1, 0, cwd="/home/dev/young"),
    )  # fmt: skip
    at_day(feed, 0)
    apart, together = measuring(feed, live, projects=True), measuring(feed, live)
    apart.measure()
    together.measure()

    ratios = shown(apart, metric.COST_ANOMALY)

    assert set(ratios) == {("atlas",), ("other",)}
    assert ratios["atlas",] == pytest.approx(1 / 1.3)
    assert ratios["other",] == pytest.approx(40 / 1.3)
    assert list(shown(together, metric.COST_ANOMALY)) == [("",)]


def test_projects_beyond_the_budget_are_shown_as_one(live: Live) -> None:
    number = BUDGETS["project"] + 5
    feed = Feed().read(*(working(f"s{each}", 0, cwd=f"/home/dev/p{each}") for each in range(number)))
    at_day(feed, 0)
    found = measuring(feed, live, projects=True)

    found.measure()

    day = {labels[1]: value for labels, value in shown(found, metric.SESSIONS_ACTIVE).items() if labels[0] == "day"}
    assert len(day) == BUDGETS["project"] + 1
    assert sum(day.values()) == number
    assert day[OVERFLOW] == 5


def test_nothing_is_measured_before_the_history_is_taken_in(live: Live) -> None:
    found = measuring(Feed().read(working("s", 0)), live)
    live.caught_up = False

    found.tick(0.0)

    assert found.found.local == {}


def test_what_costs_little_is_measured_often_and_the_rest_seldom_and_only_after_a_change(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed().read(working("s", 0))
    found = measuring(feed, live)
    measured: list[str] = []
    loose, active = standing.loose, standing.active
    with monkeypatch.context() as patch:
        patch.setattr(standing, "loose", lambda conn: [measured.append("slow"), *loose(conn)][1:])
        patch.setattr(standing, "active", lambda conn, since: [measured.append("quick"), *active(conn, since)][1:])

        for now in (0.0, 1.0, QUICK_SECONDS, 1_000 + SLOW_SECONDS):
            found.tick(now)
        feed.read(working("more", 0))
        found.tick(2_000 + SLOW_SECONDS)

    assert measured.count("slow") == 2
    assert measured.count("quick") == 4 * 2  # half an hour and a day


def test_of_several_hosts_one_shows_them(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed().read(working("s", 0))
    at_day(feed, 0)
    found = measuring(feed, live)
    found.tick(0.0)
    assert found.found.local

    monkeypatch.setattr(feed.store, "elected", lambda: False)
    found.tick(QUICK_SECONDS)

    assert (found.found.local, found.found.leaving) == ({}, {})
