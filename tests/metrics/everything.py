"""A page with every family of the catalogue: amounts of invention where a corpus would have none."""

from __future__ import annotations

from ccagent.metrics.booked import Booking
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.exemplars import Exemplar, Found
from ccagent.metrics.snapshot import History, Snapshot, StoredHistogram, StoredTotal, StoredTotals, snapshot
from ccagent.metrics.spec import Kind, MetricSpec

HISTORY = History(store_ms=1_790_000_000_000, ledger_ms=1_789_000_000_000, caught_up_ms=1_790_000_001_000)


def values(spec: MetricSpec) -> tuple[str, ...]:
    """Label values that the metric may have."""
    return tuple(spec.closed[label][0] if label in spec.closed else f"a {label}" for label in spec.labels)


def everything(*, project_label: bool = True, exportable_only: bool = False) -> Snapshot:
    """Every family has a point: booked, observed or measured."""
    booking = Booking()
    gauges: dict[tuple[str, tuple[str, ...]], int | float] = {}
    exemplars: dict[str, Found] = {}
    for name, spec in METRICS.items():
        labels = (spec.valid or (values(spec),))[0]
        if spec.kind is Kind.COUNTER:
            booking.count(name, labels, 1_234_567)
        elif spec.buckets is not None:
            for value in (0.0, 0.3, 10**9):
                booking.observe(name, labels, value)
            shown = (Exemplar("ab" * 16, "cd" * 8, 0.0, HISTORY.store_ms), *(None,) * len(spec.buckets))
            exemplars[name] = {(labels, True): shown}
        else:
            gauges[name, labels] = 0.5
    stored = StoredTotals(
        totals=tuple(StoredTotal(*key, value, HISTORY.store_ms) for key, value in booking.amounts.items()),
        histograms=tuple(
            StoredHistogram(*key, tuple(counts), total, HISTORY.store_ms)
            for key, (counts, total) in booking.observations.items()
        ),
    )
    return snapshot(
        stored, gauges, HISTORY, project_label=project_label, exportable_only=exportable_only, exemplars=exemplars
    )
