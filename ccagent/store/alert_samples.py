"""What ccagent's own counters have grown by: samples of their totals, one an hour, for the metrics that rules ask for.

Totals are taken over all hosts and all generations (what was ever booked), so neither a restart nor a rebuild is a fall.
A total that is smaller than its sample came back with an older backup: it has grown by nothing then.

Not known: what a counter did before its first sample, and in an hour without any (nobody looked; as a rule nothing ran, and
own counters stood still).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import orjson

from ccagent.store.connection import Connection, scalar
from ccagent.store.measured_facts import Sum, packed, unpacked

SAMPLES_KEPT_MS: Final = 92 * 24 * 3_600 * 1_000
"""Longer than any window that a rule can have."""

NO_LABELS: Final = ""
"""Stands in `labels` of the row that says that the metric was looked at."""

Labels = tuple[str, ...]
Totals = dict[Labels, Sum]

_TOTALS: Final = "SELECT labels, SUM(value) FROM total WHERE metric = ? GROUP BY labels"
_HISTOGRAMS: Final = "SELECT labels, counts, sum FROM histogram WHERE metric = ?"
_SAMPLE: Final = (
    "INSERT INTO alert_sample (metric, hour, labels, value, count, buckets) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_AT: Final = "SELECT labels, value, count, buckets FROM alert_sample WHERE metric = ? AND hour = ? AND labels <> ''"
_BEFORE: Final = "SELECT MAX(hour) FROM alert_sample WHERE metric = ? AND hour <= ?"
_AFTER: Final = "SELECT MIN(hour) FROM alert_sample WHERE metric = ? AND hour > ? AND hour < ?"
_BEGAN: Final = "SELECT MIN(hour) FROM alert_sample WHERE metric = ?"


def totals_of(conn: Connection, metric: str) -> Totals:
    """What was ever booked of a counter or histogram, by labels, over all hosts; values in the unit they are kept in."""
    found: Totals = {}
    for labels, value in conn.execute(_TOTALS, (metric,)):
        found.setdefault(unpacked(labels), Sum()).add(int(value), int(value))
    for labels, counts, value in conn.execute(_HISTOGRAMS, (metric,)):
        buckets = orjson.loads(counts)
        found.setdefault(unpacked(labels), Sum()).add(float(value), sum(buckets), buckets)
    return found


def take(conn: Connection, metrics: Iterable[str], hour: int) -> None:
    """Sample these metrics (names as they are booked) in the hour that begins at `hour` (ms UTC); only the first sample of an
    hour counts. In the caller's transaction. Samples that no window reaches any more are removed."""
    for metric in sorted(metrics):
        rows: list[tuple[object, ...]] = [(metric, hour, NO_LABELS, 0, 0, None)]
        for labels, held in totals_of(conn, metric).items():
            buckets = None if held.buckets is None else orjson.dumps(held.buckets).decode()
            rows.append((metric, hour, packed(labels), held.value, held.count, buckets))
        conn.executemany(_SAMPLE, rows)
        conn.execute("DELETE FROM alert_sample WHERE metric = ? AND hour < ?", (metric, hour - SAMPLES_KEPT_MS))


def keep_only(conn: Connection, metrics: Collection[str]) -> None:
    """Forget the samples of what no rule asks for any more: a counter that nobody samples goes on, and what it did meanwhile
    would count as of a rule's first window. In the caller's transaction."""
    for (metric,) in conn.execute("SELECT DISTINCT metric FROM alert_sample").fetchall():
        if metric not in metrics:
            conn.execute("DELETE FROM alert_sample WHERE metric = ?", (metric,))


def due(conn: Connection, metrics: Collection[str], hour: int) -> list[str]:
    """Those of the metrics that have no sample in this hour yet: nothing to write where there is none."""
    sql = "SELECT 1 FROM alert_sample WHERE metric = ? AND hour = ? AND labels = ''"
    return [metric for metric in sorted(metrics) if scalar(conn, sql, (metric, hour)) is None]


def first_sample(conn: Connection, metric: str) -> int | None:
    """The hour of the metric's first sample, None before there is one."""
    found = scalar(conn, _BEGAN, (metric,))
    return None if found is None else int(found)


def increase(conn: Connection, metric: str, start: int, end: int | None) -> tuple[Totals, bool] | None:
    """By how much the totals have grown from the hour `start` to the hour `end` (None: to the present), by labels, and
    whether that is all of it.

    Without a sample at or before `start` it is what has been seen since the first one: at least so much. None where there is
    no sample before `end` either.
    """
    first = scalar(conn, _BEFORE, (metric, start))
    whole = first is not None
    if first is None:
        first = scalar(conn, _AFTER, (metric, start, (1 << 62) if end is None else end))
    if first is None:
        return None
    now = totals_of(conn, metric)
    if end is not None:
        last = scalar(conn, _AFTER, (metric, end - 1, 1 << 62))  # the total at `end` is what the next sample found
        now = now if last is None else _sampled(conn, metric, int(last))
    return grown(_sampled(conn, metric, int(first)), now), whole


def grown(before: Mapping[Labels, Sum], now: Mapping[Labels, Sum]) -> Totals:
    """What is more in `now`, by labels; what has not grown is there with nothing."""
    found: Totals = {}
    for labels, held in now.items():
        was = before.get(labels, Sum())
        if was.value > held.value or was.count > held.count:
            found[labels] = Sum(0, 0, None if held.buckets is None else [0] * len(held.buckets))
            continue
        buckets = held.buckets
        if buckets is not None and was.buckets is not None and len(was.buckets) == len(buckets):
            buckets = [max(a - b, 0) for a, b in zip(buckets, was.buckets, strict=True)]
        found[labels] = Sum(held.value - was.value, held.count - was.count, buckets)
    return found


def _sampled(conn: Connection, metric: str, hour: int) -> Totals:
    return {
        unpacked(labels): Sum(value, int(count), None if buckets is None else orjson.loads(buckets))
        for labels, value, count, buckets in conn.execute(_AT, (metric, hour))
    }
