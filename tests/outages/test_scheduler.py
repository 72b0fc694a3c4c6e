"""Of many hosts one makes the rollups: also those of the others' facts, and never two at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ccagent.clock import FakeClock
from ccagent.service.following import Following
from ccagent.service.live import Live
from ccagent.service.scheduling import OTHERS_SECONDS, Scheduling
from ccagent.store import rollups
from ccagent.store.ingest import Ingest
from ccagent.store.location import parse_database
from ccagent.store.postgres import PostgresStore
from tests.daemon.rig import small_session
from tests.transcripts import Tree

NOW = 1_770_714_000_000
UTC = ZoneInfo("UTC")


@pytest.fixture
def stores(pg_database: str) -> Iterator[list[PostgresStore]]:
    found = [PostgresStore(parse_database(pg_database), host_id=name, clock=FakeClock(NOW)) for name in ("a", "b")]
    yield found
    for store in found:
        store.close()


def take_in(store: PostgresStore, folder: Path, name: str) -> None:
    tree = Tree(folder / name)
    tree.write(small_session(name, start=NOW - 3_600_000))
    following = Following(store, [tree.root], Live(), FakeClock(NOW), max_line=1 << 20, scan_seconds=60)
    following.once()
    following.follower.close()


def scheduling_of(store: PostgresStore) -> Scheduling:
    return Scheduling(store, UTC, Live(caught_up=True), FakeClock(NOW), None)


def stale(store: PostgresStore) -> int:
    return int(store.ask("SELECT COUNT(*) FROM dirty")[0][0])


def test_the_elected_one_makes_the_rollups_of_the_others_facts(stores: list[PostgresStore], tmp_path: Path) -> None:
    elected, other = (scheduling_of(store) for store in stores)
    elected.tick(0.0)
    take_in(stores[1], tmp_path, "one")
    assert stale(stores[0])

    other.changed()
    other.tick(10.0)
    elected.tick(10.0)
    assert stale(stores[0]), "it looks only now and then for what it was not told of"
    elected.tick(OTHERS_SECONDS + 1)

    assert stale(stores[0]) == 0
    assert stores[0].ask("SELECT SUM(count) FROM rollup WHERE period = 1 AND family = 4") == [(2,)]


def test_when_the_elected_one_is_gone_another_takes_its_place(stores: list[PostgresStore], tmp_path: Path) -> None:
    elected, other = (scheduling_of(store) for store in stores)
    elected.tick(0.0)
    other.tick(0.0)
    take_in(stores[1], tmp_path, "one")
    stores[1].conn.execute("SELECT pg_terminate_backend(?::integer, 5000)", (stores[0].conn.backend_pid,))

    other.tick(OTHERS_SECONDS + 1)
    assert stale(stores[1]) == 0
    take_in(stores[1], tmp_path, "two")
    elected.changed()
    elected.tick(OTHERS_SECONDS + 1)

    assert stale(stores[1]), "who was elected has noticed that it is not any more"


def test_two_that_both_think_they_are_elected_take_turns(stores: list[PostgresStore], tmp_path: Path) -> None:
    take_in(stores[0], tmp_path, "one")
    computed, go_on = threading.Event(), threading.Event()
    done: list[int] = []

    def hold(state: Ingest) -> None:
        while rollups.refresh(state.conn, UTC):
            pass
        computed.set()
        go_on.wait()

    first = threading.Thread(target=stores[0].run, args=(hold,))
    second = threading.Thread(target=lambda: done.append(stores[1].run(lambda state: rollups.refresh(state.conn, UTC))))
    first.start()
    computed.wait()
    second.start()
    second.join(0.3)
    waited = second.is_alive()
    go_on.set()
    first.join()
    second.join()

    assert waited
    assert done == [0], "the second finds nothing left to do"
    assert stale(stores[0]) == 0
