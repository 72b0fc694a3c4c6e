"""Totals in the database only ever grow, and are read as they were written."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from ccagent.metrics import names
from ccagent.metrics.booked import Booking
from ccagent.metrics.catalogue import AGENT_BUCKETS
from ccagent.metrics.labels import Budget
from ccagent.metrics.snapshot import StoredHistogram, StoredTotal
from ccagent.store import totals
from ccagent.store.connection import SqliteConnection
from tests.metrics.conftest import open_store

SERIES = (names.TURNS, ("ok", "demo"), True)
HISTOGRAM = (names.TURN_DURATION, ("ok",), True)


def book(conn: SqliteConnection, booking: Booking, now_ms: int) -> None:
    with conn:
        totals.add(conn, 1, booking.amounts, now_ms)
        totals.observe(conn, 1, booking.observations, now_ms)


def test_amounts_are_added_to_what_is_there(store: SqliteConnection) -> None:
    totals.add(store, 1, {SERIES: 2}, 100)
    totals.add(store, 1, {SERIES: 3}, 200)

    assert totals.read(store).totals == (StoredTotal(*SERIES, 5, 100),)


def test_a_series_keeps_its_first_time(store: SqliteConnection) -> None:
    totals.observe(store, 1, {HISTOGRAM: ([1] + [0] * len(AGENT_BUCKETS), 0.5)}, 100)
    totals.observe(store, 1, {HISTOGRAM: ([1] + [0] * len(AGENT_BUCKETS), 0.5)}, 200)

    assert totals.read(store).histograms[0].created_ms == 100


def test_what_may_leave_stands_apart(store: SqliteConnection) -> None:
    totals.add(store, 1, {SERIES: 2, (*SERIES[:2], False): 7}, 100)

    assert {(row.exportable, row.value) for row in totals.read(store).totals} == {(True, 2), (False, 7)}


def test_buckets_and_sums_are_added(store: SqliteConnection) -> None:
    first, second = Booking(), Booking()
    first.observe(names.TURN_DURATION, ("ok",), 0.2)
    second.observe(names.TURN_DURATION, ("ok",), 0.2)
    second.observe(names.TURN_DURATION, ("ok",), 90)

    book(store, first, 100)
    book(store, second, 200)

    counts = [0] * (len(AGENT_BUCKETS) + 1)
    counts[2], counts[10] = 2, 1
    assert totals.read(store).histograms == (StoredHistogram(*HISTOGRAM, tuple(counts), 0.2 + (0.2 + 90), 100),)


def test_a_negative_amount_is_refused(store: SqliteConnection) -> None:
    with pytest.raises(ValueError, match="negative amount"):
        totals.add(store, 1, {SERIES: -1}, 100)


def test_counts_of_other_buckets_are_refused(store: SqliteConnection) -> None:
    totals.observe(store, 1, {HISTOGRAM: ([1, 0], 0.5)}, 100)

    with pytest.raises(ValueError, match="zip"):
        totals.observe(store, 1, {HISTOGRAM: ([1, 0, 0], 0.5)}, 200)


def test_a_transaction_that_is_rolled_back_books_nothing(store: SqliteConnection) -> None:
    store.execute("BEGIN IMMEDIATE")
    totals.add(store, 1, {SERIES: 2}, 100)
    store.execute("ROLLBACK")

    assert totals.read(store).totals == ()


def test_label_values_of_any_script_come_back(store: SqliteConnection) -> None:
    labels = ("ok", 'größe "quoted" \\ 项目')
    totals.add(store, 1, {(names.TURNS, labels, True): 1}, 100)

    assert totals.read(store).totals[0].labels == labels


def test_reading_inside_a_transaction_leaves_it_open(store: SqliteConnection) -> None:
    store.execute("BEGIN IMMEDIATE")

    totals.read(store)

    assert store.in_transaction
    store.execute("ROLLBACK")


def test_a_read_only_connection_can_read(store: SqliteConnection, tmp_path: Path) -> None:
    totals.add(store, 1, {SERIES: 2}, 100)
    reader = SqliteConnection(str(tmp_path / "totals.db"), flags=apsw.SQLITE_OPEN_READONLY)

    assert totals.read(reader).totals[0].value == 2
    reader.close()


def test_admitted_values_survive_a_restart(tmp_path: Path) -> None:
    conn = open_store(tmp_path / "admitted.db")
    budget = Budget()
    budget.admit(names.TOOL_CALLS, "tool", "Bash")
    totals.save_admitted(conn, 1, budget.fresh)
    conn.close()

    again = open_store(tmp_path / "admitted.db")
    assert totals.load_admitted(again, 1) == {(names.TOOL_CALLS, "tool"): {"Bash"}}
    again.close()


def test_admitting_twice_is_harmless(store: SqliteConnection) -> None:
    totals.save_admitted(store, 1, [(names.TOOL_CALLS, "tool", "Bash")])

    totals.save_admitted(store, 1, [(names.TOOL_CALLS, "tool", "Bash")])

    assert totals.load_admitted(store, 1) == {(names.TOOL_CALLS, "tool"): {"Bash"}}


def test_reading_costs_one_row_a_series(store: SqliteConnection) -> None:
    for moment in range(50):
        totals.add(store, 1, {(names.TURNS, (status, "demo"), True): 1 for status in ("ok", "error")}, moment)

    assert len(totals.read(store).totals) == 2
