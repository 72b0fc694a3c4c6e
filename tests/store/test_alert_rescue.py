"""Rules, silences and history of alerts are the user's: they survive a damage and a rebuild."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ccagent.alerts.states import State
from ccagent.clock import FakeClock
from ccagent.store import alert_states, alert_version
from ccagent.store.alert_queue import due
from ccagent.store.alert_rules import Origin, put_rule, read_rule
from ccagent.store.alert_states import Telling, add_silence, history, record, silences
from ccagent.store.backup import Backup, backup_sqlite, default_target
from ccagent.store.connection import Connection
from ccagent.store.damage import heal
from ccagent.store.location import parse_database
from ccagent.store.rescue import Rescue
from ccagent.store.sqlite import SqliteStore
from tests.sources.feed import START_MS, Feed
from tests.store.pruned import NOW
from tests.store.test_alert_states import FIRED, FIRING, RULE
from tests.store.test_rescue import ruin_header, session


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ccagent.db"


def fill(conn: Connection, host: int, *, threshold: int = 5, episode: int = 1) -> None:
    """A rule, a silence, and an alert that is still to be told."""
    put_rule(conn, {**RULE, "threshold": threshold}, origin=Origin.CLI, now_ms=START_MS + threshold)
    record(
        conn, host=host, transitions=[replace(FIRED, episode=episode)], now_ms=START_MS,
        standings=[replace(FIRING, episode=episode, evaluated_at=START_MS + episode)],
        telling=lambda _: Telling(severity="warning", channels=("log",)),
    )  # fmt: skip
    if episode == 1:
        add_silence(conn, rule="other", subject=None, until=1 << 45, comment="noted", now_ms=START_MS)


def rescued(path: Path, *, lost: bool = False) -> Feed:
    """What a start makes of it; `lost`: nothing is left of the damaged file."""
    aside = heal(parse_database(str(path)), FakeClock(NOW))
    assert aside is not None
    if lost:
        Path(aside.file).unlink()
    feed = Feed(path)
    rescue = Rescue.due(feed.store)
    assert rescue is not None
    while rescue.step():
        pass
    return feed


def holds(feed: Feed, *, threshold: int, episodes: list[int]) -> None:
    conn = feed.store.conn
    stored = read_rule(conn, "mine")
    assert stored is not None
    assert stored.document["threshold"] == threshold
    assert sorted(entry.episode for entry in history(conn) if entry.after is State.FIRING) == episodes
    assert [one.episode for one in alert_states.standings(conn)] == episodes[-1:]
    assert [one.comment for one in silences(conn)] == ["noted"]
    waiting = [one.entry for one in due(conn, NOW, 10, host=feed.store.host)]
    assert sorted(one.episode for one in waiting if one.after is State.FIRING) == episodes
    assert alert_version.version(conn) > 0


def test_a_damaged_database_gets_its_alerts_from_the_backup_and_from_what_is_left_of_it(path: Path) -> None:
    feed = Feed(path)
    feed.read(session("one", turns=2))
    feed.store.write(lambda conn: fill(conn, feed.store.host))
    target = default_target(path, feed.clock.now_ms())
    target.parent.mkdir(exist_ok=True)
    backup_sqlite(feed.store.conn, target)
    feed.store.write(lambda conn: fill(conn, feed.store.host, threshold=7, episode=2))
    feed.close()
    ruin_header(path)

    after = rescued(path)

    holds(after, threshold=7, episodes=[1, 2])
    after.close()


def test_without_a_backup_the_damaged_file_itself_gives_what_can_be_read(path: Path) -> None:
    feed = Feed(path)
    feed.store.write(lambda conn: fill(conn, feed.store.host))
    feed.close()
    ruin_header(path)

    after = rescued(path)

    holds(after, threshold=5, episodes=[1])
    after.close()


def test_an_alert_after_a_rescue_never_has_the_key_of_one_before_it(path: Path) -> None:
    feed = Feed(path)
    target = default_target(path, feed.clock.now_ms())
    feed.store.write(lambda conn: fill(conn, feed.store.host))
    target.parent.mkdir(exist_ok=True)
    backup_sqlite(feed.store.conn, target)
    feed.store.write(lambda conn: fill(conn, feed.store.host, episode=2))
    lost = {entry.key for entry in history(feed.store.conn)}
    feed.close()
    ruin_header(path)

    after = rescued(path, lost=True)  # episode 2 is not remembered
    holds(after, threshold=5, episodes=[1])
    after.store.write(lambda conn: fill(conn, after.store.host, episode=2))

    (second,) = [entry.key for entry in history(after.store.conn) if entry.episode == 2 and entry.after is State.FIRING]
    assert second not in lost
    after.close()


@pytest.mark.parametrize("steps", [False, True])
def test_an_alert_after_a_backup_was_put_in_place_never_has_the_key_of_one_since(path: Path, steps: bool) -> None:
    feed = Feed(path)
    target = path.with_name("copy.db")
    feed.store.write(lambda conn: fill(conn, feed.store.host))
    if steps:
        assert isinstance(feed.store, SqliteStore)
        backup = Backup(feed.store, target)
        while backup.step():
            pass
    else:
        backup_sqlite(feed.store.conn, target)
    feed.store.write(lambda conn: fill(conn, feed.store.host, episode=2))
    known = {entry.episode: entry.key for entry in history(feed.store.conn) if entry.key}
    feed.close()
    for old in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        old.unlink(missing_ok=True)
    target.rename(path)

    after = Feed(path)
    holds(after, threshold=5, episodes=[1])
    after.store.write(lambda conn: fill(conn, after.store.host, episode=2))
    again = {entry.episode: entry.key for entry in history(after.store.conn) if entry.key}
    after.close()

    assert again[1] == known[1]
    assert again[2] != known[2]
