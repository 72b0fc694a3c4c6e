"""How a step runs in both databases: whole or not at all, once, and never under the feet of a writer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ccagent import failpoints
from ccagent.clock import FakeClock
from ccagent.errors import StoreError
from ccagent.store import schema
from ccagent.store.connection import Connection, SqliteConnection, scalar
from ccagent.store.location import Database
from ccagent.store.migrations import Migration, create, migrate, prepare, read_version, refuse_others
from ccagent.store.opening import open_store
from ccagent.store.schema import SCHEMA_VERSION
from tests.house.source import ROOT
from tests.pg import Server

NEXT = SCHEMA_VERSION + 1
WORDS = {"sqlite": "INTEGER", "postgres": "BIGINT"}
DEADLINE_SECONDS = 60.0

Connect = Callable[[], Connection]
Session = Callable[[str, str], Connection]

KILLED = f"""
import sys
from ccagent.store.migrations import Migration, migrate
from tests.store.test_migration_steps import STEP, connected
migrate(connected(sys.argv[1], sys.argv[2]), target={NEXT}, steps=STEP)
"""


def statements(conn: Connection) -> Iterator[str]:
    """A column more, a table more, and a value moved from one into the other."""
    word = WORDS[conn.dialect.name]
    yield f"ALTER TABLE agent ADD COLUMN kind {word}"
    yield f"CREATE TABLE kind (id {word} PRIMARY KEY, agents {word} NOT NULL)"
    yield "CREATE INDEX agent_kind ON agent(kind)"
    yield "INSERT INTO kind (id, agents) SELECT 1, COUNT(*) FROM agent"
    yield "UPDATE agent SET kind = 1"


STEP = {SCHEMA_VERSION: Migration(to=NEXT, statements=statements)}


def connected(kind: str, target: str) -> Connection:
    if kind == "sqlite":
        conn = SqliteConnection(target)
        conn.execute("PRAGMA journal_mode = WAL").fetchall()
        conn.set_busy_timeout(30_000)
        return conn
    from ccagent.store.pgconnection import connect

    return connect(target, application_name="ccagent tests", create=True)


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def target(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    return str(tmp_path / "ccagent.db") if kind == "sqlite" else str(request.getfixturevalue("pg_database"))


@pytest.fixture
def another(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A second, empty database of the same kind."""
    if kind == "sqlite":
        yield str(tmp_path / "another.db")
        return
    server: Server = request.getfixturevalue("pg_server")
    with server.database() as url:
        yield url


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Session:
    """As `connected`, closed when the test is over."""

    def one(kind: str, target: str) -> Connection:
        conn = connected(kind, target)
        request.addfinalizer(conn.close)
        return conn

    return one


@pytest.fixture
def connect(kind: str, target: str, session: Session) -> Connect:
    """Makes connections to one database, with this version's schema and two sub-agents in it."""
    conn = session(kind, target)
    create(conn, 1_000)
    conn.execute("INSERT INTO agent (agent) VALUES (7)")
    conn.execute("INSERT INTO agent (agent) VALUES (8)")
    return lambda: session(kind, target)


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def tables(conn: Connection) -> list[tuple[Any, ...]]:
    """All that there is, as the database itself tells it: tables, columns, keys, indexes, views."""
    if conn.dialect.name == "sqlite":
        found = conn.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()
        # what ALTER TABLE adds is spaced in its own way
        return [(kind, name, sql and re.sub(r"\s+", "", re.sub(r"--[^\n]*", "", sql))) for kind, name, sql in found]
    columns = conn.execute(
        """SELECT table_name, ordinal_position, column_name, data_type, is_nullable, column_default, is_identity,
                  identity_generation, collation_name
           FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, 2"""
    ).fetchall()
    indexes = conn.execute(
        """SELECT tablename, indexname, replace(indexdef, current_schema() || '.', '') FROM pg_indexes
           WHERE schemaname = current_schema() ORDER BY 1, 2"""
    ).fetchall()
    views = conn.execute(
        """SELECT viewname, replace(definition, current_schema() || '.', '') FROM pg_views
           WHERE schemaname = current_schema() ORDER BY 1"""
    ).fetchall()
    return [*columns, *indexes, *views]


def agents(conn: Connection) -> list[tuple[Any, ...]]:
    return conn.execute("SELECT * FROM agent ORDER BY agent").fetchall()


def test_creating_twice_makes_one_schema(connect: Connect) -> None:
    conn = connect()
    before = tables(conn)

    create(conn, 2_000)

    assert tables(conn) == before
    assert read_version(conn) == SCHEMA_VERSION
    assert scalar(conn, "SELECT value FROM meta WHERE name = 'created_at'") == "1000"


def test_an_empty_database_has_version_0_and_gets_the_newest(kind: str, target: str, session: Session) -> None:
    conn = session(kind, target)
    before = read_version(conn)

    prepared = prepare(conn, place="here", now_ms=5)

    assert (before, prepared.found, prepared.migrated) == (0, 0, False)
    assert read_version(conn) == SCHEMA_VERSION
    assert agents(conn) == []


def test_a_step_ends_with_the_schema_that_a_new_database_gets(
    connect: Connect, kind: str, session: Session, another: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn = connect()

    done = migrate(conn, target=NEXT, steps=STEP)

    monkeypatch.setitem(schema.TABLES, "agent", schema.TABLES["agent"] + ", kind {int}")
    monkeypatch.setitem(schema.TABLES, "kind", "id {int} PRIMARY KEY, agents {int} NOT NULL")
    monkeypatch.setitem(schema.INDEXES, "agent_kind", "INDEX {name} ON agent(kind)")
    new = session(kind, another)
    create(new, 1_000)
    assert tables(conn) == tables(new)
    assert done == 1
    assert read_version(conn) == NEXT
    assert [row[-1] for row in agents(conn)] == [1, 1]
    assert scalar(conn, "SELECT agents FROM kind") == 2
    assert conn.execute("SELECT COUNT(*) FROM telemetry_events").fetchone() == (0,)


def test_a_step_that_fails_in_the_middle_is_rolled_back(connect: Connect) -> None:
    conn = connect()
    before = tables(conn), agents(conn)
    failures = 0

    while read_version(conn) == SCHEMA_VERSION:
        failures += 1
        failpoints.arm(failpoints.parse(f"migration:raise:{failures}"))
        try:
            migrate(conn, target=NEXT, steps=STEP)
        except failpoints.InjectedFaultError:
            assert not conn.in_transaction
            assert (tables(conn), agents(conn)) == before

    assert failures == 7  # five statements, the version, and once through


def test_a_statement_that_the_database_refuses_takes_the_step_with_it(connect: Connect) -> None:
    conn = connect()
    before = tables(conn)

    def wrong(conn: Connection) -> Iterator[str]:
        yield from statements(conn)
        yield "INSERT INTO kind (id) VALUES (2)"

    with pytest.raises(Exception, match=r"(?i)not.null"):
        migrate(conn, target=NEXT, steps={SCHEMA_VERSION: Migration(to=NEXT, statements=wrong)})

    assert tables(conn) == before
    assert read_version(conn) == SCHEMA_VERSION


def test_two_steps_are_two_transactions_and_the_second_goes_on_where_it_failed(connect: Connect) -> None:
    conn = connect()

    def second(conn: Connection) -> Iterator[str]:
        yield "DROP INDEX agent_kind"

    steps = {**STEP, NEXT: Migration(to=NEXT + 1, statements=second)}
    failpoints.arm(failpoints.parse("migration:raise:7"))

    with pytest.raises(failpoints.InjectedFaultError):
        migrate(conn, target=NEXT + 1, steps=steps)
    between = read_version(conn)
    done = migrate(conn, target=NEXT + 1, steps=steps)

    assert (between, done, read_version(conn)) == (NEXT, 1, NEXT + 1)
    assert conn.execute("SELECT COUNT(*) FROM telemetry_events").fetchone() == (0,)


def test_killed_in_the_middle_it_is_what_it_was(connect: Connect, kind: str, target: str) -> None:
    conn = connect()
    before = tables(conn), agents(conn)
    environment = os.environ | {failpoints.VARIABLE: "migration:kill:4", "PYTHONPATH": str(ROOT)}

    killed = subprocess.run([sys.executable, "-c", KILLED, kind, target], env=environment, cwd=ROOT, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert (tables(conn), agents(conn)) == before
    assert migrate(conn, target=NEXT, steps=STEP) == 1


def test_of_several_that_start_at_once_one_migrates(connect: Connect) -> None:
    done: list[int] = []
    connections = [connect() for _ in range(4)]
    together = threading.Barrier(len(connections))

    def start(conn: Connection) -> None:
        together.wait()
        done.append(migrate(conn, target=NEXT, steps=STEP))

    in_threads(start, connections)

    assert sorted(done) == [0, 0, 0, 1]
    assert scalar(connections[0], "SELECT agents FROM kind") == 2


def test_of_several_that_meet_an_empty_database_one_makes_the_schema(kind: str, target: str, session: Session) -> None:
    connections = [session(kind, target) for _ in range(4)]
    together = threading.Barrier(len(connections))
    found: list[int] = []

    def start(conn: Connection) -> None:
        together.wait()
        prepare(conn, place="here", now_ms=1)
        found.append(read_version(conn))

    in_threads(start, connections)

    assert found == [SCHEMA_VERSION] * 4


def in_threads(work: Callable[[Connection], None], connections: list[Connection]) -> None:
    threads = [threading.Thread(target=work, args=(conn,)) for conn in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)


def test_a_newer_database_is_refused(connect: Connect) -> None:
    conn = connect()
    migrate(conn, target=NEXT, steps=STEP)
    before = tables(conn)

    for refused in (
        lambda: refuse_others(conn, "here"),
        lambda: migrate(conn, place="here"),
        lambda: prepare(conn, place="here", now_ms=1),
    ):
        with pytest.raises(StoreError, match=rf"here was written by a newer ccagent \(schema {NEXT}, this one knows"):
            refused()

    assert tables(conn) == before


# ---- where hosts share a database ----------------------------------------------------------------------------------------


def test_a_step_waits_for_the_writers_that_are_at_work(pg_database: str, session: Session) -> None:
    writer, other, watcher = (session("postgres", pg_database) for _ in range(3))
    create(writer, 1_000)
    writer.execute("BEGIN")
    writer.execute("SELECT seq FROM host").fetchall()
    thread = threading.Thread(target=migrate, args=(other,), kwargs={"target": NEXT, "steps": STEP})
    thread.start()

    wait_until(lambda: scalar(watcher, "SELECT COUNT(*) FROM pg_locks WHERE NOT granted") == 1)
    writer.execute("INSERT INTO agent (agent) VALUES (9)")
    writer.execute("COMMIT")
    thread.join(DEADLINE_SECONDS)

    assert read_version(watcher) == NEXT
    assert scalar(watcher, "SELECT agents FROM kind") == 1


def test_an_older_daemon_writes_nothing_into_a_newer_schema(
    pg_database: str, session: Session, request: pytest.FixtureRequest
) -> None:
    store = open_store(
        Database(kind="postgres", target=pg_database, display="postgresql://team", sidecar="unused"),
        clock=FakeClock(1_000), host_id="old",
    )  # fmt: skip
    request.addfinalizer(store.close)
    store.set_meta("before", "1")
    other = session("postgres", pg_database)
    migrate(other, target=NEXT, steps=STEP)

    with pytest.raises(StoreError, match=rf"postgresql://team has schema {NEXT} by now"):
        store.set_meta("after", "1")

    assert other.execute("SELECT name FROM meta WHERE name IN ('before', 'after')").fetchall() == [("before",)]


def test_a_view_that_depends_on_ours_is_named_and_nothing_is_changed(pg_database: str, session: Session) -> None:
    conn = session("postgres", pg_database)
    create(conn, 1_000)
    conn.execute("CREATE VIEW public.errors AS SELECT session_id FROM telemetry_events WHERE is_error = 1")

    with pytest.raises(Exception, match="telemetry_events because other objects depend on it"):
        migrate(conn, target=NEXT, steps=STEP)

    assert read_version(conn) == SCHEMA_VERSION


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
