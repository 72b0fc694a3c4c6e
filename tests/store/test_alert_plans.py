"""What alert rules ask reads no more than it is about: looked up in the plans of both databases."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ccagent.alerts.rule import Scope
from ccagent.alerts.series import BEGINNING
from ccagent.metrics import names
from ccagent.rollups.buckets import bucket_start
from ccagent.store import measured, rollups
from ccagent.store.alert_series import StoreSeries
from ccagent.store.connection import Connection
from tests.store.builder import Builder
from tests.store.measuring import operand, writing
from tests.store.test_query_plans import DAY, ZONE, Filled, Recording

BERLIN = ZoneInfo(ZONE)
METRICS = (names.TOOL_FAILURES, names.TOOL_DURATION, names.TOKENS, "session_cost", "turns")
SCAN = re.compile(r"SCAN (m|h|r)\b|SCAN (measured|measured_hour|rollup|alert_sample)\b")


@pytest.fixture(scope="module", params=[True, False], ids=["analyzed", "fresh"])
def filled(new_store: Callable[[], Builder], request: pytest.FixtureRequest) -> Filled:
    """Once with the planner's statistics, once as it is before there are any; the last week is measured."""
    found = Filled(new_store(), analyzed=request.param)
    conn = found.store.conn
    while rollups.refresh(conn, BERLIN):
        pass
    said = StoreSeries(conn, BERLIN, found.now, write=writing(conn))
    for metric in METRICS:
        for scope in Scope:
            said.amounts(operand(metric), scope, [(found.now - 7 * DAY, found.now)])
    if request.param:
        conn.execute("ANALYZE")
    return found


def ask(filled: Filled, conn: Connection, scope: Scope) -> None:
    now = filled.now
    day = bucket_start(BERLIN, "day", now)
    said = StoreSeries(conn, BERLIN, now)
    for metric in METRICS:
        said.amounts(operand(metric), scope, [(day, now), (now - 7 * DAY, now), (day - DAY, day)])


@pytest.mark.parametrize("scope", Scope)
def test_an_evaluation_reads_rows_of_its_windows(filled: Filled, scope: Scope) -> None:
    assert filled.whole_reads(lambda conn: ask(filled, conn, scope)) == []
    assert scans(filled, lambda conn: ask(filled, conn, scope)) == []


def test_a_session_is_asked_by_its_key(filled: Filled) -> None:
    conn = filled.store.conn
    (session,) = conn.execute("SELECT n.value FROM rollup r JOIN name n ON n.id = r.bucket WHERE r.period = 4 LIMIT 1")

    def whole(conn: Connection) -> None:
        said = StoreSeries(conn, BERLIN, filled.now)
        said.amounts(operand("session_cost"), Scope.SESSION, [(BEGINNING, filled.now)], [str(session[0])])

    assert filled.whole_reads(whole) == []
    assert scans(filled, whole) == []


def test_since_when_there_is_something_is_told_by_days(filled: Filled) -> None:
    def first(conn: Connection) -> None:
        StoreSeries(conn, BERLIN, filled.now).began(operand("requests"), Scope.PROJECT)

    assert filled.whole_reads(first) == []
    assert scans(filled, first) == []


def test_sessions_of_the_last_hours_are_found_by_their_end(filled: Filled) -> None:
    found = filled.whole_reads(
        lambda conn: StoreSeries(conn, BERLIN, filled.now).sessions(filled.now - DAY, filled.now)
    )

    assert found == []


def test_an_hour_that_is_made_anew_is_found_by_its_key(filled: Filled) -> None:
    hour = bucket_start(BERLIN, "hour", filled.now - DAY)

    assert scans(filled, lambda conn: measured.tracked(conn)) == []
    assert scans(filled, lambda conn: measured.claimed(conn, METRICS, 1, hour, hour)) == []


def scans(filled: Filled, question: Callable[[Any], object]) -> list[str]:
    """Steps of a question's plans in SQLite that read a whole table of measured hours or rollups."""
    conn = filled.store.conn
    if conn.dialect.shared:
        return []
    recording = Recording(conn)
    question(recording)
    return [
        f"{row[-1]}: {sql}"
        for sql, values in recording.asked
        for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", values)
        if SCAN.search(row[-1])
    ]


def test_a_plan_that_reads_a_whole_table_is_seen(filled: Filled) -> None:
    found = scans(filled, lambda conn: conn.execute("SELECT SUM(m.value) FROM measured m"))

    assert filled.store.conn.dialect.shared or found != []
