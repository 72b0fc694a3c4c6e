"""The same figures of SQLite and of Postgres: databases filled with invented facts, one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

from benchmarks.facts import Filler
from benchmarks.figures import Figure, conditions, finish, options
from ccagent.store import schema, view
from ccagent.store.connection import Connection

Place = TypeVar("Place")
"""A filled database, as a benchmark wants to have it."""

Measured = tuple[list[Figure], dict[str, list[float]]]
"""Figures, and the samples behind them by name."""


def fill(conn: Connection, facts: int) -> int:
    """Make the schema, the facts and their rollups; the moment after the last fact."""
    dialect = conn.dialect.name
    for statement in (*schema.statements(dialect), *view.statements(dialect)):
        conn.execute(statement)
    filler = Filler(conn, facts)
    now = filler.fill()
    filler.refresh()
    filler.touch(now)
    return now


@contextlib.contextmanager
def own_server() -> Iterator[str | None]:
    """URL of an empty database on a server that ends with the benchmark; None where there can be none."""
    from tests.pg import Server, unavailable

    if reason := unavailable():
        print(f"no Postgres: {reason}")
        yield None
        return
    with Server(settings={"shared_buffers": "256MB"}) as server, server.database() as url:
        yield url


def on_both(
    name: str,
    description: str | None,
    facts: int,
    rounds: int,
    places: tuple[Callable[[int], AbstractContextManager[Place]], Callable[[str, int], AbstractContextManager[Place]]],
    measure: Callable[[Place, int], Measured],
    *more: Figure,
) -> None:
    """The whole of a benchmark: read its options, measure on a file of SQLite and, where there is one, on a server.

    `places` make a filled database of so many facts, the first of SQLite, the second at a URL. `facts` and `rounds` are
    what is taken where the options do not say; `more` is told beside the figures.
    """
    parser = options(description)
    parser.add_argument("--facts", type=int, default=facts)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--database", help="an empty Postgres database to use (postgresql://…)")
    given = parser.parse_args()
    taken = conditions()
    figures = [Figure(what="facts", value=given.facts, unit=""), *more]
    samples: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        opened = [places[0](given.facts)]
        url = given.database or stack.enter_context(own_server())
        if url is not None:
            opened.append(places[1](url, given.facts))
        for database in opened:
            with database as place:
                found, times = measure(place, given.rounds)
            figures += found
            samples |= times
    finish(name, figures, taken, given.json, samples=samples)
