"""Two hosts write the same facts at the same time: they wait for facts alone, and whoever has to goes again."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ccagent.clock import SystemClock
from ccagent.follow.follower import Follower
from ccagent.intake import Intake, file_states
from ccagent.store.ingest import Ingest
from ccagent.store.location import parse_database
from ccagent.store.postgres import PostgresStore
from tests.daemon.collector import rich_session
from tests.kill import harness, oracle
from tests.pg import Server
from tests.transcripts import Tree

STEP_BYTES = 16_384
TURNS = 30
RICH = 10
"""Sessions with sub-agents, which are linked across files."""

BEGAN = 1_700_000_000

TALKATIVE = {"log_lock_waits": "on", "deadlock_timeout": "1ms"}
"""The server's log names every wait of a millisecond."""

NUMBERED = ("name", "name_pkey", "name_value_key", "context", "context_pkey", "context_whole")
"""What gets numbers outside of the batch's transaction."""

PLACE = re.compile(r'(?:in|of) relation "(\w+)"')
"""Where somebody waited, in that log."""


@contextmanager
def opened(url: str, host: str) -> Iterator[PostgresStore]:
    store = PostgresStore(parse_database(url), host_id=host, clock=SystemClock())
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def two(pg_database: str) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    """Two hosts on one database, in which the facts `one` and `two` stand."""
    with opened(pg_database, "a") as one, opened(pg_database, "b") as other:
        for key in (b"one", b"two"):
            one.write(
                lambda conn, key=key: conn.execute(
                    "INSERT INTO fact (key, type, native, context, status, flags, parser, host, seq)"
                    " VALUES (?, 0, '', 0, 0, 0, 0, 0, 0)",
                    (key,),
                )
            )
        yield one, other


def together(*works: Callable[[], object]) -> None:
    """Run all of them at once; the first of their errors is raised."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_two_that_wait_for_each_other_go_again_and_get_through(
    two: tuple[PostgresStore, PostgresStore],
) -> None:
    met = threading.Barrier(2)
    runs: Counter[int] = Counter()

    def work(state: Ingest, first: bytes, second: bytes) -> None:
        runs[state.host] += 1
        state.conn.execute("UPDATE fact SET size = COALESCE(size, 0) + 1 WHERE key = ?", (first,))
        if max(runs.values()) == 1:
            met.wait()
        state.conn.execute("UPDATE fact SET size = COALESCE(size, 0) + 1 WHERE key = ?", (second,))
        state.wrote = True

    together(
        lambda: two[0].run(lambda state: work(state, b"one", b"two")),
        lambda: two[1].run(lambda state: work(state, b"two", b"one")),
    )

    assert sum(runs.values()) > 2, "they did not meet"
    assert two[0].ask("SELECT size FROM fact") == [(2,), (2,)]


def test_a_serialisation_failure_is_run_again(two: tuple[PostgresStore, PostgresStore]) -> None:
    runs = []

    def work(state: Ingest) -> None:
        runs.append(state.seq)
        state.booking.count("starts", ("0",))
        if len(runs) < 4:
            state.conn.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$")

    two[0].run(work)

    assert len(runs) == 4
    assert two[0].ask("SELECT SUM(value) FROM total WHERE metric = 'starts'") == [(1,)]


@pytest.mark.parametrize("order", ["the same", "opposite"])
def test_two_hosts_that_read_the_same_wait_for_facts_alone(tmp_path: Path, order: str) -> None:
    """Facts, which call launched which sub-agent, and links. Nobody ever waits for texts, contexts, marks and totals: each
    host has rows of its own there, or gives numbers before its transaction."""
    play = harness.Ground.below(tmp_path / "play")
    harness.write_turns(play, seed=1, turns=TURNS)
    Tree(play.tree).write(*(rich_session(f"rich-{number}") for number in range(RICH)))
    mirror = tmp_path / "mirror"
    shutil.copytree(play.tree, mirror)
    sign = 1 if order == "the same" else -1
    for age, path in enumerate(sorted(play.tree.rglob("*.jsonl"))):  # the newest is read first
        os.utime(path, (BEGAN + age, BEGAN + age))
        os.utime(mirror / path.relative_to(play.tree), (BEGAN + sign * age, BEGAN + sign * age))
    with Server(settings=TALKATIVE) as server, server.database() as url:
        with opened(url, "a") as one, opened(url, "b") as other:
            together(lambda: take_in(one, play.tree), lambda: take_in(other, mirror))
        places = Counter(PLACE.findall(server.log.read_text()))
        found = oracle.dump(url)
    fresh = harness.run_once(play, database=play.fresh)

    assert fresh.returncode == 0, fresh.stderr
    assert found == oracle.dump(play.fresh)
    # A number is given by a statement of its own: two hosts may meet there, for as long as a busy machine lets one stand.
    numbered = sum(places.pop(name, 0) for name in NUMBERED)
    assert numbered <= sum(places.values()) // 4 + 3, (numbered, places)
    assert places.keys() <= {"fact", "fact_pkey", "agent", "agent_pkey", "link", "link_pkey"}, places
    assert places or order == "opposite", "nobody met"


def take_in(store: PostgresStore, tree: Path) -> None:
    follower = Follower([tree], file_states(store), turn_bytes=STEP_BYTES)
    intake = Intake(follower, store)
    follower.scan()
    while intake.step(STEP_BYTES):
        pass
    ids = follower.quiet_ids(float("inf"), 0.0)
    while store.close_due(ids, ids):
        pass
    follower.close()
