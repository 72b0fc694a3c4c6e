"""The follow thread turned by hand: when it looks, when it retries, what it closes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from ccagent.clock import FakeClock
from ccagent.follow.state import GONE
from ccagent.metrics import names as metric
from ccagent.service.following import RETRY_SECONDS, TIMERS_SECONDS, Following
from ccagent.service.live import Live
from ccagent.store import totals
from ccagent.store.connection import scalar
from ccagent.store.sqlite import SqliteStore
from tests.service.conftest import NOW
from tests.transcripts import Session, Tree, Usage, text

SCAN_SECONDS = 60.0
FAR_AWAY_MS = 8 * 3_600 * 1_000


@pytest.fixture
def changes() -> list[None]:
    return []


@pytest.fixture
def following(store: SqliteStore, tree: Tree, live: Live, clock: FakeClock, changes: list[None]) -> Iterator[Following]:
    made = Following(
        store, [tree.root], live, clock, max_line=1 << 20, scan_seconds=SCAN_SECONDS,
        on_change=lambda: changes.append(None),
    )  # fmt: skip
    yield made
    made.follower.close()


@pytest.fixture
def facts(store: SqliteStore) -> Callable[[str], int]:
    """The number of requests that a condition holds for."""
    return lambda where: int(scalar(store.conn, f"SELECT count(*) FROM fact WHERE type = 4 AND {where}"))


def session(name: str = "one", *, start: int = NOW - 60_000) -> Session:
    """A prompt and two replies; the turn stays open."""
    found = Session(seed=name, start=start)
    found.prompt("hello")
    found.assistant(text("a reply"), usage=Usage(input=3, output=5))
    found.assistant(text("a reply"), usage=Usage(input=4, output=6))
    return found


def rest(following: Following) -> None:
    """Turn until there is nothing left to do at once."""
    while following.turn():
        pass


def test_a_new_file_without_an_event_is_found_by_the_next_scan(
    following: Following, tree: Tree, clock: FakeClock, facts: Callable[[str], int]
) -> None:
    rest(following)
    tree.write(session())
    clock.advance(round(SCAN_SECONDS * 1_000) - 1)
    rest(following)
    before = facts("1")

    clock.advance(1)
    rest(following)

    assert (before, facts("1")) == (0, 2)


@pytest.mark.parametrize("jump", [FAR_AWAY_MS, -FAR_AWAY_MS])
def test_a_clock_that_jumps_means_sleep_and_everything_is_looked_at(
    following: Following, tree: Tree, clock: FakeClock, facts: Callable[[str], int], jump: int
) -> None:
    rest(following)
    tree.write(session())

    clock.jump(NOW + jump)
    rest(following)

    assert facts("1") == 2


def test_lost_events_mean_a_scan_at_once(following: Following, tree: Tree, facts: Callable[[str], int]) -> None:
    rest(following)
    tree.write(session())

    following._overflowed()  # what the watcher calls; a real queue of the kernel is too long to fill here
    rest(following)

    assert facts("1") == 2


def test_ready_comes_with_the_first_scan_and_caught_up_with_the_last_line(
    following: Following, tree: Tree, live: Live, store: SqliteStore
) -> None:
    tree.write(session())

    following.turn()
    first = (live.ready, live.caught_up)
    rest(following)

    assert first == (True, False)
    assert live.caught_up
    assert scalar(store.conn, "SELECT catch_up_done FROM host") == NOW


def test_what_went_unread_is_counted_before_the_store_knows_that_it_is_gone(
    following: Following, tree: Tree, store: SqliteStore
) -> None:
    path = tree.write(session())
    with path.open("ab") as file:
        file.write(b'{"half')
    rest(following)
    following.close()
    path.unlink()
    lost = "SELECT COALESCE(SUM(value), 0) FROM total WHERE metric = 'ingest.lost'"

    following._begin()  # as the next process does
    following.once()

    assert scalar(store.conn, "SELECT state FROM file") == GONE
    assert scalar(store.conn, lost) == 6


def test_a_store_that_refuses_loses_nothing_and_is_asked_again(
    following: Following, tree: Tree, live: Live, store: SqliteStore, clock: FakeClock, facts: Callable[[str], int]
) -> None:
    tree.write(*(session(f"session-{number}") for number in range(40)))
    limit = scalar(store.conn, f"PRAGMA max_page_count = {scalar(store.conn, 'PRAGMA page_count')}")
    rest(following)
    refused = (facts("1"), live.problems.get("store"), live.caught_up)

    store.conn.execute(f"PRAGMA max_page_count = {limit * 1_000}")
    clock.advance(round(RETRY_SECONDS[1] * 1_000))
    rest(following)

    assert refused[0] == 0
    assert refused[1] is not None
    assert "full" in refused[1]
    assert not refused[2]
    assert (facts("1"), live.problems, live.caught_up) == (80, {}, True)
    failures = {row.labels: row.value for row in totals.read(store.conn).totals if row.metric == metric.STORE_FAILURES}
    assert failures == {("full",): 1}


def test_a_store_that_goes_on_refusing_is_asked_less_and_less_often(
    following: Following, tree: Tree, store: SqliteStore, clock: FakeClock
) -> None:
    tree.write(*(session(f"session-{number}") for number in range(40)))
    limit = scalar(store.conn, f"PRAGMA max_page_count = {scalar(store.conn, 'PRAGMA page_count')}")
    waits = []
    for _ in range(10):
        rest(following)
        waits.append(round(following._retry - clock.monotonic(), 3))
        clock.advance(round(waits[-1] * 1_000) + 1)
    store.conn.execute(f"PRAGMA max_page_count = {limit * 1_000}")  # closing it writes, too

    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


def test_a_request_closes_when_its_file_was_quiet_for_a_second(
    following: Following, tree: Tree, clock: FakeClock, facts: Callable[[str], int], changes: list[None]
) -> None:
    rest(following)
    following.follower.hint(os.fsencode(tree.write(session())))
    rest(following)
    before = facts("closed_seq IS NOT NULL")
    changes.clear()

    clock.advance(1_000)
    rest(following)

    assert (before, facts("closed_seq IS NOT NULL")) == (1, 2)
    assert changes, "who exports is told"


def test_a_request_closes_in_time_while_others_write_and_timers_are_not_asked_at_every_line(
    following: Following, tree: Tree, clock: FakeClock, facts: Callable[[str], int], monkeypatch: pytest.MonkeyPatch,
    store: SqliteStore,
) -> None:  # fmt: skip
    asked = []
    close_due = store.close_due

    def counted(caught_up: set[int], quiet: set[int]) -> int:
        asked.append(clock.monotonic())
        return close_due(caught_up, quiet)

    monkeypatch.setattr(store, "close_due", counted)
    rest(following)
    following.follower.hint(os.fsencode(tree.write(session())))
    rest(following)
    busy = tree.write(session("two"))
    asked.clear()
    closed = []

    for _ in range(20):
        with busy.open("ab") as file:
            file.write(b'{"type": "summary", "summary": "x", "leafUuid": "y"}\n')
        following.follower.hint(os.fsencode(busy))
        clock.advance(100)
        rest(following)
        closed.append(facts("closed_seq IS NOT NULL AND file = 1"))

    assert (closed[8], closed[15]) == (1, 2), "a second of quiet, and at most half a second more"
    assert 3 <= len(asked) <= 6


def test_beside_events_hot_files_are_looked_at_once_a_second_and_hinted_ones_at_once(
    following: Following, tree: Tree, clock: FakeClock, facts: Callable[[str], int]
) -> None:
    silent, told = tree.write(session()), tree.write(session("two"))
    rest(following)
    following.follower.watching = True
    clock.advance(1_000)
    rest(following)
    before = facts("1")
    for path, name in ((silent, "three"), (told, "four")):
        with path.open("ab") as file:
            file.write(session(name).content)
    following.follower.hint(os.fsencode(told))

    clock.advance(100)
    rest(following)
    at_once = facts("1")
    clock.advance(900)
    rest(following)

    assert (before, at_once, facts("1")) == (4, 6, 8)


def test_a_turn_closes_after_ten_minutes_without_a_record(
    following: Following, tree: Tree, clock: FakeClock, store: SqliteStore
) -> None:
    tree.write(session())
    rest(following)
    turns = "SELECT count(*) FROM fact WHERE type = 2 AND closed_seq IS NOT NULL"
    clock.advance(5 * 60_000)
    rest(following)
    before = scalar(store.conn, turns)

    clock.advance(6 * 60_000 + round(TIMERS_SECONDS * 1_000))
    rest(following)

    assert (before, scalar(store.conn, turns)) == (0, 1)


def test_the_live_values_tell_what_waits(following: Following, tree: Tree, live: Live) -> None:
    written = session()
    tree.put(written.path, written.content + b'{"half": ')

    rest(following)

    assert (live.files, live.total_bytes) == (1, len(written.content) + 9)
    assert (live.unread_bytes, live.pending_bytes) == (0, 9)


def test_once_closes_what_timers_would(
    following: Following, tree: Tree, live: Live, facts: Callable[[str], int]
) -> None:
    tree.write(session())

    following.once()

    assert facts("closed_seq IS NOT NULL") == 2
    assert live.caught_up


def test_a_scan_shows_at_every_transcript_that_it_goes_on(following: Following, tree: Tree) -> None:
    turned: list[None] = []
    for name in ("one", "two", "three"):
        tree.write(session(name))
    following.turned = lambda: turned.append(None)

    following.follower.scan()

    assert len(turned) == 3
