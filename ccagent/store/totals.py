"""The totals in the database: cumulative amounts, histograms and admitted label values.

`add` and `observe` run inside the transaction that writes the facts; they only ever add. `read` is what a scrape
costs: one row a series, whatever the size of the archive. All take an apsw connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import apsw
import orjson

from ccagent.metrics.snapshot import StoredHistogram, StoredTotal, StoredTotals

SeriesKey = tuple[str, tuple[str, ...], bool]
"""Metric name without prefix, label values in the catalogue's order, whether the amount may leave the machine."""

_ADD: Final = """
    INSERT INTO total (metric, labels, exportable, value, created_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (metric, labels, exportable) DO UPDATE SET value = value + excluded.value"""

_FIND_COUNTS: Final = "SELECT counts, sum FROM histogram WHERE metric = ? AND labels = ? AND exportable = ?"

_OBSERVE: Final = """
    INSERT INTO histogram (metric, labels, exportable, counts, sum, created_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (metric, labels, exportable) DO UPDATE SET counts = excluded.counts, sum = excluded.sum"""

_READ_TOTALS: Final = "SELECT metric, labels, exportable, value, created_at FROM total"
_READ_HISTOGRAMS: Final = "SELECT metric, labels, exportable, counts, sum, created_at FROM histogram"
_READ_ADMITTED: Final = "SELECT metric, label, value FROM label_value"
_SAVE_ADMITTED: Final = "INSERT INTO label_value (metric, label, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"

LABELS_CACHED: Final = 8_192
"""Label tuples whose JSON is kept: above the number of series that the budgets allow on one page."""


@lru_cache(maxsize=LABELS_CACHED)
def _packed(labels: tuple[str, ...]) -> str:
    return orjson.dumps(labels).decode()


@lru_cache(maxsize=LABELS_CACHED)
def _unpacked(labels: str) -> tuple[str, ...]:
    return tuple(orjson.loads(labels))


def add(conn: apsw.Connection, amounts: Mapping[SeriesKey, int], now_ms: int) -> None:
    """Add `amounts` to the totals, within the caller's transaction. A series that is new gets `now_ms` as its start.

    ValueError when an amount is negative: totals never fall.
    """
    if any(amount < 0 for amount in amounts.values()):
        fallen = next(key for key, amount in amounts.items() if amount < 0)
        raise ValueError(f"total {fallen[0]}{fallen[1]}: a negative amount was booked; book growth only")
    conn.executemany(
        _ADD,
        [(metric, _packed(labels), int(may_leave), amount, now_ms)
         for (metric, labels, may_leave), amount in amounts.items()],
    )  # fmt: skip


def observe(conn: apsw.Connection, observations: Mapping[SeriesKey, tuple[Sequence[int], float]], now_ms: int) -> None:
    """Add bucket counts and sums to the histograms, within the caller's transaction.

    A histogram whose stored buckets differ in number from those given (its declaration changed) is refused with
    ValueError: counts of different buckets cannot be added.
    """
    rows = []
    for (metric, labels, may_leave), (counts, total) in observations.items():
        packed = _packed(labels)
        for stored, stored_sum in conn.execute(_FIND_COUNTS, (metric, packed, int(may_leave))):
            counts = [a + b for a, b in zip(orjson.loads(stored), counts, strict=True)]
            total += stored_sum
        rows.append((metric, packed, int(may_leave), orjson.dumps(counts).decode(), total, now_ms))
    conn.executemany(_OBSERVE, rows)


def read(conn: apsw.Connection) -> StoredTotals:
    """All totals and histograms, read in one transaction so that they belong to one moment."""
    with conn:
        totals = tuple(
            StoredTotal(metric, _unpacked(labels), bool(may_leave), value, created)
            for metric, labels, may_leave, value, created in conn.execute(_READ_TOTALS)
        )
        histograms = tuple(
            StoredHistogram(metric, _unpacked(labels), bool(may_leave), tuple(orjson.loads(counts)), total, created)
            for metric, labels, may_leave, counts, total, created in conn.execute(_READ_HISTOGRAMS)
        )
    return StoredTotals(totals=totals, histograms=histograms)


def load_admitted(conn: apsw.Connection) -> dict[tuple[str, str], set[str]]:
    """The label values that were admitted so far, by (metric, label)."""
    admitted: dict[tuple[str, str], set[str]] = {}
    for metric, label, value in conn.execute(_READ_ADMITTED):
        admitted.setdefault((metric, label), set()).add(value)
    return admitted


def save_admitted(conn: apsw.Connection, fresh: Iterable[tuple[str, str, str]]) -> None:
    """Remember newly admitted (metric, label, value), within the caller's transaction."""
    conn.executemany(_SAVE_ADMITTED, list(fresh))
