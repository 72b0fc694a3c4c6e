"""Opening the writer of a database and the readers beside it, of either kind; Postgres' driver is loaded at need."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from ccagent.clock import Clock
from ccagent.facts.pricing import PriceTable
from ccagent.metrics.ledger import Exportable
from ccagent.store.connection import Connection
from ccagent.store.location import Database
from ccagent.store.open import DAEMON_SECONDS, open_reader
from ccagent.store.writer import Writer, nothing_leaves


class Readers(Protocol):
    """Read-only connections of a daemon."""

    def reader(self) -> AbstractContextManager[Connection]:
        """One of them, for the length of a `with`."""

    def close(self) -> None:
        """Give all of them up."""


class SqliteReaders:
    """A connection a question: opening a file costs less than keeping it open."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reader(self) -> AbstractContextManager[Connection]:
        """A new connection."""
        return open_reader(self._database, DAEMON_SECONDS)

    def close(self) -> None:
        """Nothing is held."""


def open_store(
    database: Database,
    *,
    clock: Clock,
    host_id: str | None = None,
    prices: PriceTable | None = None,
    exportable: Exportable = nothing_leaves,
    budgets: Mapping[str, int] | None = None,
) -> Writer:
    """The writer of a database. `host_id` names this machine in a shared one. StoreError says what stands in the way."""
    if database.kind == "postgres":
        from ccagent.store.postgres import PostgresStore

        return PostgresStore(
            database, host_id=host_id or "", clock=clock, prices=prices, exportable=exportable, budgets=budgets
        )
    from ccagent.store.sqlite import SqliteStore

    return SqliteStore(database, clock=clock, prices=prices, exportable=exportable, budgets=budgets)


def open_readers(database: Database) -> Readers:
    """The readers of a daemon."""
    if database.kind == "postgres":
        from ccagent.store.postgres import PostgresReaders

        return PostgresReaders(database)
    return SqliteReaders(database)
