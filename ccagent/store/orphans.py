"""What removed facts leave behind that nobody uses any more: launches of sub-agents, contexts, texts.

Texts are ids of prompts and sub-agents, folders, branches. Those that rollups name stay with them: projects, branches,
models, tools, skills, sub-agents and sessions.

Only in SQLite: there one process writes, so that what was handed out while the search lasted is known and spared. Where
hosts share a database each remembers numbers of texts that the others know nothing of, and all texts stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from ccagent.rollups.metrics import Period
from ccagent.store.connection import Connection
from ccagent.store.ingest import Ingest
from ccagent.store.writer import Writer

SWEPT_AT: Final = "swept_at"
"""Name in `meta`: when the last search was whole, ms UTC."""

SLICE: Final = 1_000
"""Rows of one transaction: some milliseconds."""

_USED: Final = " UNION ALL ".join(
    f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"
    for table, columns in {
        "context": (
            "session", "project", "cwd", "branch", "version", "entrypoint", "permission_mode", "agent", "skill", "provider",
        ),
        "fact": ("turn", "name", "failure", "stop", "price"),
        "agent": ("agent", "turn"),
        "link": ("source", "target"),
        "rollup": ("project", "branch", "name", "agent", "skill"),
        "measured": ("session", "project"),
    }.items()
    for column in columns
) + f" UNION ALL SELECT bucket FROM rollup WHERE period = {int(Period.POINT)}"  # fmt: skip

_CONTEXTS: Final = (
    "SELECT c.id FROM context c WHERE c.id > ? AND NOT EXISTS (SELECT 1 FROM fact f WHERE f.context = c.id)"
    " ORDER BY c.id LIMIT ?"
)
_OVER: Final = (
    "NOT EXISTS (SELECT 1 FROM context c JOIN fact f ON f.context = c.id WHERE c.agent = a.agent)"
    " AND EXISTS (SELECT 1 FROM pruned p WHERE p.key = a.tool)"
)
_LAUNCHES: Final = f"SELECT a.agent FROM agent a WHERE a.agent > ? AND {_OVER} ORDER BY a.agent LIMIT ?"


class Sweep:
    """One search, in steps of a transaction each."""

    def __init__(self, store: Writer, reader: Callable[[], AbstractContextManager[Connection]], now_ms: int) -> None:
        self._store = store
        self._reader = reader
        self._now = now_ms

    def steps(self) -> Iterator[None]:
        """The whole search; in a shared database none."""
        if self._store.conn.dialect.shared:
            return
        state = self._store.ingest_state
        self._store.run(_watch)
        try:
            yield from self._pages(_LAUNCHES, _delete_launches)
            yield from self._pages(_CONTEXTS, _delete_contexts)
            yield from self._texts()
        finally:
            state.names.watched = state.contexts.watched = None
        self._store.set_meta(SWEPT_AT, str(self._now))

    def _pages(self, sql: str, delete: Callable[[list[int]], Callable[[Ingest], None]]) -> Iterator[None]:
        last = -1
        while True:
            with self._reader() as reader:
                page = [int(row[0]) for row in reader.execute(sql, (last, SLICE))]
            if not page:
                return
            last = page[-1]
            self._store.run(delete(page))
            yield

    def _texts(self) -> Iterator[None]:
        with self._reader() as reader:
            sql = f"SELECT n.id FROM name n WHERE n.id NOT IN ({_USED})"
            unused = [int(row[0]) for row in reader.execute(sql)]
        yield
        for first in range(0, len(unused), SLICE):
            self._store.run(_delete_texts(unused[first : first + SLICE]))
            yield


def _watch(state: Ingest) -> None:
    """From now on whatever number is used is asked for, and so is known."""
    state.names.forget()
    state.contexts.forget()
    state.names.watched, state.contexts.watched = set(), set()


def _delete_launches(agents: list[int]) -> Callable[[Ingest], None]:
    return _deleting(f"DELETE FROM agent AS a WHERE a.agent = ? AND {_OVER}", agents, lambda state: None)


def _delete_contexts(numbers: list[int]) -> Callable[[Ingest], None]:
    sql = "DELETE FROM context WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM fact f WHERE f.context = ?1)"
    return _deleting(sql, numbers, lambda state: state.contexts.watched)


def _delete_texts(numbers: list[int]) -> Callable[[Ingest], None]:
    return _deleting("DELETE FROM name WHERE id = ?", numbers, lambda state: state.names.watched)


def _deleting(sql: str, numbers: list[int], spared: Callable[[Ingest], set[int] | None]) -> Callable[[Ingest], None]:
    def work(state: Ingest) -> None:
        kept: set[Any] = spared(state) or set()
        state.conn.executemany(sql, [(number,) for number in numbers if number not in kept])
        state.wrote = True

    return work
