"""Hosts that share a database: who recorded a transition tells of it, or who is left when that one is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent.clock import FakeClock
from ccagent.store.alert_queue import ABANDONED_MS
from tests.notify.desk import Desk, open_writer
from tests.notify.hooks import Hooks
from tests.notify.made import NOON


@pytest.fixture
def hosts(pg_database: str, tmp_path: Path) -> Iterator[tuple[Desk, Desk]]:
    """The first one makes the rollups."""
    clock = FakeClock(NOON)
    made = [Desk(store=open_writer(pg_database, clock, name), clock=clock, folder=tmp_path) for name in ("one", "two")]
    assert made[0].store.elected()
    yield made[0], made[1]
    for one in made:
        one.close()


def text(hooks: Hooks, name: str = "hook") -> str:
    return f'[alerts]\ngroup_seconds = 0\n[alerts.channels.{name}]\ntype = "webhook"\nurl = "{hooks.url}"\n'


def test_a_host_tells_what_it_recorded_itself(hosts: tuple[Desk, Desk], hooks: Hooks) -> None:
    one, two = hosts
    first, second = one.happen("hook", subject="/p/one"), two.happen("hook", subject="/p/two")

    one.notifying(text(hooks)).drain()
    of_one = list(hooks.keys)
    two.notifying(text(hooks)).drain()

    assert of_one == [first]
    assert hooks.keys == [first, second]
    assert one.states() == ["sent", "sent"]


def test_what_a_host_that_is_gone_left_lying_is_told_by_the_elected_one(hosts: tuple[Desk, Desk], hooks: Hooks) -> None:
    one, two = hosts
    key = two.happen("hook")
    telling = one.notifying(text(hooks))

    telling.drain()
    early = list(hooks.keys)
    one.clock.advance(ABANDONED_MS)
    one.notifying(text(hooks)).drain()

    assert early == []
    assert hooks.keys == [key]


def test_who_does_not_make_the_rollups_leaves_it_alone(hosts: tuple[Desk, Desk], hooks: Hooks) -> None:
    one, two = hosts
    one.happen("hook")
    one.clock.advance(ABANDONED_MS)

    two.notifying(text(hooks)).drain()

    assert hooks.keys == []


def test_a_channel_that_only_the_other_host_has_is_not_dropped(hosts: tuple[Desk, Desk], hooks: Hooks) -> None:
    one, two = hosts
    key = two.happen("hook")
    one.clock.advance(ABANDONED_MS)

    one.notifying(text(hooks, "another")).drain()
    waits = two.states()
    two.notifying(text(hooks)).drain()

    assert waits == ["waiting"]
    assert hooks.keys == [key]
