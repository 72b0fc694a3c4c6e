"""The backup that lies beside a database before its schema changes."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ccagent.clock import FakeClock
from ccagent.errors import StoreError
from ccagent.store.connection import scalar
from ccagent.store.migrations import backups as backups_module
from ccagent.store.migrations.backups import KEPT, migration_backups
from ccagent.store.schema import SCHEMA_VERSION
from ccagent.store.sqlite import SqliteStore
from tests.house.source import ROOT
from tests.store.releases import OLD, Release, digest, opened, version_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder / "ccagent.db"


@pytest.mark.parametrize("release", OLD, ids=str)
def test_a_backup_of_the_old_version_lies_beside_the_new_one(release: Release, path: Path) -> None:
    release.write_database(path)
    with closing(sqlite3.connect(path)) as conn:
        before = list(conn.iterdump())

    store = opened(path)

    prepared = store.prepared
    assert prepared.migrated
    assert prepared.found == release.version
    backup = prepared.backup
    assert backup is not None
    assert re.fullmatch(rf"ccagent\.db\.v{release.version}-\d{{8}}T\d{{6}}\.\d{{3}}Z\.bak", backup.name)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert version_of(backup) == release.version
    with closing(sqlite3.connect(backup)) as conn:
        assert list(conn.iterdump()) == before
    store.close()
    assert {file.name for file in path.parent.iterdir()} == {path.name, backup.name}


def test_a_start_tells_of_the_migration_and_its_backup(path: Path, tmp_path: Path) -> None:
    Release(1).write_database(path)
    tree = Release(1).write_transcripts(tmp_path / "projects")

    command = [sys.executable, "-m", "ccagent", "run", "--once", "--source", str(tree), "--db", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.returncode == 0, done.stderr
    (told,) = [json.loads(line) for line in done.stderr.splitlines() if '"database.migrated"' in line]
    assert told["schema_before"] == 1
    assert [Path(told["backup"])] == migration_backups(path)


def test_a_database_of_this_version_is_opened_without_a_backup(path: Path) -> None:
    SqliteStore(path, clock=FakeClock(0)).close()

    store = SqliteStore(path, clock=FakeClock(0))

    assert not store.prepared.migrated
    assert store.prepared.found == SCHEMA_VERSION
    assert migration_backups(path) == []
    store.close()


def test_without_room_for_the_backup_nothing_is_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Release(1).write_database(path)
    before = digest(path)
    monkeypatch.setattr(backups_module, "ROOM", 1e9)

    with pytest.raises(StoreError, match=r"with a backup before, needs .* MiB, but .* free some space"):
        opened(path)

    assert digest(path) == before


def test_the_newest_backups_of_migrations_are_kept_and_what_a_kill_left_is_removed(path: Path) -> None:
    Release(1).write_database(path)
    others = [f"{path.name}.bak", "other.db.v1-20200101T000000.000Z.bak"]
    old = [f"{path.name}.v{version}-2020010{version}T000000.000Z.bak" for version in (1, 2, 3)]
    torn = f"{path.name}.v1-20200104T000000.000Z.bak.partial"
    for name in (*others, *old, torn):
        (path.parent / name).write_bytes(b"x")

    store = opened(path)
    store.close()

    assert KEPT == 2
    backup = store.prepared.backup
    assert backup is not None
    assert migration_backups(path) == [backup, path.with_name(old[2])]
    assert {file.name for file in path.parent.iterdir()} == {path.name, backup.name, old[2], *others}


def test_a_database_in_memory_needs_no_backup() -> None:
    store = SqliteStore(":memory:", clock=FakeClock(0))

    assert store.prepared.backup is None
    assert scalar(store.conn, "PRAGMA user_version") == SCHEMA_VERSION
    store.close()
