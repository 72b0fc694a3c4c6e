"""Measured hours where lines really come in: two machines that share a database, retention, and a file that is refreshed
beside its writer."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent.alerts.rule import Scope
from ccagent.metrics import names
from ccagent.store.alert_series import StoreSeries
from ccagent.store.location import parse_database
from ccagent.store.open import open_reader
from ccagent.store.pgconnection import connect
from ccagent.store.refreshing import refresh_slice
from ccagent.store.writer import Writer
from tests.sources.feed import START_MS, Feed, on_sqlite
from tests.store.hosted import Hosted
from tests.store.measuring import one, operand, rounded
from tests.store.pruned import DAY_MS, ZONE, feed_in_zone, prune
from tests.store.pruned import session as written

METRICS = (names.TOOL_CALLS, names.TURNS, names.TOKENS, names.TOOL_DURATION, "session_cost")
ALWAYS = (0, START_MS + 100 * DAY_MS)


def refresh(store: Writer) -> None:
    while refresh_slice(store, ZONE, limit=50):
        pass


def booked(feed: Feed, metric: str) -> int:
    """What all hosts have booked of a counter."""
    return int(feed.scalar(f"SELECT COALESCE(SUM(value), 0) FROM total WHERE metric = '{metric}'"))


@pytest.fixture
def hosts(pg_database: str) -> Iterator[tuple[Hosted, Hosted]]:
    first, second = Hosted(pg_database, "one"), Hosted(pg_database, "two")
    first.store.set_meta("zone", ZONE.key)
    yield first, second
    for host in (first, second):
        host.close()


def test_one_machine_evaluates_what_both_have_written_and_closed(
    hosts: tuple[Hosted, Hosted], pg_database: str
) -> None:
    """Whoever evaluates hears of what the other has closed, in whatever order that comes."""
    first, second = hosts
    reader = connect(pg_database, application_name="tests")
    chance = random.Random(3)
    sessions = [written(f"s{number}", START_MS + number * 3_600_000) for number in range(6)]
    now = START_MS + 9 * 3_600_000
    for number, each in enumerate(sessions):
        host = (first, second)[number % 2]
        host.read(each)
        if chance.random() < 0.5:
            (second if chance.random() < 0.5 else host).until(now + number)
        refresh(first.store)

        said = StoreSeries(reader, ZONE, now, write=first.store.write)

        for metric in (names.TOOL_CALLS, names.TOKENS):
            found = one(said, metric, (START_MS - DAY_MS, now))
            assert (0 if found is None else found[0]) == booked(first, metric), (number, metric)
    for host in hosts:
        host.until(now + 90_000_000)
    said = StoreSeries(reader, ZONE, now, write=first.store.write)
    assert one(said, names.TURNS, (START_MS - DAY_MS, now)) == (booked(first, names.TURNS),) * 2
    assert booked(first, names.TURNS) == 12
    reader.close()


@pytest.mark.usefixtures("either_store")
def test_what_was_measured_outlives_the_facts() -> None:
    feed = feed_in_zone()
    old, young = written("old", START_MS), written("young", START_MS + 25 * DAY_MS)
    feed.read(old, young)
    now = START_MS + 40 * DAY_MS
    feed.until(now)
    refresh(feed.store)

    def told() -> dict[str, object]:
        said = StoreSeries(feed.store.conn, ZONE, now, write=feed.store.write)
        return {metric: rounded(said.amounts(operand(metric), Scope.PROJECT, [ALWAYS])) for metric in METRICS}

    before = told()
    assert prune(feed, now).facts > 0
    refresh(feed.store)

    assert told() == before != {}
    feed.close()


@pytest.mark.usefixtures("either_store")
def test_what_was_not_measured_before_its_facts_went_is_not_made_up() -> None:
    feed = feed_in_zone()
    feed.read(written("old", START_MS), written("young", START_MS + 25 * DAY_MS))
    now = START_MS + 40 * DAY_MS
    feed.until(now)
    refresh(feed.store)
    prune(feed, now)
    refresh(feed.store)

    said = StoreSeries(feed.store.conn, ZONE, now, write=feed.store.write)

    whole = one(said, names.TOOL_CALLS, ALWAYS)
    assert whole == one(said, names.TOOL_CALLS, (START_MS + 20 * DAY_MS, now))
    assert 0 < whole[0] < booked(feed, names.TOOL_CALLS)
    assert one(said, "tool_call_count", ALWAYS)[0] == booked(feed, names.TOOL_CALLS)
    feed.close()


def test_a_database_that_is_refreshed_beside_its_writer(tmp_path: Path) -> None:
    """As the daemon does it: rollups are read on one connection, alerts on another, and the writer goes on."""
    path = tmp_path / "ccagent.db"
    with on_sqlite():
        feed = Feed(path)
    feed.store.set_meta("zone", ZONE.key)
    session = written("one", START_MS)
    now = START_MS + DAY_MS
    for _ in range(4):
        session.bash("ls")
        feed.read(session)
        feed.tick(1_000)
        refresh(feed.store)

        with open_reader(parse_database(str(path))) as reader:
            said = StoreSeries(reader, ZONE, now, write=feed.store.write)

            assert one(said, names.TOOL_CALLS, ALWAYS)[0] == booked(feed, names.TOOL_CALLS)
            by_tool = said.amounts(operand(names.TOOL_CALLS, tool="Bash"), Scope.SESSION, [ALWAYS], ["one"])
            bash = sum(
                value for labels, value in feed.counted(names.TOOL_CALLS).items() if json.loads(labels)[0] == "Bash"
            )
            assert [each.value for each in by_tool["one"] if each] == [bash]
    feed.close()
