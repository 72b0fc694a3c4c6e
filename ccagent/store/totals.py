"""The totals in the database: cumulative amounts, histograms and admitted label values.

`add` and `observe` run inside the transaction that writes the facts; they only ever add. `read` is what a scrape
costs: one row a series, whatever the size of the archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import orjson

from ccagent.metrics.snapshot import StoredHistogram, StoredTotal, StoredTotals
from ccagent.store.connection import Connection, snapshot

SeriesKey = tuple[str, tuple[str, ...], bool]
"""Metric name without prefix, label values in the catalogue's order, whether the amount may leave the machine."""

_ADD: Final = """
    INSERT INTO total (host, metric, labels, exportable, value, created_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (host, metric, labels, exportable) DO UPDATE SET value = total.value + excluded.value"""

_FIND_COUNTS: Final = (
    "SELECT counts, sum FROM histogram WHERE host = ? AND metric = ? AND labels = ? AND exportable = ?"
)
_OBSERVE: Final = """
    INSERT INTO histogram (host, metric, labels, exportable, counts, sum, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (host, metric, labels, exportable) DO UPDATE SET counts = excluded.counts, sum = excluded.sum"""

_READ_TOTALS: Final = "SELECT metric, labels, exportable, value, base, created_at FROM total WHERE host = ?"
_SUM_TOTALS: Final = (
    "SELECT metric, labels, exportable, SUM(value), SUM(base), MIN(created_at) FROM total GROUP BY 1, 2, 3"
)
_READ_HISTOGRAMS: Final = "SELECT metric, labels, exportable, counts, sum, base, base_sum, created_at FROM histogram"
_READ_ADMITTED: Final = "SELECT metric, label, value FROM label_value WHERE host = ?"
_SAVE_ADMITTED: Final = (
    "INSERT INTO label_value (host, metric, label, value) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)

LABELS_CACHED: Final = 8_192
"""Label tuples whose JSON is kept: above the number of series that the budgets allow on one page."""


@lru_cache(maxsize=LABELS_CACHED)
def _packed(labels: tuple[str, ...]) -> str:
    return orjson.dumps(labels).decode()


@lru_cache(maxsize=LABELS_CACHED)
def _unpacked(labels: str) -> tuple[str, ...]:
    return tuple(orjson.loads(labels))


def add(conn: Connection, host: int, amounts: Mapping[SeriesKey, int], now_ms: int) -> None:
    """Add `amounts` to the totals, within the caller's transaction. A series that is new gets `now_ms` as its start.

    ValueError when an amount is negative: totals never fall.
    """
    if any(amount < 0 for amount in amounts.values()):
        fallen = next(key for key, amount in amounts.items() if amount < 0)
        raise ValueError(f"total {fallen[0]}{fallen[1]}: a negative amount was booked; book growth only")
    conn.executemany(
        _ADD,
        [(host, metric, _packed(labels), int(may_leave), amount, now_ms)
         for (metric, labels, may_leave), amount in amounts.items()],
    )  # fmt: skip


def observe(
    conn: Connection, host: int, observations: Mapping[SeriesKey, tuple[Sequence[int], float]], now_ms: int
) -> None:
    """Add bucket counts and sums to the histograms, within the caller's transaction.

    A histogram whose stored buckets differ in number from those given (its declaration changed) is refused with
    ValueError: counts of different buckets cannot be added.
    """
    rows = []
    for (metric, labels, may_leave), (counts, total) in observations.items():
        packed = _packed(labels)
        for stored, stored_sum in conn.execute(_FIND_COUNTS, (host, metric, packed, int(may_leave))):
            counts = [a + b for a, b in zip(orjson.loads(stored), counts, strict=True)]
            total += stored_sum
        rows.append((host, metric, packed, int(may_leave), orjson.dumps(counts).decode(), total, now_ms))
    conn.executemany(_OBSERVE, rows)


def read(conn: Connection, host: int | None = None, *, booked: bool = False) -> StoredTotals:
    """All totals and histograms of one moment: those of a host, or summed over all hosts where none is named.

    The values are those of the present generation; with `booked` all that was ever booked.
    """
    with snapshot(conn):
        found = conn.execute(_SUM_TOTALS) if host is None else conn.execute(_READ_TOTALS, (host,))
        totals = tuple(
            StoredTotal(metric, _unpacked(labels), bool(may_leave), value if booked else value - base, created)
            for metric, labels, may_leave, value, base, created in found
        )
        where = "" if host is None else " WHERE host = ?"
        rows = conn.execute(_READ_HISTOGRAMS + where, () if host is None else (host,))
        sums: dict[SeriesKey, StoredHistogram] = {}
        for metric, labels, may_leave, counts, total, base, base_sum, created in rows:
            key = (metric, _unpacked(labels), bool(may_leave))
            buckets = orjson.loads(counts)
            if base is not None and not booked:
                buckets = [all_of - before for all_of, before in zip(buckets, orjson.loads(base), strict=True)]
                total -= base_sum
            known = sums.get(key)
            if known is not None:
                buckets = [one + two for one, two in zip(known.counts, buckets, strict=True)]
                total, created = total + known.sum, min(created, known.created_ms)
            sums[key] = StoredHistogram(*key, tuple(buckets), total, created)
    return StoredTotals(totals=totals, histograms=tuple(sums.values()))


def load_admitted(conn: Connection, host: int) -> dict[tuple[str, str], set[str]]:
    """The label values that were admitted so far on a host, by (metric, label)."""
    admitted: dict[tuple[str, str], set[str]] = {}
    for metric, label, value in conn.execute(_READ_ADMITTED, (host,)):
        admitted.setdefault((metric, label), set()).add(value)
    return admitted


def save_admitted(conn: Connection, host: int, fresh: Iterable[tuple[str, str, str]]) -> None:
    """Remember newly admitted (metric, label, value), within the caller's transaction."""
    conn.executemany(_SAVE_ADMITTED, [(host, *each) for each in fresh])
