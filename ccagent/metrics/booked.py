"""What one batch books: amounts and observations that go into the totals with the batch's facts.

The hot path of ingest adds here once or more a fact, so adding is one dictionary operation; names and labels are held
against the catalogue by `faults`, which tests and debug runs call.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

from ccagent.facts.partial import Partial
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.compat import COMPAT
from ccagent.metrics.exemplars import Place
from ccagent.metrics.labels import OVERFLOW
from ccagent.metrics.spec import Kind

SeriesKey = tuple[str, tuple[str, ...], bool]
"""Metric name without prefix, label values in the catalogue's order, whether the amount may leave the machine."""

_BOUNDS: Final[dict[str, tuple[float, ...]]] = {
    name: spec.buckets for name, spec in METRICS.items() if spec.buckets is not None
}


class Booking:
    """Amounts and observations of one batch, added up by series.

    `amounts`: integer growth (micro-dollars for cost).
    `observations`: counts per bucket, not cumulative, the last one above all bounds; and the sum of the values.
    `examples`: of each bucket the last value, with its fact. They are no totals: whoever adds bookings drops them.
    """

    __slots__ = ("amounts", "examples", "observations")

    def __init__(self) -> None:
        self.amounts: dict[SeriesKey, int] = {}
        self.observations: dict[SeriesKey, tuple[list[int], float]] = {}
        self.examples: dict[Place, tuple[float, Partial]] = {}

    def count(self, metric: str, labels: tuple[str, ...] = (), amount: int = 1, exportable: bool = True) -> None:
        """Book `amount` on a counter; nothing for 0. ValueError when negative: a total never falls."""
        if amount <= 0:
            if amount < 0:
                raise ValueError(f"{metric}{labels}: cannot book {amount}; book growth only, and count what fell")
            return
        key = (metric, labels, exportable)
        amounts = self.amounts
        amounts[key] = amounts.get(key, 0) + amount

    def observe(
        self, metric: str, labels: tuple[str, ...], value: float, exportable: bool = True, of: Partial | None = None
    ) -> None:
        """Book one observation (seconds, or the metric's own unit); a negative one counts as 0.

        Clocks step back between two lines of a transcript; a negative part would let the sum fall. `of`: the fact that
        it was made of, as an example of its bucket.
        """
        if not value > 0:
            value = 0.0
        key = (metric, labels, exportable)
        bounds = _BOUNDS[metric]
        counts, total = self.observations.get(key) or ([0] * (len(bounds) + 1), 0.0)
        bucket = bisect_left(bounds, value)
        counts[bucket] += 1
        self.observations[key] = (counts, total + value)
        if of is not None:
            self.examples[metric, labels, exportable, bucket] = (value, of)

    def merge(self, observations: Mapping[SeriesKey, tuple[Sequence[int], float]]) -> None:
        """Add observations that were collected elsewhere."""
        for key, (counts, value) in observations.items():
            known = self.observations.get(key)
            if known is None:
                self.observations[key] = (list(counts), value)
            else:
                self.observations[key] = (
                    [one + two for one, two in zip(known[0], counts, strict=True)],
                    known[1] + value,
                )

    def clear(self) -> None:
        """Forget everything booked, after its transaction ended."""
        self.amounts.clear()
        self.observations.clear()
        self.examples.clear()

    def __bool__(self) -> bool:
        return bool(self.amounts or self.observations)


def faults(booking: Booking) -> list[str]:
    """What in `booking` the catalogue does not allow, one sentence each; empty when all is well."""
    found = []
    for (metric, labels, _), kind in [
        *((key, Kind.COUNTER) for key in booking.amounts),
        *((key, Kind.HISTOGRAM) for key in booking.observations),
    ]:
        spec = METRICS.get(metric) or COMPAT.get(metric)
        if spec is None:
            found.append(f"{metric}: not in the catalogue")
        elif spec.kind is not kind:
            found.append(f"{metric}: booked as a {kind}, declared as a {spec.kind}")
        elif len(labels) != len(spec.labels):
            found.append(f"{metric}: labels {labels} do not match {spec.labels}")
        else:
            found += [
                f"{metric}: {label}={value!r} is not in its closed list"
                for label, value in zip(spec.labels, labels, strict=True)
                if label in spec.closed and value not in spec.closed[label] and value != OVERFLOW
            ]
    return found
