"""`analytics_entries` over the rollups of either store."""

from __future__ import annotations

import json
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from ccagent.store import rollups
from tests.store.builder import Builder

AT = 1_772_006_400_000  # 2026-02-25 08:00 UTC
UTC = ZoneInfo("UTC")


@pytest.fixture
def store(new_store: Callable[[], Builder]) -> Builder:
    """A store with a request and its call, rolled up."""
    store = new_store()
    place = store.context(session="s1", project="/p", branch="main")
    request = store.request(
        "m1", context=place, name="opus", occurred_at=AT, token_input=7, token_output=5, cost=30, quality=2
    )
    store.call("t1", context=place, name="Bash", request=request, occurred_at=AT)
    while rollups.refresh(store.conn, UTC):
        pass
    return store


def test_an_amount_stands_under_its_period_and_place(store: Builder) -> None:
    rows = store.conn.execute(
        "SELECT period, bucket_start, value, project, branch, session, model, tool, session_type"
        " FROM analytics_entries WHERE metric_id = 'session_tokens' ORDER BY period"
    )

    day = AT - 8 * 3_600_000
    place = ("/p", "main")
    assert list(rows) == [
        ("daily", day, 12, *place, None, "opus", None, "main"),
        ("hourly", AT, 12, *place, None, "opus", None, "main"),
        ("point", None, 12, *place, "s1", "opus", None, "main"),
        ("weekly", day - 2 * 24 * 3_600_000, 12, *place, None, "opus", None, "main"),
    ]


def test_parts_stand_beside_the_amount(store: Builder) -> None:
    (row,) = store.conn.execute(
        "SELECT metadata_json FROM analytics_entries WHERE metric_id = 'session_tokens' AND period = 'hourly'"
    )

    assert json.loads(row[0]) == {
        "input": 7, "output": 5, "cache_read": 0, "cache_write_5m": 0, "cache_write_1h": 0,
    }  # fmt: skip


def test_requests_that_are_not_final_are_counted(store: Builder) -> None:
    rows = store.conn.execute("SELECT value FROM analytics_entries WHERE metric_id = 'nonfinal_requests'")

    assert [row[0] for row in rows] == [1, 1, 1, 1]


def test_the_families_of_usage_are_no_entries(store: Builder) -> None:
    rows = store.conn.execute(
        "SELECT metric_id, SUM(value) FROM analytics_entries WHERE period = 'hourly'"
        " AND metric_id IN ('requests', 'tool_call_count', 'session_cost') GROUP BY 1"
    )

    assert {row[0]: int(row[1]) for row in rows} == {"requests": 1, "tool_call_count": 1, "session_cost": 30}
