"""Events as hints, and the honesty about when there are none."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccagent.follow.watch import INOTIFY_LOGGER, Watcher, remote_filesystem, system_watch_limit
from tests.follow.driver import Session, append, write_new

PATIENCE_SECONDS = 10.0
"""Events come within milliseconds; a loaded machine may take longer."""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


class Seen:
    """The paths that were announced."""

    def __init__(self) -> None:
        self.paths: set[bytes] = set()
        self._news = threading.Condition()

    def __call__(self, path: bytes) -> None:
        with self._news:
            self.paths.add(path)
            self._news.notify_all()

    def wait_for(self, path: Path) -> bool:
        """Whether `path` was announced within the deadline."""
        name = os.fsencode(os.path.realpath(path))
        with self._news:
            return self._news.wait_for(lambda: name in self.paths, PATIENCE_SECONDS)


Start = Callable[..., Watcher]


@pytest.fixture
def start() -> Iterator[Start]:
    watchers: list[Watcher] = []

    def begin(*args: object, **options: object) -> Watcher:
        watcher = Watcher(*args, **options)  # type: ignore[arg-type]
        watchers.append(watcher)
        watcher.start()
        return watcher

    yield begin
    for watcher in watchers:
        watcher.stop()


def test_an_append_is_announced(tmp_path: Path, start: Start) -> None:
    path = write_new(tmp_path / "p" / "a.jsonl", b"one\n")
    seen, wake = Seen(), threading.Event()
    watcher = start([tmp_path], seen, wake=wake)

    append(path, b"two\n")

    assert seen.wait_for(path)
    assert wake.wait(PATIENCE_SECONDS)
    assert watcher.health().mode == "events"


def test_a_hint_of_the_watcher_lets_a_poll_find_a_new_file(tmp_path: Path, start: Start) -> None:
    session = Session(tmp_path)
    session.catch_up()
    seen = Seen()
    start([tmp_path], lambda path: (session.follower.hint(path), seen(path)))
    path = write_new(tmp_path / "p" / "s" / "a.jsonl", b"one\n")
    assert seen.wait_for(path)

    session.follower.poll()
    session.drain()

    assert session.texts() == [b"one"]


def test_reading_raises_no_events(tmp_path: Path, start: Start) -> None:
    path = write_new(tmp_path / "a.jsonl", b"one\n")
    marker = tmp_path / "marker.jsonl"
    seen = Seen()
    start([tmp_path], seen)

    path.read_bytes()
    write_new(marker, b"later\n")

    assert seen.wait_for(marker)
    assert os.fsencode(os.path.realpath(path)) not in seen.paths


def test_a_root_that_comes_late_is_watched_after_a_refresh(tmp_path: Path, start: Start) -> None:
    root = tmp_path / "late"
    seen = Seen()
    watcher = start([root], seen)
    path = write_new(root / "a.jsonl", b"one\n")
    watcher.refresh()

    append(path, b"two\n")

    assert seen.wait_for(path)


def test_a_root_that_was_replaced_is_watched_again(tmp_path: Path, start: Start) -> None:
    root = tmp_path / "root"
    root.mkdir()
    seen = Seen()
    watcher = start([root], seen)
    root.rename(tmp_path / "away")
    path = write_new(root / "a.jsonl", b"one\n")
    watcher.refresh()
    seen.paths.clear()

    append(path, b"two\n")

    assert seen.wait_for(path)


def test_more_folders_than_watches_is_told(tmp_path: Path, start: Start) -> None:
    for number in range(20):
        (tmp_path / str(number)).mkdir()

    health = start([tmp_path], Seen(), limit=15).health()

    assert health.mode == "degraded"
    assert "21 folders" in health.reason
    assert "15 watches" in health.reason


@linux_only
def test_a_full_queue_is_told(tmp_path: Path, start: Start) -> None:
    overflows: list[int] = []
    wake = threading.Event()
    watcher = start([tmp_path], Seen(), on_overflow=lambda: overflows.append(1), wake=wake)

    logging.getLogger(INOTIFY_LOGGER).warning("Inotify queue overflowed; filesystem events were lost")

    assert overflows == [1]
    assert watcher.overflows == 1
    assert wake.is_set()


def test_before_the_start_and_after_the_stop_watching_is_off(tmp_path: Path, start: Start) -> None:
    before = Watcher([tmp_path], Seen()).health()
    watcher = start([tmp_path], Seen())
    watcher.stop()

    assert before.mode == "off"
    assert watcher.health().mode == "off"


def test_a_watcher_that_cannot_start_says_why(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr("watchdog.observers.api.BaseObserver.start", refuse)

    health = start([tmp_path], Seen()).health()

    assert health.mode == "off"
    assert "instance limit" in health.reason


@linux_only
def test_the_system_says_how_many_folders_may_be_watched() -> None:
    limit = system_watch_limit()

    assert limit is None or limit > 0


@pytest.mark.parametrize(("path", "kind"), [(b"/net/home/x", "nfs4"), (b"/net/local/x", None), (b"/x", None)])
def test_a_network_file_system_is_recognised_by_its_mount(tmp_path: Path, path: bytes, kind: str | None) -> None:
    mounts = write_new(
        tmp_path / "mounts", b"/dev/sda / ext4 rw 0 0\nhost:/ /net nfs4 rw 0 0\n/dev/sdb /net/local ext4 rw 0 0\n"
    )

    assert remote_filesystem(path, mounts) == kind
