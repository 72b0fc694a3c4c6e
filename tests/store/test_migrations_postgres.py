"""A Postgres schema of every released version becomes one of this version: same tables as a new one, same facts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ccagent.store.connection import Connection
from ccagent.store.migrations import create, prepare, read_version
from ccagent.store.schema import SCHEMA_VERSION
from tests.store.releases import OLD, Release
from tests.store.test_migration_steps import connected, tables

RELEASED = [release for release in OLD if (release.folder / "postgres.sql").exists()]
"""Version 1 knew SQLite alone."""


@pytest.fixture
def conn(pg_database: str) -> Iterator[Connection]:
    conn = connected("postgres", pg_database)
    yield conn
    conn.close()


def write(release: Release, conn: Connection, scratch: Path) -> None:
    """The release's Postgres tables, with the rows that it wrote into SQLite."""
    for statement in (release.folder / "postgres.sql").read_text().split(";\n"):
        if statement.strip():
            conn.execute(statement)
    release.write_database(scratch)
    with closing(sqlite3.connect(scratch)) as rows:
        found = rows.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        for (table,) in found.fetchall():
            columns = [row[1] for row in rows.execute(f"SELECT * FROM pragma_table_info('{table}')")]
            names, marks = ", ".join(f'"{column}"' for column in columns), ", ".join("?" * len(columns))
            conn.executemany(
                f"INSERT INTO {table} ({names}) VALUES ({marks})",
                rows.execute(f"SELECT {names} FROM {table}").fetchall(),
            )
    conn.execute("INSERT INTO meta (name, value) VALUES ('schema_version', ?)", (str(release.version),))
    for table in ("name", "context", "file", "host"):
        conn.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT MAX(id) FROM {table}))")


def shapes(conn: Connection) -> list[object]:
    """`tables` without the order of columns: what ALTER TABLE adds stands last."""
    return sorted(
        tuple(value for number, value in enumerate(row) if not (len(row) == 9 and number == 1)) for row in tables(conn)
    )  # fmt: skip


@pytest.mark.parametrize("release", RELEASED, ids=str)
def test_the_tables_are_those_of_a_new_database_and_the_facts_what_they_were(
    release: Release, conn: Connection, pg_server: object, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write(release, conn, tmp_path / "old.db")

    prepared = prepare(conn, place="the test's database", now_ms=0)

    assert (prepared.found, read_version(conn)) == (release.version, SCHEMA_VERSION)
    assert release.told(conn) == release.said() != []
    with request.getfixturevalue("pg_server").database() as url:
        new = connected("postgres", url)
        create(new, 0)
        assert shapes(conn) == shapes(new)
        new.close()
