"""A running daemon sees what happens to the files, however it happens."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.daemon.rig import Daemon, Ground, small_session
from tests.transcripts import Session

Started = Callable[..., Daemon]

OFTEN = {"CCAGENT_INGEST_SCAN_INTERVAL_SECONDS": "1"}
"""For what only a scan can find: nobody wants to wait for a minute."""


@pytest.fixture
def session() -> Session:
    return small_session("one", requests=4)


def arrives(daemon: Daemon, requests: int) -> None:
    """Wait until so many requests are in the store."""
    daemon.until(lambda: daemon.ground.requests() == requests, f"{requests} requests in the store")


def test_appended_lines_are_queryable_and_on_the_metrics_page(ground: Ground, session: Session) -> None:
    lines = [line.raw for line in session.lines]
    ground.tree.append(session, b"".join(lines[:2]))
    daemon = ground.start()
    daemon.until_caught_up()

    for line in lines[2:]:
        ground.tree.append(session, line)

    arrives(daemon, 4)
    daemon.until(lambda: daemon.tokens().get("input") == 10, "the tokens are on the page")
    assert ground.usage()["tokens"]["input"] == 10


def test_a_new_file_in_a_new_folder_is_followed(ground: Ground, session: Session) -> None:
    ground.tree.write(session)
    daemon = ground.start()
    daemon.until_caught_up()

    ground.tree.write(small_session("two", cwd="/home/demo/elsewhere", requests=3))

    arrives(daemon, 7)


def test_a_root_that_comes_later_is_followed(ground: Ground, session: Session) -> None:
    ground.root.rmdir()
    daemon = ground.start(**OFTEN)
    daemon.until_caught_up()
    ground.tree.write(session)
    arrives(daemon, 4)

    ground.tree.write(small_session("two", requests=3))

    arrives(daemon, 7)


def test_half_a_line_waits_for_its_other_half(ground: Ground, session: Session) -> None:
    whole = session.content
    cut = len(whole) - len(session.lines[-1].raw) - 40  # inside the last reply
    ground.tree.append(session, whole[:cut])
    daemon = ground.start()
    daemon.until_caught_up()
    assert ground.requests() == 3

    ground.tree.append(session, whole[cut:])

    arrives(daemon, 4)
    assert ground.usage()["lines_bad"] == 0


def test_a_file_that_is_replaced_is_read_anew(ground: Ground, session: Session) -> None:
    path = ground.tree.write(session)
    daemon = ground.start()
    daemon.until_caught_up()
    other = small_session("two", requests=6)

    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(other.content)
    fresh.replace(path)

    arrives(daemon, 10)


def test_a_file_that_is_truncated_and_written_again_is_read_anew(ground: Ground, session: Session) -> None:
    path = ground.tree.write(session)
    daemon = ground.start()
    daemon.until_caught_up()

    path.write_bytes(small_session("two", requests=1).content)

    arrives(daemon, 5)


def test_a_file_that_is_copied_counts_once(ground: Ground, session: Session) -> None:
    path = ground.tree.write(session)
    daemon = ground.start()
    daemon.until_caught_up()

    copy = path.with_name("copied.jsonl")
    shutil.copyfile(path, copy)

    daemon.until(lambda: ground.taken() == 2 * len(session.content), "the copy was read")
    assert ground.usage()["requests"] == 4


def test_a_folder_that_is_moved_in_from_elsewhere_is_followed(ground: Ground, session: Session) -> None:
    daemon = ground.start(**OFTEN)
    daemon.until_caught_up()
    outside = ground.folder / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "moved.jsonl").write_bytes(session.content)

    outside.rename(ground.root / "-home-demo-atlas")

    arrives(daemon, 4)


def test_beyond_the_watch_limit_the_scan_finds_everything_and_the_status_says_so(
    ground: Ground, session: Session
) -> None:
    limited = ["unshare", "--user", "--map-root-user", "sh", "-c",
               'echo 3 > /proc/sys/user/max_inotify_watches && exec "$@"', "sh"]  # fmt: skip
    if shutil.which("unshare") is None or subprocess.run([*limited, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine allows no user namespace, in which the limit could be lowered")
    for number in range(8):
        (ground.root / f"-home-demo-{number}").mkdir()
    daemon = ground.start(prefix=limited, **OFTEN)
    daemon.until_caught_up()

    for number in range(8):
        session = small_session(f"session-{number}", cwd=f"/home/demo/{number}", requests=1)
        ground.tree.write(session)

    arrives(daemon, 8)
    status = ground.status()
    assert status["watch"]["mode"] == "degraded"
    assert "max_user_watches" in status["watch"]["reason"]


def test_a_file_that_may_not_be_read_is_counted_and_read_when_it_may(ground: Ground, session: Session) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = ground.tree.write(session)
    path.chmod(0)
    daemon = ground.start(**OFTEN)
    daemon.until(lambda: ground.status().get("unreadable") == 1, "the status counts it")

    path.chmod(0o600)

    arrives(daemon, 4)
