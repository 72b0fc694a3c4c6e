"""A COMMIT whose answer is lost: whether it took place is found out, not guessed, and nothing is booked twice."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ccagent.clock import SystemClock
from ccagent.errors import OutdatedError, StoreError
from ccagent.follow.follower import Follower
from ccagent.intake import Intake, file_states
from ccagent.store.advisory import lock_key
from ccagent.store.ingest import Ingest
from ccagent.store.location import parse_database
from ccagent.store.pgconnection import SCHEMA
from ccagent.store.postgres import PostgresStore
from tests.daemon.rig import until
from tests.kill import harness, oracle
from tests.kill.mutant import HastyStore
from tests.outages.rig import LONG, at_random, served
from tests.pg import Server, dbname
from tests.pgproxy import Proxy

FAULTS = 100 if LONG else 12
STEP_BYTES = 4_096
"""So little at once that a small tree takes many transactions."""

STARTS = "SELECT COALESCE(SUM(value), 0) FROM total WHERE metric = 'starts'"


@pytest.fixture
def proxy(pg_server: Server) -> Iterator[Proxy]:
    with Proxy(pg_server.tcp_port) as between:
        yield between


@pytest.fixture
def through(pg_server: Server, pg_database: str, proxy: Proxy) -> str:
    """URL of a database behind the proxy."""
    return pg_server.tcp_uri(dbname(pg_database), port=proxy.port)


@pytest.fixture
def tree(tmp_path: Path) -> harness.Ground:
    """Transcripts of which nothing was read yet."""
    ground = harness.Ground.below(tmp_path / "play")
    harness.write_turns(ground, seed=1, turns=8)
    return ground


@contextmanager
def opened(url: str, kind: type[PostgresStore] = PostgresStore) -> Iterator[PostgresStore]:
    store = kind(parse_database(url), host_id="one", clock=SystemClock())
    try:
        yield store
    finally:
        store.close()


def count(state: Ingest) -> None:
    """The least that a transaction can book."""
    state.booking.count("starts", ("0",))


def take_in(store: PostgresStore, tree: Path, before_step: Callable[[], object]) -> None:
    """Read the tree to its end, small steps at a time; as the daemon does, what was refused is read again."""
    follower = Follower([tree], file_states(store), turn_bytes=STEP_BYTES)
    intake = Intake(follower, store)
    follower.scan()
    while True:
        before_step()
        try:
            if not intake.step(STEP_BYTES):
                break
        except OutdatedError:
            raise
        except StoreError:
            continue
    follower.close()


def faults_of(proxy: Proxy) -> list[Callable[[], object]]:
    """What may happen to a COMMIT."""

    def strand() -> None:
        proxy.strand_commit()
        threading.Thread(target=lambda: (proxy.wait_for_fault(), time.sleep(0.05), proxy.land_commit())).start()

    return [proxy.lose_answer_of_commit, proxy.lose_commit, strand]


def test_answers_of_commits_that_are_lost_again_and_again_book_nothing_twice(
    tmp_path: Path, through: str, pg_database: str, proxy: Proxy
) -> None:
    chance = random.Random(2)

    def lose() -> None:
        chance.choice(faults_of(proxy))()
        proxy.wait_for_fault()

    with served(tmp_path / "ground", through, direct=pg_database) as ground:
        daemon = ground.start("--listen", "off")
        with ground.writing(seed=1):
            daemon.until(ground.taken, "something is taken in")
            at_random(chance, FAULTS, 0.0, 0.2, lose)
        ground.until_all_is_taken(daemon)

        assert daemon.process.poll() is None, daemon.words
        assert ground.findings() == []


@pytest.mark.parametrize("fault", ["lose_answer_of_commit", "lose_commit"])
def test_each_commit_of_an_ingest_may_be_lost(through: str, proxy: Proxy, tree: harness.Ground, fault: str) -> None:
    steps = []

    def arm() -> None:
        steps.append(getattr(proxy, fault)())

    with opened(through) as store:
        take_in(store, tree.tree, arm)

        assert len(steps) > 5
        assert oracle.findings(through, tree.tree, tree.manifest) == []


def test_who_just_runs_a_transaction_again_is_caught(through: str, proxy: Proxy, tree: harness.Ground) -> None:
    with opened(through, HastyStore) as store:
        take_in(store, tree.tree, proxy.lose_answer_of_commit)

    found = "; ".join(oracle.findings(through, tree.tree, tree.manifest))

    assert "the counter ingest.records says" in found
    assert "the counter ingest.bytes says" in found


def test_the_answer_is_waited_for_while_the_server_is_away(own_pg_server: Server) -> None:
    """The server dies with the COMMIT on its disk and the answer unsent, and comes back after a while."""
    name = own_pg_server.create_database()
    told: list[str | None] = []
    with Proxy(own_pg_server.tcp_port) as proxy, opened(own_pg_server.tcp_uri(name, port=proxy.port)) as store:
        store.told = told.append
        proxy.rewrite = lambda chunk: (b"COMMIT\0" in chunk and own_pg_server.stop("immediate")) or chunk
        proxy.lose_answer_of_commit()
        working = threading.Thread(target=store.run, args=(count,))
        working.start()
        until(lambda: len(told) > 1, "the wait is told")
        proxy.rewrite = lambda chunk: chunk
        own_pg_server.start()
        working.join()

        assert [text is None or "the answer to a COMMIT is missing" in text for text in told] == [True] * len(told)
        assert told[-1] is None
        assert store.ask(STARTS) == [(1,)]


def test_a_store_that_is_told_to_end_waits_for_no_answer(own_pg_server: Server) -> None:
    name = own_pg_server.create_database()
    failed: list[StoreError] = []

    def work() -> None:
        try:
            store.run(count)
        except StoreError as error:
            failed.append(error)

    with Proxy(own_pg_server.tcp_port) as proxy, opened(own_pg_server.tcp_uri(name, port=proxy.port)) as store:
        waiting = threading.Event()
        store.told = lambda text: waiting.set()
        proxy.rewrite = lambda chunk: (b"COMMIT\0" in chunk and own_pg_server.stop("immediate")) or chunk
        proxy.lose_answer_of_commit()
        working = threading.Thread(target=work)
        working.start()
        waiting.wait()

        store.leave()

        working.join(5)
        assert failed
    own_pg_server.start()
    with opened(own_pg_server.tcp_uri(name)) as store:
        assert store.ask(STARTS) == [(1,)]


def test_a_commit_that_still_travels_is_cut_off_before_the_next_session_begins(
    through: str, proxy: Proxy, pg_server: Server
) -> None:
    with opened(through) as store:
        proxy.strand_commit()

        store.run(count)
        proxy.land_commit()

        assert store.ask(STARTS) == [(1,)]
        held = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND database = (SELECT oid FROM"
        )
        held += " pg_database WHERE datname = %s)"
        number = lock_key(SCHEMA, "host", "one") & 0xFFFFFFFF
        assert pg_server.rows(held, (number, dbname(through))) == [(1,)]
