"""Lines straight into facts or into a store, without files: for tests of what lines mean and of how they add up."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ccagent.clock import FakeClock
from ccagent.facts.batch import Batch
from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial
from ccagent.sources.base import CLAUDE, CODEX, Source
from ccagent.sources.claude.carry import Carry
from ccagent.sources.claude.derive import Deriver
from ccagent.sources.known import SOURCES
from ccagent.store.base import FileRow
from ccagent.store.connection import scalar
from ccagent.store.location import parse_database
from ccagent.store.opening import open_store
from ccagent.store.pgconnection import PgConnection, connect
from ccagent.store.schema import TABLES
from ccagent.store.sqlite import SqliteStore
from ccagent.store.view import canonical_dump, event_columns, events_select
from ccagent.store.writer import Writer
from tests.pg import Server
from tests.transcripts import Session

START_MS = 1_770_714_000_000
"""When the builder's sessions begin, unless told otherwise."""

BLOATED_BYTES = 1_000_000
"""Tables of more are made anew between tests: deleting (the faster way for small ones) leaves pages without rows, and
statistics taken of those make a server plan for empty tables when they are full again."""

Series = tuple[str, str, int]
Piece = tuple[str, bytes]


def derived(data: bytes, *, agent: str | None = None, carry: Carry | None = None) -> Batch:
    """What these lines of one file say."""
    batch = Batch()
    Deriver(batch, carry if carry is not None else Carry(), file=0, agent=agent).feed(data, 0)
    return batch


def only(batch: Batch, kind: EventType) -> Partial:
    """The one fact of that kind."""
    (fact,) = batch.facts[kind].values()
    return fact


def source_of(path: str) -> Source:
    """Whose a file is, here by its name alone."""
    return SOURCES[CODEX if path.rpartition("/")[2].startswith("rollout-") else CLAUDE]


def files_of(*sessions: Session) -> dict[str, bytes]:
    """Path → bytes of these sessions and their sub-agents."""
    found = {}
    for session in sessions:
        if session.lines:
            found[session.path] = session.content
        found |= files_of(*session.agents)  # type: ignore[arg-type]  # children are of the parent's class
    return found


class Served:
    """Gives feeds places in Postgres: a database for each that lives, emptied for the next one."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._made: list[str] = []
        self._free: list[str] = []
        self._places: dict[str, str] = {}
        self._stores: dict[int, tuple[Writer, str | None]] = {}
        self._stack = ExitStack()

    def open(self, path: Path | str, clock: FakeClock, **options: Any) -> Writer:
        """A store; one that was opened at the same path before is opened again."""
        place = None if str(path) == ":memory:" else str(path)
        url = self._places.get(place or "") or self._empty()
        if place is not None:
            self._places[place] = url
        store = open_store(parse_database(url), clock=clock, host_id="feed", **options)
        self._stores[id(store)] = store, None if place else url
        return store

    def url(self, path: Path | str) -> str:
        """Where the store of this path is."""
        return self._places[str(path)]

    def _empty(self) -> str:
        url = self._free.pop() if self._free else self._stack.enter_context(self._server.database())
        conn = connect(url, application_name="tests", create=True)
        if scalar(conn, "SELECT to_regclass('fact') IS NOT NULL"):
            if scalar(conn, "SELECT pg_relation_size('fact')") > BLOATED_BYTES:
                conn.execute("TRUNCATE " + ", ".join(table for table in TABLES if table != "meta"))
            for table in TABLES:
                conn.execute(f"DELETE FROM {table}" + (" WHERE name <> 'schema_version'" if table == "meta" else ""))
        conn.close()
        return url

    def release(self, number: int) -> None:
        """The feed of that store is gone."""
        store, url = self._stores.pop(number, (None, None))
        if store is not None:
            store.close()
        if url is not None:
            self._free.append(url)

    def test_ended(self) -> None:
        """Nothing that a test had open or named is needed any more."""
        for number in list(self._stores):
            self.release(number)
        self._free += self._places.values()
        self._places.clear()

    def close(self) -> None:
        """Drop all databases."""
        self.test_ended()
        self._stack.close()


_served: list[Served] = []
"""Where feeds keep their facts; none: in SQLite."""


@contextmanager
def served_by(served: Served) -> Iterator[None]:
    """Feeds made within keep their facts in Postgres."""
    _served.append(served)
    try:
        yield
    finally:
        _served.clear()


def database_of(path: Path) -> str:
    """What `--db` names for a feed of this path; in Postgres its host is `feed`."""
    return _served[0].url(path) if _served else str(path)


def end_of_test() -> None:
    """Called after each test."""
    for served in _served:
        served.test_ended()


@contextmanager
def on_sqlite() -> Iterator[None]:
    """Feeds that are made here stand on SQLite, whatever the test at hand runs on."""
    served = _served[:]
    _served.clear()
    try:
        yield
    finally:
        _served[:] = served


class Feed:
    """A store that is handed pieces of files; it keeps offsets and carries as the daemon does."""

    def __init__(self, path: Path | str = ":memory:", *, now_ms: int = START_MS, **options: Any) -> None:
        self.clock = FakeClock(now_ms)
        self.store: Writer
        if _served:
            self.store = _served[0].open(path, self.clock, **options)
            weakref.finalize(self, _served[0].release, id(self.store))
        else:
            self.store = SqliteStore(path, clock=self.clock, **options)
        self._rows: dict[str, FileRow] = {row.path.decode(): row for row in self.store.files()}

    def take(self, *pieces: Piece, again: bool = False) -> None:
        """One transaction with a piece (whole lines) of each of some files; `again` reads them from their start."""
        batch, rows = Batch(), []
        for number, (path, data) in enumerate(pieces):
            known = self._rows.get(path)
            fresh = again or known is None or known.file_id is None
            carried = None if fresh else self.store.carry(known.file_id)  # type: ignore[union-attr, arg-type]
            start = 0 if again or known is None else known.offset
            feeder = source_of(path).feeder(batch, carried, file=number, path=path.encode())
            feeder.feed(data, start)
            rows.append(
                FileRow(
                    file_id=known.file_id if known is not None else None, path=path.encode(), device=1, inode=number,
                    size=start + len(data), mtime_ns=0, offset=start + len(data), head=b"", head_length=0, marker=b"",
                    generation=0, lines=0, state=0, carry=feeder.carried(),
                )
            )  # fmt: skip
        for row, file_id in zip(rows, self.store.ingest(batch, rows), strict=True):
            row.file_id = file_id
            self._rows[row.path.decode()] = row

    def read(self, *sessions: Session) -> Feed:
        """Take in what these sessions (and their sub-agents) hold beyond what was read of them, a file a time."""
        for path, data in files_of(*sessions).items():
            known = self._rows.get(path)
            rest = data[known.offset :] if known is not None else data
            if rest:
                self.take((path, rest))
        return self

    def file_ids(self, *paths: str) -> list[int]:
        """Numbers of these files, of all by default."""
        return [row.file_id for path, row in self._rows.items() if row.file_id and (not paths or path in paths)]

    def tick(self, after_ms: int = 0, *, quiet: Sequence[int] | None = None) -> int:
        """Let time pass and the timers run, all files read to their end; the number of facts closed."""
        self.clock.advance(after_ms)
        ids = self.file_ids()
        return self.store.close_due(ids, ids if quiet is None else quiet)

    def until(self, now_ms: int, *, quiet: Sequence[int] = ()) -> int:
        """Set the time and let the timers run; no file counts as quiet by default."""
        self.clock.jump(now_ms)
        return self.store.close_due(self.file_ids(), quiet)

    def dump(self) -> list[str]:
        """The canonical dump, which on a server may take as long as it wants."""
        conn = self.store.conn
        with conn.unhurried() if isinstance(conn, PgConnection) else nullcontext():
            return list(canonical_dump(conn))

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Rows of telemetry_events, by time; of one kind, e.g. "tool.call", or all."""
        conn = self.store.conn
        dialect = conn.dialect.name
        columns = list(event_columns(dialect))
        # Times as milliseconds, and an unknown one first, from either database.
        select = events_select(dialect, times="{}")
        rows = conn.execute(f"SELECT * FROM ({select}) AS events ORDER BY COALESCE(occurred_at, -1), source_key")
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        return [row for row in found if kind is None or row["event_type"] == kind]

    def event(self, source_key: str) -> dict[str, Any]:
        """One row of telemetry_events."""
        (row,) = [row for row in self.events() if row["source_key"] == source_key]
        return row

    def closed(self, source_key: str) -> bool:
        """Whether that fact has its closed_seq."""
        return self.event(source_key)["closed_seq"] is not None

    def totals(self) -> dict[Series, int]:
        """Every total by (metric, labels, exportable)."""
        found = self.store.conn.execute("SELECT metric, labels, exportable, value FROM total")
        return {(metric, labels, exportable): value for metric, labels, exportable, value in found}

    def total(self, metric: str) -> int:
        """A metric's total over all labels."""
        return sum(value for (name, _, _), value in self.totals().items() if name == metric)

    def counted(self, metric: str) -> dict[str, int]:
        """A metric's totals by labels (JSON)."""
        return {labels: value for (name, labels, _), value in self.totals().items() if name == metric}

    def observed(self, metric: str) -> int:
        """Observations of a histogram over all labels."""
        found = self.store.conn.execute("SELECT counts FROM histogram WHERE metric = ?", (metric,))
        return sum(sum(json.loads(counts)) for (counts,) in found)

    def scalar(self, sql: str) -> Any:
        """The one value of a query."""
        return scalar(self.store.conn, sql)

    def close(self) -> None:
        self.store.close()


def fallen(before: Mapping[Series, int], after: Mapping[Series, int]) -> list[Series]:
    """Totals that are gone or smaller."""
    return [series for series, value in before.items() if after.get(series, -1) < value]
