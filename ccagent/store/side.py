"""The fresh tables of a rebuild, beside those that are in use: `<database>.rebuild`, or a schema of its own in Postgres.

They have the numbers of texts, contexts and files of the tables in use, so that rows of both can be compared as they
are. In SQLite texts are copied, which holds as long as nobody else gives numbers; in Postgres both use one table.

They are good for one thing: to go on with a rebuild that was interrupted, as long as the host has written nothing in
between, and rules, prices and program are the same. Otherwise they are thrown away.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw
import orjson

from ccagent import __version__
from ccagent.clock import Clock, SystemClock
from ccagent.errors import StoreError
from ccagent.store import rows, schema
from ccagent.store.connection import Connection, SqliteConnection, scalar
from ccagent.store.sqlite import SqliteStore
from ccagent.store.writer import Writer, set_meta

SUFFIX: Final = ".rebuild"
"""What the file of the fresh tables is called, after the database's own name."""

ATTACHED: Final = "side"
"""How the fresh tables are called on the connection of those in use (SQLite)."""

DONE: Final = "rebuilt"
"""Name in `meta` of the tables in use: the last rebuild that is in them."""

_MADE: Final = "rebuild"
"""Name in `meta` of the fresh tables: what they were made for. Their last statement; without it they are not whole."""

_FILES: Final = (
    'INSERT INTO {to}file (id, host, path, device, inode, size, mtime_ns, "offset", head, head_length, marker,'
    " generation, lines, carry, state) SELECT id, host, path, device, inode, 0, mtime_ns, 0, {none}, 0, {none},"
    " generation, 0, NULL, state FROM {of}file WHERE host = {host}"
)
_HOST: Final = (
    "INSERT INTO {to}host (id, host_id, instance_id, seq, commits, created_at, ledger_start, catch_up_done)"
    " SELECT id, host_id, instance_id, 0, 0, created_at, NULL, NULL FROM {of}host WHERE id = {host}"
)
CONTEXT_COLUMNS: Final = (
    "id, session, project, cwd, branch, version, entrypoint, permission_mode, agent, skill, provider, rank"
)
_PRUNED: Final = "INSERT INTO {to}pruned (key) SELECT key FROM {of}pruned"
_PAYLOADS: Final = "INSERT INTO {to}meta (name, value) SELECT name, value FROM {of}meta WHERE name = 'payloads_before'"
_COPIED: Final = (
    "INSERT INTO {to}name (id, value) SELECT id, value FROM {of}name",
    f"INSERT INTO {{to}}context ({CONTEXT_COLUMNS}) SELECT {CONTEXT_COLUMNS} FROM {{of}}context",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What fresh tables are made for: equal means that they can be gone on with."""

    host_id: str
    commits: int
    """Write transactions of the host until then."""
    parser: int
    prices: str
    version: str


class Side:
    """Makes, finds and removes the fresh tables of one store's host."""

    def __init__(self, store: Writer, clock: Clock) -> None:
        self._store = store
        self._prices = store.ingest_state.prices
        self._clock = clock
        self.shared = store.conn.dialect.shared
        self.path = Path(store.database.target + SUFFIX)
        self.schema = f"ccagent_rebuild_{store.host}"

    @property
    def prefix(self) -> str:
        """Before the name of a fresh table, on the connection of the tables in use."""
        return f"{self.schema if self.shared else ATTACHED}."

    def purpose(self) -> Purpose:
        """What fresh tables would be made for now."""
        commits = self._store.ask("SELECT commits FROM host WHERE id = ?", (self._store.host,))[0][0]
        return Purpose(
            host_id=self._store.host_id, commits=int(commits), parser=rows.PARSER_VERSION, prices=self._prices.version,
            version=__version__,
        )  # fmt: skip

    # ---- going on, or beginning ------------------------------------------------------------------------------------

    def resume(self) -> Writer | None:
        """The fresh tables of an interrupted rebuild, if they can be gone on with."""
        if not self._exists():
            return None
        found = self._open()
        try:
            made = found.meta(_MADE)
            if made is not None and orjson.loads(made)["purpose"] == _document(self.purpose()):
                return found
        except (KeyError, TypeError, ValueError):
            pass
        except BaseException:
            found.close()
            raise
        found.close()
        return None

    def create(self) -> Writer:
        """New fresh tables, seeded; those that were there are gone."""
        self.remove()
        made = {"id": uuid.uuid4().hex, "purpose": _document(self.purpose())}
        if self.shared:
            from ccagent.store.pgside import create_schema

            create_schema(self._store, self.schema, lambda conn: self._seed(conn, "ccagent.", made))
            return self._open()
        SqliteStore(str(self.path), clock=self._clock, prices=self._prices).close()
        # Not through the store, which would leave statistics of tables that are half full: they mislead the planner.
        conn = SqliteConnection(str(self.path))
        try:
            with conn:
                conn.execute("DELETE FROM host")  # its own, which it was given when it was made
            _attached(conn, self._store.database.target, "source", lambda: self._seed_whole(conn, made))
        except apsw.Error as error:
            raise StoreError(f"{self.path} cannot be written: {error}; see that its folder has room") from error
        finally:
            conn.close()
        return self._open()

    def _seed_whole(self, conn: SqliteConnection, made: object) -> None:
        conn.execute("BEGIN")
        self._seed(conn, "source.", made)
        conn.execute("COMMIT")

    def _seed(self, conn: Connection, of: str, made: object) -> None:
        """Give the empty tables of `conn` what they need of those in use, within the caller's transaction."""
        words = {"to": "", "of": of, "host": self._store.host, "none": "''::bytea" if self.shared else "x''"}
        for statement in (_HOST, _FILES, _PRUNED, _PAYLOADS, *(() if self.shared else _COPIED)):
            conn.execute(statement.format(**words))
        set_meta(conn, "schema_version", str(schema.SCHEMA_VERSION))
        set_meta(conn, _MADE, orjson.dumps(made).decode())

    def _exists(self) -> bool:
        if self.shared:
            return bool(self._store.ask("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?", (self.schema,)))
        return self.path.exists()

    def _open(self) -> Writer:
        if self.shared:
            from ccagent.store.pgside import PgSide

            return PgSide(self._store, self.schema, clock=self._clock, prices=self._prices)
        try:
            return SqliteStore(str(self.path), clock=self._clock, prices=self._prices)
        except StoreError:
            # What a kill left of it, or of another kind: nothing in it is worth keeping.
            self.remove()
            return SqliteStore(str(self.path), clock=self._clock, prices=self._prices)

    # ---- beside the tables in use ----------------------------------------------------------------------------------

    def beside(self, work: Callable[[], None]) -> None:
        """Run `work` while the fresh tables, which nobody has open, can be read on the store's connection."""
        if self.shared:
            work()
        else:
            _attached(self._store.conn, str(self.path), ATTACHED, work)

    def is_done(self) -> bool:
        """Whether what the fresh tables hold has been taken over: only their removal is missing."""
        if not self._exists():
            return False
        done = self._store.meta(DONE)
        if done is None:
            return False
        found = self._open()
        try:
            made = found.meta(_MADE)
        finally:
            found.close()
        return made is not None and orjson.loads(made).get("id") == done

    def remove(self) -> bool:
        """Throw the fresh tables away; whether there were any."""
        if self.shared:
            if not self._exists():
                return False
            from ccagent.store.pgside import drop_schema

            drop_schema(self._store, self.schema)
            return True
        found = False
        for ending in ("-wal", "-shm", "-journal", ""):
            path = Path(f"{self.path}{ending}")
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(f"cannot remove {path}, a leftover: {error.strerror}; remove it by hand") from error
            found = True
        return found


def discard(store: Writer) -> bool:
    """What an interrupted rebuild has left is of no use once the host writes again: whether there was anything."""
    return Side(store, SystemClock()).remove()


def made_id(conn: Connection, prefix: str) -> str:
    """The id of the fresh tables, asked on the connection of those in use."""
    return str(orjson.loads(scalar(conn, f"SELECT value FROM {prefix}meta WHERE name = ?", (_MADE,)))["id"])


def _document(purpose: Purpose) -> dict[str, object]:
    return {
        "host_id": purpose.host_id, "commits": purpose.commits, "parser": purpose.parser, "prices": purpose.prices,
        "version": purpose.version,
    }  # fmt: skip


def _attached(conn: Connection, path: str, name: str, work: Callable[[], None]) -> None:
    assert isinstance(conn, apsw.Connection)
    conn.execute(f"ATTACH ? AS {name}", (path,))
    try:
        work()
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        conn.execute(f"DETACH {name}")
