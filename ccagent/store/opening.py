"""Opening the writer of a database and the readers beside it, of either kind; Postgres' driver is loaded at need."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from ccagent.clock import Clock
from ccagent.facts.pricing import PriceTable
from ccagent.metrics.ledger import Exportable
from ccagent.store.connection import AtWork, Connection, unwatched
from ccagent.store.location import Database
from ccagent.store.open import COMMAND_SECONDS, DAEMON_SECONDS
from ccagent.store.readers import SqliteReaders
from ccagent.store.writer import Writer, nothing_leaves


class Readers(Protocol):
    """Read-only connections of a daemon."""

    def reader(self) -> AbstractContextManager[Connection]:
        """One of them, for the length of a `with`."""

    def close(self) -> None:
        """Give all of them up."""


def open_store(
    database: Database,
    *,
    clock: Clock,
    host_id: str | None = None,
    prices: PriceTable | None = None,
    exportable: Exportable = nothing_leaves,
    budgets: Mapping[str, int] | None = None,
    at_work: AtWork = unwatched,
) -> Writer:
    """The writer of a database. `host_id` names this machine in a shared one. StoreError says what stands in the way.

    `at_work` is called while SQLite takes long; of what a server does nothing is heard before it is done.
    """
    if database.kind == "postgres":
        from ccagent.store.postgres import PostgresStore

        return PostgresStore(
            database, host_id=host_id or "", clock=clock, prices=prices, exportable=exportable, budgets=budgets
        )
    from ccagent.store.sqlite import SqliteStore

    return SqliteStore(database, clock=clock, prices=prices, exportable=exportable, budgets=budgets, at_work=at_work)


def open_readers(database: Database, at_work: AtWork = unwatched, *, once: bool = False) -> Readers:
    """The readers of a daemon; `at_work` as for the writer. Where all is done `once`, nobody follows whom a question could
    hold up: it may take as long as a command's."""
    if database.kind == "postgres":
        from ccagent.store.postgres_readers import PostgresReaders

        return PostgresReaders(database)
    return SqliteReaders(database, at_work, COMMAND_SECONDS if once else DAEMON_SECONDS)
