"""Retention where hosts share a database: one of them does it, and none writes while hours are sealed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest

from ccagent.store import rollups
from ccagent.store.ingest import Ingest
from ccagent.store.retention import Pruning, Removed
from ccagent.store.retention_rules import Rules
from ccagent.store.writer import Writer
from tests.sources.feed import START_MS
from tests.store.hosted import Hosted
from tests.store.pruned import DAY_MS, ZONE
from tests.transcripts import Session, Usage

NOW = START_MS + 40 * DAY_MS
WAIT_SECONDS = 20.0


@pytest.fixture
def hosts(pg_database: str) -> Iterator[tuple[Hosted, Hosted]]:
    one, two = Hosted(pg_database, "one"), Hosted(pg_database, "two")
    one.store.set_meta("zone", ZONE.key)
    assert one.store.elected()
    yield one, two
    for host in (one, two):
        host.close()


def session(name: str, seed: int, start: int = START_MS) -> Session:
    written = Session(name, seed=seed, start=start)
    written.prompt("hello")
    written.bash("ls", usage=Usage(input=3, output=50))
    return written


def refresh(store: Writer) -> None:
    def work(state: Ingest) -> int:
        state.wrote = True
        return rollups.refresh(state.conn, ZONE)

    while store.run(work):
        pass


def pruning(host: Hosted) -> Pruning:
    rules = Rules(payload_days=0, fact_months=1, max_bytes=0)
    return Pruning(host.store, lambda: nullcontext(host.store.conn), rules, ZONE, lambda: refresh(host.store), NOW)


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def test_only_the_elected_host_prunes(hosts: tuple[Hosted, Hosted]) -> None:
    one, two = hosts
    two.read(session("old", 1))
    two.until(START_MS + DAY_MS)

    assert pruning(two).run().facts == 0
    assert two.store.meta("pruned_at") is None
    assert pruning(one).run().sessions == 1


def test_another_host_learns_with_its_next_transaction_what_is_sealed(hosts: tuple[Hosted, Hosted]) -> None:
    one, two = hosts
    old, late = session("old", 1), session("late", 2)
    one.read(old)
    one.until(START_MS + DAY_MS)
    two.read(session("young", 3, START_MS + 39 * DAY_MS))
    pruning(one).run()
    left = one.dump()

    two.take((old.path, old.content))
    assert one.dump() == left
    two.read(late)

    assert two.counted("rollup.late_facts")['["new"]'] > 0
    hour = "SELECT SUM(count) FROM rollup WHERE period = 1 AND family = 4"
    assert one.scalar(hour) == 3  # at once: no refresh would find it
    refresh(one.store)
    assert one.scalar(hour) == 3


def test_sealing_waits_for_a_transaction_that_does_not_know_of_it(hosts: tuple[Hosted, Hosted]) -> None:
    """It read the old seal and would mark as stale what nobody computes again."""
    one, two = hosts
    one.read(session("old", 1))
    one.until(START_MS + DAY_MS)
    refresh(one.store)
    late = session("late", 2)
    begun, go_on = threading.Event(), threading.Event()
    removed: list[Removed] = []
    insert = two.store.ingest_state.facts

    def held(batch: object) -> None:
        begun.set()
        assert go_on.wait(WAIT_SECONDS)
        insert(batch)  # type: ignore[arg-type]

    two.store.ingest_state.facts = held  # type: ignore[method-assign]
    with beside(lambda: two.read(late) and None):  # type: ignore[func-returns-value]
        assert begun.wait(WAIT_SECONDS)
        with beside(lambda: removed.append(pruning(one).run())) as pruner:
            pruner.join(1.0)
            assert pruner.is_alive(), "the seal did not wait"
            go_on.set()

    # What the other host had marked was made anew before the hour was sealed.
    refresh(one.store)
    assert removed[0].sessions >= 1
    assert one.scalar("SELECT SUM(count) FROM rollup WHERE period = 1 AND family = 4") == 2
    assert one.scalar("SELECT COUNT(*) FROM dirty") == 0
