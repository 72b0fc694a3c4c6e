"""`check` of Postgres' indexes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from ccagent.clock import FakeClock
from ccagent.store.check import Report, check
from ccagent.store.location import parse_database
from ccagent.store.opening import open_store
from ccagent.store.pgconnection import SCHEMA
from ccagent.store.writer import Writer

STAND_IN = f"""
SET allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    VALUES (99999, 'amcheck', 10, '{SCHEMA}'::regnamespace, false, '1.4');
CREATE FUNCTION {SCHEMA}.bt_index_check(index regclass, heap boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF index::text LIKE '%fact_time' THEN
        RAISE EXCEPTION 'item order invariant violated' USING ERRCODE = 'index_corrupted';
    END IF;
END $$;
"""
"""In the place of the extension, which not every server brings: it finds a fault in one index."""


@pytest.fixture
def store(pg_database: str) -> Iterator[Writer]:
    store = open_store(parse_database(pg_database), clock=FakeClock(1_000), host_id="one")
    yield store
    store.close()


def looked(store: Writer, *, full: bool) -> Report:
    return check(store.conn, "the database", full=full)


def note(report: Report, name: str) -> str:
    (finding,) = [finding for finding in report.findings if finding.name == name]
    return finding.note


def as_owner(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statements.encode())


def test_the_version_of_the_server_is_told(store: Writer) -> None:
    assert re.match(r"Postgres 1\d", note(looked(store, full=False), "server"))


def test_an_index_that_is_not_valid_is_told(store: Writer, pg_database: str) -> None:
    store.conn.execute("CREATE INDEX doubtful ON fact (size)")
    as_owner(
        pg_database,
        f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{SCHEMA}.doubtful'::regclass",
    )

    assert looked(store, full=False).faults == ["indexes: the index doubtful is not valid; REINDEX it"]


def test_without_amcheck_it_is_told_that_pages_were_not_looked_at(store: Writer) -> None:
    report = looked(store, full=True)

    assert report.sound
    assert "amcheck is not installed" in note(report, "indexes")


def test_what_amcheck_finds_is_a_fault(store: Writer, pg_database: str) -> None:
    as_owner(pg_database, STAND_IN)

    assert looked(store, full=True).faults == ["indexes: the index fact_time: item order invariant violated"]
    assert looked(store, full=False).sound


def test_whoever_may_not_run_amcheck_is_told_so(store: Writer, pg_database: str) -> None:
    as_owner(pg_database, STAND_IN)
    as_owner(
        pg_database,
        f"REVOKE EXECUTE ON FUNCTION {SCHEMA}.bt_index_check FROM public; CREATE ROLE checker_{store.host};"
        f" GRANT USAGE ON SCHEMA {SCHEMA} TO checker_{store.host};"
        f" GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO checker_{store.host}",
    )
    store.conn.execute(f"SET ROLE checker_{store.host}")
    try:
        report = looked(store, full=True)
    finally:
        store.conn.execute("RESET ROLE")
        as_owner(pg_database, f"DROP OWNED BY checker_{store.host}; DROP ROLE checker_{store.host}")

    assert report.sound
    assert "may not run amcheck" in note(report, "indexes")
