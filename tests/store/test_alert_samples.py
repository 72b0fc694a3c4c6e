"""What ccagent's own counters have grown by, from hourly samples."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from ccagent.alerts.condition import judge
from ccagent.alerts.condition_document import LONGEST_HOURS
from ccagent.alerts.parsing import parse
from ccagent.alerts.rule import Scope
from ccagent.alerts.states import Finding
from ccagent.metrics import names
from ccagent.store import alert_samples, generation, totals
from tests.store.builder import HOST, Builder
from tests.store.measuring import DAY, HOUR, one, operand, series

AT = 1_772_006_400_000  # 2026-02-25 08:00 UTC
UTC = ZoneInfo("UTC")
METRIC = names.STORE_FAILURES


@pytest.fixture
def store(new_store: Callable[[], Builder]) -> Builder:
    """An empty store of either kind."""
    return new_store()


def book(store: Builder, amount: int, reason: str = "busy", host: int = HOST) -> None:
    totals.add(store.conn, host, {(METRIC, (reason,), True): amount}, AT)


def grown(store: Builder, now: int, start: int, **where: str) -> tuple[float, float] | None:
    found: tuple[float, float] | None = one(series(store.conn, now), METRIC, (start, now), **where)
    return found


def test_nothing_is_known_before_the_first_sample(store: Builder) -> None:
    book(store, 40)

    assert one(series(store.conn, AT, kept=False), METRIC, (AT - HOUR, AT)) is None
    assert grown(store, AT, AT - HOUR) is None
    assert grown(store, AT + 5, AT) == (0.0, 0)


def test_what_was_seen_of_a_window_counts_and_nothing_seen_says_nothing(store: Builder) -> None:
    grown(store, AT, AT)
    assert grown(store, AT + 5, AT - DAY) is None

    book(store, 3)

    assert grown(store, AT + 5, AT - DAY) == (3.0, 3)


def test_it_has_grown_by_what_was_booked_since_the_window_began(store: Builder) -> None:
    book(store, 40)
    grown(store, AT, AT)
    book(store, 2)
    grown(store, AT + HOUR, AT)
    book(store, 3, "full")
    now = AT + HOUR + 30

    assert grown(store, now, AT + HOUR) == (3.0, 3)
    assert grown(store, now, AT) == (5.0, 5)
    assert grown(store, now, AT, reason="full") == (3.0, 3)
    assert grown(store, now, AT, reason="busy") == (2.0, 2)
    assert grown(store, now, AT - 5 * HOUR) == (5.0, 5)


def test_only_the_first_sample_of_an_hour_counts(store: Builder) -> None:
    grown(store, AT, AT)
    book(store, 2)
    grown(store, AT + 1_000, AT)

    assert grown(store, AT + 2_000, AT) == (2.0, 2)


def test_hours_without_a_look_are_bridged(store: Builder) -> None:
    """A machine that slept: counters of a process that does not run stand still."""
    book(store, 1)
    grown(store, AT, AT)
    book(store, 4)
    now = AT + 9 * HOUR

    assert grown(store, now, AT + 5 * HOUR) == (4.0, 4)


def test_it_goes_on_over_a_new_generation(store: Builder) -> None:
    book(store, 10)
    grown(store, AT, AT)
    book(store, 2)
    generation.begin(store.conn, HOST, [METRIC], AT + 5)
    book(store, 3)

    assert grown(store, AT + 10, AT) == (5.0, 5)


def test_a_total_that_came_back_smaller_has_grown_by_nothing(store: Builder) -> None:
    book(store, 10)
    grown(store, AT, AT)
    store.conn.execute("UPDATE total SET value = 4")

    assert grown(store, AT + 10, AT) == (0.0, 0)


def test_hosts_are_added_up(store: Builder) -> None:
    book(store, 10)
    grown(store, AT, AT)
    book(store, 2)
    book(store, 5, host=2)

    assert grown(store, AT + 10, AT) == (7.0, 7)


def test_a_past_window_ends_with_the_sample_of_its_end(store: Builder) -> None:
    for hour in range(4):
        grown(store, AT + hour * HOUR, AT)
        book(store, 1)

    found = series(store.conn, AT + 4 * HOUR)

    assert one(found, METRIC, (AT + HOUR, AT + 3 * HOUR)) == (2.0, 2)


def test_a_histogram_grows_by_bucket(store: Builder) -> None:
    name = names.EXPORT_DURATION
    labels = ("home", "traces")

    def observe(counts: list[int], seconds: float) -> None:
        totals.observe(store.conn, HOST, {(name, labels, True): (counts, seconds)}, AT)

    observe([1] + [0] * 15, 0.01)
    series(store.conn, AT).amounts(operand(name), Scope.GLOBAL, [(AT, AT + 1)])
    observe([1, 2] + [0] * 14, 0.3)

    said = series(store.conn, AT + 9).amounts(operand(name, destination="home"), Scope.GLOBAL, [(AT, AT + 9)])

    (found,) = said[""]
    assert found is not None
    assert (round(found.value, 6), found.count, found.buckets) == (0.3, 3, (1, 2, *[0] * 14))


def test_samples_are_written_once_an_hour_and_old_ones_removed(store: Builder) -> None:
    book(store, 1)
    grown(store, AT, AT)
    assert alert_samples.due(store.conn, {METRIC}, AT) == []
    assert alert_samples.due(store.conn, {METRIC}, AT + HOUR) == [METRIC]

    grown(store, AT + 100 * DAY, AT)

    hours = store.conn.execute("SELECT DISTINCT hour FROM alert_sample ORDER BY 1").fetchall()
    assert hours == [(AT + 100 * DAY,)]
    assert series(store.conn, AT + 100 * DAY).began(operand(METRIC), Scope.GLOBAL) == {"": AT + 100 * DAY}


def test_what_was_never_counted_is_not_absent(store: Builder) -> None:
    book(store, 1)
    grown(store, AT, AT)
    now = AT + 3 * HOUR
    gone = parse({"id": "gone", "metric": METRIC, "where": {"reason": ["busy"]}, "window": "1h", "absent": True})
    never = parse({"id": "never", "metric": METRIC, "where": {"reason": ["full"]}, "window": "1h", "absent": True})

    found = {one.id: judge(one, series(store.conn, now), now, UTC)[""].finding for one in (gone, never)}

    assert found == {"gone": Finding.MET, "never": Finding.UNKNOWN}


def test_the_longest_window_is_whole(store: Builder) -> None:
    window = LONGEST_HOURS * HOUR
    grown(store, AT, AT)
    book(store, 3)
    for day in range(1, LONGEST_HOURS // 24 + 1):
        grown(store, AT + day * DAY, AT)
    now = AT + window + HOUR - 1  # the window of ninety days, and an hour more where too little is looked for

    assert grown(store, now, AT) == (3.0, 3)


def test_without_a_writer_nothing_is_sampled(store: Builder) -> None:
    book(store, 1)

    one(series(store.conn, AT, kept=False), METRIC, (AT, AT + 1))

    assert store.conn.execute("SELECT COUNT(*) FROM alert_sample").fetchall() == [(0,)]
