"""Measuring: the hours that a question needs and that table `measured` does not hold yet, made of their facts.

Reading goes on beside the writer. First the hours are claimed, then read, then kept if the claim still stands: a refresh
in between takes it away, so what is kept is never older than the rollups.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import orjson

from ccagent import __version__
from ccagent.facts.model import EventType
from ccagent.rollups.buckets import QUARTER_MS, bucket_end, bucket_start, hours_of_quarter
from ccagent.rollups.metrics import Period
from ccagent.rollups.spans import Span, merged
from ccagent.rollups.usage import UsageFamily
from ccagent.store.connection import Connection, scalar
from ccagent.store.measured import DONE, claim, claimed, forget, forget_from, keep, tracked
from ccagent.store.measured_facts import Sums, by_hour, kinds_of
from ccagent.store.staleness import sealed_before

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ccagent.facts.pricing import PriceTable

Write = Callable[[Callable[[Connection], None]], None]
"""Runs work in a write transaction of its own, as `Writer.write` does. Not within an open transaction of the reader's."""

FOLLOWED: Final = "measured_closed"
"""Name in `meta`: up to which change number closings are followed, by host (JSON), and by which version of the program
amounts were made: another one may count otherwise."""

CHUNK_HOURS: Final = 100
"""Hours of one claim, whose amounts are in memory together."""

KEPT_ROWS: Final = 1_000
"""Rows after which a transaction that keeps them ends: some ten milliseconds."""

ALONG_HOURS: Final = 48
"""So many missing hours, or fewer, are measured for all metrics at once: as a rule it is the present one."""

_CLOSED: Final = (
    f"SELECT DISTINCT f.occurred_at - f.occurred_at % {QUARTER_MS} FROM fact f"
    " WHERE f.closed_host = ? AND f.closed_seq > ? AND f.occurred_at >= 0"
)


class Measured:
    """The measured hours as one reader sees them at one moment, made complete when asked.

    With `write` what is missing is measured, kept and then read from the table; without, it is measured and held in
    memory, and hours whose rollups are stale at the moment are measured anew.
    """

    def __init__(
        self, conn: Connection, zone: ZoneInfo, write: Write | None = None, prices: PriceTable | None = None
    ) -> None:
        self._conn = conn
        self._zone = zone
        self._write = write
        self._prices = prices
        self._complete: dict[str, list[Span]] = {}
        self._followed = False
        self._stale: set[int] = set()
        self._beside: dict[str, dict[int, Sums]] = {}
        self._sealed = sealed_before(conn)

    def complete(self, metric: str, spans: Iterable[Span]) -> None:
        """See to it that all hours that begin in `spans` are measured, as far as facts of them are left."""
        self._follow()
        wanted = merged(spans)
        known = self._complete.get(metric, [])
        if all(any(a <= start and end <= b for a, b in known) for start, end in wanted):
            return
        hours = [hour for span in wanted for hour in self._missing(metric, span)]
        self._complete[metric] = merged([*known, *wanted])
        if not hours:
            return
        if self._write is None:
            beside = self._beside.setdefault(metric, {})
            hours = [hour for hour in hours if hour not in beside]
            beside.update((hour, {}) for hour in hours)
            beside.update(self._amounts(hours, (metric,)))
            return
        metrics = [metric]
        if len(hours) <= ALONG_HOURS:
            metrics += [other for other in tracked(self._conn) if other != metric]
        for first in range(0, len(hours), CHUNK_HOURS):
            self._measure(hours[first : first + CHUNK_HOURS], metrics, self._write)

    def beside(self, metric: str) -> Mapping[int, Sums]:
        """Hours that are held in memory, and count in the place of what the table has of them."""
        return self._beside.get(metric, {})

    def _missing(self, metric: str, span: Span) -> Iterator[int]:
        """Hours of the span that hold facts of the metric's kinds, and are not measured."""
        start, end = max(span[0], self._sealed, 0), span[1]
        families = sorted(families_of(metric))
        rows = self._conn.execute(
            "SELECT DISTINCT r.bucket FROM rollup r WHERE r.period = ? AND r.family IN"
            f" ({', '.join(map(str, families))}) AND r.bucket >= ? AND r.bucket < ?",
            (int(Period.HOURLY), start, end),
        )
        held = {int(row[0]) for row in rows} | {hour for hour in self._stale if start <= hour < end}
        if start == self._sealed and bucket_start(self._zone, "hour", max(start, 0)) != start:
            held.discard(start)  # the rest of an hour whose beginning is gone
        done = self._conn.execute(
            f"SELECT h.hour FROM measured_hour h WHERE h.metric = ? AND h.hour >= ? AND h.hour < ? AND h.claim = {DONE}",
            (metric, start, end),
        )
        yield from sorted(held - ({int(row[0]) for row in done} - self._stale))

    def _amounts(self, hours: Sequence[int], metrics: Collection[str]) -> Iterator[tuple[int, Sums]]:
        zone = self._zone
        return by_hour(self._conn, zone, merged((hour, bucket_end(zone, "hour", hour)) for hour in hours), metrics,
                       self._prices)  # fmt: skip

    def _measure(self, hours: Sequence[int], metrics: Sequence[str], write: Write) -> None:
        """Claim, read, keep."""
        mark = int.from_bytes(os.urandom(6)) + 1
        write(lambda conn: claim(conn, metrics, hours, mark))
        mine = claimed(self._conn, metrics, mark, hours[0], hours[-1])
        asked = sorted({hour for _, hour in mine})
        found: dict[int, Sums] = {}
        for hour, sums in self._amounts(asked, {metric for metric, _ in mine}):
            found.setdefault(hour, {}).update(sums)
        pending: dict[int, Sums] = {}
        for hour in asked:
            pending[hour] = found.get(hour, {})
            if sum(map(len, pending.values())) >= KEPT_ROWS:
                _keep(write, pending, metrics, mark)
                pending = {}
        if pending:
            _keep(write, pending, metrics, mark)

    def _follow(self) -> None:
        """Forget the hours of facts that have closed since they were measured. Once a moment."""
        if self._followed:
            return
        self._followed = True
        conn, zone = self._conn, self._zone
        hours, followed, whole = _closings(conn, zone)
        if self._write is None:
            if whole:
                hours = {int(row[0]) for row in conn.execute("SELECT DISTINCT hour FROM measured_hour WHERE hour >= 0")}
            marks = conn.execute("SELECT DISTINCT quarter FROM dirty WHERE quarter >= 0")
            hours |= {hour for (mark,) in marks for hour in hours_of_quarter(zone, int(mark))}
            self._stale = {hour for hour in hours if hour >= self._sealed}
            return
        if followed is None:
            return

        def follow(conn: Connection) -> None:
            if whole:
                forget_from(conn, self._sealed)
            else:
                forget(conn, {hour for hour in hours if hour >= self._sealed})
            conn.execute(
                "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (FOLLOWED, followed),
            )

        self._write(follow)


def families_of(metric: str) -> set[int]:
    """Families of rollup rows that are there in every hour in which a fact of the metric begins."""
    kinds = kinds_of(metric)
    # Rows of the family of sessions tell more than where their own facts lie; those of places miss none.
    return {int(UsageFamily.PLACE) if kind == EventType.SESSION else int(kind) for kind in kinds}


def _closings(conn: Connection, zone: ZoneInfo) -> tuple[set[int], str | None, bool]:
    """Hours of facts that have closed since the last look, how far the look went (None: no further), and whether all hours
    are to be forgotten, since it is not known how far it went or the numbers begin anew."""
    text = scalar(conn, "SELECT value FROM meta WHERE name = ?", (FOLLOWED,))
    version, before = ("", {}) if text is None else orjson.loads(text)
    now = {str(row[0]): int(row[1]) for row in conn.execute("SELECT id, seq FROM host ORDER BY id")}
    followed = orjson.dumps((__version__, now)).decode()
    if followed == text:
        return set(), None, False
    if version != __version__ or any(before.get(host, 0) > seq for host, seq in now.items()):
        return set(), followed, True
    hours: set[int] = set()
    for host, seq in now.items():
        if seq > before.get(host, 0):
            for (quarter,) in conn.execute(_CLOSED, (int(host), before.get(host, 0))):
                hours |= hours_of_quarter(zone, int(quarter))
    return hours, followed, False


def _keep(write: Write, hours: Mapping[int, Sums], metrics: Sequence[str], mark: int) -> None:
    write(lambda conn: keep(conn, hours, metrics, mark))
