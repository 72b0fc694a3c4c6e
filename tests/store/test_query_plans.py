"""No question that is asked while facts come in reads all facts: looked up in the plans of both databases."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from benchmarks.facts import Filler
from ccagent.rollups.buckets import HOUR_MS, QUARTER_MS
from ccagent.rollups.metrics import Period
from ccagent.store import live_queries, outbox, queries, rollups, standing
from ccagent.store.connection import Connection, Cursor, Values
from ccagent.store.dialect import Dialect
from tests.store.builder import Builder

FACTS = 20_000
"""Enough that a plan which reads them all costs more than one that does not."""

ZONE = "Europe/Berlin"
OTHER_ZONE = "Asia/Kathmandu"
DAY = 24 * HOUR_MS

SCAN = re.compile(r"SCAN (fact|f|o|w|request)\b|SEARCH (fact|f|o|w|request) .*\(request>\?\)")
"""SQLite: a step that reads the table, or a whole index of it, under one of the names that the store's SQL gives it."""


class Recording:
    """A connection that remembers what it was asked."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.dialect: Dialect = conn.dialect
        self.asked: list[tuple[str, Values]] = []

    @property
    def in_transaction(self) -> bool:
        return self._conn.in_transaction

    def execute(self, statements: str, bindings: Values = (), /) -> Cursor:
        if statements.startswith(("SELECT", "WITH")):
            self.asked.append((statements, bindings))
        return self._conn.execute(statements, bindings)


class Filled:
    """A store of many facts with fresh rollups, but for its last quarter hour."""

    def __init__(self, store: Builder, *, analyzed: bool) -> None:
        self.store = store
        filler = Filler(store.conn, FACTS)
        self.now = filler.fill()
        while rollups.refresh(store.conn, ZoneInfo(ZONE)):
            pass
        if analyzed:
            store.conn.execute("ANALYZE")
        filler.touch(self.now)

    def whole_reads(self, question: Callable[[Any], object]) -> list[str]:
        """The statements of a question whose plans read all facts, with what shows it."""
        recording = Recording(self.store.conn)
        question(recording)
        assert recording.asked, "the question asked nothing"
        return [
            f"{step}: {sql}" for sql, values in recording.asked for step in _whole_reads(self.store.conn, sql, values)
        ]


def _whole_reads(conn: Connection, sql: str, values: Values) -> Iterator[str]:
    if not conn.dialect.shared:
        for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", values):
            if SCAN.search(row[-1]):
                yield row[-1]
        return
    (row,) = conn.execute(f"EXPLAIN (FORMAT JSON) {sql}", values)
    (plan,) = row[0] if isinstance(row[0], list) else json.loads(row[0])
    nodes = [plan["Plan"]]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", ())
        of_facts = node.get("Relation Name") == "fact" or str(node.get("Index Name", "")).startswith("fact_")
        if of_facts and node["Node Type"] != "Bitmap Heap Scan" and "Index Cond" not in node:
            yield node["Node Type"]


@pytest.fixture(scope="module", params=[True, False], ids=["analyzed", "fresh"])
def filled(new_store: Callable[[], Builder], request: pytest.FixtureRequest) -> Filled:
    """Once with the planner's statistics, once as it is before there are any."""
    return Filled(new_store(), analyzed=request.param)


@pytest.mark.parametrize("days", [None, 30, 1], ids=["all", "month", "today"])
@pytest.mark.parametrize("by", queries.BY)
def test_usage_reads_the_facts_that_rollups_do_not_cover(filled: Filled, by: str, days: int | None) -> None:
    since = None if days is None else filled.now - days * DAY

    found = filled.whole_reads(lambda conn: queries.usage(conn, by=by, since_ms=since, until_ms=None, timezone=None))

    assert found == []


@pytest.mark.parametrize("by", ["hour", "day", "month"])
def test_periods_of_another_zone_read_the_hours_that_they_cut(filled: Filled, by: str) -> None:
    found = filled.whole_reads(
        lambda conn: queries.usage(conn, by=by, since_ms=None, until_ms=filled.now, timezone=OTHER_ZONE)
    )

    assert found == []


def test_today_reads_the_facts_that_rollups_do_not_cover(filled: Filled) -> None:
    assert filled.whole_reads(lambda conn: queries.today(conn, ZoneInfo(ZONE), filled.now)) == []


def test_what_is_measured_every_few_seconds_reads_no_facts_but_sessions(filled: Filled) -> None:
    assert filled.whole_reads(lambda conn: standing.active(conn, filled.now - DAY)) == []
    assert filled.whole_reads(lambda conn: standing.low_links(conn)) == []
    assert filled.whole_reads(lambda conn: standing.costs(conn, Period.DAILY, filled.now - 180 * DAY)) == []
    assert filled.whole_reads(lambda conn: standing.costs(conn, Period.HOURLY, filled.now - 28 * DAY)) == []
    assert filled.whole_reads(lambda conn: live_queries.cache_hit_ratios(conn, filled.now - DAY)) == []


def test_a_refresh_reads_the_facts_that_it_is_about(filled: Filled) -> None:
    quarter = filled.now - filled.now % QUARTER_MS
    filled.store.mark({quarter - number * DAY for number in range(20)})

    assert filled.whole_reads(lambda conn: rollups.prepare(conn, ZoneInfo(ZONE))) == []


def test_what_leaves_next_reads_the_facts_that_are_due_and_those_around_them(filled: Filled) -> None:
    conn = filled.store.conn
    number = conn.execute("SELECT MIN(id) FROM host").fetchone()
    host = int(number[0]) if number is not None and number[0] is not None else 1
    due = "UPDATE fact SET closed_host = ?, closed_seq = seq WHERE type IN (2, 4, 5, 7) AND occurred_at >= ?"
    conn.execute(due, (host, filled.now - DAY))
    assert outbox.closed_facts(conn, host, 0, 20)

    found = filled.whole_reads(lambda conn: outbox.closed_facts(conn, host, 0, 20))

    # where a session comes from is evidence, which has an index of its own
    assert [one for one in found if "f.type >= 19 AND f.type <= 22" not in one] == []


def test_a_plan_that_reads_all_facts_is_seen(filled: Filled) -> None:
    assert filled.whole_reads(lambda conn: conn.execute("SELECT SUM(f.size) FROM fact f")) != []
