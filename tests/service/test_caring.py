"""What the schedule thread does for the database: its log, its backups; turned by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ccagent.clock import FakeClock
from ccagent.config import BackupConfig
from ccagent.service import caring as module
from ccagent.service.caring import BACKUP_SECONDS, DAY_MS, LOG_SECONDS, Caring, LogLimits
from ccagent.service.live import Live
from ccagent.store import backup, wal
from ccagent.store.backup import backups_of
from ccagent.store.connection import SqliteConnection
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session

KIB = 1_024
LIMITS = LogLimits(passive=32 * KIB, truncate=128 * KIB, alarm=512 * KIB, pause=1_024 * KIB)
WEEKLY = BackupConfig(interval_days=7.0, keep=1)
NEVER = BackupConfig(interval_days=0.0, keep=1)


class Ground:
    """A store on disk, its clock, what the daemon tells of itself, and the care for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.feed = Feed(path)
        self.feed.store.conn.execute("PRAGMA wal_autocheckpoint = 0")
        self.live = Live(caught_up=True)
        self.now = 0.0
        self.limits = LIMITS
        self.caring = self.made(NEVER)

    def made(self, config: BackupConfig, clock: FakeClock | None = None) -> Caring:
        return Caring(self.feed.store, self.live, clock or self.feed.clock, config, self.limits)

    def write(self, name: str, requests: int = 10) -> None:
        session = Session(name, start=START_MS)
        for _ in range(requests):
            session.prompt("hello")
            session.request("done")
        self.feed.read(session)

    def grow(self, size: int) -> None:
        """Write until the log is larger."""
        number = 0
        while self.log <= size:
            number += 1
            assert number < 500, "the log does not grow"
            self.write(f"{size}-{number}-{self.log}")

    @property
    def log(self) -> int:
        return wal.wal_bytes(str(self.path))

    def tick(self, seconds: float = LOG_SECONDS, **options: Any) -> None:
        self.caring.tick(self.now, **options)
        self.now += seconds


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    ground = Ground(tmp_path / "data" / "ccagent.db")
    yield ground
    ground.caring.close()
    ground.feed.close()


@pytest.fixture
def reader(ground: Ground) -> Iterator[SqliteConnection]:
    """Somebody who reads and does not end."""
    with closing(SqliteConnection(str(ground.path))) as conn:
        conn.execute("BEGIN")
        conn.execute("SELECT COUNT(*) FROM fact").fetchall()
        yield conn


@pytest.fixture
def foldings(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Each folding in, whether it was to cut the log."""
    seen: list[bool] = []
    fold_in = wal.fold_in

    def counted(database: str, *, truncate: bool = False) -> wal.Folded:
        seen.append(truncate)
        return fold_in(database, truncate=truncate)

    monkeypatch.setattr(module, "wal", SimpleNamespace(**{**vars(wal), "fold_in": counted}))
    return seen


def test_a_short_log_is_left_alone(ground: Ground, foldings: list[bool]) -> None:
    ground.limits = LogLimits()
    ground.caring = ground.made(NEVER)
    ground.write("one", requests=1)

    ground.tick()

    assert foldings == []


def test_an_idle_log_is_folded_in_once_and_stays_as_long_as_it_is(ground: Ground, foldings: list[bool]) -> None:
    ground.limits = LogLimits(passive=32 * KIB)
    ground.caring = ground.made(NEVER)
    ground.grow(32 * KIB)
    before = ground.log
    for _ in range(3):
        ground.tick()
    assert foldings == [False]
    assert ground.log == before

    ground.write("more")
    ground.tick()

    assert foldings == [False, False]


@pytest.mark.parametrize(("caught_up", "unread"), [(False, 0), (True, 5)])
def test_while_lines_come_in_only_a_long_log_is_touched(
    ground: Ground, foldings: list[bool], caught_up: bool, unread: int
) -> None:
    ground.limits = LogLimits(passive=32 * KIB)
    ground.caring = ground.made(NEVER)
    ground.live.caught_up, ground.live.unread_bytes = caught_up, unread
    ground.grow(32 * KIB)

    ground.tick()

    assert foldings == []


def test_a_long_log_is_cut(ground: Ground, foldings: list[bool]) -> None:
    ground.grow(LIMITS.truncate)

    ground.tick()

    assert foldings == [True]
    assert ground.log == 0
    assert ground.live.problems == {}


def test_a_reader_that_does_not_end_is_told_with_the_way_out_and_then_nothing_more_is_taken_in(
    ground: Ground, reader: SqliteConnection
) -> None:
    ground.grow(LIMITS.alarm)
    ground.tick()
    told = ground.live.problems["wal"]
    assert "reader" in told
    assert "end it" in told
    assert not ground.live.paused

    ground.grow(LIMITS.pause)
    ground.tick()
    assert ground.live.paused
    assert "the transcripts wait" in ground.live.problems["wal"]

    reader.execute("ROLLBACK")
    ground.tick()
    assert not ground.live.paused
    assert ground.live.problems == {}
    assert ground.log == 0


def test_a_disk_that_refuses_is_told_and_tried_again(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ground.grow(LIMITS.truncate)
    with monkeypatch.context() as patch:

        def refused(path: str) -> SqliteConnection:
            return SqliteConnection(str(Path(path).parent / "nowhere" / "x.db"))

        patch.setattr(wal, "SqliteConnection", refused)
        ground.tick()
    assert "wal.failed" in capsys.readouterr().out

    ground.tick()

    assert ground.log == 0


# ---- backups -------------------------------------------------------------------------------------------------------


def due(ground: Ground, days: float, config: BackupConfig = WEEKLY) -> Caring:
    """The care of a daemon so many days after the database was made."""
    return ground.made(config, FakeClock(START_MS + int(days * DAY_MS)))


def test_the_first_backup_is_made_when_the_database_is_a_week_old(ground: Ground) -> None:
    ground.write("one")
    ground.caring = due(ground, 6.9)
    ground.tick()
    assert backups_of(ground.path) == []

    ground.caring = due(ground, 7)
    for _ in range(30):
        ground.tick(1.0)

    (made,) = backups_of(ground.path)
    assert made.name == "ccagent-20260217T090000Z.db"
    assert ground.live.problems == {}


def test_one_that_a_clock_gone_ahead_has_named_keeps_no_other_from_being_made(ground: Ground) -> None:
    ground.caring = due(ground, 3_650)
    for _ in range(30):
        ground.tick(1.0)
    (ahead,) = [path.name for path in backups_of(ground.path)]

    for days in (7, 14):
        ground.caring = due(ground, days)
        for _ in range(30):
            ground.tick(1.0)

    assert [path.name for path in backups_of(ground.path)] == [ahead, "ccagent-20260224T090000Z.db"]


def test_the_next_one_a_week_later_takes_its_place(ground: Ground) -> None:
    for days in (7, 13.9, 14):
        ground.caring = due(ground, days)
        for _ in range(30):
            ground.tick(1.0)

    assert [path.name for path in backups_of(ground.path)] == ["ccagent-20260224T090000Z.db"]


def test_it_is_made_a_little_in_every_tick(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "PAGES_BETWEEN_WRITES", 4)
    monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)
    ground.write("one", requests=50)
    ground.caring = due(ground, 7)
    ticks = 0
    while not backups_of(ground.path):
        ground.tick(1.0)
        ground.write(f"meanwhile-{ticks}", requests=1)
        ticks += 1

    assert ticks > 5


def test_told_to_end_in_the_middle_it_leaves_nothing(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "PAGES_BETWEEN_WRITES", 4)
    ground.write("one", requests=50)
    ground.caring = due(ground, 7)
    ground.tick(1.0, stopping=lambda: True)
    ground.tick(1.0, stopping=lambda: True)
    assert list((ground.path.parent / "backups").glob("*.db.partial"))

    ground.caring.close()

    assert list((ground.path.parent / "backups").iterdir()) == []


def test_none_is_made_where_none_are_wanted_or_history_is_still_read(ground: Ground) -> None:
    ground.caring = due(ground, 700, NEVER)
    ground.tick()
    ground.live.caught_up = False
    ground.caring = due(ground, 700)
    ground.tick()

    assert not (ground.path.parent / "backups").exists()


def test_without_room_it_is_told_and_tried_again_in_an_hour(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.write("one")
    monkeypatch.setattr(module, "ROOM", 1e12)
    ground.caring = due(ground, 7)
    ground.tick(1.0)
    assert "MiB free" in ground.live.problems["backup"]

    monkeypatch.undo()
    for _ in range(30):
        ground.tick(BACKUP_SECONDS / 10)

    assert len(backups_of(ground.path)) == 1
    assert ground.live.problems == {}
