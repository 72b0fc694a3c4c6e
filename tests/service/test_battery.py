"""The follow thread on battery: all files are looked at less often, and what is announced is read as soon as ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccagent.clock import FakeClock
from ccagent.power import linux_battery
from ccagent.service.following import Following
from ccagent.service.live import Live
from ccagent.store.connection import scalar
from ccagent.store.sqlite import SqliteStore
from tests.service.test_following import FAR_AWAY_MS, NOW, rest, session
from tests.transcripts import Tree

SCAN_SECONDS = 60.0
BATTERY_SECONDS = 300.0


@pytest.fixture
def supply(tmp_path: Path) -> Callable[[str], None]:
    """Give the machine a battery of this status."""
    battery = tmp_path / "power_supply" / "BAT0"
    battery.mkdir(parents=True)
    (battery / "type").write_text("Battery\n")

    def change(status: str) -> None:
        (battery / "status").write_text(status + "\n")

    change("Discharging")
    return change


@pytest.fixture
def following(
    store: SqliteStore, tree: Tree, live: Live, clock: FakeClock, tmp_path: Path, supply: Callable[[str], None]
) -> Iterator[Following]:
    made = Following(
        store, [tree.root], live, clock, max_line=1 << 20, scan_seconds=SCAN_SECONDS,
        battery_scan_seconds=BATTERY_SECONDS, power=lambda: linux_battery(tmp_path / "power_supply"),
    )  # fmt: skip
    made.follower.watching = True  # events come; those of this tree's new files were lost
    yield made
    made.follower.close()


@pytest.fixture
def taken(store: SqliteStore) -> Callable[[], int]:
    """The number of requests in the store."""
    return lambda: int(scalar(store.conn, "SELECT count(*) FROM fact WHERE type = 4"))


def seconds(following: Following, clock: FakeClock, count: float) -> None:
    """Let time pass, a turn a second."""
    for _ in range(round(count)):
        clock.advance(1_000)
        rest(following)


def test_on_battery_a_file_without_an_event_is_found_by_the_rarer_scan(
    following: Following, tree: Tree, clock: FakeClock, taken: Callable[[], int]
) -> None:
    rest(following)
    tree.write(session())

    seconds(following, clock, BATTERY_SECONDS - 1)
    before = taken()
    seconds(following, clock, 1)

    assert (before, taken()) == (0, 2)


def test_a_cable_brings_the_ordinary_interval_back_within_one_of_them(
    following: Following, tree: Tree, clock: FakeClock, taken: Callable[[], int], supply: Callable[[str], None]
) -> None:
    rest(following)
    tree.write(session())
    seconds(following, clock, SCAN_SECONDS + 1)
    before = taken()

    supply("Charging")
    seconds(following, clock, SCAN_SECONDS)

    assert (before, taken()) == (0, 2)


def test_on_battery_what_is_announced_is_read_at_once(
    following: Following, tree: Tree, clock: FakeClock, taken: Callable[[], int]
) -> None:
    rest(following)
    path = tree.write(session())

    following.follower.hint(bytes(path))
    seconds(following, clock, 1)

    assert taken() == 2


def test_without_events_the_scan_does_not_wait_for_a_cable(
    following: Following, tree: Tree, clock: FakeClock, taken: Callable[[], int]
) -> None:
    following.follower.watching = False
    rest(following)
    tree.write(session())

    seconds(following, clock, SCAN_SECONDS)

    assert taken() == 2


def test_after_a_sleep_on_battery_everything_is_looked_at_at_once(
    following: Following, tree: Tree, clock: FakeClock, taken: Callable[[], int]
) -> None:
    rest(following)
    tree.write(session())

    clock.jump(NOW + FAR_AWAY_MS)
    rest(following)

    assert taken() == 2


def test_lost_events_mean_a_scan_at_once_on_battery_too(
    following: Following, tree: Tree, taken: Callable[[], int]
) -> None:
    rest(following)
    tree.write(session())

    following._overflowed()  # what the watcher calls
    rest(following)

    assert taken() == 2
