"""A database of every released schema version becomes one of this version, and nothing is lost or counted again."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ccagent import failpoints
from ccagent.clock import FakeClock
from ccagent.errors import StoreError
from ccagent.service.following import Following
from ccagent.service.live import Live
from ccagent.service.scheduling import keep_zone
from ccagent.store import rollups
from ccagent.store.connection import SqliteConnection
from ccagent.store.migrations import STEPS, create, migrate, read_version
from ccagent.store.open import open_reader
from ccagent.store.schema import SCHEMA_VERSION
from ccagent.store.sqlite import SqliteStore
from ccagent.store.view import CANONICAL_COLUMNS, canonical_dump
from tests.house.source import ROOT
from tests.store.releases import AMOUNTS, OLD, RELEASES, Release, digest, opened, pack, rows, unpacked, version_of

OPEN = """
import sys
from ccagent.clock import SystemClock
from ccagent.store.sqlite import SqliteStore
SqliteStore(sys.argv[1], clock=SystemClock()).close()
"""

KINDS = {1: list(range(1, 11)), 2: list(range(1, 11)), 3: list(range(1, 24))}
"""Kinds of facts that each version knew."""

every_release = pytest.mark.parametrize("release", RELEASES, ids=str)
every_old_release = pytest.mark.parametrize("release", OLD, ids=str)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder / "ccagent.db"


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def normal(sql: str) -> str:
    """A statement without its comments and with one way of spacing."""
    text = re.sub(r"--[^\n]*", " ", sql)
    return re.sub(r"\s*([(),])\s*", r"\1", re.sub(r"\s+", " ", text)).strip()


def schema_of(conn: SqliteConnection) -> dict[str, str | None]:
    found = conn.execute("SELECT type || ' ' || name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'")
    return {name: None if sql is None else normal(sql) for name, sql in found}


def dumped(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as conn:
        return list(conn.iterdump())


# ---- every version has its step and its fixture ------------------------------------------------------------------------


def test_every_version_before_this_one_has_a_step_to_the_next() -> None:
    assert {start: step.to for start, step in STEPS.items()} == {
        version: version + 1 for version in range(1, SCHEMA_VERSION)
    }


def test_every_version_before_this_one_has_a_database_that_its_release_wrote() -> None:
    there = {release.version for release in RELEASES}

    assert set(range(1, SCHEMA_VERSION)) <= there
    assert max(there) <= SCHEMA_VERSION


@every_release
def test_the_database_of_a_release_holds_every_kind_of_fact_that_it_knew(release: Release, path: Path) -> None:
    release.write_database(path)

    filled = {name for (name,) in rows(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")
              if rows(path, f"SELECT 1 FROM {name} LIMIT 1")}  # fmt: skip
    assert version_of(path) == release.version
    assert [kind for (kind,) in rows(path, "SELECT DISTINCT type FROM fact ORDER BY 1")] == KINDS[release.version]
    assert filled >= {
        "meta", "name", "context", "file", "quarantine", "fact", "agent", "total", "histogram", "label_value", "dirty",
        "rollup", "export_cursor", "export_dead",
    }  # fmt: skip
    assert rows(path, "SELECT COUNT(DISTINCT exportable) FROM total") == [(2,)]
    assert rows(path, "SELECT COUNT(*) > 0 FROM agent WHERE linked_at IS NULL") == [(1,)]
    assert rows(path, "SELECT COUNT(*) > 0 FROM fact WHERE ended = 1") == [(1,)]
    assert rows(path, "SELECT COUNT(*) > 0 FROM file WHERE carry IS NOT NULL") == [(1,)]


# ---- what a migration leaves ---------------------------------------------------------------------------------------------


@every_release
def test_a_migrated_database_has_the_schema_of_a_new_one(release: Release, path: Path) -> None:
    release.write_database(path)
    new = SqliteConnection(":memory:")
    create(new, 0)

    store = opened(path)

    assert schema_of(SqliteConnection(str(path))) == schema_of(new)
    assert read_version(store.conn) == SCHEMA_VERSION
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    store.close()


@every_release
def test_the_canonical_dump_is_what_the_release_made_of_it(release: Release, path: Path) -> None:
    release.write_database(path)

    store = opened(path)

    assert release.told(store.conn) == release.said() != []
    store.close()


@every_release
def test_usage_is_what_the_release_told(release: Release, path: Path) -> None:
    release.write_database(path)
    opened(path).close()

    command = [sys.executable, "-m", "ccagent", "usage", "--by", "total", "--json", "--db", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)["rows"][0]
    assert {name: row[name] for name in release.usage} == release.usage


@every_old_release
def test_counters_histograms_and_budgets_go_on_from_where_they_were(release: Release, path: Path) -> None:
    release.write_database(path)
    totals = "SELECT metric, labels, exportable, value, created_at FROM total ORDER BY 1, 2, 3"
    histograms = "SELECT metric, labels, exportable, counts, sum, created_at FROM histogram ORDER BY 1, 2, 3"
    admitted = "SELECT metric, label, value FROM label_value ORDER BY 1, 2, 3"
    before = [rows(path, sql) for sql in (totals, histograms, admitted)]

    opened(path).close()

    assert [rows(path, sql) for sql in (totals, histograms, admitted)] == before
    assert rows(path, "SELECT DISTINCT host, base FROM total") == [(1, 0)]
    assert rows(path, "SELECT DISTINCT host, base, base_sum FROM histogram") == [(1, None, 0.0)]


def test_the_writer_of_version_1_becomes_the_first_host(path: Path) -> None:
    Release(1).write_database(path)
    names = ("host_id", "instance_id", "seq", "created_at", "ledger_start", "catch_up_done")
    meta = dict(rows(path, "SELECT name, value FROM meta"))

    opened(path).close()

    (host,) = rows(path, f"SELECT {', '.join(names)}, id, commits FROM host")
    assert [str(value) for value in host] == [meta[name] for name in names] + ["1", "0"]
    kept = dict(rows(path, "SELECT name, value FROM meta WHERE name NOT IN ('held.1', 'restarted.1')"))
    assert kept == {name: meta[name] for name in ("created_at", "generation", "zone")} | {
        "contributors_since": meta["seq"]  # copies in other transcripts were not written down before
    }


def test_what_pointed_to_a_number_of_version_1_points_to_the_key(path: Path) -> None:
    Release(1).write_database(path)
    calls = """SELECT tool.key, request.key FROM fact tool JOIN fact request ON request.id = tool.request ORDER BY 1"""
    dead = "SELECT f.key, d.reason, d.dropped_at FROM export_dead d JOIN fact f ON f.id = d.fact"
    closed = "SELECT key, closed_seq FROM fact ORDER BY 1"
    before = [rows(path, sql) for sql in (calls, dead, closed)]

    opened(path).close()

    after = [
        rows(path, sql)
        for sql in (
            "SELECT key, request FROM fact WHERE request IS NOT NULL ORDER BY 1",
            "SELECT key, reason, dropped_at FROM export_dead",
            closed,
        )
    ]
    assert all(before)
    assert after == before
    assert rows(path, "SELECT COUNT(*) FROM fact WHERE (closed_seq IS NULL) <> (closed_host IS NULL)") == [(0,)]


def test_cursors_of_version_1_belong_to_the_first_host(path: Path) -> None:
    Release(1).write_database(path)
    columns = "destination, signal, named_at, closed_seq, updated_at, sent, rejected"
    before = rows(path, f"SELECT {columns} FROM export_cursor")

    opened(path).close()

    assert rows(path, f"SELECT {columns} FROM export_cursor WHERE host = 1") == before


@every_release
def test_all_rollups_are_made_anew_from_what_the_migration_marked(release: Release, path: Path) -> None:
    release.write_database(path)
    store = opened(path)
    zone = keep_zone(store, "UTC")

    while store.write(lambda conn: rollups.refresh(conn, zone)):
        pass

    refreshed = set(rows(path, "SELECT * FROM rollup"))
    store.write(lambda conn: rollups.rebuild(conn, zone))
    assert refreshed
    assert set(rows(path, "SELECT * FROM rollup")) == refreshed
    store.close()


@pytest.mark.parametrize("known", [True, False], ids=["in-place", "moved-away"])
@every_release
def test_the_same_transcripts_add_nothing(release: Release, path: Path, tmp_path: Path, known: bool) -> None:
    tree = release.write_transcripts(tmp_path / "projects")
    release.write_database(path, tree if known else None)
    amounts = "SELECT metric, labels, exportable, value FROM total WHERE metric LIKE 'tokens%' OR metric LIKE 'cost%'"
    read = "SELECT value FROM total WHERE metric = 'ingest.bytes'"
    before = [rows(path, f"{amounts} ORDER BY 1, 2, 3"), rows(path, read)]
    store = opened(path)

    following = Following(store, [tree], Live(started_ms=0), FakeClock(0), max_line=1 << 20, scan_seconds=60.0)
    while following.turn():
        pass
    following.follower.close()

    if known:
        assert release.told(store.conn) == release.said()
    else:  # newer rules find more in the same lines, but no amount that was known changes
        now = {row[0]: row for row in release.told(store.conn, of=AMOUNTS)}
        assert [now[row[0]] for row in release.said(of=AMOUNTS)] == release.said(of=AMOUNTS)
    assert rows(path, f"{amounts} ORDER BY 1, 2, 3") == before[0] != []
    assert (rows(path, read) == before[1]) is known  # a tree in its place is not even read again
    store.close()


def test_views_that_another_ccagent_has_made_of_the_same_tables_are_made_anew(path: Path) -> None:
    SqliteStore(path, clock=FakeClock(0)).close()
    read = "SELECT name, sql FROM sqlite_schema WHERE type = 'view' AND name <> 'mine' ORDER BY 1"
    made = rows(path, read)
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("DROP VIEW telemetry_events")
        conn.execute("CREATE VIEW telemetry_events AS SELECT key, 100000 AS context_window FROM fact")
        conn.execute("CREATE VIEW mine AS SELECT context_window FROM telemetry_events")
        conn.commit()

    for _ in range(2):
        opened(path).close()
        assert rows(path, read) == made != []
        assert rows(path, "SELECT * FROM mine") == []


def test_a_view_of_the_user_is_left_alone(path: Path) -> None:
    Release(1).write_database(path)
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE VIEW my_errors AS SELECT session_id, tool_name FROM telemetry_events WHERE is_error = 1")
        before = conn.execute("SELECT * FROM my_errors ORDER BY 1, 2").fetchall()

    opened(path).close()

    assert rows(path, "SELECT * FROM my_errors ORDER BY 1, 2") == before != []


# ---- what stands in the way ----------------------------------------------------------------------------------------------


@every_old_release
def test_a_migration_that_fails_at_any_statement_changes_nothing(release: Release, path: Path) -> None:
    release.write_database(path)
    before = {release.version: dumped(path)}
    failures, at, version = 0, 0, release.version

    while version_of(path) < SCHEMA_VERSION:
        failures += 1
        at, version = (
            1 if version_of(path) != version else at + 1,
            version_of(path),
        )  # each step from its first statement
        failpoints.arm(failpoints.parse(f"migration:raise:{at}"))
        conn = SqliteConnection(str(path))
        try:
            migrate(conn)
        except failpoints.InjectedFaultError:
            # a step that was done before stays done, and the one that failed has left nothing
            assert dumped(path) == before.setdefault(version_of(path), dumped(path))
        finally:
            conn.close()

    assert set(before) == set(range(release.version, SCHEMA_VERSION))
    assert failures >= 5
    assert version_of(path) == SCHEMA_VERSION


@pytest.mark.parametrize(
    ("release", "count"),
    [(release, count) for release in OLD for count in ((1, 20, 45) if release.version == 1 else (1, 3, 5))],
)
def test_killed_in_the_middle_it_is_what_it_was_and_the_next_start_goes_through(
    release: Release, path: Path, count: int
) -> None:
    release.write_database(path)
    environment = os.environ | {failpoints.VARIABLE: f"migration:kill:{count}"}

    killed = subprocess.run([sys.executable, "-c", OPEN, str(path)], env=environment, cwd=ROOT, check=False)
    between = version_of(path), rows(path, "PRAGMA integrity_check"), rows(path, "SELECT COUNT(*) FROM fact")
    store = opened(path)

    assert killed.returncode == -signal.SIGKILL
    assert between == (release.version, [("ok",)], [(len(release.canonical),)])
    assert release.told(store.conn) == release.said()
    store.close()


def test_a_newer_database_is_refused_without_a_byte_written(path: Path) -> None:
    create_at = SqliteConnection(str(path))  # not in WAL: even the journal mode stays
    create(create_at, 0)
    create_at.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    create_at.close()
    before = digest(path)

    with pytest.raises(StoreError, match=rf"newer ccagent \(schema {SCHEMA_VERSION + 1}, this one knows") as told:
        opened(path)

    assert str(path) in str(told.value)
    assert digest(path) == before


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE bookmark (url TEXT)")
        conn.commit()
    before = digest(path)

    with pytest.raises(StoreError, match="of another program; name another --db"):
        SqliteStore(path, clock=FakeClock(0))

    assert digest(path) == before


def test_who_only_reads_an_older_database_is_told_what_to_do(path: Path) -> None:
    Release(1).write_database(path)

    with pytest.raises(StoreError, match=r"older ccagent \(schema 1, .* start `ccagent run` once"), open_reader(path):
        pass

    opened(path).close()
    with open_reader(path) as reader:
        assert read_version(reader) == SCHEMA_VERSION


@every_old_release
def test_of_several_that_start_at_once_each_step_is_run_by_one(release: Release, path: Path) -> None:
    release.write_database(path)
    done: list[int] = []

    def start() -> None:
        conn = SqliteConnection(str(path))
        conn.set_busy_timeout(30_000)
        done.append(migrate(conn))
        conn.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(done) == SCHEMA_VERSION - release.version
    assert version_of(path) == SCHEMA_VERSION


# ---- how the next fixture is made ----------------------------------------------------------------------------------------


def test_what_is_packed_unpacks_to_the_same(tmp_path: Path, path: Path) -> None:
    RELEASES[-1].write_database(path)
    opened(path).close()

    pack(path, tmp_path / "packed")

    again = sqlite3.connect(":memory:")
    again.executescript(unpacked(tmp_path / "packed" / "database.sql.gz").decode())
    with closing(sqlite3.connect(path)) as conn:
        assert list(again.iterdump()) == list(conn.iterdump())
    again.close()
    assert json.loads((tmp_path / "packed" / "columns.json").read_text()) == list(CANONICAL_COLUMNS)
    with open_reader(path) as reader:
        dump = list(canonical_dump(reader))
    assert unpacked(tmp_path / "packed" / "canonical.jsonl.gz").decode().splitlines() == dump != []
    assert json.loads((tmp_path / "packed" / "usage.json").read_text())["rows"][0] == RELEASES[-1].usage
