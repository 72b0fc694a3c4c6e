"""The fresh tables of a rebuild in Postgres: a schema of their own, beside which texts and contexts are shared.

Imported where a Postgres database is named, and only there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final

from ccagent.clock import Clock
from ccagent.errors import StoreError
from ccagent.facts.pricing import PriceTable
from ccagent.store import hosts, schema
from ccagent.store.connection import Connection
from ccagent.store.pgconnection import SCHEMA, PgConnection, connect
from ccagent.store.postgres import PostgresStore
from ccagent.store.writer import Writer

SHARED: Final = ("name", "context")
"""Tables that are not made anew: the numbers of texts are the same on both sides."""

_INDEXED: Final = re.compile(r" ON (\w+) ?\(")


class PgSide(PostgresStore):
    """Writes into the fresh tables; what is not there is found in the tables in use."""

    def __init__(self, store: Writer, side: str, *, clock: Clock, prices: PriceTable) -> None:
        """Connect; the schema `side` is there. StoreError, InstanceRunningError."""
        self._aim(store.database, store.host_id)
        self._side = side
        self.prepared = store.prepared
        with self._explained():
            self._pg = self._claim()
            try:
                host = hosts.read_host(self._pg, store.host_id)
                if host is None:
                    raise StoreError(
                        f"the schema {side} of {store.database.display} is not whole; drop it and start again"
                    )
                self._enter(host, clock=clock, prices=prices)
            except BaseException:
                self._pg.close()
                raise

    def _connect(self) -> PgConnection:
        """A session that looks for tables on the fresh side first. Its lock is the schema's, not the host's."""
        conn = connect(self._target.target, application_name=_name(), schema=self._side)
        _look_first(conn, self._side)
        return conn


def create_schema(store: Writer, side: str, seed: Callable[[Connection], None]) -> None:
    """Make the schema with its tables and let `seed` fill them, all in one transaction: it is whole or not there."""
    conn = connect(store.database.target, application_name=_name())
    try:
        with conn.unhurried():
            conn.execute("BEGIN")
            conn.execute(f'CREATE SCHEMA "{side}"')
            _look_first(conn, side)
            for table in schema.TABLES:
                if table not in SHARED:
                    conn.execute(schema.create_table("postgres", table))
            for name, sql in schema.INDEXES.items():
                found = _INDEXED.search(sql)
                if found is not None and found[1] not in SHARED:
                    conn.execute("CREATE " + sql.format(name=name))
            seed(conn)
            conn.execute("COMMIT")
    except Exception as error:
        raise store.translated(error) from error
    finally:
        conn.close()


def drop_schema(store: Writer, side: str) -> None:
    """Drop the schema and all in it."""
    conn = connect(store.database.target, application_name=_name())
    try:
        with conn.unhurried():
            conn.execute(f'DROP SCHEMA IF EXISTS "{side}" CASCADE')
    except Exception as error:
        raise store.translated(error) from error
    finally:
        conn.close()


def _look_first(conn: PgConnection, side: str) -> None:
    conn.execute("SELECT set_config('search_path', ?, false)", (f'"{side}", "{SCHEMA}"',))


def _name() -> str:
    return f"ccagent rebuild {os.getpid()}"
