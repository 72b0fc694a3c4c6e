"""Rollups in the store: equal to the facts, whatever came in which order and in which slices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType, Flag
from ccagent.rollups.buckets import bucket_start
from ccagent.rollups.metrics import METRICS, VALUE_COLUMNS, Combine, Period
from ccagent.store import rollups
from ccagent.store.schema import TABLES
from tests.rollups.oracle import expected, stored
from tests.store.builder import Builder

UTC = ZoneInfo("UTC")
MINUTE = 60_000
HOUR = 60 * MINUTE
AT = 1_772_006_400_000  # 2026-02-25 08:00 UTC
CLOCKS_CHANGE = {  # near a change of clocks of each zone, so that days of 23, 24 and 25 hours are met
    "UTC": AT,
    "Europe/Berlin": 1_774_735_200_000,
    "America/New_York": 1_793_491_200_000,
    "Asia/Kathmandu": AT,
    "Australia/Lord_Howe": 1_775_300_400_000,
}


@pytest.fixture
def store(new_store: Callable[[], Builder]) -> Builder:
    """An empty store of either kind."""
    return new_store()


def settle(store: Builder, zone: ZoneInfo = UTC, limit: int = 200) -> None:
    while rollups.refresh(store.conn, zone, limit=limit):
        pass


def summed(store: Builder, period: Period, family: EventType, column: str) -> int:
    sql = f"SELECT COALESCE(SUM({column}), 0) FROM rollup WHERE period = ? AND family = ?"
    return store.conn.execute(sql, (int(period), int(family))).fetchone()[0]


def test_a_request_is_in_its_hour_day_week_and_session(store: Builder) -> None:
    store.request("m1", name="opus", occurred_at=AT + 5 * MINUTE, token_input=7, cost=3)
    settle(store)

    rows = store.conn.execute("SELECT period, bucket, token_input, cost FROM rollup WHERE family = 4 ORDER BY period")

    session = store.name("s1")
    day = AT - 8 * HOUR
    assert list(rows) == [(1, AT, 7, 3), (2, day, 7, 3), (3, day - 48 * HOUR, 7, 3), (4, session, 7, 3)]


def test_refreshing_leaves_no_mark_and_a_second_time_has_nothing_to_do(store: Builder) -> None:
    store.request("m1", occurred_at=AT)
    settle(store)

    assert list(store.conn.execute("SELECT * FROM dirty")) == []
    assert rollups.refresh(store.conn, UTC) == 0


def test_refreshing_again_changes_nothing(store: Builder) -> None:
    store.request("m1", occurred_at=AT, token_input=7)
    settle(store)
    before = stored(store.conn)
    store.mark({AT})

    settle(store)

    assert stored(store.conn) == before


def test_a_slice_takes_no_more_marks_than_asked(store: Builder) -> None:
    for number in range(9):
        store.request(f"m{number}", occurred_at=AT + number * HOUR + 7 * MINUTE)

    assert rollups.refresh(store.conn, UTC, limit=4) == 4


def test_a_bucket_that_became_empty_loses_its_rows(store: Builder) -> None:
    store.request("m1", occurred_at=AT)
    settle(store)
    store.request("m1", occurred_at=AT - 40 * 24 * HOUR)

    settle(store)

    assert {key[1] for key in stored(store.conn) if key[0] == Period.HOURLY} == {AT - 40 * 24 * HOUR}


def test_a_late_line_is_added_to_its_own_hour(store: Builder) -> None:
    store.request("m1", occurred_at=AT, token_input=1)
    store.request("m2", occurred_at=AT + 9 * HOUR, token_input=10)
    settle(store)
    store.request("late", occurred_at=AT + MINUTE, token_input=100)

    settle(store)

    sql = "SELECT bucket, token_input FROM rollup WHERE period = 1 AND family = 4 ORDER BY bucket"
    assert list(store.conn.execute(sql)) == [(AT, 101), (AT + 9 * HOUR, 10)]


def test_a_fact_that_another_session_owns_now_leaves_the_points_of_the_first(store: Builder) -> None:
    first, second = store.context(session="first"), store.context(session="second")
    store.request("m1", context=first, occurred_at=AT, token_input=5)
    store.request("m2", context=first, occurred_at=AT + 30 * HOUR, token_input=1)
    settle(store)
    store.request("m1", context=second, occurred_at=AT, token_input=5)

    settle(store)

    sql = "SELECT n.value, r.token_input FROM rollup r JOIN name n ON n.id = r.bucket WHERE period = 4 AND family = 4"
    assert dict(store.conn.execute(sql)) == {"first": 1, "second": 5}


def test_a_fact_without_a_time_is_only_in_the_points(store: Builder) -> None:
    store.request("m1", token_input=5)
    settle(store)

    assert {key[0] for key in stored(store.conn)} == {Period.POINT}
    assert summed(store, Period.POINT, EventType.LLM_REQUEST, "token_input") == 5


def test_active_time_is_cut_between_two_hours(store: Builder) -> None:
    store.request("m1", occurred_at=AT + 58 * MINUTE)
    store.request("m2", occurred_at=AT + 61 * MINUTE)
    settle(store)

    sql = "SELECT bucket, duration_ms FROM rollup WHERE period = 1 AND family = 1 ORDER BY bucket"
    assert list(store.conn.execute(sql)) == [(AT, 2 * MINUTE), (AT + HOUR, MINUTE)]


def test_a_session_of_several_hours_is_one_session_of_the_day(store: Builder) -> None:
    for number in range(4):
        store.request(f"m{number}", occurred_at=AT + number * HOUR)
    settle(store)

    rows = [key for key in stored(store.conn) if key[0] == Period.DAILY and key[2] == EventType.SESSION]

    assert len(rows) == 1


def test_rebuilding_in_another_zone_moves_the_borders_and_is_kept(store: Builder) -> None:
    store.request("m1", occurred_at=AT)
    rollups.rebuild(store.conn, UTC)
    zone = ZoneInfo("Asia/Kathmandu")

    rollups.rebuild(store.conn, zone)

    hourly = {key[1] for key in stored(store.conn) if key[0] == Period.HOURLY}
    assert hourly == {bucket_start(zone, "hour", AT)}
    assert store.conn.execute("SELECT value FROM meta WHERE name = 'zone'").fetchone()[0] == "Asia/Kathmandu"


def test_the_metrics_name_columns_that_exist() -> None:
    columns = [word.split()[0] for word in TABLES["rollup"].split("PRIMARY KEY")[0].split(",") if word.split()]

    assert columns[9:] == list(VALUE_COLUMNS)
    assert all(column in VALUE_COLUMNS for metric in METRICS for _, column in metric.parts)


def test_metric_ids_are_unique_and_ratios_have_a_denominator() -> None:
    assert len({metric.id for metric in METRICS}) == len(METRICS)
    assert all(metric.count != "r.count" for metric in METRICS if metric.combines in (Combine.RATIO, Combine.SUM_COUNT))


KINDS = (EventType.SESSION, EventType.TURN, EventType.PROMPT, EventType.LLM_REQUEST, EventType.TOOL_CALL,
         EventType.FILE_UPDATE, EventType.COMPACTION, EventType.API_ERROR)  # fmt: skip
moments = st.one_of(
    st.none(),
    st.integers(0, 50 * HOUR),
    st.integers(0, 30 * MINUTE),
    st.sampled_from([0, HOUR - 1, HOUR, HOUR + 1, 24 * HOUR, 23 * HOUR, 200 * HOUR]),
)
amounts = st.one_of(st.none(), st.integers(0, 1000))
writes = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS), "native": st.integers(0, 5), "place": st.integers(0, 5), "occurred_at": moments,
        "ended_at": moments, "result_at": moments, "status": st.integers(0, 5), "flags": st.integers(0, 7),
        "name": st.sampled_from([None, "x", "y"]), "token_input": amounts, "cost": amounts,
        "quality": st.integers(0, 3),
        "token_cache_write": st.integers(500, 900), "token_cache_write_1h": st.one_of(st.none(), st.integers(0, 500)),
        "reported_ms": amounts, "added": amounts, "request": st.one_of(st.none(), st.integers(0, 5)),
    }
)  # fmt: skip
steps = st.lists(st.one_of(writes, writes, writes, st.integers(1, 9)), max_size=25)
"""Facts that are written, again and again under the same few names, and slices of at most so many quarters."""

PLACES: tuple[dict[str, Any], ...] = (
    {"session": "s1", "project": "/p", "branch": "main"},
    {"session": "s1", "project": "/p", "branch": "other", "skill": "review"},
    {"session": "s1", "project": "/p", "branch": "main", "agent": "a1"},
    {"session": "s2", "project": "/p"},
    {"session": "s2", "project": "/q", "agent": "a1"},
    {"session": None, "project": "/q"},
)


def apply(store: Builder, zone: ZoneInfo, start: int, step: dict[str, Any] | int) -> None:
    if isinstance(step, int):
        rollups.refresh(store.conn, zone, limit=step)
        return
    columns = dict(step)
    kind, native = columns.pop("kind"), f"n{columns.pop('native')}"
    for column in ("occurred_at", "ended_at", "result_at"):
        columns[column] = None if columns[column] is None else start + columns[column]
    request = columns.pop("request")
    if kind is EventType.TOOL_CALL and request is not None:
        columns["request"] = fact_key(EventType.LLM_REQUEST, f"n{request}")
    if kind is not EventType.LLM_REQUEST:
        for column in ("token_input", "cost", "quality", "token_cache_write", "token_cache_write_1h"):
            columns[column] = None
    store.fact(kind, native, context=store.context(**PLACES[columns.pop("place")]), **columns)


@pytest.mark.parametrize("name", CLOCKS_CHANGE)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_incremental_equals_rebuilt_equals_the_facts(
    new_store: Callable[[], Builder], name: str, plan: list[dict[str, Any] | int]
) -> None:
    zone, store = ZoneInfo(name), new_store()
    for step in plan:
        apply(store, zone, CLOCKS_CHANGE[name], step)
    settle(store, zone, limit=3)
    incremental = stored(store.conn)

    rollups.rebuild(store.conn, zone)

    assert incremental == stored(store.conn) == expected(store.conn, zone)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_hours_add_up_to_days_and_weeks_and_timed_facts(
    new_store: Callable[[], Builder], plan: list[dict[str, Any] | int]
) -> None:
    store = new_store()
    for step in plan:
        apply(store, UTC, AT, step)
    settle(store)

    for column in VALUE_COLUMNS:
        sums = {period: summed(store, period, EventType.LLM_REQUEST, column) for period in list(Period)[:3]}
        assert len(set(sums.values())) == 1, column
    sql = "SELECT COUNT(*), COALESCE(SUM(cost), 0) FROM fact WHERE type = 4 AND occurred_at IS NOT NULL"
    assert store.conn.execute(sql).fetchone() == (
        summed(store, Period.HOURLY, EventType.LLM_REQUEST, "count"),
        summed(store, Period.HOURLY, EventType.LLM_REQUEST, "cost"),
    )


def test_relayed_calls_stand_apart(store: Builder) -> None:
    store.call("t1", name="Bash", occurred_at=AT)
    store.call("t2", name="Bash", occurred_at=AT, flags=int(Flag.RESULT))
    settle(store)

    found = [summed(store, Period.DAILY, EventType.TOOL_CALL, column) for column in ("count", "results", "relayed")]

    assert found == [1, 1, 1]
