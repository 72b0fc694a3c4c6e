"""Placeholders of SQLite in Postgres' spelling."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccagent.store.pgconnection import PgConnection, connect
from ccagent.store.placeholders import translate
from tests.pg import Server

ANY_TEXT = st.text(alphabet="?1a '\"$-/*\\\nE;:", max_size=12)

QUOTED = st.one_of(
    ANY_TEXT.map(lambda text: "'" + text.replace("'", "''") + "'"),
    ANY_TEXT.map(lambda text: '"' + text.replace('"', '""') + '"'),
    ANY_TEXT.map(lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    ANY_TEXT.map(lambda text: "-- " + text.replace("\n", " ") + "\n"),
    ANY_TEXT.map(lambda text: "/* " + text.replace("/*", "").replace("*/", "").rstrip("/*") + " */"),
    ANY_TEXT.map(lambda text: "/* /* " + text.replace("/", "").rstrip("*") + " */ ? */"),
    ANY_TEXT.map(lambda text: "$$" + text.replace("$", "") + "$$"),
    ANY_TEXT.map(lambda text: "$tag$" + text.replace("$tag", "") + " $tag$"),
    st.sampled_from(["SELECT", "x", "1", "(", ",", "a.b", "||", "::text", "%", "$1", "some$name", "tablE "]),
)
PLACEHOLDERS = st.one_of(st.just("?"), st.integers(1, 12).map(lambda number: f"?{number}"))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT ?, ?", "SELECT $1, $2"),
        ("SELECT ?2, ?1, ?2", "SELECT $2, $1, $2"),
        ("SELECT ?3, ?, ?1, ?", "SELECT $3, $4, $1, $5"),
        ("SELECT '?', ?", "SELECT '?', $1"),
        ("SELECT 'it''s ?', ?", "SELECT 'it''s ?', $1"),
        ("SELECT 'a\\', ?", "SELECT 'a\\', $1"),
        ("SELECT E'a\\'?', ?", "SELECT E'a\\'?', $1"),
        ('SELECT "offset?", ?', 'SELECT "offset?", $1'),
        ("SELECT ? -- why?\n, ?", "SELECT $1 -- why?\n, $2"),
        ("SELECT ? /* ? /* ? */ ? */, ?", "SELECT $1 /* ? /* ? */ ? */, $2"),
        ("DO $$ BEGIN PERFORM '?'; END $$", "DO $$ BEGIN PERFORM '?'; END $$"),
        ("SELECT unnest(?::bigint[])", "SELECT unnest($1::bigint[])"),
    ],
)
def test_placeholders_are_numbered_as_sqlite_numbers_them(ours: str, theirs: str) -> None:
    assert translate(ours) == theirs


@given(st.lists(st.one_of(QUOTED, PLACEHOLDERS), max_size=12))
def test_only_placeholders_change(pieces: list[str]) -> None:
    largest, expected = 0, []
    for piece in pieces:
        if piece.startswith("?"):
            number = int(piece[1:] or largest + 1)
            largest = max(largest, number)
            piece = f"${number}"
        expected.append(piece)

    assert translate(" ".join(pieces)) == " ".join(expected)


@pytest.fixture(scope="module")
def postgres(pg_server: Server) -> Iterator[PgConnection]:
    with pg_server.database() as url:
        conn = connect(url, application_name="test")
        yield conn
        conn.close()


@settings(max_examples=60)
@given(
    columns=st.lists(
        st.one_of(
            ANY_TEXT.map(lambda text: "'" + text.replace("'", "''") + "'"),
            ANY_TEXT.map(lambda text: "/* " + text.replace("*", "").replace("/", "") + " */ 1"),
            PLACEHOLDERS.map(lambda mark: f"CAST({mark} AS BIGINT)"),
            PLACEHOLDERS.map(lambda mark: f"CAST({mark} AS BIGINT) -- ?\n + 1"),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_both_databases_read_a_statement_alike(postgres: PgConnection, columns: list[str]) -> None:
    """The real ones decide what is a placeholder, and which."""
    sql = "SELECT " + ", ".join(columns)
    sqlite = apsw.Connection(":memory:")
    values = tuple(range(100, 100 + bindings_of(sqlite, sql)))

    theirs = sqlite.execute(sql, values).fetchall()
    sqlite.close()

    assert postgres.execute(sql, values).fetchall() == theirs


def bindings_of(sqlite: apsw.Connection, sql: str) -> int:
    """How many values SQLite wants."""
    for count in range(30):
        try:
            sqlite.execute(sql, (0,) * count)
        except apsw.BindingsError:
            continue
        return count
    raise AssertionError(f"SQLite wants too many values for {sql}")
