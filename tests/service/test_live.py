"""Live values: told by several threads, shown whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ccagent.errors import StoreError
from ccagent.service.live import REST_SECONDS, Live, StatusFile, read_status, status_path


def test_a_problem_stands_until_it_is_right_again() -> None:
    live = Live()

    live.problem("store", "the disk is full")
    live.problem("listen", "taken")
    live.problem("store", None)

    assert live.problems == {"listen": "taken"}


def test_problems_of_several_threads_do_not_swallow_one_another() -> None:
    live = Live()

    def tell(number: int) -> None:
        for again in range(200):
            live.problem(f"{number}", str(again))

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert live.problems == {str(number): "199" for number in range(8)}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    database = str(tmp_path / "a.db")

    StatusFile(database).write(Live(files=3, roots=("/a",)))

    shown = read_status(database)
    assert shown is not None
    assert (shown["files"], shown["roots"], shown["pid"]) == (3, ["/a"], os.getpid())
    assert status_path(database).stat().st_mode & 0o777 == 0o600


def test_amounts_that_move_wait_a_moment_once_all_is_taken_in(tmp_path: Path) -> None:
    steady = [0.0]
    database = str(tmp_path / "a.db")
    file, live = StatusFile(database, lambda: steady[0]), Live()
    shown = []
    for steady[0], caught_up in ((0.0, False), (0.1, False), (0.2, True), (0.3, True), (0.2 + REST_SECONDS, True)):
        live.caught_up, live.total_bytes = caught_up, live.total_bytes + 1
        live.exports = {"otlp/traces": {"state": "active", "backlog": live.total_bytes}}
        file.write(live)
        status = read_status(database)
        assert status is not None
        shown.append(status["total_bytes"])

    assert shown == [1, 2, 3, 3, 5]


@pytest.mark.parametrize(
    "change",
    [
        lambda live: live.problem("store", "the disk is full"),
        lambda live: setattr(live, "lost_bytes", 7),
        lambda live: setattr(live, "exports", {"otlp/traces": {"state": "waiting"}}),
        lambda live: setattr(live, "paused", True),
    ],
    ids=["a problem", "a loss", "a destination", "a pause"],
)
def test_what_nobody_may_learn_late_is_written_at_once(tmp_path: Path, change: Callable[[Live], None]) -> None:
    database = str(tmp_path / "a.db")
    file, live = StatusFile(database, lambda: 1.0), Live(caught_up=True)
    live.exports = {"otlp/traces": {"state": "active"}}
    file.write(live)

    change(live)
    live.total_bytes = 9
    file.write(live)

    status = read_status(database)
    assert status is not None
    assert status["total_bytes"] == 9


def test_unchanged_values_are_not_written_again(tmp_path: Path) -> None:
    file = StatusFile(str(tmp_path / "a.db"))
    file.write(Live(files=3))
    before = file.path.stat().st_ino

    file.write(Live(files=3))

    assert file.path.stat().st_ino == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.db.status.json"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"files": '])
def test_a_file_that_is_none_shows_nothing(tmp_path: Path, content: bytes) -> None:
    database = str(tmp_path / "a.db")
    status_path(database).write_bytes(content)

    assert read_status(database) is None


def test_a_folder_that_is_gone_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"a\.db\.status\.json"):
        StatusFile(str(tmp_path / "gone" / "a.db")).write(Live())
