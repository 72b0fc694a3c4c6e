"""A backup in steps beside a writer that goes on, and which backups stay."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ccagent.errors import DamagedError, StoreError
from ccagent.store import backup as module
from ccagent.store.backup import Backup, backups_of, clear_partial, default_target, keep_newest
from ccagent.store.connection import SqliteConnection
from ccagent.store.sqlite import SqliteStore
from ccagent.store.view import canonical_dump
from tests.sources.feed import START_MS, Feed
from tests.store.faulty import Faulty
from tests.transcripts import Session


def session(name: str, requests: int = 30) -> Session:
    session = Session(name, start=START_MS)
    for _ in range(requests):
        session.prompt("hello")
        session.request("done")
    return session


@pytest.fixture
def feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    """A store with some facts, copied a few pages a step."""
    monkeypatch.setattr(module, "PAGES_BETWEEN_WRITES", 8)
    feed = Feed(tmp_path / "ccagent.db")
    feed.read(session("one"))
    yield feed
    feed.close()


def begun(feed: Feed, target: Path) -> Backup:
    assert isinstance(feed.store, SqliteStore)
    return Backup(feed.store, target)


def finish(backup: Backup) -> None:
    while backup.step():
        pass


def dump(path: Path) -> list[str]:
    with closing(SqliteConnection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as conn:
        return list(canonical_dump(conn))


def test_what_is_written_between_two_steps_is_in_the_copy_and_makes_it_no_longer(feed: Feed, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "copy.db"
    backup = begun(feed, target)
    steps = 0
    while backup.step():
        steps += 1
        feed.read(session(f"meanwhile-{steps}", requests=1))

    pages = int(feed.scalar("PRAGMA page_count"))
    assert steps > 3
    assert steps <= pages // 8 + 1
    with closing(SqliteConnection(str(target))) as conn:
        told = {row[0] for row in conn.execute("SELECT source_key FROM telemetry_events")}
    assert {f"session:meanwhile-{number}" for number in range(1, steps)} <= told
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700
    assert [path.name for path in target.parent.iterdir()] == ["copy.db"]


def test_a_transaction_that_is_rolled_back_meanwhile_is_not_in_the_copy(feed: Feed, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    backup = begun(feed, target)
    backup.step()

    with pytest.raises(StoreError):
        feed.store.write(
            lambda conn: conn.execute("UPDATE fact SET size = 1; INSERT INTO nothing VALUES (1)").fetchall()
        )
    while backup.step():
        pass

    assert dump(target) == feed.dump()


def test_given_up_nothing_of_it_stays(feed: Feed, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "copy.db"
    backup = begun(feed, target)
    backup.step()
    assert list(target.parent.iterdir())

    backup.abandon()

    assert list(target.parent.iterdir()) == []
    feed.read(session("two"))


def test_told_to_stop_while_it_is_checked_it_gives_up_at_once(
    feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_STEPS", 10)
    target = tmp_path / "copies" / "copy.db"
    backup = begun(feed, target)

    while backup.step(lambda: True):
        pass

    assert list(target.parent.iterdir()) == []


def test_a_place_that_is_taken_is_refused_and_left_alone(feed: Feed, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")

    with pytest.raises(StoreError, match="exists already"):
        begun(feed, target).step()

    assert target.read_text() == "precious"


def test_a_copy_of_damaged_pages_is_none(tmp_path: Path) -> None:
    path = tmp_path / "ccagent.db"
    feed = Feed(path)
    feed.read(session("one"))
    feed.close()
    store = SqliteStore(path, clock=feed.clock)
    root = store.ask("SELECT rootpage FROM sqlite_schema WHERE name = 'fact_time'")[0][0]
    with path.open("r+b") as file:
        file.seek((root - 1) * 4_096)
        file.write(b"\x55" * 4_096)
    backup = Backup(store, tmp_path / "copies" / "copy.db")

    with pytest.raises(DamagedError, match="ccagent db check"):
        finish(backup)

    assert list((tmp_path / "copies").iterdir()) == []
    store.close()


def test_whatever_write_fails_there_is_a_whole_copy_or_none_and_the_writer_goes_on(tmp_path: Path) -> None:
    """The n-th write or sync fails, for every n until none is left to fail."""
    faults = 0
    with Faulty() as disk:
        for number in range(1, 500):
            folder = tmp_path / str(number)
            feed = Feed(folder / "ccagent.db")
            feed.read(session("one", requests=3))
            target = folder / "copy.db"
            backup = begun(feed, target)
            disk.fail_at(number)
            try:
                while backup.step():
                    pass
            except StoreError:
                faults += 1
                assert sorted(path.name for path in folder.glob("copy*")) == []
            else:
                assert dump(target) == feed.dump()
            failed = disk.failed
            disk.fail_at(None)
            before = len(feed.dump())
            feed.read(session("two", requests=1))
            assert len(feed.dump()) > before
            feed.close()
            if not failed:
                break

    assert not failed
    assert faults > 3


def test_backups_are_named_by_time_and_only_the_newest_stay(tmp_path: Path) -> None:
    database = tmp_path / "ccagent.db"
    targets = [default_target(database, START_MS + day * 86_400_000) for day in range(4)]
    others = ["ccagent-notes.db", "other-20260101T000000Z.db", "ccagent-20260101T000000Z.db.partial"]
    targets[0].parent.mkdir()
    for path in [*targets, *(targets[0].parent / name for name in others)]:
        path.touch()

    assert targets[0].name == "ccagent-20260210T090000Z.db"
    assert backups_of(database) == targets[::-1]
    assert keep_newest(database, 2) == [targets[1], targets[0]]
    assert {path.name for path in targets[0].parent.iterdir()} == {*others, targets[2].name, targets[3].name}


def test_two_backups_in_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    database = tmp_path / "ccagent.db"
    first = default_target(database, START_MS)
    first.parent.mkdir()
    first.touch()

    assert default_target(database, START_MS + 900).name == "ccagent-20260210T090001Z.db"


def test_the_last_backup_is_never_removed(tmp_path: Path) -> None:
    database = tmp_path / "ccagent.db"
    target = default_target(database, START_MS)
    target.parent.mkdir()
    target.touch()

    assert keep_newest(database, 0) == []
    assert target.exists()


def test_what_a_kill_left_is_removed_and_what_somebody_is_at_work_on_is_not(tmp_path: Path) -> None:
    database = tmp_path / "ccagent.db"
    folder = default_target(database, START_MS).parent
    folder.mkdir()
    names = [
        "ccagent-20260101T000000Z.db.partial", "ccagent-20260101T000000Z.db.partial-journal",
        "ccagent-20260102T000000Z.db.partial", "ccagent-20260101T000000Z.db", "else.partial",
    ]  # fmt: skip
    for name in names:
        (folder / name).touch()
        os.utime(folder / name, (1_000, 1_000))
    os.utime(folder / names[2], (100_000, 100_000))

    clear_partial(database, now=100_100)

    assert sorted(path.name for path in folder.iterdir()) == sorted(names[2:])
