"""The totals in the database: cumulative amounts, histograms and admitted label values.

`add` and `observe` run inside the transaction that writes the facts; they only ever add. `read` is what a scrape
costs: one row a series, whatever the size of the archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

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
_IN_ORDER: Final = " ORDER BY metric, labels, exportable"
_READ_ADMITTED: Final = "SELECT metric, label, value FROM label_value WHERE host = ?"
_SAVE_ADMITTED: Final = (
    "INSERT INTO label_value (host, metric, label, value) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)

_TOTAL_COLUMNS: Final = 6
"""Columns of a row of totals; one of histograms has more."""

_Row = tuple[Any, ...]
_METRIC: Final = itemgetter(0)

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
        totals = tuple(_total(row, booked=booked) for row in found)
        where = "" if host is None else " WHERE host = ?"
        rows = conn.execute(_READ_HISTOGRAMS + where, () if host is None else (host,))
        sums: dict[SeriesKey, StoredHistogram] = {}
        for row in rows:
            one = _histogram(row, booked=booked)
            key = one.metric, one.labels, one.exportable
            known = sums.get(key)
            if known is not None:
                counts = tuple(a + b for a, b in zip(known.counts, one.counts, strict=True))
                one = StoredHistogram(*key, counts, one.sum + known.sum, min(one.created_ms, known.created_ms))
            sums[key] = one
    return StoredTotals(totals=totals, histograms=tuple(sums.values()))


def _total(row: _Row, *, booked: bool = False) -> StoredTotal:
    metric, labels, may_leave, value, base, created = row
    return StoredTotal(metric, _unpacked(labels), bool(may_leave), value if booked else value - base, created)


def _histogram(row: _Row, *, booked: bool = False) -> StoredHistogram:
    metric, labels, may_leave, counts, total, base, base_sum, created = row
    buckets = orjson.loads(counts)
    if base is not None and not booked:
        buckets = [all_of - before for all_of, before in zip(buckets, orjson.loads(base), strict=True)]
        total -= base_sum
    return StoredHistogram(metric, _unpacked(labels), bool(may_leave), tuple(buckets), total, created)


class Reading:
    """The totals of a host by metric, as they were read last: reading again makes only the rows that have changed.

    All rows are fetched each time and held against those before, which is quick; what costs is to take them apart. So a
    change is seen whoever made it. For one thread at a time.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[_Row]] = {}
        self.parts: dict[str, StoredTotals] = {}

    def read(self, conn: Connection, host: int) -> Mapping[str, StoredTotals]:
        """All totals and histograms of one moment by metric; a metric without a change is the same object as before."""
        with snapshot(conn):
            fetched = conn.execute(_READ_TOTALS + _IN_ORDER, (host,)).fetchall()
            fetched += conn.execute(f"{_READ_HISTOGRAMS} WHERE host = ?{_IN_ORDER}", (host,)).fetchall()
        rows: dict[str, list[_Row]] = {}
        for metric, group in groupby(fetched, _METRIC):
            known = rows.get(metric)
            if known is None:
                rows[metric] = list(group)
            else:
                known += group
        for metric, group_rows in rows.items():
            before = self._rows.get(metric)
            if before == group_rows:
                rows[metric] = before
            else:
                self.parts[metric] = self._again(metric, before or [], group_rows)
        for metric in self._rows.keys() - rows.keys():
            del self.parts[metric]
        self._rows = rows
        return self.parts

    def _again(self, metric: str, before: list[_Row], rows: list[_Row]) -> StoredTotals:
        made = self.parts.get(metric, StoredTotals())
        ready: tuple[StoredTotal | StoredHistogram, ...] = (*made.totals, *made.histograms)
        known: Iterable[StoredTotal | StoredHistogram | None]
        if len(before) == len(rows):
            known = [one if row == was else None for row, was, one in zip(rows, before, ready, strict=True)]
        else:  # new series stand between the others
            known = map(dict(zip(before, ready, strict=True)).get, rows)
        totals, histograms = [], []
        for row, one in zip(rows, known, strict=True):
            if len(row) == _TOTAL_COLUMNS:
                totals.append(one if isinstance(one, StoredTotal) else _total(row))
            else:
                histograms.append(one if isinstance(one, StoredHistogram) else _histogram(row))
        return StoredTotals(totals=tuple(totals), histograms=tuple(histograms))


def read_beside(conn: Connection, host: int, prefix: str) -> StoredTotals:
    """All that a host has booked in tables of the same kind, whose names stand behind `prefix`."""
    found = conn.execute(
        f"SELECT metric, labels, exportable, value, created_at FROM {prefix}total WHERE host = ?", (host,)
    )
    totals = tuple(StoredTotal(each[0], _unpacked(each[1]), bool(each[2]), each[3], each[4]) for each in found)
    rows = conn.execute(
        f"SELECT metric, labels, exportable, counts, sum, created_at FROM {prefix}histogram WHERE host = ?", (host,)
    )
    histograms = tuple(
        StoredHistogram(each[0], _unpacked(each[1]), bool(each[2]), tuple(orjson.loads(each[3])), each[4], each[5])
        for each in rows
    )
    return StoredTotals(totals=totals, histograms=histograms)


def load_admitted(conn: Connection, host: int) -> dict[tuple[str, str], set[str]]:
    """The label values that were admitted so far on a host, by (metric, label)."""
    admitted: dict[tuple[str, str], set[str]] = {}
    for metric, label, value in conn.execute(_READ_ADMITTED, (host,)):
        admitted.setdefault((metric, label), set()).add(value)
    return admitted


def save_admitted(conn: Connection, host: int, fresh: Iterable[tuple[str, str, str]]) -> None:
    """Remember newly admitted (metric, label, value), within the caller's transaction."""
    conn.executemany(_SAVE_ADMITTED, [(host, *each) for each in fresh])
