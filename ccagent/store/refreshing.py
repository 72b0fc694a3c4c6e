"""A slice of rollups brought up to date, the long part of it beside the writer.

In SQLite whoever writes keeps everybody else from writing, so rows are computed on a connection that only reads, while
lines come in. Marks are claimed first: what a change leaves from then on is another mark, which stays when the claimed
ones are taken away. A claim that a kill left behind is served like any other.

Where hosts share a database nobody waits for a transaction that computes, and every change leaves marks of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ccagent.errors import NoDataError, StoreError
from ccagent.metrics import names as metric
from ccagent.store.connection import Connection, snapshot
from ccagent.store.open import open_reader
from ccagent.store.rollups import Slice, apply, prepare, refresh, which_marks

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ccagent.store.ingest import Ingest
    from ccagent.store.writer import Writer

FRESH: Final = 0
CLAIMED: Final = 1
"""`seq` of the marks of a SQLite database: as a change leaves them, and as a refresh claims them."""

_NEWEST: Final = f"SELECT DISTINCT quarter FROM dirty WHERE seq = {FRESH} AND {{}} ORDER BY quarter DESC LIMIT ?"


def refresh_slice(store: Writer, zone: ZoneInfo, *, limit: int, points: bool = True, hours: bool = True) -> int:
    """Recompute what at most `limit` marks have made stale; how many it served, 0 = all done. To be repeated: less than
    `limit` means that what is marked now was marked meanwhile.

    Without `points` the points of sessions wait: of a session of 200,000 facts they take more than a second. Without
    `hours` only they are made.
    """
    started = time.perf_counter()

    def note(state: Ingest, done: int) -> int:
        if done:
            state.wrote = True
            state.booking.observe(metric.ROLLUP_DURATION, ("hourly",), time.perf_counter() - started)
        return done

    if store.conn.dialect.shared or store.database.target == ":memory:":
        return store.run(lambda state: note(state, refresh(state.conn, zone, limit=limit, points=points, hours=hours)))
    found = _beside(store, zone, limit, points=points, hours=hours)
    return 0 if found is None else store.run(lambda state: note(state, apply(state.conn, zone, found)))


def _beside(store: Writer, zone: ZoneInfo, limit: int, *, points: bool, hours: bool) -> Slice | None:
    """What the newest marks ask for, computed without the write lock; None where there is no mark."""
    if not store.ask(f"SELECT 1 FROM dirty WHERE {which_marks(points=points, hours=hours)} LIMIT 1"):
        return None  # asked of the connection that is open: a new one costs many times that
    try:
        with open_reader(store.database) as reader:
            store.write(lambda conn: claim(conn, limit, points=points, hours=hours))
            with snapshot(reader):
                return prepare(reader, zone, limit=limit, points=points, hours=hours, seq=CLAIMED)
    except NoDataError as error:
        raise StoreError(str(error)) from error
    except Exception as error:
        fault = store.translated(error)
        if fault is error:
            raise
        raise fault from error


def claim(conn: Connection, limit: int, *, points: bool = True, hours: bool = True) -> None:
    """Make the marks of the newest quarters the refresh's own. In the caller's transaction."""
    newest = f"quarter IN ({_NEWEST.format(which_marks(points=points, hours=hours))})"
    conn.execute(
        f"INSERT INTO dirty (quarter, host, seq) SELECT quarter, host, {CLAIMED} FROM dirty"
        f" WHERE seq = {FRESH} AND {newest} ON CONFLICT DO NOTHING",
        (limit,),
    )
    conn.execute(f"DELETE FROM dirty WHERE seq = {FRESH} AND {newest}", (limit,))
