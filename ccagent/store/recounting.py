"""Totals that a rebuild takes from what was derived anew, in the place of what was booked over time.

These are the metrics that the database did not hold from the first fact on, and those that are measured of many facts
at once, so that no difference of single facts could correct them. What was derived anew has booked them in the order of
a first start; facts that it does not hold, since their transcripts are gone, are booked as they are.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from ccagent.metrics.booked import Booking
from ccagent.metrics.happenings import MEASURED
from ccagent.metrics.ledger import Ledger
from ccagent.store import rows, totals
from ccagent.store.connection import scalar
from ccagent.store.generation import OF_FACTS, booked_of
from ccagent.store.held import held
from ccagent.store.measures import measure_deliveries, measure_session, time_in_turn

if TYPE_CHECKING:
    from ccagent.metrics.snapshot import StoredTotals
    from ccagent.store.work import Work

PAGE: Final = 1_000
"""Facts of one question."""


def to_recount(work: Work) -> frozenset[str]:
    """The metrics that this rebuild counts anew.

    Not so where the facts do not tell all that was booked: metrics held so far, after retention has removed facts or
    where several hosts have read the same.
    """
    missing = frozenset(OF_FACTS) - held(work.conn, work.host)
    alone = scalar(work.conn, "SELECT COUNT(*) FROM host") == 1
    return missing | MEASURED if alone and not work.pruning else missing


def recounted(work: Work, prefix: str, metrics: Collection[str]) -> tuple[Booking, Booking]:
    """Of these metrics what is to be booked, and what was booked until now; after the exchange of facts.

    `prefix` stands before the names of the fresh tables.
    """
    wanted, before = Booking(), Booking()
    _gather(wanted, totals.read_beside(work.conn, work.host, prefix), metrics)
    _gather(before, totals.read(work.conn, work.host, booked=True), metrics)
    kept = _kept(work, prefix)
    wanted.merge({key: value for key, value in kept.observations.items() if key[0] in metrics})
    for (metric, labels, leaves), amount in kept.amounts.items():
        if metric in metrics:
            wanted.count(metric, labels, amount, leaves)
    return wanted, before


def _gather(booking: Booking, stored: StoredTotals, metrics: Collection[str]) -> None:
    for total in stored.totals:
        if total.metric in metrics:
            booking.count(total.metric, total.labels, total.value, total.exportable)
    booking.merge(
        {
            (each.metric, each.labels, each.exportable): (each.counts, each.sum)
            for each in stored.histograms
            if each.metric in metrics
        }
    )


def _kept(work: Work, prefix: str) -> Booking:
    """What the closed facts of this host book that were not derived anew."""
    booking = Booking()
    ledger = Ledger(booking, work.budget, work.ledger.leaves)
    ledger.types_of = work.agent_types
    after = b""
    sql = (
        f"WHERE f.key > ? AND f.closed_host = ? AND NOT EXISTS (SELECT 1 FROM {prefix}fact s WHERE s.key = f.key)"
        f" ORDER BY f.key LIMIT {PAGE}"
    )
    while found := rows.fetch(work.conn, sql, (after, work.host)):
        after = bytes(found[-1][rows.KEY])
        work.contexts.learn(row[rows.CONTEXT] for row in found)
        work.names.learn(row[column] for row in found for column in rows.NAMED)
        for row in found:
            fact = rows.read(row, work.names, work.contexts)
            ledger.change(None, fact, booked_of(row, fact, work.prices), True)
    occurrences = ledger.occurrences
    for turn, leaves in occurrences.long:
        occurrences.worked(time_in_turn(work, turn), leaves)
    for session, leaves in occurrences.ended:
        measure_session(work, occurrences, session, leaves)
    measure_deliveries(work, occurrences, occurrences.delivered)
    ledger.post()
    return booking
