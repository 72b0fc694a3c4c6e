"""Read-only connections: short transactions beside the writer, also while no daemon runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from ccagent.errors import DamagedError, NoDataError, StoreError
from ccagent.paths import stands
from ccagent.store.connection import Connection, SqliteConnection, scalar
from ccagent.store.location import Database, parse_database
from ccagent.store.migrations import refuse_others, require_current
from ccagent.store.patience import Patience

BUSY_MS: Final = 2_000
"""How long a reader waits for a checkpoint that needs the whole database."""

DAEMON_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 30.0
"""How long one question of a daemon's readers, and of a verb, may hold a moment of a SQLite database: the write-ahead log
grows meanwhile. On a million facts the longest takes a tenth of a second."""


def connect_reader(database: Database | Path | str) -> Connection:
    """A connection that cannot write. NoDataError where there is no database yet, StoreError where it cannot be read."""
    named = database if isinstance(database, Database) else parse_database(str(database))
    if named.kind == "postgres":
        from ccagent.store.postgres_readers import connect_postgres_reader

        return connect_postgres_reader(named)
    path = named.target
    if not stands(path):
        raise NoDataError(f"there is no database at {path} yet; start `ccagent run`, or name one with --db")
    try:
        conn = SqliteConnection(path, flags=apsw.SQLITE_OPEN_READONLY)
        conn.set_busy_timeout(BUSY_MS)
    except apsw.Error as error:
        raise unreadable(path, error) from error
    try:
        refuse_others(conn, path)
        if scalar(conn, "PRAGMA user_version") == 0:
            raise NoDataError(f"{path} holds no facts yet; start `ccagent run`")
        require_current(conn, path)
    except (apsw.CorruptError, apsw.NotADBError) as error:
        conn.close()
        raise DamagedError(
            f"cannot read {path}: {error}; is it a ccagent database? `ccagent db check` tells"
        ) from error
    except apsw.Error as error:
        conn.close()
        raise unreadable(path, error) from error
    except BaseException:
        conn.close()
        raise
    return conn


def connect_plain(database: Database) -> SqliteConnection:
    """A connection that cannot write to a SQLite database of whatever schema. StoreError where it cannot be read."""
    try:
        conn = SqliteConnection(database.target, flags=apsw.SQLITE_OPEN_READONLY)
        conn.set_busy_timeout(BUSY_MS)
        scalar(conn, "PRAGMA schema_version")
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise DamagedError(f"cannot read {database.display}: {error}; `ccagent db check` tells more") from error
    except apsw.Error as error:
        raise unreadable(database.display, error) from error
    return conn


def unreadable(place: str, error: apsw.Error) -> StoreError:
    """What keeps a database from being read that nobody says to be damaged, and what to do."""
    if isinstance(error, apsw.BusyError):
        return StoreError(
            f"cannot read {place}: another program holds it for itself; end that one, or try again in a moment",
            reason="busy",
        )
    if isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.PermissionsError):
        return StoreError(
            f"cannot read {place}: {error}; check its owner and mode, and those of its folder: SQLite reads by files beside it"
        )
    return StoreError(f"cannot read {place}: {error}; is it a ccagent database?")


@contextmanager
def open_reader(database: Database | Path | str, seconds: float | None = COMMAND_SECONDS) -> Iterator[Connection]:
    """As `connect_reader`, closed at the end. A question, or a transaction, that takes longer than `seconds` ends with
    StoreError (None: as long as it takes); what shows that the database is damaged with DamagedError."""
    conn = connect_reader(database)
    if seconds is not None and isinstance(conn, SqliteConnection):
        Patience(conn, seconds)
    try:
        with reading(database, seconds):
            yield conn
    finally:
        conn.close()


@contextmanager
def reading(database: Database | Path | str, seconds: float | None) -> Iterator[None]:
    """What a reader may meet, said as `open_reader` does."""
    try:
        yield
    except apsw.InterruptError as error:
        raise StoreError(
            f"reading {display(database)} took too long (more than {seconds:g} s) and was given up, so that the database"
            " is not held up; try again when the machine is less busy, or ask for a shorter time"
        ) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise DamagedError(f"{display(database)} is damaged ({error}); run `ccagent db check`") from error
    except apsw.Error as error:
        raise unreadable(display(database), error) from error


def display(database: Database | Path | str) -> str:
    """What a user knows the database by."""
    return database.display if isinstance(database, Database) else parse_database(str(database)).display
