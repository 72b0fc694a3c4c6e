"""On real transcripts a backtest finds what counting in the facts finds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from ccagent.alerts.backtest import Backtest, needs, operands_of, run
from ccagent.alerts.parsing import parse
from ccagent.rollups.buckets import DAY_MS, HOUR_MS
from ccagent.store import rollups
from ccagent.store.alert_hours import load_hours
from ccagent.store.connection import Connection
from tests.alerts.making import PACK_BY_ID
from tests.sources.feed import Feed, on_sqlite

pytestmark = pytest.mark.corpus

UTC: Final = ZoneInfo("UTC")
LATER: Final = 1_800_000_000_000
"""When all that the transcripts tell of is over."""

Row = tuple[Any, ...]


@pytest.fixture(scope="module")
def conn(corpus_files: dict[str, bytes]) -> Iterator[Connection]:
    """A store of its own with all transcripts, closed and rolled up."""
    with on_sqlite():
        feed = Feed()
    for path, data in corpus_files.items():
        feed.take((path, data))
    feed.clock.jump(LATER)
    while feed.tick():
        pass
    feed.store.write(lambda conn: rollups.reset(conn, UTC))
    feed.store.catch_up_done()
    while feed.store.write(lambda conn: rollups.refresh(conn, UTC)):
        pass
    yield feed.store.conn
    feed.close()


def facts(conn: Connection, sql: str) -> list[Row]:
    return list(conn.execute(f"SELECT {sql}").fetchall())


def replayed(conn: Connection, rule_id: str, **keys: Any) -> Backtest:
    rule = parse({**PACK_BY_ID[rule_id], **keys})
    first, last = facts(conn, "MIN(occurred_at), MAX(occurred_at) FROM telemetry_events")[0]
    since, until = first - first % DAY_MS, last + 2 * DAY_MS
    series = load_hours(conn, UTC, operands_of(rule), rule.scope, needs(rule, since, UTC), until)
    return run(rule, series, since=since, until=until, zone=UTC)


def hours_of(done: Backtest) -> set[tuple[str, int]]:
    """Subject and start of the hour of each firing."""
    return {(firing.subject, firing.fired_at - firing.fired_at % HOUR_MS) for firing in done.firings}


def first_hours(rows: Sequence[Row], passed: float, *, per: int | None = None) -> set[tuple[str, int]]:
    """Of rows (subject, hour number, amount) in order the hour in which a subject's running sum passes `passed`; with `per`
    (hours) anew in each such period."""
    sums: dict[tuple[str, int], float] = defaultdict(float)
    found: dict[tuple[str, int], int] = {}
    for subject, hour, amount in sorted(rows, key=lambda row: row[1]):
        place = subject, 0 if per is None else hour // per
        sums[place] += amount or 0
        if sums[place] > passed and place not in found:
            found[place] = hour * HOUR_MS
    return {(subject, at) for (subject, _), at in found.items()}


COST: Final = (
    "{subject}, occurred_at / 3600000, SUM(cost_microusd) / 1000000.0 FROM telemetry_events"
    " WHERE cost_microusd IS NOT NULL AND occurred_at IS NOT NULL GROUP BY 1, 2"
)


@pytest.mark.parametrize("threshold", [25, 10, 2])
def test_a_daily_budget(conn: Connection, threshold: float) -> None:
    expected = first_hours(facts(conn, COST.format(subject="''")), threshold, per=24)

    done = replayed(conn, "budget-daily", threshold=threshold)

    # One that is passed in the first hour of a day goes on firing from the day before, if that fired to its end.
    assert hours_of(done) == expected
    assert len(expected) > 2


def test_a_budget_of_projects(conn: Connection) -> None:
    expected = first_hours(facts(conn, COST.format(subject="project_id")), 5, per=24)

    assert hours_of(replayed(conn, "budget-project", threshold=5.0)) == expected
    assert len({project for project, _ in expected}) > 3


def test_sessions_by_cost(conn: Connection) -> None:
    expected = first_hours(facts(conn, COST.format(subject="session_id")), 5)

    done = replayed(conn, "session-cost")

    assert hours_of(done) == expected
    assert len(expected) > 20


def test_sessions_without_permissions(conn: Connection) -> None:
    rows = facts(
        conn,
        "session_id, MIN(occurred_at) FROM telemetry_events WHERE event_type = 'turn'"
        " AND permission_mode = 'bypassPermissions' GROUP BY 1",
    )

    done = replayed(conn, "permission-bypass")

    assert hours_of(done) == {(session, at - at % HOUR_MS) for session, at in rows}
    assert len(rows) > 5


def test_sessions_with_a_full_context(conn: Connection) -> None:
    rows = facts(
        conn,
        "session_id, MIN(occurred_at) FROM telemetry_events WHERE event_type = 'llm.request'"
        " AND context_utilization > 0.8 GROUP BY 1",
    )

    done = replayed(conn, "context-full")

    assert hours_of(done) == {(session, at - at % HOUR_MS) for session, at in rows}
    assert len(rows) > 5


def test_hours_with_dangerous_commands(conn: Connection) -> None:
    rows = facts(
        conn,
        "DISTINCT occurred_at / 3600000 FROM telemetry_events WHERE event_type = 'tool.call' AND danger IS NOT NULL"
        " AND status IN ('ok', 'error', 'timeout')",
    )

    hours = {hour for (hour,) in rows}

    done = replayed(conn, "dangerous-command")

    # What fires in one hour goes on firing where the next one has another.
    assert hours_of(done) == {("", hour * HOUR_MS) for hour in hours if hour - 1 not in hours}
    assert len(hours) > 3


def test_hours_with_errors_of_the_api(conn: Connection) -> None:
    counted: Mapping[str, dict[int, int]] = {
        kind: dict(
            facts(conn, f"occurred_at / 3600000, COUNT(*) FROM telemetry_events WHERE event_type = '{kind}' GROUP BY 1")
        )
        for kind in ("api.error", "llm.request")
    }
    requests = counted["llm.request"]
    over = {
        hour
        for hour, errors in counted["api.error"].items()
        if requests.get(hour, 0) >= 10 and errors / requests[hour] > 0.1
    }

    assert hours_of(replayed(conn, "api-errors")) == {("", hour * HOUR_MS) for hour in over}
    assert over


def test_days_that_cost_three_times_the_usual(conn: Connection) -> None:
    from statistics import median

    rows = sorted(facts(conn, COST.format(subject="''")), key=lambda row: row[1])
    days: dict[int, float] = {}
    expected = {}
    for _, hour, cost in rows:
        day = hour // 24
        past = [days[one] for one in sorted(days) if day - 28 * 3 <= one < day][-28:]
        days[day] = days.get(day, 0.0) + cost
        if len(past) >= 7 and days[day] > 3 * median(past) and days[day] >= 5 and day not in expected:
            expected[day] = hour

    assert hours_of(replayed(conn, "cost-spike-day")) == {("", hour * HOUR_MS) for hour in expected.values()}
    assert expected
