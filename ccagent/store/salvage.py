"""Facts from one database into another: those that no transcript can give any more.

They are taken in as lines would be: as partial facts, through the ingest, so that merging, totals, stale rollups,
removed keys and several hosts are treated alike. Texts are translated by the two databases' own tables of names. What
was carried over is closed: nothing will be heard of it again.

The source is only read, in short questions; the target is written in transactions of at most BATCH rows. To begin anew
after an interruption costs little: what is there already is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from ccagent.errors import DamagedError
from ccagent.facts.batch import NO_FILE, Batch
from ccagent.facts.keys import fact_key
from ccagent.facts.model import KEY_PREFIXES, Context
from ccagent.facts.partial import NOWHERE, Partial
from ccagent.store import rows
from ccagent.store.closing import close_rows, release_agent
from ccagent.store.connection import Connection
from ccagent.store.ingest import Ingest
from ccagent.store.interning import Contexts, Names
from ccagent.store.links import kept_links, put_links
from ccagent.store.writer import Writer

BATCH: Final = 500
"""Rows of one transaction: some 40 ms, so that other writers are not kept waiting."""

GONE: Final = 1
"""State of a transcript whose path is gone (follow/state.py)."""

UNKNOWN_FILE: Final = b"(unknown)"
"""Stands for the transcript of a fact whose row does not tell it. No path: paths of files are whole."""

_KEYED: Final = ("fact", "pruned")
_FIND: Final = "SELECT t.key FROM {blobs} JOIN {table} t ON t.key = k.value"
_KEEP_REQUEST: Final = "UPDATE fact SET request = ? WHERE key = ? AND request IS NULL"

Wanted = Callable[[rows.Row], bool]
"""Asked of a row of the source's `fact` (columns as in rows.COLUMNS): whether it is carried over."""


@dataclass(slots=True)
class Salvaged:
    """What became of the rows of one source."""

    facts: int = 0
    """Carried over: new in the target, closed, booked into its totals."""
    merged: int = 0
    """Known to the target, which has learnt more of them."""
    known: int = 0
    """In the target already, or removed there by retention."""
    unwanted: int = 0
    unreadable: int = 0
    """Rows whose key is not that of their kind and id, or whose texts are missing: the source is damaged there."""
    incomplete: int = 0
    """Carried over although some of their texts are missing, which are unknown from then on."""
    links: int = 0
    """Sub-agents' launches."""
    quarantined: int = 0
    pruned: int = 0
    """Keys of facts that retention had removed."""

    def document(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


def always(row: rows.Row) -> bool:
    """Every fact is wanted."""
    del row
    return True


def carry_over(
    source: Connection,
    store: Writer,
    wanted: Wanted = always,
    *,
    merge: Callable[[int | None], bool] | None = None,
    lenient: bool = False,
) -> Salvaged:
    """Carry over what `source` has and the database of `store` has not; what became of it.

    `wanted` chooses among facts whose key the target does not have. With `merge`, those that it has are merged with
    the source's where `merge` says so of a transcript that they stand in (its number in the source, None where unknown).
    `lenient` carries over new facts of which texts are missing, without these.
    StoreError from either side: what was written until then stays, and the next call goes on.
    """
    work = CarryOver(source, store, wanted, merge=merge, lenient=lenient)
    while work.step():
        pass
    return work.counts


class _Gaps(Names):
    """Names that are unknown where they are missing."""

    def text(self, number: int | None) -> str | None:
        """The text of a number, None where it is missing too."""
        try:
            return super().text(number)
        except DamagedError:
            return None


class _ContextsWithGaps(Contexts):
    """Contexts whose texts are unknown where they are missing, all of them where the context itself is."""

    def value(self, number: int) -> Context:
        """The context of a number."""
        try:
            return super().value(number)
        except DamagedError:
            return NOWHERE


class CarryOver:
    """The same in steps of one transaction, for a thread that must stay able to end."""

    def __init__(
        self,
        source: Connection,
        store: Writer,
        wanted: Wanted = always,
        *,
        merge: Callable[[int | None], bool] | None = None,
        lenient: bool = False,
    ) -> None:
        self.counts = Salvaged()
        self._source = source
        self._store = store
        self._wanted = wanted
        self._merge = merge
        self._names = Names(source)
        self._contexts = Contexts(source, self._names)
        self._gaps = _Gaps(source) if lenient else None
        self._steps = self._all()

    def step(self) -> bool:
        """One transaction; False when nothing is left."""
        return next(self._steps, None) is not None

    def _all(self) -> Iterator[bool]:
        # Removed keys first: what retention removed must not come back with the facts. Launches next: they decide to
        # which turn a sub-agent's facts belong.
        yield from self._pruned()
        yield from self._links()
        yield from self._kept_links()
        yield from self._facts()
        yield from self._quarantine()

    def _pages(self, sql: str, last: bytes | int) -> Iterator[list[tuple[Any, ...]]]:
        """Pages of a question whose first column is its order, from behind `last` on."""
        while page := self._source.execute(sql, (last, BATCH)).fetchall():
            last = page[-1][0]
            yield page

    # ---- removed keys, launches, bad lines -------------------------------------------------------------------------

    def _pruned(self) -> Iterator[bool]:
        for page in self._pages("SELECT key FROM pruned WHERE key > ? ORDER BY key LIMIT ?", b""):
            self.counts.pruned += self._store.write(partial(_add_pruned, keys=[bytes(key) for (key,) in page]))
            self._store.ingest_state.pruning = True
            yield True

    def _links(self) -> Iterator[bool]:
        sql = "SELECT agent, tool, turn, depth, linked_at FROM agent WHERE agent > ? ORDER BY agent LIMIT ?"
        for page in self._pages(sql, -1):
            links = []
            for agent, tool, turn, depth, linked_at in page:
                try:
                    links.append((self._names.text(agent) or "", tool, self._names.text(turn), depth, linked_at))
                except DamagedError:
                    self.counts.unreadable += 1
            self.counts.links += self._store.run(partial(_add_links, links=links))
            yield True

    def _kept_links(self) -> Iterator[bool]:
        """What sessions worked on, where the facts that said so were removed."""
        found = kept_links(self._source, self._gaps or _Gaps(self._source))
        for first in range(0, len(found), BATCH):
            self._store.run(partial(put_links, rows=found[first : first + BATCH]))
            yield True

    def _quarantine(self) -> Iterator[bool]:
        files = self._source.execute(
            "SELECT f.id, f.path FROM file f WHERE EXISTS (SELECT 1 FROM quarantine q WHERE q.file = f.id) ORDER BY f.id"
        ).fetchall()
        for number, path in files:
            lines = self._source.execute(
                'SELECT "offset", length, hash, reason, recovered FROM quarantine WHERE file = ? ORDER BY "offset"',
                (number,),
            ).fetchall()
            for start in range(0, len(lines), BATCH):
                part = lines[start : start + BATCH]
                self.counts.quarantined += self._store.run(partial(_add_quarantined, path=bytes(path), lines=part))
                yield True

    # ---- facts -----------------------------------------------------------------------------------------------------

    def _facts(self) -> Iterator[bool]:
        for page in self._pages("SELECT f.key, f.file FROM fact f WHERE f.key > ? ORDER BY f.key LIMIT ?", b""):
            self._take(page)
            yield True

    def _take(self, page: list[tuple[Any, ...]]) -> None:
        keys = [bytes(key) for key, _ in page]
        known = self._known(keys)
        again = self._again(page) & known if self._merge is not None else set()
        chosen = [key for key in keys if key not in known or key in again]
        self.counts.known += len(keys) - len(chosen)
        if not chosen:
            return
        dialect = self._source.dialect
        found = rows.fetch(
            self._source, f"JOIN {dialect.blobs} ON f.key = k.value ORDER BY f.key", (dialect.listed(chosen),)
        )
        readable = [fact for row in found if (fact := self._read(row, bytes(row[rows.KEY]) in known))]
        if readable:
            self._absorb(readable)

    def _known(self, keys: list[bytes]) -> set[bytes]:
        """Those of the keys that the target has, or has removed."""
        dialect = self._store.conn.dialect
        return {
            bytes(row[0])
            for table in _KEYED
            for row in self._store.ask(_FIND.format(blobs=dialect.blobs, table=table), (dialect.listed(keys),))
        }

    def _again(self, page: list[tuple[Any, ...]]) -> set[bytes]:
        """Keys of this page of which a transcript stands in the source that is to be merged."""
        assert self._merge is not None
        copies = self._source.execute(
            "SELECT c.key, c.file FROM contributor c WHERE c.key >= ? AND c.key <= ?", (page[0][0], page[-1][0])
        )
        return {bytes(key) for key, file in (*page, *copies) if self._merge(file)}

    def _read(self, row: rows.Row, known: bool) -> tuple[rows.Row, Partial] | None:
        if not known and not self._wanted(row):
            self.counts.unwanted += 1
            return None
        try:
            if row[rows.TYPE] not in KEY_PREFIXES or fact_key(row[rows.TYPE], row[rows.NATIVE]) != row[rows.KEY]:
                raise ValueError("its key is not its own")
            fact = self._fact(row, known)
        except (DamagedError, ValueError, TypeError):
            self.counts.unreadable += 1
            return None
        fact.closing = not known  # what the target has closes by its own rules
        return row, fact

    def _fact(self, row: rows.Row, known: bool) -> Partial:
        try:
            return rows.read(row, self._names, self._contexts)
        except DamagedError:
            if self._gaps is None or known:
                raise
            self.counts.incomplete += 1
            return rows.read(row, self._gaps, _ContextsWithGaps(self._source, self._gaps))

    def _absorb(self, found: list[tuple[rows.Row, Partial]]) -> None:
        requests = self._requests(row for row, _ in found)
        batch = Batch()
        for row, fact in found:
            fact.request = requests.get(row[rows.REQUEST])
            fact.file = row[rows.FILE] or 0
            batch.facts[fact.type][fact.native] = fact
        paths = self._paths({row[rows.FILE] for row, _ in found})
        copies = self._copies([row[rows.KEY] for row, _ in found])
        kept = [row for row, _ in found]
        work = partial(_absorb, batch=batch, kept=kept, paths=paths, copies=copies)
        facts, merged = self._store.absorb(batch, work)
        self.counts.facts += facts
        self.counts.merged += merged
        self.counts.known += len(found) - facts - merged

    def _requests(self, found: Iterator[rows.Row]) -> dict[bytes, str]:
        """Native ids of the requests that made these calls."""
        keys = {bytes(row[rows.REQUEST]) for row in found if row[rows.REQUEST] is not None}
        if not keys:
            return {}
        dialect = self._source.dialect
        sql = f"SELECT f.key, f.native FROM {dialect.blobs} JOIN fact f ON f.key = k.value"
        return {bytes(key): native for key, native in self._source.execute(sql, (dialect.listed(keys),))}

    def _paths(self, numbers: set[int | None]) -> dict[int, bytes]:
        """Paths of transcripts by their number in the source."""
        given = [number for number in numbers if number is not None]
        found = {number or 0: UNKNOWN_FILE for number in numbers}
        if given:
            dialect = self._source.dialect
            sql = f"SELECT f.id, f.path FROM {dialect.numbers} JOIN file f ON f.id = k.value"
            found |= {number: bytes(path) for number, path in self._source.execute(sql, (dialect.listed(given),))}
        return found

    def _copies(self, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        """(key, path) of further transcripts that hold these facts."""
        dialect = self._source.dialect
        sql = f"SELECT c.key, f.path FROM {dialect.blobs} JOIN contributor c ON c.key = k.value JOIN file f ON f.id = c.file"
        return [(bytes(key), bytes(path)) for key, path in self._source.execute(sql, (dialect.listed(keys),))]


def _absorb(
    state: Ingest, batch: Batch, kept: list[rows.Row], paths: dict[int, bytes], copies: list[tuple[bytes, bytes]]
) -> tuple[int, int]:
    """Take a batch in; how many facts are new, and how many have changed. Within the caller's transaction."""
    dialect = state.conn.dialect
    keys = dialect.listed([bytes(row[rows.KEY]) for row in kept])
    known = {
        bytes(row[0])
        for table in _KEYED
        for row in state.conn.execute(_FIND.format(blobs=dialect.blobs, table=table), (keys,))
    }
    before = state.seq
    state.file_ids = {NO_FILE: None} | {number: _file_id(state, path) for number, path in paths.items()}
    state.facts(batch)
    added = sorted((key, _file_id(state, path)) for key, path in copies)
    state.conn.executemany("INSERT INTO contributor (key, file) VALUES (?, ?) ON CONFLICT DO NOTHING", added)
    fresh = [row for row in kept if bytes(row[rows.KEY]) not in known]
    for row in fresh:
        if row[rows.PARSER] != rows.PARSER_VERSION:
            # Who derived it stays true: a rebuild must not take it for its own work.
            state.conn.execute("UPDATE fact SET parser = ? WHERE key = ?", (row[rows.PARSER], row[rows.KEY]))
        if row[rows.REQUEST] is not None:
            state.conn.execute(_KEEP_REQUEST, (row[rows.REQUEST], row[rows.KEY]))
    changed = state.conn.execute(
        f"SELECT COUNT(*) FROM {dialect.blobs} JOIN fact f ON f.key = k.value WHERE f.host = ? AND f.seq > ?",
        (keys, state.host, before),
    ).fetchone()
    if fresh:
        keys = dialect.listed([bytes(row[rows.KEY]) for row in fresh])
        still_open = f"JOIN {dialect.blobs} ON f.key = k.value WHERE f.closed_seq IS NULL"
        close_rows(state, rows.fetch(state.conn, still_open, (keys,)))
    state.wrote = True
    return len(fresh), (0 if changed is None else int(changed[0])) - len(fresh)


def _file_id(state: Ingest, path: bytes) -> int:
    """The number of a transcript; one that is not known is entered as gone, to be read from its start should it return:
    in another generation than that in which the facts' places were told."""
    found = state.conn.execute("SELECT id FROM file WHERE host = ? AND path = ?", (state.host, path)).fetchone()
    if found is None:
        found = state.conn.execute(
            'INSERT INTO file (host, path, device, inode, size, mtime_ns, "offset", head, head_length, marker,'
            " generation, lines, state) VALUES (?, ?, 0, 0, 0, 0, 0, ?, 0, ?, 1, 0, ?) RETURNING id",
            (state.host, path, b"", b"", GONE),
        ).fetchone()
        assert found is not None
    return int(found[0])


def _add_pruned(conn: Connection, keys: list[bytes]) -> int:
    dialect = conn.dialect
    found = conn.execute(_FIND.format(blobs=dialect.blobs, table="pruned"), (dialect.listed(keys),)).fetchall()
    conn.executemany("INSERT INTO pruned (key) VALUES (?) ON CONFLICT DO NOTHING", [(key,) for key in keys])
    return len(keys) - len(found)


def _add_links(state: Ingest, links: list[tuple[str, bytes | None, str | None, int | None, int | None]]) -> int:
    """Enter which call launched which sub-agent, where that is not known yet; what waited for it is closed."""
    added = 0
    for agent, tool, turn, depth, linked_at in links:
        number = state.names.id(agent)
        done = state.conn.execute(
            "INSERT INTO agent (agent, tool, turn, depth, linked_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (agent) DO UPDATE"
            " SET tool = excluded.tool, turn = excluded.turn, depth = excluded.depth, linked_at = excluded.linked_at"
            " WHERE agent.tool IS NULL RETURNING 1",
            (number, tool, state.names.optional(turn), depth, linked_at),
        ).fetchone()
        if done is not None:
            added += 1
            if linked_at is not None:
                release_agent(state, number)
    state.wrote = True
    return added


def _add_quarantined(state: Ingest, path: bytes, lines: list[tuple[Any, ...]]) -> int:
    """Enter bad lines of a transcript that cannot be read again; how many."""
    row = state.conn.execute("SELECT state FROM file WHERE host = ? AND path = ?", (state.host, path)).fetchone()
    if row is not None and row[0] != GONE:
        return 0
    file = _file_id(state, path)
    counted = "SELECT COUNT(*) FROM quarantine WHERE file = ?"
    before = state.conn.execute(counted, (file,)).fetchone()
    state.quarantine((file, *line) for line in lines)
    after = state.conn.execute(counted, (file,)).fetchone()
    state.wrote = True
    return int(after[0]) - int(before[0]) if before is not None and after is not None else 0
