"""The database of a running daemon: unlinked, replaced, read without end, on a network, copied."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from ccagent.demo.writer import past_week
from tests.daemon.impatient import LIMITS
from tests.daemon.rig import DEADLINE_SECONDS, Daemon, Ground, now_ms, small_session
from tests.kill.oracle import dump
from tests.store.namespace import in_a_mount_namespace

IMPATIENT = (sys.executable, "-m", "tests.daemon.impatient")

READER = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("BEGIN")
conn.execute("SELECT COUNT(*) FROM fact").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


class Impatient(Ground):
    """A ground whose daemons look often and have small limits."""

    def command(self, verb: str, *options: str) -> list[str]:
        _, _, _, *rest = super().command(verb, *options)
        return [*IMPATIENT, *rest]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Impatient]:
    play = Impatient(tmp_path / "ground")
    yield play
    play.end()


def fresh(play: Ground) -> list[str]:
    """The canonical dump of a new store over the tree."""
    database = play.folder / "fresh.db"
    done = play.verb("run", "--once", "--source", str(play.root), "--db", str(database))
    assert done.returncode == 0, done.stderr
    return dump(database)


def unlinked(play: Ground) -> None:
    play.database.unlink()


def folder_moved(play: Ground) -> None:
    play.database.parent.rename(play.folder / "elsewhere")


def yesterdays_put_back(play: Ground) -> None:
    yesterday = play.folder / "yesterday.db"
    with closing(apsw.Connection(str(yesterday))) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    yesterday.replace(play.database)


@pytest.mark.parametrize("happens", [unlinked, folder_moved, yesterdays_put_back])
def test_a_database_that_is_gone_from_its_place_ends_the_daemon_and_the_next_one_has_everything(
    play: Impatient, happens: Callable[[Ground], None]
) -> None:
    play.tree.write(small_session("yesterday", requests=3))
    assert play.once().returncode == 0
    shutil.copy(play.database, play.folder / "yesterday.db")
    daemon = play.start()
    daemon.until_caught_up()
    play.tree.write(small_session("today", requests=4))
    daemon.until(lambda: play.requests() == 7, "both sessions are there")

    happens(play)
    code = daemon.process.wait(DEADLINE_SECONDS)

    assert code == 70, daemon.words
    assert "was removed or replaced while open" in daemon.words
    again = play.start()
    again.until_caught_up()
    again.until(lambda: play.requests() == 7, "everything is there again")
    assert again.terminate() == 0
    assert dump(play.database) == fresh(play)


@contextmanager
def endless_reader(play: Ground) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that reads one moment of the database for ever."""
    command = [sys.executable, "-c", READER, str(play.database)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"reading\n"
        try:
            yield process
        finally:
            process.kill()


def log_size(play: Ground) -> int:
    return Path(f"{play.database}-wal").stat().st_size


def problems(play: Ground) -> str:
    return " ".join(play.status()["problems"])


def test_a_reader_without_end_is_named_then_waited_for_and_the_log_stays_bounded(play: Impatient) -> None:
    play.tree.write(small_session("one"))
    daemon = play.start()
    daemon.until_caught_up()
    with endless_reader(play) as reader:
        for seed in range(1, 4):
            play.tree.write(*past_week(now_ms(), seed))
        daemon.until(lambda: "the transcripts wait" in problems(play), "the status says that it waits")
        if sys.platform == "linux":
            assert f"pid {reader.pid}" in problems(play)
        held = log_size(play)
        play.tree.write(*past_week(now_ms(), 9))
        daemon.until(lambda: play.status()["unread_bytes"] > 0, "what came waits")
        assert log_size(play) <= held + LIMITS.passive
    daemon.until(lambda: not play.status()["problems"] and play.status()["unread_bytes"] == 0, "it goes on by itself")
    daemon.until(lambda: log_size(play) < LIMITS.truncate, "the log is short again")
    assert daemon.terminate() == 0
    assert dump(play.database) == fresh(play)


def test_a_database_on_a_network_is_refused_with_78_before_anything_there_is_touched(tmp_path: Path) -> None:
    """A mount that nobody serves: the first touch would hang."""
    place = tmp_path / "far"
    place.mkdir()
    script = f"""
import ctypes, os, subprocess, sys
held = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
data = f"fd={{held}},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"me@server:/", {str(place)!r}.encode(), b"fuse.sshfs", 0, data):
    sys.exit(f"cannot mount: {{os.strerror(ctypes.get_errno())}}")
done = subprocess.run([sys.executable, "-m", "ccagent", "run", "--once", "--source", {str(tmp_path)!r},
                       "--db", {str(place / "ccagent.db")!r}], capture_output=True, text=True)
print(done.returncode, done.stderr)
"""
    done = in_a_mount_namespace([sys.executable, "-c", script], needs="/dev/fuse", env={"HOME": str(tmp_path)})

    assert done.stdout.startswith("78 "), done.stdout + done.stderr
    assert "fuse.sshfs" in done.stdout
    assert str(place) in done.stdout
    assert "postgresql://" in done.stdout


def backups(play: Ground) -> list[Path]:
    folder = play.database.parent / "backups"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_backup_of_a_daemons_database_is_whole_while_it_takes_lines_in(ground: Ground) -> None:
    ground.tree.write(*past_week(now_ms(), 1))
    daemon = ground.start()
    daemon.until_caught_up()
    before = {row[0] for row in ground.rows("SELECT key FROM fact")}
    ground.tree.write(*past_week(now_ms(), 2))

    first, second = ground.db("backup"), ground.db("backup", "--keep", "1")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    (made,) = [path for path in backups(ground) if path.suffix == ".db"]
    with closing(apsw.Connection(str(made))) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        copied = {row[0] for row in conn.execute("SELECT key FROM fact")}
    assert before <= copied <= {row[0] for row in ground.rows("SELECT key FROM fact")}
    assert daemon.process.poll() is None


def old(ground: Ground) -> None:
    """Let the database be eight days old."""
    with closing(apsw.Connection(str(ground.database))) as conn:
        conn.execute("UPDATE meta SET value = ? WHERE name = 'created_at'", (str(now_ms() - 8 * 86_400_000),))


def test_a_daemon_makes_a_backup_of_its_own_when_one_is_due(ground: Ground) -> None:
    ground.tree.write(*past_week(now_ms(), 1))
    assert ground.once().returncode == 0
    old(ground)

    daemon = ground.start()
    daemon.until_logged("backup.made")

    (made,) = backups(ground)
    assert dump(made) == dump(ground.database)
    assert daemon.terminate() == 0


def paused(daemon: Daemon) -> None:
    daemon.until(lambda: any(path.suffix == ".partial" for path in backups(daemon.ground)), "the backup is begun")


def test_ended_in_the_middle_of_a_backup_it_goes_at_once_and_the_next_one_makes_a_whole_one(play: Impatient) -> None:
    for seed in range(1, 4):
        play.tree.write(*past_week(now_ms(), seed))
    assert play.once().returncode == 0
    old(play)
    daemon = play.start(CCAGENT_TEST_SLOW_BACKUP="1")
    paused(daemon)

    assert daemon.terminate() == 0, daemon.words
    assert [path.suffix for path in backups(play) if path.suffix == ".db"] == []
    killed = play.start(CCAGENT_TEST_SLOW_BACKUP="1")
    paused(killed)
    killed.kill()
    again = play.start()
    again.until_logged("backup.made")

    assert len([path for path in backups(play) if path.suffix == ".db"]) == 1
