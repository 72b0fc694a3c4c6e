"""Measured hours: what the ledger books of facts, hour by hour; kept while it is true, and made anew when it is not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ccagent import __version__
from ccagent.facts.model import EventType, Flag, Status
from ccagent.metrics import names
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.spec import Kind
from ccagent.rollups.buckets import bucket_start
from ccagent.store import measured, rollups, totals
from ccagent.store.connection import Connection
from ccagent.store.measured_facts import TYPES, Sum, by_hour, kinds_of
from ccagent.store.measured_hours import FOLLOWED, Measured
from tests.sources.feed import START_MS, Feed
from tests.sources.trees import trees
from tests.store.builder import HOST, Builder
from tests.store.measuring import DAY, HOUR, OF_FACTS, ZONE, added, hours_of, refresh, rows, series, writing
from tests.store.measuring import one as asked

AT = 1_772_006_400_000  # 2026-02-25 08:00 UTC
FAILED = {"flags": int(Flag.DIRECT | Flag.RESULT | Flag.ERROR), "status": int(Status.ERROR), "failure": "timeout"}
ALL = (0, 1 << 43)

Booked = dict[tuple[str, tuple[str, ...]], Sum]


@pytest.fixture
def store(new_store: Callable[[], Builder]) -> Builder:
    """An empty store of either kind."""
    return new_store()


def failing(store: Builder, native: str, at: int, **columns: Any) -> bytes:
    """A call of Bash that failed and has closed."""
    seq = store.conn.execute("UPDATE host SET seq = seq + 1 WHERE id = ? RETURNING seq", (HOST,)).fetchall()[0][0]
    context = store.context(session="s1", project="/work/shop")
    closed = {"closed_host": HOST, "closed_seq": seq, "result_at": at + 1_000}
    return store.call(native, **{"context": context, "name": "Bash", "occurred_at": at} | FAILED | closed | columns)


def failures(store: Builder, now: int, span: tuple[int, int]) -> float | None:
    """Failures of a span, after a refresh."""
    refresh(store.conn)
    found = asked(series(store.conn, now), names.TOOL_FAILURES, span)
    return None if found is None else found[0]


# ---- the meaning is that of the totals ----------------------------------------------------------------------------------


def test_every_counter_and_histogram_of_facts_says_which_facts_book_it() -> None:
    assert TYPES.keys() == {name for name, spec in METRICS.items() if spec.from_facts and spec.kind is not Kind.GAUGE}


def from_facts(conn: Connection) -> Booked:
    """What the facts of all hours amount to."""
    found: Booked = {}
    for _, sums in by_hour(conn, ZONE, [ALL], OF_FACTS):
        added(sums, found)
    return found


def from_totals(conn: Connection) -> Booked:
    """What was booked."""
    stored, found = totals.read(conn, booked=True), Booked()
    for total in stored.totals:
        if total.metric in TYPES:
            found.setdefault((total.metric, total.labels), Sum()).add(total.value, 0)
    for each in stored.histograms:
        if each.metric in TYPES:
            found.setdefault((each.metric, each.labels), Sum()).add(each.sum, sum(each.counts), each.counts)
    return found


def differences(one: Booked, other: Booked) -> set[tuple[str, tuple[str, ...]]]:
    """Series that are not the same in both. How long people thought is booked, and no fact keeps it."""
    unlike = {
        key
        for key in one.keys() | other.keys()
        if round(one.get(key, Sum()).value - other.get(key, Sum()).value, 3)
        or list(one.get(key, Sum()).buckets or ()) != list(other.get(key, Sum()).buckets or ())
    }
    return unlike - {(names.ACTIVE, ("user",))}


@pytest.mark.usefixtures("either_store")
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(trees())
def test_over_all_hours_the_sums_are_the_totals(files: dict[str, bytes]) -> None:
    """Of facts that are read whole: what later changes a label that was booked moves no total."""
    feed = Feed()
    feed.take(*files.items())
    for after in (2_000, 700_000, 90_000_000):
        while feed.tick(after):
            after = 0
    feed.store.catch_up_done()
    without_time = {
        int(row[0]) for row in feed.store.conn.execute("SELECT DISTINCT type FROM fact WHERE occurred_at IS NULL")
    }

    unlike = differences(from_facts(feed.store.conn), from_totals(feed.store.conn))

    # a fact without a time is in no hour
    assert {key for key in unlike if not without_time & {int(kind) for kind in TYPES[key[0]]}} == set()


@pytest.mark.corpus
def test_over_all_hours_of_the_corpus_the_sums_are_the_totals(corpus_feed: Feed) -> None:
    found, wanted = from_facts(corpus_feed.store.conn), from_totals(corpus_feed.store.conn)

    # deliveries of history are measured when a first catch-up ends, which this store's has not
    unlike = {key for key in differences(found, wanted) if key[0] != names.DELIVERY}

    assert unlike == set()
    assert len({metric for metric, _ in wanted}) > 30


@pytest.mark.usefixtures("either_store")
def test_what_closes_with_its_subject_is_measured_too() -> None:
    from tests.store.pruned import session as written

    feed = Feed()
    feed.read(written("one", START_MS))
    feed.store.catch_up_done()
    for _ in range(3):
        feed.tick(90_000_000)

    found = from_facts(feed.store.conn)

    assert differences(found, from_totals(feed.store.conn)) == set()
    of_sessions = {metric for metric, _ in found} & {names.SESSIONS, names.SESSION_DURATION, names.SESSION_FANOUT}
    assert len(of_sessions) == 3


def test_each_hour_has_what_began_in_it(store: Builder) -> None:
    for number, at in enumerate((AT, AT + HOUR - 1, AT + HOUR, AT + 30 * HOUR)):
        failing(store, f"t{number}", at)

    found = Counter[int]()
    for hour, sums in by_hour(store.conn, ZONE, [ALL], [names.TOOL_FAILURES]):
        found[hour] += int(sum(held.value for held in sums.values()))

    assert found == {AT: 2, AT + HOUR: 1, AT + 30 * HOUR: 1}


def test_no_label_is_beyond_a_budget(store: Builder) -> None:
    for number in range(120):
        failing(store, f"t{number}", AT + number, name=f"tool-{number}")

    labels = {place.labels for _, sums in by_hour(store.conn, ZONE, [ALL], [names.TOOL_FAILURES]) for place in sums}

    assert len(labels) == 120
    assert not any("_overflow_" in each for each in labels)


# ---- how long it stays --------------------------------------------------------------------------------------------------


def test_an_hour_is_read_once(store: Builder) -> None:
    failing(store, "t1", AT)
    assert failures(store, AT + 1, (AT, AT + 1)) == 1
    assert hours_of(store.conn, names.TOOL_FAILURES) == [AT]
    store.conn.execute("UPDATE measured SET value = 77")

    assert failures(store, AT + 1, (AT, AT + 1)) == 77


def test_a_fact_that_comes_late_makes_its_hour_anew(store: Builder) -> None:
    failing(store, "t1", AT)
    failing(store, "t2", AT + 50 * HOUR)
    now = AT + 51 * HOUR
    assert failures(store, now, (AT, now)) == 2

    failing(store, "t3", AT + 1_000)

    assert failures(store, now, (AT, now)) == 3
    assert hours_of(store.conn, names.TOOL_FAILURES) == [AT, AT + 50 * HOUR]


def test_a_fact_that_closes_makes_its_hour_anew_although_no_rollup_is_stale(store: Builder) -> None:
    key = failing(store, "t1", AT, closed_host=None, closed_seq=None)
    assert failures(store, AT + 1, (AT, AT + 1)) is None
    assert hours_of(store.conn, names.TOOL_FAILURES) == [AT]

    store.conn.execute("UPDATE host SET seq = 50")
    store.conn.execute("UPDATE fact SET closed_host = ?, closed_seq = 50 WHERE key = ?", (HOST, key))

    assert failures(store, AT + 1, (AT, AT + 1)) == 1


def test_what_another_host_closes_is_followed_too(store: Builder) -> None:
    store.conn.execute(
        "INSERT INTO host (id, host_id, instance_id, seq, commits, created_at) VALUES (2, 'other', 'o', 0, 0, 0)"
    )
    key = failing(store, "t1", AT, closed_host=None, closed_seq=None)
    assert failures(store, AT + 1, (AT, AT + 1)) is None

    store.conn.execute("UPDATE host SET seq = 3 WHERE id = 2")
    store.conn.execute("UPDATE fact SET closed_host = 2, closed_seq = 3 WHERE key = ?", (key,))

    assert failures(store, AT + 1, (AT, AT + 1)) == 1


def test_numbers_that_begin_anew_forget_what_was_measured(store: Builder) -> None:
    key = failing(store, "t1", AT)
    store.conn.execute("UPDATE host SET seq = 90")
    assert failures(store, AT + 1, (AT, AT + 1)) == 1
    store.conn.execute("UPDATE host SET seq = 7")
    store.conn.execute("UPDATE fact SET closed_seq = NULL, closed_host = NULL WHERE key = ?", (key,))

    assert failures(store, AT + 1, (AT, AT + 1)) is None


def test_another_version_of_the_program_counts_anew(store: Builder) -> None:
    failing(store, "t1", AT)
    assert failures(store, AT + 1, (AT, AT + 1)) == 1
    store.conn.execute("UPDATE measured SET value = 77")
    (said,) = store.conn.execute("SELECT value FROM meta WHERE name = ?", (FOLLOWED,)).fetchone() or ("",)
    assert __version__ in said

    store.conn.execute("UPDATE meta SET value = ? WHERE name = ?", (said.replace(__version__, "0.0.1"), FOLLOWED))

    unkept = asked(series(store.conn, AT + 1, kept=False), names.TOOL_FAILURES, (AT, AT + 1))
    assert unkept == (1.0, 1)
    assert failures(store, AT + 1, (AT, AT + 1)) == 1


def test_a_refresh_between_reading_and_keeping_keeps_nothing_old(store: Builder) -> None:
    """Whoever refreshes may be another process: its claim is gone, so what was read is thrown away."""
    failing(store, "t1", AT)
    refresh(store.conn)
    write, writes = writing(store.conn), 0

    def interrupted(work: Callable[[Connection], None]) -> None:
        nonlocal writes
        writes += 1
        if writes == 3:  # followed, claimed; now to be kept
            failing(store, "late", AT + 5)
            refresh(store.conn)
        write(work)

    Measured(store.conn, ZONE, interrupted).complete(names.TOOL_FAILURES, [(AT, AT + HOUR)])

    assert writes == 3
    assert rows(store.conn, names.TOOL_FAILURES) == {}
    assert hours_of(store.conn, names.TOOL_FAILURES) == []
    assert failures(store, AT + 1, (AT, AT + 1)) == 2


def test_a_claim_that_a_kill_left_behind_is_made_anew(store: Builder) -> None:
    failing(store, "t1", AT)
    refresh(store.conn)
    measured.claim(store.conn, [names.TOOL_FAILURES], [AT], 4_711)

    assert failures(store, AT + 1, (AT, AT + 1)) == 1
    assert hours_of(store.conn, names.TOOL_FAILURES) == [AT]


def test_without_a_writer_nothing_is_written_and_stale_hours_are_read_anew(store: Builder) -> None:
    failing(store, "t1", AT)
    assert failures(store, AT + 1, (AT, AT + 1)) == 1
    kept = rows(store.conn, names.TOOL_FAILURES)
    failing(store, "t2", AT + 2)  # no refresh

    found = asked(series(store.conn, AT + 3, kept=False), names.TOOL_FAILURES, (AT, AT + 3))

    assert found == (2.0, 2)
    assert rows(store.conn, names.TOOL_FAILURES) == kept


def test_a_refresh_asks_nothing_more_than_one_search_where_nothing_is_measured(store: Builder) -> None:
    said: list[str] = []

    class Listening:
        dialect = store.conn.dialect

        def execute(self, sql: str, values: Any = ()) -> Any:
            said.append(sql)
            return store.conn.execute(sql, values)

    measured.forget(Listening(), [AT, AT + HOUR])  # type: ignore[arg-type]

    assert len(said) == 1


def test_what_no_rule_asks_for_is_forgotten(store: Builder) -> None:
    failing(store, "t1", AT)
    refresh(store.conn)
    found = series(store.conn, AT + 1)
    asked(found, names.TOOL_FAILURES, (AT, AT + 1))
    asked(found, names.TOOL_CALLS, (AT, AT + 1))
    assert measured.tracked(store.conn) == [names.TOOL_CALLS, names.TOOL_FAILURES]

    measured.keep_only(store.conn, {names.TOOL_CALLS})

    assert measured.tracked(store.conn) == [names.TOOL_CALLS]
    assert rows(store.conn, names.TOOL_FAILURES) == {}


def test_the_present_hour_is_read_once_for_all_metrics(store: Builder) -> None:
    failing(store, "t1", AT - DAY)
    refresh(store.conn)
    for metric in (names.TOOL_FAILURES, names.TOOL_CALLS):
        asked(series(store.conn, AT - DAY + 1), metric, (AT - DAY, AT - DAY + 1))
    failing(store, "t2", AT)
    refresh(store.conn)

    asked(series(store.conn, AT + 1), names.TOOL_FAILURES, (AT - DAY, AT + 1))

    assert hours_of(store.conn, names.TOOL_CALLS) == [AT - DAY, AT]


# ---- where facts are gone -----------------------------------------------------------------------------------------------


def sealed(store: Builder, before: int) -> None:
    """As retention leaves a store: facts before a moment removed, and their hours sealed."""
    store.conn.execute("DELETE FROM fact WHERE occurred_at < ?", (before,))
    store.conn.execute("INSERT INTO meta (name, value) VALUES ('sealed_before', ?)", (str(before),))


def test_hours_whose_facts_are_gone_keep_what_was_measured(store: Builder) -> None:
    failing(store, "t1", AT - 90 * DAY)
    failing(store, "t2", AT)
    assert failures(store, AT + 1, (AT - 100 * DAY, AT + 1)) == 2

    sealed(store, AT - DAY)
    store.mark({AT - 90 * DAY})

    assert failures(store, AT + 1, (AT - 100 * DAY, AT + 1)) == 2


def test_hours_whose_facts_are_gone_are_never_measured(store: Builder) -> None:
    failing(store, "t1", AT - 90 * DAY)
    failing(store, "left", AT - 90 * DAY)
    failing(store, "t2", AT)
    refresh(store.conn)
    store.conn.execute("DELETE FROM fact WHERE native = 't1'")
    store.conn.execute("INSERT INTO meta (name, value) VALUES ('sealed_before', ?)", (str(AT - DAY),))

    assert failures(store, AT + 1, (AT - 100 * DAY, AT + 1)) == 1
    assert hours_of(store.conn, names.TOOL_FAILURES) == [AT]


@pytest.mark.parametrize("kept", [True, False])
def test_an_hour_that_the_seal_cuts_keeps_what_was_measured(store: Builder, kept: bool) -> None:
    failing(store, "t1", AT)
    failing(store, "t2", AT + HOUR // 2 + 1)
    failing(store, "t3", AT + 3 * HOUR)
    now = AT + 4 * HOUR
    assert failures(store, now, (AT, now)) == 3
    store.conn.execute("DELETE FROM fact WHERE native = 't1'")
    store.conn.execute("INSERT INTO meta (name, value) VALUES ('sealed_before', ?)", (str(AT + HOUR // 2),))
    store.mark({AT + HOUR // 2})
    refresh(store.conn)

    assert asked(series(store.conn, now, kept=kept), names.TOOL_FAILURES, (AT, now)) == (3.0, 3)


def test_rollups_that_are_made_anew_leave_measured_hours_of_removed_facts(store: Builder) -> None:
    failing(store, "t1", AT - 90 * DAY)
    failing(store, "t2", AT)
    failures(store, AT + 1, (AT - 100 * DAY, AT + 1))
    sealed(store, bucket_start(ZONE, "hour", AT - DAY))

    rollups.reset(store.conn, ZONE)

    assert hours_of(store.conn, names.TOOL_FAILURES) == [AT - 90 * DAY]
    assert failures(store, AT + 1, (AT - 100 * DAY, AT + 1)) == 2


def test_random_changes_never_leave_an_hour_behind(store: Builder) -> None:
    """Whatever is written, refreshed, closed and asked in between: the table says what the facts say."""
    chance = random.Random(5)
    keys: list[bytes] = []
    for step in range(120):
        at = AT + chance.randrange(6) * HOUR + chance.randrange(HOUR)
        action = chance.random()
        if action < 0.5:
            open_ = {"closed_host": None, "closed_seq": None} if chance.random() < 0.5 else {}
            keys.append(failing(store, f"t{chance.randrange(40)}", at, **open_))
        elif action < 0.7 and keys:
            store.conn.execute("UPDATE host SET seq = seq + 1")
            store.conn.execute(
                "UPDATE fact SET closed_host = ?, closed_seq = (SELECT seq FROM host WHERE id = ?) WHERE key = ?"
                " AND closed_seq IS NULL",
                (HOST, HOST, chance.choice(keys)),
            )
        else:
            now = AT + 6 * HOUR
            wanted = store.conn.execute(
                "SELECT COUNT(*) FROM fact WHERE type = ? AND closed_seq IS NOT NULL", (int(EventType.TOOL_CALL),)
            ).fetchone()

            assert (failures(store, now, (AT, now)) or 0) == (wanted or (0,))[0], step


def test_kinds_are_known_by_canonical_names() -> None:
    assert kinds_of("ccagent.requests") == kinds_of("requests") == (EventType.LLM_REQUEST,)
