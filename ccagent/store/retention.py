"""Retention: what is old goes, in small transactions; rollups and totals stay for ever.

By age raw payloads go first, then the facts of whole sessions; their keys are kept, so that the same lines read again add
nothing. If a limit of size is set and passed, payloads and sessions go before their time, the oldest first, none younger
than FLOOR_MS.

Sessions go in groups. What rollups are stale is made anew; then, in one transaction beside which no other is open, the
rollups of the group's hours are sealed (`sealed_before`) and the sessions' own facts are removed, which seals their points
(store/sealed.py says what happens to facts that come later). The other facts follow. Where an archive is named all facts of
a group are in it, durable, before the first goes. A fact that was written between the listing and the removal stays for
the next time; a kill anywhere leaves a store that the next run goes on with.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ccagent.failpoints import hit
from ccagent.metrics import names as metric
from ccagent.rollups.buckets import DAY_MS, bucket_end, bucket_start, session_mark
from ccagent.rollups.spans import FIRST
from ccagent.store import orphans, rows
from ccagent.store.archive import Archive
from ccagent.store.closing import close_rows
from ccagent.store.connection import Connection, scalar
from ccagent.store.expired import NOBODY, Expired, Listed, bad_lines, expired, facts_of, payloads
from ccagent.store.folding import folding_between
from ccagent.store.ingest import Ingest
from ccagent.store.retention_rules import Rules
from ccagent.store.size import fact_density, used_bytes
from ccagent.store.staleness import sealed_before
from ccagent.store.unsent import count_unsent
from ccagent.store.writer import Writer, set_meta

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

FLOOR_MS: Final = 7 * DAY_MS
"""Facts younger than that stay whatever the limit of size is."""

SLICE: Final = 300
"""Rows of one transaction: some 10 ms in SQLite, whose indexes are touched at random places (two pages a row)."""

GROUP_FACTS: Final = 20_000
GROUP_SESSIONS: Final = 400
"""Facts and sessions that are sealed, and archived, together. The sessions' own facts go with the sealing."""

TRIES: Final = 3
"""How often a group is sealed that found something stale again."""

ORPHANS_MS: Final = 7 * DAY_MS
"""Between two searches for texts that nobody uses any more: each reads all facts once."""

PAYLOADS: Final = "payloads_before"
SEALED: Final = "sealed_before"
PRUNED_AT: Final = "pruned_at"
DENSITY: Final = "fact_density"
"""Names in the table `meta`. The last two: when a run was whole, ms UTC; the fewest bytes of a fact seen in Postgres."""

Reader = Callable[[], AbstractContextManager[Connection]]


@dataclass(slots=True, kw_only=True)
class Removed:
    """What a run has removed. Times in ms UTC, None where nothing was; `archived`: files written."""

    facts: int = 0
    sessions: int = 0
    payloads: int = 0
    lines: int = 0
    first: int | None = None
    last: int | None = None
    archived: list[Path] = field(default_factory=list)
    problem: str | None = None
    """Why the database is larger than it may be, where it is."""


class Pruning:
    """One run, in steps of one transaction each: `for _ in pruning.steps(): …`. StoreError ends it, and loses nothing.

    In a shared database one host does it, the elected one. `refresh` makes all stale rollups anew.
    """

    def __init__(
        self, store: Writer, reader: Reader, rules: Rules, zone: ZoneInfo, refresh: Callable[[], object], now_ms: int
    ) -> None:
        self.removed = Removed()
        self._store = store
        self._reader = reader
        self._rules = rules
        self._zone = zone
        self._refresh = refresh
        self._now = now_ms
        self._skipped: set[int] = set()
        self._freed = 0

    def run(self) -> Removed:
        """All steps at once."""
        for _ in self.steps():
            pass
        return self.removed

    def steps(self) -> Generator[None, None, None]:
        """The whole run; what it has done stands in `removed`. To be closed, if it is given up, before the store is."""
        if self._store.elected():
            with folding_between(self._store) as relieve:
                for _ in self._steps():
                    relieve()
                    yield
            self._store.set_meta(PRUNED_AT, str(self._now))

    def _steps(self) -> Iterator[None]:
        yield from self._old_payloads()
        yield from self._old_lines()
        bound = self._rules.fact_bound(self._now)
        if bound is not None:
            for group in self._groups(bound, GROUP_FACTS):
                yield from self._remove(group, bound)
        if self._rules.max_bytes:
            yield from self._too_large()
        if self.removed.facts and self._due(orphans.SWEPT_AT, ORPHANS_MS):
            yield from orphans.Sweep(self._store, self._reader, self._now).steps()

    def _due(self, name: str, every_ms: int) -> bool:
        last = self._store.meta(name)
        return last is None or int(last) + every_ms <= self._now

    # ---- payloads and bad lines ------------------------------------------------------------------------------------

    def _old_payloads(self) -> Iterator[None]:
        bound = self._rules.payload_bound(self._now)
        kept = self._store.meta(PAYLOADS)
        if bound is None:
            if kept is not None:  # from now on payloads of whatever age are wanted again
                self._store.write(lambda conn: conn.execute("DELETE FROM meta WHERE name = ?", (PAYLOADS,)))
            return
        yield from self._payloads(bound, None)
        if kept is None or int(kept) < bound or not self._rules.max_bytes:
            self._store.set_meta(PAYLOADS, str(bound))

    def _payloads(self, until: int, enough: int | None) -> Iterator[None]:
        """Remove payloads up to a time, or until so many bytes are free."""
        kept, before = self._store.meta(PAYLOADS), self._freed
        # A day again: hosts that share a database may have written with an older bound in mind.
        since = FIRST if kept is None else int(kept) - DAY_MS
        while enough is None or self._freed - before < enough:
            with self._reader() as reader:
                page = payloads(reader, since, until, SLICE)
            if not page:
                return
            self._freed += sum(length for _, _, length in page)
            since = page[-1][1]
            self.removed.payloads += self._store.run(_forget_payloads([key for key, _, _ in page], since))
            yield

    def _old_lines(self) -> Iterator[None]:
        bound = self._rules.payload_bound(self._now)
        while bound is not None:
            with self._reader() as reader:
                page = bad_lines(reader, bound, SLICE)
            if not page:
                return
            self._store.run(_forget_lines(page))
            self.removed.lines += len(page)
            yield

    # ---- sessions --------------------------------------------------------------------------------------------------

    def _groups(self, bound: int, facts: int) -> Iterator[list[Expired]]:
        """Sessions that may go, about `facts` facts a group, the oldest first."""
        # What began in the hour of the bound stays: then no hour is sealed that is not over.
        bound = bucket_start(self._zone, "hour", bound)
        group: list[Expired] = []
        size = 0
        with self._reader() as reader:
            for each in expired(reader, bound):
                if each.session in self._skipped:
                    continue
                group.append(each)
                size += each.facts
                if size >= facts or len(group) >= GROUP_SESSIONS:
                    yield group
                    group, size = [], 0
        if group:
            yield group

    def _remove(self, group: Sequence[Expired], bound: int) -> Iterator[None]:
        """Seal and remove these sessions."""
        if not self._store.elected():
            self._skipped |= {each.session for each in group}
            return
        bound = bucket_start(self._zone, "hour", bound)
        with self._reader() as reader:
            listed = {each: list(facts_of(reader, each.session, bound)) for each in group}
            if self._rules.archive is not None:
                archive = Archive(self._rules.archive, self._now)
                path = archive.write(reader, [fact for facts in listed.values() for fact in facts])
                self.removed.archived.append(path)
                hit("after_archive")
        yield
        sealed = self._seal(listed)
        self._skipped |= {each.session for each in group if each not in sealed}
        self._count(sealed)
        yield
        rest = [
            fact for each, facts in listed.items() if each in sealed for fact in facts if fact.key != each.key
        ]  # fmt: skip
        for first in range(0, len(rest), SLICE):
            self.removed.facts += self._store.run(_remove_facts(rest[first : first + SLICE]))
            yield

    def _seal(self, listed: Mapping[Expired, Sequence[Listed]]) -> list[Expired]:
        """Seal the hours and points of these sessions and remove their own facts; those that are as they were listed.
        None of them where something stays stale."""
        newest = max(each.last for each in listed)
        upto = bucket_end(self._zone, "hour", bucket_start(self._zone, "hour", newest))
        own = {each: next((fact for fact in facts if fact.key == each.key), None) for each, facts in listed.items()}

        def work(state: Ingest) -> list[Expired] | None:
            return _seal(self._store, state, own, upto)

        for _ in range(TRIES):
            self._refresh()
            sealed = self._store.run(work)
            if sealed is not None:
                self.removed.facts += sum(own[each] is not None for each in sealed)
                return sealed
        return []

    def _count(self, sealed: Sequence[Expired]) -> None:
        removed = self.removed
        removed.sessions += sum(each.session != NOBODY for each in sealed)
        times = [*(each.first for each in sealed), *(each.last for each in sealed)]
        removed.first = min((time for time in (*times, removed.first) if time is not None), default=None)
        removed.last = max((time for time in (*times, removed.last) if time is not None), default=None)

    # ---- size ------------------------------------------------------------------------------------------------------

    def _too_large(self) -> Iterator[None]:
        """Remove payloads, then sessions, until the database is as small as it has to be."""
        limit, floor = self._rules.max_bytes, self._now - FLOOR_MS
        over, before = self._used() - limit, self._freed
        if over > 0:
            yield from self._payloads(floor, over)
        # SQLite keeps the room of payloads within their pages; it counts as free all the same.
        while (used := self._used() - (self._freed - before)) > limit:
            with self._reader() as reader:
                facts = int(scalar(reader, "SELECT COUNT(*) FROM fact"))
            wanted = max(SLICE, min(GROUP_FACTS, (used - limit) * facts // max(used, 1)))
            group = next(self._groups(floor, wanted), None)
            if group is None:
                self.removed.problem = (
                    f"the database uses {used} bytes, retention.max_database_bytes is {limit}, and nothing older than a"
                    " week is left to remove; raise the limit"
                )
                return
            yield from self._remove(group, floor)

    def _used(self) -> int:
        kept = self._store.meta(DENSITY)
        density = None if kept is None else float(kept)
        with self._reader() as reader:
            if reader.dialect.shared:
                now = fact_density(reader)
                if now is not None and (density is None or now < density):
                    density = now
                    self._store.set_meta(DENSITY, repr(now))
            return used_bytes(reader, self._store.database, density)


def _forget_payloads(keys: list[bytes], upto: int) -> Callable[[Ingest], int]:
    """Remove the payloads of these facts; before `upto` there is none any more. Their number."""

    def work(state: Ingest) -> int:
        conn = state.conn
        sql = (
            "UPDATE fact SET extra = NULL WHERE extra IS NOT NULL"
            f" AND key IN (SELECT k.value FROM {conn.dialect.blobs}) RETURNING 1"
        )
        number = len(conn.execute(sql, (conn.dialect.listed(keys),)).fetchall())
        set_meta(conn, PAYLOADS, str(max(upto, state.payloads_before)))
        state.booking.count(metric.RETENTION_REMOVED, ("payload",), number)
        state.wrote = True
        return number

    return work


def _forget_lines(lines: list[tuple[int, int, bytes]]) -> Callable[[Ingest], None]:
    """Remove these notes of bad lines."""

    def work(state: Ingest) -> None:
        state.conn.executemany('DELETE FROM quarantine WHERE file = ? AND "offset" = ? AND hash = ?', lines)
        state.booking.count(metric.RETENTION_REMOVED, ("line",), len(lines))
        state.wrote = True

    return work


def _remove_facts(listed: Sequence[Listed]) -> Callable[[Ingest], int]:
    """Remove those of the facts that nobody has written since they were listed. Their number."""

    def work(state: Ingest) -> int:
        same = _unchanged(state.conn, listed)
        _remove_keys(state, sorted(same))
        return len(same)

    return work


def _seal(store: Writer, state: Ingest, own: Mapping[Expired, Listed | None], upto: int) -> list[Expired] | None:
    """Seal what is before `upto` and the sessions' points, and remove the sessions' own facts; which sessions. None, and
    nothing done, where a rollup of them is stale."""
    conn = state.conn
    store.alone()
    marks = [session_mark(each.session) for each in own if each.session != NOBODY]
    sql = "SELECT 1 FROM dirty WHERE quarter >= 0 AND quarter < ? LIMIT 1"
    if scalar(conn, sql, (upto,)) is not None or (marks and _marked(conn, marks)):
        return None
    listed = [fact for fact in own.values() if fact is not None]
    same = _unchanged(conn, listed)
    there = same | _there(conn, [each.key for each in own if each.key is not None])
    ready = [
        each for each, fact in own.items()
        if each.key is None or (each.key not in there if fact is None else fact.key in same)
    ]  # fmt: skip
    if ready:
        set_meta(conn, SEALED, str(max(upto, sealed_before(conn))))
        keys = [each.key for each in ready if each.key is not None]
        _remove_keys(state, sorted(keys), sum(key in same for key in keys))
    return ready


def _unchanged(conn: Connection, listed: Sequence[Listed]) -> set[bytes]:
    """Keys of those facts that are as they were listed; locked in the order of the keys."""
    if not listed:
        return set()
    dialect = conn.dialect
    known = {fact.key: fact for fact in listed}
    found = conn.execute(
        f"SELECT f.key, f.host, f.seq FROM {dialect.blobs} JOIN fact f ON f.key = k.value ORDER BY f.key{dialect.locking}",
        (dialect.listed(sorted(known)),),
    )
    return {bytes(key) for key, host, seq in found if known[bytes(key)] == (bytes(key), host, seq)}


def _there(conn: Connection, keys: list[bytes]) -> set[bytes]:
    """Those of the keys of which there is a fact."""
    if not keys:
        return set()
    sql = f"SELECT f.key FROM {conn.dialect.blobs} JOIN fact f ON f.key = k.value"
    return {bytes(row[0]) for row in conn.execute(sql, (conn.dialect.listed(keys),))}


def _marked(conn: Connection, marks: list[int]) -> bool:
    sql = f"SELECT 1 FROM {conn.dialect.numbers} JOIN dirty d ON d.quarter = k.value LIMIT 1"
    return scalar(conn, sql, (conn.dialect.listed(marks),)) is not None


def _remove_keys(state: Ingest, keys: list[bytes], facts: int | None = None) -> None:
    """Remove facts and what hangs on them; their keys stay. `facts`: how many there are, where not one a key."""
    if not keys:
        return
    conn = state.conn
    listed, blobs = conn.dialect.listed(keys), conn.dialect.blobs
    # What no timer has closed (its transcript is gone) closes now: outcomes are booked at the closing.
    still_open = rows.fetch(conn, f"JOIN {blobs} ON f.key = k.value WHERE f.closed_seq IS NULL", (listed,))
    close_rows(state, still_open)
    count_unsent(state, listed)
    conn.execute(f"INSERT INTO pruned (key) SELECT k.value FROM {blobs} WHERE 1 = 1 ON CONFLICT DO NOTHING", (listed,))
    conn.execute(f"DELETE FROM contributor WHERE key IN (SELECT k.value FROM {blobs})", (listed,))
    conn.execute(f"DELETE FROM fact WHERE key IN (SELECT k.value FROM {blobs})", (listed,))
    state.booking.count(metric.RETENTION_REMOVED, ("fact",), len(keys) if facts is None else facts)
    state.wrote = True
