"""Costs computed anew with today's prices, and nothing else: no transcript is read.

In slices: a fact gets its new cost, while `cost_booked` keeps what its totals hold, so what is booked equals the facts'
bookings at any time, also when it is interrupted and lines come in before it goes on. At the end, in one transaction,
the differences are booked and the metrics of prices begin anew at zero.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson

from ccagent.errors import StoreError
from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial
from ccagent.failpoints import hit
from ccagent.metrics import names
from ccagent.metrics.ledger import token_kinds
from ccagent.store import rows
from ccagent.store.connection import Connection, scalar
from ccagent.store.generation import OF_PRICES, Correction
from ccagent.store.ingest import Ingest
from ccagent.store.late import Late
from ccagent.store.provenance import keep_provenance
from ccagent.store.sent import Sent
from ccagent.store.writer import Writer, set_meta

SLICE: Final = 1_000
"""Facts of one transaction; it must not hold the write lock longer than 50 ms."""

_REQUEST: Final = int(EventType.LLM_REQUEST)
_COSTS: Final = "UPDATE fact SET cost = ?, cost_booked = ?, price = ?, host = ?, seq = ? WHERE key = ?"
_PRICE: Final = "UPDATE fact SET price = ? WHERE key = ?"
_SETTLED: Final = f"UPDATE fact SET cost_booked = NULL WHERE type = {_REQUEST} AND cost_booked IS NOT NULL AND host = ?"


@dataclass(slots=True, kw_only=True)
class Repriced:
    """What became of the costs of requests, in micro-dollars where it is money."""

    requests: int = 0
    changed: int = 0
    priced: int = 0
    """Of the changed: they had no price before."""
    unpriced: int = 0
    """Of the changed: they have no price any more."""
    cost_before: int = 0
    cost_after: int = 0
    stale: int = 0
    """Changed after they were sent: a span leaves once."""

    def document(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


@dataclass(slots=True)
class _Cursor:
    """How far it is, kept in `meta`: the last key, and by how much tokens without a price became more or fewer."""

    prices: str
    after: str = ""
    unpriced: dict[str, int] = field(default_factory=dict)


class Repricing:
    """One run over the facts that this host has written. `step` until it says False, then `finish`."""

    def __init__(self, store: Writer) -> None:
        self.counts = Repriced()
        self._store = store
        self._name = f"recompute.{store.host}"
        self._prices = store.ingest_state.prices.version
        self.resumed = self._cursor().after != ""

    def requests(self) -> int:
        """How many facts there are to look at in all."""
        sql = f"SELECT COUNT(*) FROM fact WHERE type = {_REQUEST} AND host = ?"
        return int(self._store.ask(sql, (self._store.host,))[0][0])

    def step(self) -> bool:
        """Compute SLICE costs in a transaction of its own; False when none is left."""
        counts = self._store.run(self._slice)
        hit("recompute_slice")
        if counts is None:
            return False
        for name, amount in counts.document().items():
            setattr(self.counts, name, getattr(self.counts, name) + amount)
        return True

    def finish(self) -> bool:
        """Book what changed and begin a new generation, where anything has changed: whether there is one."""
        return self._store.run(self._end)

    # ---- transactions ----------------------------------------------------------------------------------------------

    def _cursor(self, conn: Connection | None = None) -> _Cursor:
        found = self._store.meta(self._name) if conn is None else scalar(conn, _GET, (self._name,))
        if found is None:
            return _Cursor(self._prices)
        try:
            cursor = _Cursor(**orjson.loads(found))
        except (TypeError, ValueError) as error:
            raise StoreError(f"the note {self._name} in the database is damaged; run `ccagent db check`") from error
        if cursor.prices != self._prices:
            # Prices have changed once more: every fact is looked at again. What was found of tokens stays true.
            cursor.prices, cursor.after = self._prices, ""
        return cursor

    def _slice(self, state: Ingest) -> Repriced | None:
        conn = state.conn
        cursor = self._cursor(conn)
        tail = (
            f"WHERE f.type = {_REQUEST} AND f.host = ? AND f.key > ? ORDER BY f.key LIMIT {SLICE}{conn.dialect.locking}"
        )
        found = rows.fetch(conn, tail, (state.host, bytes.fromhex(cursor.after)))
        if not found:
            return None
        state.contexts.learn(row[rows.CONTEXT] for row in found)
        state.names.learn(row[column] for row in found for column in rows.NAMED)
        counts = Repriced(requests=len(found))
        price = state.names.id(self._prices)
        sent, late = Sent(state), Late(state)
        late.meet({state.contexts.value(row[rows.CONTEXT]).session for row in found})
        costs, same = [], []
        for row in found:
            fact = rows.read(row, state.names, state.contexts)
            before, after = row[rows.COST], state.settle(fact).cost
            counts.cost_before += before or 0
            counts.cost_after += after or 0
            if before == after:
                if after is not None and row[rows.PRICE] != price:
                    same.append((price, row[rows.KEY]))
                continue
            booked = row[rows.COST_BOOKED] if row[rows.COST_BOOKED] is not None else before or 0
            kept = None if booked == (after or 0) else booked
            number = None if after is None else price
            costs.append((after, kept, number, state.host, state.next_seq(), row[rows.KEY]))
            self._note_unpriced(state, cursor, fact, before, after)
            state.touch(fact)
            late.note(row, fact)
            counts.changed += 1
            counts.priced += before is None
            counts.unpriced += after is None
            counts.stale += sent.changed(fact, row)
        with late.followed():
            conn.executemany(_COSTS, costs)
        conn.executemany(_PRICE, same)
        cursor.after = bytes(found[-1][rows.KEY]).hex()
        set_meta(conn, self._name, orjson.dumps(asdict(cursor)).decode())
        state.wrote = True
        return counts

    def _note_unpriced(
        self, state: Ingest, cursor: _Cursor, fact: Partial, before: int | None, after: int | None
    ) -> None:
        if (before is None) == (after is None):
            return
        tokens = sum(token_kinds(fact))
        model = state.budget.admit(names.UNPRICED_TOKENS, "model", fact.name or "")
        key = orjson.dumps([model, state.ledger.leaves(fact.context.cwd, fact.context.project)]).decode()
        cursor.unpriced[key] = cursor.unpriced.get(key, 0) + (tokens if after is None else -tokens)

    def _end(self, state: Ingest) -> bool:
        conn = state.conn
        correction = Correction(state)
        differ = False
        after = b""
        tail = (
            f"WHERE f.type = {_REQUEST} AND f.host = ? AND f.cost_booked IS NOT NULL AND f.key > ?"
            f" ORDER BY f.key LIMIT {SLICE}{conn.dialect.locking}"
        )
        while found := rows.fetch(conn, tail, (state.host, after)):
            differ = True
            after = bytes(found[-1][rows.KEY])
            state.contexts.learn(row[rows.CONTEXT] for row in found)
            state.names.learn(row[column] for row in found for column in rows.NAMED)
            for row in found:
                fact = rows.read(row, state.names, state.contexts)
                correction.goes(row, fact)
                if row[rows.COST] is not None:
                    correction.comes((*row[: rows.COST_BOOKED], None, *row[rows.COST_BOOKED + 1 :]), fact)
        unpriced = self._unpriced(self._cursor(conn))
        if differ or any(unpriced.values()):
            correction.add(unpriced.items())
            conn.execute(_SETTLED, (state.host,))
            correction.restart(OF_PRICES)
        keep_provenance(conn, state.host, prices=self._prices)
        conn.execute("DELETE FROM meta WHERE name = ?", (self._name,))
        state.wrote = True
        hit("recompute_end")
        return differ or any(unpriced.values())

    def _unpriced(self, cursor: _Cursor) -> dict[tuple[str, tuple[str, ...], bool], int]:
        found: dict[tuple[str, tuple[str, ...], bool], int] = {}
        for key, amount in cursor.unpriced.items():
            labels: list[Any] = orjson.loads(key)
            found[names.UNPRICED_TOKENS, (str(labels[0]),), bool(labels[1])] = amount
        return found


_GET: Final = "SELECT value FROM meta WHERE name = ?"
