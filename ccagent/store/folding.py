"""Folding the write-ahead log in between the transactions of long work, not within them.

Work that touches indexes at random places fills the log with each transaction. Left to itself SQLite folds it in at the
end of one, and whoever waits for the write lock waits for the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import apsw

from ccagent.errors import StoreError
from ccagent.store.sqlite import CHECKPOINT_PAGES, MEMORY, SqliteStore
from ccagent.store.wal import fold_in
from ccagent.store.writer import Writer

LONG_PAGES: Final = 4_000
"""A log of so many pages (16 MiB) is folded in: what was changed again and again is then written once."""


@contextmanager
def folding_between(store: Writer) -> Iterator[Callable[[], None]]:
    """Within, transactions do not fold the log in; the function that is given does, to be called between them."""
    if not isinstance(store, SqliteStore) or store.path == MEMORY:
        yield lambda: None
        return
    length = 0

    def after_commit(conn: apsw.Connection, name: str, pages: int) -> int:
        del conn, name
        nonlocal length
        length = pages
        return 0

    def relieve() -> None:
        nonlocal length
        if length > LONG_PAGES:
            fold_in(store.path)
            length = 0

    store.between(lambda conn: conn.set_wal_hook(after_commit))  # takes the place of SQLite's own folding
    try:
        yield relieve
    finally:
        with suppress(StoreError):  # whatever ended the work is what is to be told
            store.between(lambda conn: conn.wal_autocheckpoint(CHECKPOINT_PAGES))
            fold_in(store.path)
