"""Texts and contexts as numbers, and facts as rows: there and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent.clock import FakeClock
from ccagent.errors import DamagedError
from ccagent.facts.model import Context
from ccagent.store import interning
from ccagent.store.connection import SqliteConnection
from ccagent.store.interning import REMEMBERED, REMEMBERED_LIVE, Contexts, Names
from ccagent.store.schema import statements
from ccagent.store.sqlite import SqliteStore

HERE = Context("s", "/p", "/p", "main", "2.1.30", None, "default", None, None, None, 0)


@pytest.fixture
def conn() -> Iterator[SqliteConnection]:
    conn = SqliteConnection(":memory:")
    for statement in statements("sqlite"):
        conn.execute(statement)
    yield conn
    conn.close()


def test_a_text_has_one_number(conn: SqliteConnection) -> None:
    names = Names(conn)

    assert names.id("a") == names.id("a") != names.id("b")
    assert names.text(names.id("b")) == "b"


def test_another_writer_finds_the_same_numbers(conn: SqliteConnection) -> None:
    number = Names(conn).id("a")

    other = Names(conn)

    assert (other.id("a"), other.text(number)) == (number, "a")


def test_no_text_has_no_number(conn: SqliteConnection) -> None:
    names = Names(conn)

    assert (names.optional(None), names.text(None)) == (None, None)


def test_numbers_of_a_rolled_back_transaction_are_void(conn: SqliteConnection) -> None:
    names = Names(conn)
    conn.execute("BEGIN")
    lost = names.id("lost")
    conn.execute("ROLLBACK")
    names.forget()

    assert names.id("kept") == lost
    assert names.text(lost) == "kept"


def test_half_a_surrogate_pair_is_stored_as_a_question_mark(conn: SqliteConnection) -> None:
    names = Names(conn)

    number = names.id("\ud83d")

    assert Names(conn).text(number) == "?"


def test_a_number_that_was_never_given_is_damage(conn: SqliteConnection) -> None:
    with pytest.raises(DamagedError, match="ccagent db check"):
        Names(conn).text(77)


def test_memory_is_bounded_and_numbers_stay(conn: SqliteConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interning, "REMEMBERED", 3)
    names = Names(conn)
    numbers = {text: names.id(text) for text in "abcdefgh"}

    assert {text: names.id(text) for text in "abcdefgh"} == numbers
    assert len(names._ids) <= 3


def test_less_is_remembered_once_the_history_was_read(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ccagent.db", clock=FakeClock(1_000))
    state = store.ingest_state
    before = state.names.limit, state.contexts.limit
    store.catch_up_done()

    store.write(lambda conn: [state.names.id(f"turn {number}") for number in range(2 * REMEMBERED_LIVE)])

    assert before == (REMEMBERED, REMEMBERED)
    assert state.contexts.limit == REMEMBERED_LIVE
    assert 0 < len(state.names._ids) <= REMEMBERED_LIVE
    store.close()


def test_a_context_has_one_number_and_comes_back_whole(conn: SqliteConnection) -> None:
    contexts = Contexts(conn, Names(conn))

    number = contexts.id(HERE)

    assert contexts.id(HERE._replace()) == number
    assert Contexts(conn, Names(conn)).value(number) == HERE
    assert contexts.id(HERE._replace(branch=None)) != number
    assert contexts.id(HERE._replace(rank=1)) != number


def test_another_writer_finds_the_same_context(conn: SqliteConnection) -> None:
    assert Contexts(conn, Names(conn)).id(HERE) == Contexts(conn, Names(conn)).id(HERE)
