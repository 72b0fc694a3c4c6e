"""The live values on a disk that is full: the last ones give their room to the next."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ccagent.errors import StoreError
from ccagent.service.live import Live, StatusFile, read_status
from ccagent.service.scheduling import Scheduling
from tests.sources.feed import Feed


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """No new file can be made."""

    def refused(**options: object) -> tuple[int, str]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkstemp", refused)


@pytest.fixture
def file(tmp_path: Path) -> StatusFile:
    """A status that was written while there was room."""
    file = StatusFile(str(tmp_path / "ccagent.db"))
    file.write(Live(files=1))
    return file


def problem(file: StatusFile, text: str) -> Live:
    live = Live(files=2)
    live.problem("store", text)
    return live


def test_on_a_full_disk_the_next_status_takes_the_room_of_the_last(file: StatusFile, full: None) -> None:
    file.write(problem(file, "the disk is full"))

    status = read_status(str(file.path).removesuffix(".status.json"))
    assert status is not None
    assert status["problems"] == {"store": "the disk is full"}


def test_after_a_longer_one_a_shorter_one_is_whole_too(file: StatusFile, full: None) -> None:
    file.write(problem(file, "x" * 6_000))
    file.write(problem(file, "short"))

    status = read_status(str(file.path).removesuffix(".status.json"))
    assert status is not None
    assert status["problems"] == {"store": "short"}


def test_what_does_not_fit_is_told_and_the_last_stays(file: StatusFile, full: None) -> None:
    with pytest.raises(StoreError, match="cannot write"):
        file.write(problem(file, "x" * 9_000))

    status = read_status(str(file.path).removesuffix(".status.json"))
    assert status is not None
    assert status["files"] == 1


def test_a_status_that_cannot_be_written_does_not_end_the_thread_and_is_told_once(
    tmp_path: Path, full: None, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = Feed()
    live = Live()
    scheduling = Scheduling(feed.store, ZoneInfo("UTC"), live, feed.clock, StatusFile(str(tmp_path / "new.db")))

    for second in range(3):
        live.files = second
        scheduling.tick(float(second))

    assert capsys.readouterr().out.count("status.failed") == 1
