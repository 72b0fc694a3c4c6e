"""Each check of the doctor against the state that it is there to find."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from ccagent import __version__
from ccagent.config import load
from ccagent.doctor import inotify, running, storage, transcripts
from ccagent.doctor.finding import Finding, State, amount, counted, duration, worst
from ccagent.doctor.ground import Ground
from ccagent.doctor.ground import Tree as Below
from ccagent.doctor.report import configuration, examine, exit_code
from ccagent.errors import StoreError
from ccagent.service.live import Live, StatusFile
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database
from ccagent.store.schema import SCHEMA_VERSION
from tests.transcripts import Session, Tree

DAY_MS = 24 * 3_600 * 1_000

Make = Callable[..., Ground]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A doctor's ground over `tmp_path`, with these settings and variables."""

    def made(settings: dict[str, Any] | None = None, *, now_ms: int | None = None, **env: str) -> Ground:
        flags = {"database": str(tmp_path / "data" / "ccagent.db"), **(settings or {})}
        env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], **env}
        return Ground(load(flags, env), env, now_ms=now_ms or time.time_ns() // 1_000_000)

    return made


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """The file of a session where Claude Code keeps it."""
    one = Session("one", cwd="/home/demo/atlas")
    one.prompt("hello")
    one.request()
    return Tree(tmp_path / ".claude" / "projects").write(one)


@contextmanager
def telling(tmp_path: Path, **values: object) -> Iterator[None]:
    """This process as the daemon, with these live values."""
    path = str(tmp_path / "data" / "ccagent.db")
    with InstanceLock(parse_database(path)):
        live = Live(ready=True, caught_up=True, watch_mode="events", listen="off", started_ms=1)
        for name, value in values.items():
            setattr(live, name, value)
        StatusFile(path).write(live)
        yield


def one(found: Iterator[Finding]) -> Finding:
    (finding,) = found
    return finding


def state(found: Iterator[Finding]) -> State:
    return one(found).state


def test_the_exit_code_follows_from_the_worst_finding() -> None:
    made = [Finding(check="x", state=each, said="") for each in State]

    assert [exit_code(made[:number]) for number in range(4)] == [0, 0, 10, 1]
    assert worst(reversed(made)) is State.FAIL
    assert (counted(1, "file"), counted(2_000, "file")) == ("1 file", "2,000 files")


@pytest.mark.parametrize(
    ("flags", "env"),
    [
        ({"database": "mysql://secret/x"}, {}),
        ({}, {"CCAGENT_DATABASE_URL": "mysql://secret/x"}),
        ({"sources": ("secret:",)}, {}),
        ({}, {"CCAGENT_CONFIG": "/nowhere/secret.toml"}),
        ({}, {"CCAGENT_LISTEN": "secret"}),
    ],
)
def test_whatever_is_refused_the_defaults_are_looked_at(
    tmp_path: Path, flags: dict[str, object], env: dict[str, str]
) -> None:
    config, told = configuration(flags, {"HOME": str(tmp_path), **env}, None)

    assert (told.state, config is not None) == (State.FAIL, True)
    assert "secret" not in told.said + told.todo
    assert config is not None
    assert config.database == str(config.paths.database)


def test_a_sound_ground_has_nothing_to_do_but_to_start(make: Make, session: Path) -> None:
    ground = make({"listen": "off"})

    assert [each.check for each in examine(ground) if each.state is not State.OK] == ["daemon"]


def test_a_source_that_is_set_and_not_there_fails_and_usual_ones_only_warn(make: Make, tmp_path: Path) -> None:
    assert state(transcripts.roots(make({"sources": (str(tmp_path / "nowhere"),)}))) is State.FAIL
    assert state(transcripts.roots(make())) is State.WARN
    (tmp_path / ".claude" / "projects").mkdir(parents=True)
    assert state(transcripts.roots(make())) is State.WARN


def test_what_may_not_be_read_is_counted(
    make: Make, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state(transcripts.readable(make())) is State.OK
    real = os.access
    # Whoever runs the tests may be allowed everything.
    monkeypatch.setattr(os, "access", lambda path, mode: os.fsencode(path) != os.fsencode(session) and real(path, mode))

    found = one(transcripts.readable(make()))

    assert (found.state, found.said.split()[0]) == (State.FAIL, "1")


def test_a_watch_limit_below_the_folders_names_the_one_to_set(make: Make, session: Path) -> None:
    found = one(transcripts.watching(make(), limit=1))

    assert found.state is State.WARN
    assert "sysctl fs.inotify.max_user_watches=8192" in found.todo
    assert state(transcripts.watching(make(), limit=100)) is State.OK


def test_listeners_that_cannot_be_had_name_the_limit_to_raise(make: Make, session: Path, tmp_path: Path) -> None:
    found = one(transcripts.watching(make(), listeners=lambda wanted: wanted - 1))

    assert (found.state, "1 root to listen to, and this user may open 0 more" in found.said) == (State.WARN, True)
    assert "sysctl fs.inotify.max_user_instances=" in found.todo
    with telling(tmp_path):
        assert state(transcripts.watching(make(), listeners=lambda _: 0)) is State.OK, "the daemon has its own"


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_listeners_are_counted_by_opening_them_and_none_is_kept() -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    had = inotify.obtainable(3)
    # The limit of a user is not a test's to use up; that of open files refuses with the same error.
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(before) + 20, hard))
    try:
        few = inotify.obtainable(1_000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (had, few < 1_000) == (3, True)
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    limit = inotify.instance_limit()
    assert limit is None or limit > 0


@pytest.mark.parametrize(("mode", "said"), [("off", "off"), ("degraded", "degraded")])
def test_events_that_the_daemon_does_without_are_told(make: Make, tmp_path: Path, mode: str, said: str) -> None:
    with telling(tmp_path, watch_mode=mode):
        assert one(transcripts.watching(make())).said.endswith(f"are {said}")


def stored(tmp_path: Path, *files: Path) -> None:
    """A database that has taken these in, by their real paths."""
    from ccagent.backfill import backfill
    from ccagent.selection import Selection

    env = {"HOME": str(tmp_path)}
    backfill(load({"database": str(tmp_path / "data" / "ccagent.db")}, env), env, Selection())


def test_offsets_are_held_against_sizes(make: Make, session: Path, tmp_path: Path) -> None:
    assert list(transcripts.offsets(make())) == [], "without a database there is nothing to hold"
    stored(tmp_path)
    assert one(transcripts.offsets(make())).said == "1 file known, 0 files gone since and kept, read to their ends"

    with session.open("ab") as file:
        file.write(b"{}\n")
    behind = one(transcripts.offsets(make()))
    os.truncate(session, 10)
    shorter = one(transcripts.offsets(make()))
    session.unlink()

    assert (behind.state, "1 file not taken in" in behind.said) == (State.WARN, True)
    assert (shorter.state, shorter.said.partition(" shorter")[0]) == (State.WARN, "1 file")
    assert "1 file gone" in one(transcripts.offsets(make())).said


def test_a_line_that_nobody_has_finished_is_nothing_to_act_on(make: Make, session: Path, tmp_path: Path) -> None:
    stored(tmp_path)
    with session.open("ab") as file:
        file.write(b'{"half": ')

    found = one(transcripts.offsets(make()))

    assert (found.state, found.said.rpartition(", ")[2]) == (State.OK, "9 B at their ends are still to come")


def test_of_transcripts_never_read_and_of_long_rests_nothing_is_opened(
    make: Make, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path)
    session.with_name("new.jsonl").write_text('{"half": ')
    monkeypatch.setattr(transcripts, "UNFINISHED_BYTES", 8)
    with session.open("ab") as file:
        file.write(b'{"longer": ')
    ground = make()
    assert len(ground.files) == 2
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("a transcript was opened"))

    assert "20 B of 2 files not taken in yet" in one(transcripts.offsets(ground)).said


def test_a_folder_that_refuses_a_look_is_not_taken_for_gone(
    make: Make, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path)

    def refuse(path: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "lstat", refuse)  # whoever runs the tests may be allowed everything

    assert "0 files gone" in one(transcripts.offsets(make())).said


def test_roots_that_refuse_are_not_called_empty(make: Make, tmp_path: Path) -> None:
    ground = make()
    ground.__dict__["trees"] = [Below(root=b"/x", kind="claude", files={}, directories=0, refused=1)]

    found = one(transcripts.roots(ground))

    assert (found.state, found.todo) == (State.WARN, "see the next line: what may not be read is not counted")


def test_a_daemon_that_was_killed_is_told_with_how_long_ago(make: Make, tmp_path: Path) -> None:
    with telling(tmp_path):
        pass
    now = time.time_ns() // 1_000_000

    found = one(running.daemon(make(now_ms=now + 2 * DAY_MS + 1)))

    assert (found.state, found.said.rpartition(", ")[2]) == (State.WARN, "about 2 days ago")
    assert "goes on where it stood" in found.todo


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (85_300_000, "85.3 MB"), (2 * 10**12, "2,000.0 GB")],
)
def test_bytes_for_eyes(size: int, shown: str) -> None:
    assert amount(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0 seconds"), (59.9, "59 seconds"), (60, "1 minute"), (7_300, "2 hours"), (90_000, "1 day")],
)
def test_times_for_eyes(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_daemon_that_is_behind_is_told_with_how_long(make: Make, tmp_path: Path) -> None:
    now = 1_800_000_000_000
    with telling(tmp_path, unread_bytes=700, oldest_unread_ms=now - 200_000):
        found = one(transcripts.lag(make(now_ms=now)))
    with telling(tmp_path, unread_bytes=700, oldest_unread_ms=now - 2_000):
        soon = one(transcripts.lag(make(now_ms=now)))
    with telling(tmp_path, paused=True):
        paused = one(transcripts.lag(make(now_ms=now)))

    assert (found.state, found.said) == (State.WARN, "700 B unread, the oldest for 3 minutes")
    assert (soon.state, paused.state) == (State.OK, State.FAIL)
    assert list(transcripts.lag(make())) == []


def test_a_clock_behind_its_files_or_its_daemon_is_told(make: Make, session: Path, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    assert state(transcripts.clock(make(now_ms=now))) is State.OK
    assert state(transcripts.clock(make(now_ms=now - DAY_MS))) is State.WARN
    session.unlink()
    with telling(tmp_path, started_ms=now + DAY_MS):
        assert "set back" in one(transcripts.clock(make(now_ms=now))).said


def test_the_daemon_its_version_and_its_problems(make: Make, tmp_path: Path) -> None:
    assert state(running.daemon(make())) is State.WARN
    with telling(tmp_path, problems={"store": "secret words"}):
        found = one(running.daemon(make()))
        assert (found.state, found.said) == (State.WARN, "it runs and tells of 1 problem")
        assert state(running.version(make())) is State.OK
        status = tmp_path / "data" / "ccagent.db.status.json"
        own, other = f'"version":"{__version__}"'.encode(), b'"version":"9.8.7"'
        assert own in status.read_bytes()
        status.write_bytes(status.read_bytes().replace(own, other))
        skew = one(running.version(make()))
    with telling(tmp_path, reload_ok=False):
        assert "reload" in one(running.version(make())).said

    assert (skew.state, skew.said) == (State.WARN, f"9.8.7 runs, {__version__} is installed")


SYSTEMCTL = """#!/bin/sh
case "$*" in
    *ActiveState*) printf 'ActiveState=%s\\nSubState=running\\nMainPID=7\\nNRestarts=%s\\n' "$STATE" "$RESTARTS";;
esac
"""


@pytest.mark.skipif(sys.platform != "linux", reason="units belong to systemd")
@pytest.mark.parametrize(
    ("active", "restarts", "expected"),
    [("active", 0, State.OK), ("active", 5, State.WARN), ("failed", 0, State.FAIL)],
)
def test_a_service_that_is_installed_is_asked_of_its_manager(
    make: Make, tmp_path: Path, active: str, restarts: int, expected: State
) -> None:
    assert one(running.service(make())).said.startswith("not installed")
    unit = tmp_path / ".config" / "systemd" / "user" / "ccagent.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)

    ground = make(PATH=f"{program.parent}:{os.environ['PATH']}", STATE=active, RESTARTS=str(restarts))

    assert state(running.service(ground)) is expected


def test_an_empty_served_database_is_no_fault(make: Make, pg_database: str) -> None:
    ground = make({"database": pg_database, "listen": "off"})

    found = {each.check: each for each in examine(ground)}

    assert (found["database"].state, "drift" in found) == (State.OK, False)
    assert "it is empty" in found["database"].said


@pytest.mark.parametrize(("version", "expected"), [(SCHEMA_VERSION + 1, State.FAIL), (SCHEMA_VERSION - 1, State.WARN)])
def test_a_schema_of_another_version(make: Make, tmp_path: Path, version: int, expected: State) -> None:
    stored(tmp_path)
    conn = apsw.Connection(str(tmp_path / "data" / "ccagent.db"))
    conn.pragma("user_version", version)
    conn.close()

    assert state(storage.database(make())) is expected


def test_a_suspect_a_foreign_and_a_network_database(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path)
    (tmp_path / "data" / "ccagent.db.suspect").write_text("x")
    assert state(storage.database(make())) is State.WARN
    (tmp_path / "data" / "ccagent.db").write_text("no database at all " * 400)
    assert state(storage.database(make())) is State.FAIL

    from ccagent.store import filesystem

    far = (filesystem.Mount(point="/", type="ext4"), filesystem.Mount(point=str(tmp_path), type="nfs4"))
    monkeypatch.setattr(filesystem, "mounts", lambda: far)
    assert "other machines" in one(storage.database(make())).said


def test_what_others_may_read_is_told(make: Make, tmp_path: Path) -> None:
    assert state(storage.permissions(make())) is State.OK
    secrets = tmp_path / ".config" / "ccagent" / "env"
    secrets.parent.mkdir(parents=True)
    secrets.write_text("A=1")
    secrets.chmod(0o644)

    assert "the file of secrets" in one(storage.permissions(make())).said


@pytest.mark.parametrize(("free", "expected"), [(10**12, State.OK), (10**8, State.WARN), (10**6, State.FAIL)])
def test_room_on_the_disk(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, expected: State
) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "ccagent.db").open("wb") as file:
        file.truncate(10**9)  # a hole: it takes no room
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**13, 0, free))  # type: ignore[attr-defined]

    assert state(storage.disk(make())) is expected


@pytest.mark.parametrize(
    ("free", "said"), [(1_000, "it cannot be read: its disk is full"), (10**9, "it cannot be read")]
)
def test_a_database_that_cannot_be_read_on_a_full_disk(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, said: str
) -> None:
    stored(tmp_path)

    def refuse(_named: object) -> None:
        raise StoreError("secret words")

    monkeypatch.setattr("ccagent.store.open.open_reader", refuse)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**13, 0, free))  # type: ignore[attr-defined]

    assert one(storage.database(make())).said == said
