"""New generations of the counters: totals corrected, where for once they may fall, and begun again at zero.

A total never falls, so a correction (a rebuild, other prices) changes what is stored and takes it as the base of a new
generation in the same transaction: exported is `value - base`, which is 0 then, with that moment as its start. What was
booked in all, over all labels, equals the facts before and after.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import orjson

from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial
from ccagent.facts.pricing import PriceTable
from ccagent.facts.settle import Settled, settle
from ccagent.metrics import names
from ccagent.metrics.booked import Booking, SeriesKey
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.compat import COMPAT, COST_USAGE
from ccagent.metrics.ledger import Ledger, clipped
from ccagent.metrics.spec import Kind
from ccagent.store import rows
from ccagent.store.connection import Connection, scalar
from ccagent.store.ingest import Ingest

OF_FACTS: Final = tuple(name for name, spec in METRICS.items() if spec.from_facts and spec.kind is not Kind.GAUGE)
"""Metrics whose totals follow from facts: what a rebuild begins anew. Those of ccagent's own work run on."""

OF_PRICES: Final = (names.COST_USD, names.UNPRICED_TOKENS)
"""Metrics that change with the prices alone."""

_NOTHING: Final = (0, 0, 0, 0, 0)

_CORRECT: Final = """
    INSERT INTO total (host, metric, labels, exportable, value, created_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (host, metric, labels, exportable) DO UPDATE SET value = total.value + excluded.value"""
_COUNTS: Final = "SELECT counts, sum FROM histogram WHERE host = ? AND metric = ? AND labels = ? AND exportable = ?"
_CORRECT_COUNTS: Final = """
    INSERT INTO histogram (host, metric, labels, exportable, counts, sum, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (host, metric, labels, exportable) DO UPDATE SET counts = excluded.counts, sum = excluded.sum"""
_RESTART: Final = (
    "UPDATE total SET base = value, created_at = ? WHERE host = ? AND metric = ?",
    "UPDATE histogram SET base = counts, base_sum = sum, created_at = ? WHERE host = ? AND metric = ?",
)
_KEEP: Final = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_NEXT: Final = (
    "INSERT INTO meta (name, value) VALUES ('generation', '2')"
    " ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT)"
)
_GET: Final = "SELECT value FROM meta WHERE name = ?"


class Correction:
    """What the totals of a host have to be changed by, since versions of facts give way to others.

    `goes` and `comes` are told each version once; `restart` writes the difference and begins the generation. Works
    within one transaction of the store, with its label budget.
    """

    def __init__(self, state: Ingest) -> None:
        self._state = state
        self._gone, self._come = Booking(), Booking()
        leaves = state.ledger.leaves
        self._taking = Ledger(self._gone, state.budget, leaves)
        self._giving = Ledger(self._come, state.budget, leaves)
        self._taking.types_of = self._giving.types_of = state.agent_types
        self.amounts: dict[SeriesKey, int] = {}
        self._replaced: tuple[frozenset[str], Booking, Booking] = (frozenset(), Booking(), Booking())

    def goes(self, row: rows.Row, fact: Partial) -> None:
        """This version of a fact is no more: `row` and what it says."""
        self._taking.change(None, fact, booked_of(row, fact, self._state.prices), row[rows.CLOSED_SEQ] is not None)

    def comes(self, row: rows.Row, fact: Partial) -> None:
        """This version of a fact is new."""
        self._giving.change(None, fact, booked_of(row, fact, self._state.prices), row[rows.CLOSED_SEQ] is not None)

    def add(self, amounts: Iterable[tuple[SeriesKey, int]]) -> None:
        """Amounts of counters that were found in another way; they may be negative."""
        for key, amount in amounts:
            self.amounts[key] = self.amounts.get(key, 0) + amount

    def replace(self, metrics: Collection[str], wanted: Booking, before: Booking) -> None:
        """Metrics that are not corrected fact by fact: what is to be booked of them in all, and what was."""
        self._replaced = frozenset(metrics), wanted, before

    def restart(self, metrics: Collection[str]) -> None:
        """Write what these metrics change by and let them begin again at zero, now."""
        state = self._state
        if state.ledger.compat is not None:
            # Nothing is corrected there: what was exported of it until now ends with the generation.
            metrics = (*metrics, *(COMPAT if names.TOKENS in metrics else (COST_USAGE,)))
        self._taking.post()
        self._giving.post()
        self._take_over(metrics)
        self.add(self._come.amounts.items())
        self.add((key, -amount) for key, amount in self._gone.amounts.items())
        self._put_replaced()
        changed = [(key, amount) for key, amount in sorted(self.amounts.items()) if amount and key[0] in metrics]
        state.conn.executemany(
            _CORRECT,
            [(state.host, metric, _packed(labels), int(may_leave), amount, state.now_ms)
             for (metric, labels, may_leave), amount in changed],
        )  # fmt: skip
        self._correct_histograms(metrics)
        begin(state.conn, state.host, metrics, state.now_ms)
        state.wrote = True

    def _put_replaced(self) -> None:
        """Of replaced metrics nothing counts but the difference of the two bookings."""
        metrics, wanted, before = self._replaced
        for known in (self.amounts, self._come.observations, self._gone.observations):
            for key in [key for key in known if key[0] in metrics]:
                del known[key]
        self.add(wanted.amounts.items())
        self.add((key, -amount) for key, amount in before.amounts.items())
        self._come.merge(wanted.observations)
        self._gone.merge(before.observations)

    def _take_over(self, metrics: Collection[str]) -> None:
        """What this transaction has booked until now belongs to the generation that ends."""
        booking = self._state.booking
        self._state.book()
        for key in [key for key in booking.amounts if key[0] in metrics]:
            self.add([(key, booking.amounts.pop(key))])
        taken = [key for key in booking.observations if key[0] in metrics]
        self._come.merge({key: booking.observations.pop(key) for key in taken})

    def _correct_histograms(self, metrics: Collection[str]) -> None:
        state = self._state
        changes = []
        for key in sorted(self._come.observations.keys() | self._gone.observations.keys()):
            if key[0] not in metrics:
                continue
            metric, labels, may_leave = key
            place = state.host, metric, _packed(labels), int(may_leave)
            size = len(METRICS[metric].buckets or ()) + 1
            none: tuple[list[int], float] = ([0] * size, 0.0)
            come, gone = self._come.observations.get(key, none), self._gone.observations.get(key, none)
            counts, total = [a - b for a, b in zip(come[0], gone[0], strict=True)], come[1] - gone[1]
            for stored, stored_sum in state.conn.execute(_COUNTS, place):
                counts = [a + b for a, b in zip(orjson.loads(stored), counts, strict=True)]
                total += stored_sum
            changes.append((*place, orjson.dumps(counts).decode(), total, state.now_ms))
        state.conn.executemany(_CORRECT_COUNTS, changes)


def booked_of(row: rows.Row, fact: Partial, prices: PriceTable) -> Settled:
    """What follows from a row as it was booked, whatever the prices say today: its own cost, split as they split it."""
    today = settle(fact, prices)
    if row[rows.TYPE] != EventType.LLM_REQUEST:
        return today._replace(status=row[rows.STATUS])
    cost: int | None = row[rows.COST_BOOKED] if row[rows.COST_BOOKED] is not None else row[rows.COST]
    if cost == 0 and row[rows.COST] is None:
        cost = None
    parts = _NOTHING if cost is None else clipped(_NOTHING, today.parts, cost)
    return Settled(row[rows.STATUS], row[rows.QUALITY], cost, parts)


def begin(conn: Connection, host: int, metrics: Collection[str], now_ms: int) -> None:
    """Let these metrics of a host begin again at zero at `now_ms`, within the caller's transaction."""
    for sql in _RESTART:
        conn.executemany(sql, [(now_ms, host, metric) for metric in sorted(metrics)])
    conn.execute(_NEXT)
    note_start(conn, host, metrics, now_ms)


def note_start(conn: Connection, host: int, metrics: Collection[str], now_ms: int) -> None:
    """Write down that these metrics of a host start at zero at `now_ms`, within the caller's transaction."""
    started = restarts(conn, host) | dict.fromkeys(metrics, now_ms)
    conn.execute(_KEEP, (_restarts(host), orjson.dumps(started, option=orjson.OPT_SORT_KEYS).decode()))


def restarts(conn: Connection, host: int) -> dict[str, int]:
    """When metrics of a host began again at zero (ms UTC), by name; those of the first generation are not there."""
    text = scalar(conn, _GET, (_restarts(host),))
    return {} if text is None else orjson.loads(text)


def _restarts(host: int) -> str:
    return f"restarted.{host}"


def _packed(labels: tuple[str, ...]) -> str:
    return orjson.dumps(labels).decode()
