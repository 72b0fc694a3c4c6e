"""The facts of a rebuild's swap, a page at a time: what was derived anew in the place of what was there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ccagent.facts.model import EventType, Flag
from ccagent.facts.partial import Partial, merge
from ccagent.store import rows
from ccagent.store.connection import scalar
from ccagent.store.generation import Correction
from ccagent.store.ingest import Ingest
from ccagent.store.late import Late
from ccagent.store.sent import Sent

PAGE: Final = 1_000
"""Facts in memory at once."""

LAUNCHERS: Final = ("Task", "Agent")
"""Tools whose calls launch sub-agents."""

BACKFILL: Final = int(Flag.BACKFILL)

_APART: Final = frozenset(
    (rows.FILE, rows.OFFSET, rows.LENGTH, rows.PARSER, rows.HOST, rows.SEQ, rows.PRICE, rows.COST_BOOKED)
)
"""Columns that tell nothing of what a fact is."""

_NEXT: Final = f"SELECT key FROM rebuild_keys WHERE key > ? ORDER BY key LIMIT {PAGE}"
_DELETE: Final = "DELETE FROM fact WHERE key = ?"


@dataclass(slots=True, kw_only=True)
class Swapped:
    """What a swap did, in facts."""

    added: int = 0
    changed: int = 0
    merged: int = 0
    """Of the changed: those of which a transcript is gone."""
    dropped: int = 0
    kept: int = 0
    """That no transcript which is still there gives."""
    stale: int = 0
    """Changed after they were sent: a span leaves once."""


class Exchange:
    """Exchanges the facts whose keys stand in the table `rebuild_keys`, within the caller's transaction.

    `side` is what stands before the names of the fresh tables; `again` are the transcripts that were read anew whole.
    """

    def __init__(self, state: Ingest, side: str, again: set[int], correction: Correction) -> None:
        self.counts = Swapped()
        self.moved: list[bytes] = []
        """Keys of launching calls that changed."""
        self._state = state
        self._side = side
        self._again = again
        self._correction = correction
        self._sent = Sent(state)
        self._late = Late(state)
        self._inserts: list[rows.Row] = []
        self._updates: list[rows.Row] = []
        self._deletes: list[tuple[bytes]] = []

    def run(self) -> Swapped:
        """Exchange everything."""
        conn = self._state.conn
        last = b""
        while keys := [bytes(row[0]) for row in conn.execute(_NEXT, (last,))]:
            last = keys[-1]
            page = _Page(self._state, self._side, keys)
            self._late.meet(page.sessions())
            for key in keys:
                self._one(page, key)
            self._write()
        unknown = f"NOT EXISTS (SELECT 1 FROM {self._side}fact s WHERE s.key = f.key)"
        self.counts.kept = int(scalar(conn, f"SELECT COUNT(*) FROM fact f WHERE {unknown}"))
        return self.counts

    def _write(self) -> None:
        """Write the page."""
        conn = self._state.conn
        with self._late.followed(row[rows.KEY] for row in self._inserts):
            conn.executemany(rows.INSERT, self._inserts)
            conn.executemany(rows.UPDATE, self._updates)
            conn.executemany(_DELETE, self._deletes)
        self.counts.added += len(self._inserts)
        self.counts.dropped += len(self._deletes)
        self._inserts.clear()
        self._updates.clear()
        self._deletes.clear()

    def _one(self, page: _Page, key: bytes) -> None:
        old, new = page.old.get(key), page.new.get(key)
        if old is None:
            if new is not None and key not in page.removed:
                self._add(new)
            return
        whole = page.files_of(old).issubset(self._again)
        if new is None:
            if whole:
                self._drop(old)
            return
        self._change(page, old, new, whole)

    def _add(self, new: rows.Row) -> None:
        """A fact that was not there before."""
        state = self._state
        seq = state.next_seq()
        closed = new[rows.CLOSED_SEQ] is not None
        row = _replaced(
            new,
            {
                rows.COST_BOOKED: None, rows.HOST: state.host, rows.SEQ: seq,
                rows.CLOSED_HOST: state.host if closed else None, rows.CLOSED_SEQ: seq if closed else None,
            },
        )  # fmt: skip
        fact = _read(state, row)
        self._correction.comes(row, fact)
        self._late.note(row, fact)
        self._inserts.append(row)

    def _drop(self, old: rows.Row) -> None:
        """A fact that today's rules do not make of its transcripts."""
        fact = _read(self._state, old)
        self._correction.goes(old, fact)
        self._state.touch(fact)
        self._late.note(old, fact)
        self._deletes.append((old[rows.KEY],))
        self._note_launch(old, fact)

    def _change(self, page: _Page, old: rows.Row, new: rows.Row, whole: bool) -> None:
        """A fact that both sides have."""
        state = self._state
        row = new if whole else _merged(state, old, new)
        closes = old[rows.CLOSED_SEQ] is None and new[rows.CLOSED_SEQ] is not None
        closed = closes or old[rows.CLOSED_SEQ] is not None
        stays = old[rows.FILE] not in self._again or old[rows.FILE] in page.fresh_files(new)
        place = old if stays else new
        row = _replaced(
            row,
            {
                rows.FLAGS: row[rows.FLAGS] & ~BACKFILL | old[rows.FLAGS] & BACKFILL,
                rows.COST_BOOKED: None,
                rows.FILE: place[rows.FILE], rows.OFFSET: place[rows.OFFSET], rows.LENGTH: place[rows.LENGTH],
                rows.PARSER: rows.PARSER_VERSION, rows.HOST: old[rows.HOST], rows.SEQ: old[rows.SEQ],
                rows.CLOSED_HOST: old[rows.CLOSED_HOST], rows.CLOSED_SEQ: old[rows.CLOSED_SEQ],
                rows.ENDED: 1 if closed or 1 in (old[rows.ENDED], new[rows.ENDED]) else None,
            },
        )  # fmt: skip
        told = any(one != two for column, (one, two) in enumerate(zip(old, row, strict=True)) if column not in _APART)
        if not told and not closes and stays and old[rows.COST_BOOKED] is None:
            return
        seq = state.next_seq()
        changes = {rows.HOST: state.host, rows.SEQ: seq}
        if closes:
            changes |= {rows.CLOSED_HOST: state.host, rows.CLOSED_SEQ: seq}
        row = _replaced(row, changes)
        after = self._move(old, row)
        if told:
            self.counts.changed += 1
            self.counts.merged += not whole
            self.counts.stale += self._sent.changed(after, old)

    def _move(self, old: rows.Row, row: rows.Row) -> Partial:
        """Let `row` take the place of `old`, with all that goes with it; the fact as it is then."""
        state = self._state
        before, after = _read(state, old), _read(state, row)
        self._correction.goes(old, before)
        self._correction.comes(row, after)
        state.touch(before)
        if before.context.session != after.context.session:
            state.mark_session(before)
        self._late.note(old, before)
        self._late.note(row, after)
        self._note_launch(old, before, after)
        self._updates.append(row)
        return after

    def _note_launch(self, old: rows.Row, *facts: Partial) -> None:
        if old[rows.TYPE] == EventType.TOOL_CALL and any(fact.name in LAUNCHERS for fact in facts):
            self.moved.append(bytes(old[rows.KEY]))


class _Page:
    """Some facts on both sides, with the transcripts that hold them."""

    def __init__(self, state: Ingest, side: str, keys: list[bytes]) -> None:
        self._state = state
        conn = state.conn
        dialect = conn.dialect
        listed = (dialect.listed(keys),)
        mine = rows.fetch(conn, f"JOIN {dialect.blobs} ON f.key = k.value ORDER BY f.key{dialect.locking}", listed)
        theirs = conn.execute(
            rows.SELECT.replace("FROM fact f", f"FROM {side}fact f") + f" JOIN {dialect.blobs} ON f.key = k.value",
            listed,
        ).fetchall()
        self.old = {bytes(row[rows.KEY]): row for row in mine}
        self.new = {bytes(row[rows.KEY]): row for row in theirs}
        found = (*mine, *theirs)
        state.contexts.learn(row[rows.CONTEXT] for row in found)
        state.names.learn(row[column] for row in found for column in rows.NAMED)
        copies = f"SELECT c.key, c.file FROM {{table}} c JOIN {dialect.blobs} ON c.key = k.value"
        self._copies = _by_key(conn.execute(copies.format(table="contributor"), listed))
        self.removed = {
            bytes(row[0])
            for row in conn.execute(f"SELECT p.key FROM {dialect.blobs} JOIN pruned p ON p.key = k.value", listed)
        }
        """Keys of facts that retention has removed, here or meanwhile on another host."""
        self._fresh_copies = _by_key(conn.execute(copies.format(table=f"{side}contributor"), listed))

    def sessions(self) -> set[str | None]:
        """The sessions of all these facts."""
        contexts = self._state.contexts
        return {contexts.value(row[rows.CONTEXT]).session for rows_ in (self.old, self.new) for row in rows_.values()}

    def files_of(self, old: rows.Row) -> set[int | None]:
        """The transcripts of a fact as it was: None among them is one that is not known."""
        return {old[rows.FILE], *self._copies.get(bytes(old[rows.KEY]), ())}

    def fresh_files(self, new: rows.Row) -> set[int]:
        """The transcripts that gave a fact anew."""
        return {new[rows.FILE], *self._fresh_copies.get(bytes(new[rows.KEY]), ())}


def _merged(state: Ingest, old: rows.Row, new: rows.Row) -> rows.Row:
    """What a fact was, of which a transcript is gone, with what the others say of it by today's rules."""
    fact, other = _read(state, old), _read(state, new)
    owner = _owner(fact)
    merge(fact, other)
    request = old[rows.REQUEST] if old[rows.REQUEST] is not None else new[rows.REQUEST]
    if _owner(fact) != owner:
        request = new[rows.REQUEST]
    settled = state.settle(fact)
    price = old[rows.PRICE] if settled.cost == old[rows.COST] else state.names.id(state.prices.version)
    return rows.write(
        fact, settled, state.names, state.contexts, key=old[rows.KEY], request=request, booked=settled.cost or 0,
        price=price, flags=int(fact.flags), file=old[rows.FILE], ended=old[rows.ENDED],
        change=rows.Change(old[rows.HOST], old[rows.SEQ], old[rows.CLOSED_HOST], old[rows.CLOSED_SEQ]),
    )  # fmt: skip


def _owner(fact: Partial) -> tuple[object, ...]:
    return fact.rank, fact.owner_at, fact.context, fact.turn, fact.name


def _read(state: Ingest, row: rows.Row) -> Partial:
    return rows.read(row, state.names, state.contexts)


def _replaced(row: rows.Row, values: Mapping[int, object]) -> rows.Row:
    """The row with some columns changed."""
    changed = list(row)
    for column, value in values.items():
        changed[column] = value
    return tuple(changed)


def _by_key(found: Iterable[tuple[bytes, int]]) -> dict[bytes, set[int]]:
    files: dict[bytes, set[int]] = {}
    for key, file in found:
        files.setdefault(bytes(key), set()).add(int(file))
    return files
