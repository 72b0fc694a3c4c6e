"""One writer a database: the second is refused, by name of the first."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ccagent.errors import ConfigError, InstanceRunningError
from ccagent.store.instance import InstanceLock, holder
from ccagent.store.location import parse_database

HOLD = """
import sys
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database

InstanceLock(parse_database(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "ccagent.db"


def test_a_second_writer_is_refused_and_told_who_holds_the_lock(database: Path) -> None:
    with (
        InstanceLock(parse_database(str(database))),
        pytest.raises(InstanceRunningError, match=rf"pid {os.getpid()}\).*{database}"),
    ):
        InstanceLock(parse_database(str(database))).acquire()


def test_a_released_lock_may_be_taken(database: Path) -> None:
    with InstanceLock(parse_database(str(database))):
        pass

    with InstanceLock(parse_database(str(database))):
        assert holder(str(database)) == os.getpid()


def test_nobody_holds_a_lock_whose_file_was_left_behind(database: Path) -> None:
    with InstanceLock(parse_database(str(database))):
        pass

    assert (holder(str(database)), Path(f"{database}.lock").exists()) == (None, True)


def test_nobody_holds_a_database_that_is_not_there(database: Path) -> None:
    assert holder(str(database)) is None


def test_the_lock_of_a_killed_process_is_free(database: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert holder(str(database)) == process.pid
        with pytest.raises(InstanceRunningError, match=f"pid {process.pid}"):
            InstanceLock(parse_database(str(database))).acquire()

        process.kill()

    with InstanceLock(parse_database(str(database))):
        assert holder(str(database)) == os.getpid()


def test_the_lock_is_the_owners_alone(database: Path) -> None:
    with InstanceLock(parse_database(str(database))) as lock:
        assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600


def test_a_lock_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="cannot create the folder"):
        InstanceLock(parse_database(str(tmp_path / "file" / "ccagent.db"))).acquire()
