"""Snapshots that make anew only what has changed since the one before: most families of a page have not.

What is remembered is held against what the store says at each scrape, so nothing has to tell of a change: a restore, a
new generation of totals or another process that writes as this host is seen as any other change is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Final, NamedTuple

from ccagent.metrics.exemplars import Found
from ccagent.metrics.snapshot import (
    NO_EXEMPLARS,
    Family,
    Gauges,
    History,
    Snapshot,
    StoredHistogram,
    StoredTotal,
    StoredTotals,
    snapshot,
)
from ccagent.metrics.spec import PROJECT, Kind, MetricSpec

NOTHING: Final = StoredTotals()

LARGE: Final = 100
"""Rows of a metric from which on it is made in pieces."""

_Make = Callable[[StoredTotals, Gauges, Mapping[str, MetricSpec]], Snapshot]


class _Made(NamedTuple):
    """A family, and what it was made of: the same objects make the same family. `pieces`: of a large one, by the value
    of its first label."""

    stored: StoredTotals
    exemplars: Found | None
    family: Family | None
    skipped: int
    pieces: Mapping[str, _Made]


class Remembered:
    """The families of the last snapshot of one kind. For one thread at a time."""

    def __init__(self) -> None:
        self._made: dict[str, _Made] = {}
        self._of: tuple[object, ...] = ()

    def snapshot(
        self,
        parts: Mapping[str, StoredTotals],
        gauges: Gauges,
        history: History,
        *,
        project_label: bool,
        exportable_only: bool,
        registry: Mapping[str, MetricSpec],
        exemplars: Mapping[str, Found] = NO_EXEMPLARS,
    ) -> Snapshot:
        """As `metrics.snapshot.snapshot`, of totals by metric: a part that is the same object as before is not looked
        into again."""
        of = (history, project_label, exportable_only, *registry)
        if of != self._of:
            self._made.clear()
            self._of = of

        def make(stored: StoredTotals, values: Gauges, specs: Mapping[str, MetricSpec]) -> Snapshot:
            return snapshot(
                stored, values, history, project_label=project_label, exportable_only=exportable_only, registry=specs,
                exemplars=exemplars,
            )  # fmt: skip

        shown = make(NOTHING, gauges, {name: spec for name, spec in registry.items() if spec.kind is Kind.GAUGE})
        found = {family.spec.name: family for family in shown.families}
        skipped = sum(len(part.totals) + len(part.histograms) for name, part in parts.items() if name not in registry)
        for name, spec in registry.items():
            if spec.kind is Kind.GAUGE:
                continue
            stored, known = parts.get(name, NOTHING), exemplars.get(name)
            made = self._made.get(name)
            if made is None or made.stored is not stored or made.exemplars is not known:
                before = {} if made is None or made.exemplars is not known else made.pieces
                made = self._made[name] = _made(spec, stored, known, before, make)
            skipped += made.skipped
            if made.family is not None:
                found[name] = made.family
        return Snapshot(families=tuple(found[name] for name in registry if name in found), skipped=skipped)


def _made(
    spec: MetricSpec, stored: StoredTotals, known: Found | None, before: Mapping[str, _Made], make: _Make
) -> _Made:
    """The family of one metric; a large one in pieces by the value of its first label, of which most are as they were.

    Rule: only where that label is open and no project. Reason: series that share a start, are shown as zeros of each
    other or differ in their project alone then lie in one piece.
    """
    small = len(stored.totals) + len(stored.histograms) < LARGE
    if small or not spec.labels or spec.valid is not None or spec.labels[0] in (*spec.fill, PROJECT):
        fresh = make(stored, {}, {spec.name: spec})
        return _Made(stored, known, next(iter(fresh.families), None), fresh.skipped, {})
    pieces: dict[str, _Made] = {}
    for value, piece in sorted(_split(stored).items()):
        made = before.get(value)
        if made is None or made.stored != piece:
            fresh = make(piece, {}, {spec.name: spec})
            made = _Made(piece, known, next(iter(fresh.families), None), fresh.skipped, {})
        pieces[value] = made
    families = tuple(made.family for made in pieces.values() if made.family is not None)
    whole = None
    if families:
        points = tuple(chain.from_iterable(family.points for family in families))
        whole = Family(spec=families[0].spec, points=points, pieces=families)
    return _Made(stored, known, whole, sum(made.skipped for made in pieces.values()), pieces)


def _split(stored: StoredTotals) -> dict[str, StoredTotals]:
    """By the value of the first label; rows without any, which are of another version, under none."""
    rows: dict[str, tuple[list[StoredTotal], list[StoredHistogram]]] = {}
    for total in stored.totals:
        rows.setdefault(total.labels[0] if total.labels else "", ([], []))[0].append(total)
    for histogram in stored.histograms:
        rows.setdefault(histogram.labels[0] if histogram.labels else "", ([], []))[1].append(histogram)
    return {value: StoredTotals(totals=tuple(ones), histograms=tuple(others)) for value, (ones, others) in rows.items()}
