"""A matrix of hourly amounts in memory, which answers what rules ask at any moment of the past: for backtests and for
rules' own tests."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from ccagent.alerts.metrics import Shape, resolve
from ccagent.alerts.rule import Operand, Scope, is_meant
from ccagent.alerts.series import Amount, Span

_GRAIN: Final = 1_000_000_000
"""Amounts are added up as whole billionths: sums do not depend on the order, and a difference of two is exact."""

Key = tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]
"""Metric and `where` of an operand: amounts are the same for every aggregation."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one subject has in one hour: `hour` is its start (ms UTC), or any instant in it that lies after its amounts.

    `buckets`: of a histogram, counts by bucket. `members`: of a metric that counts sessions once (how many
    there are, how long they are on average), which sessions.
    """

    subject: str
    hour: int
    value: float
    count: float = 1
    buckets: tuple[int, ...] = ()
    members: tuple[str, ...] = ()


def key_of(operand: Operand) -> Key:
    """What amounts of an operand are filed under."""
    return operand.metric, operand.where


class HourlySeries:
    """Amounts of operands by subject of one scope and hour; asked for scope global, those of all subjects together.

    Memory: some hundred bytes a cell, of a histogram five hundred.
    """

    def __init__(
        self,
        cells: Mapping[Operand, Iterable[Cell]],
        *,
        scope: Scope = Scope.GLOBAL,
        records: Mapping[str, Iterable[int]] | None = None,
    ) -> None:
        """`cells` in any order; those of one subject and hour add up, of a gauge the last one counts. `records`: instants
        (ms UTC) of records by session, at least the last one of each hour."""
        self.scope = scope
        self._cells = {key_of(operand): list(found) for operand, found in cells.items()}
        self._columns: dict[tuple[Key, Scope], dict[str, _Column]] = {}
        placed = sorted((at, session) for session, instants in (records or {}).items() for at in instants)
        self.records: tuple[list[int], list[str]] = [at for at, _ in placed], [session for _, session in placed]
        """Instants of records, ascending, and whose they are."""

    def at(self, now: int) -> Moment:
        """What is known at `now`: hours that began before it. Evaluate at ends of hours, so that no hour holds what is yet
        to come."""
        return Moment(self, now)

    def columns(self, operand: Operand, scope: Scope) -> Mapping[str, _Column]:
        """The amounts of each subject. KeyError for an operand that is not held, ValueError for a scope that is not."""
        if scope not in (self.scope, Scope.GLOBAL):
            raise ValueError(f"these are amounts by {self.scope}, and the question is by {scope}")
        key = key_of(operand)
        if (key, scope) not in self._columns:
            by_subject: dict[str, list[Cell]] = {}
            for cell in self._cells[key]:
                by_subject.setdefault("" if scope is Scope.GLOBAL else cell.subject, []).append(cell)
            shape = resolve(operand.metric).shape
            self._columns[key, scope] = {subject: _Column(shape, found) for subject, found in by_subject.items()}
        return self._columns[key, scope]


class Moment:
    """A `Series` of what had happened before one moment."""

    def __init__(self, series: HourlySeries, now: int) -> None:
        self._series = series
        self._now = now

    def amounts(
        self, operand: Operand, scope: Scope, spans: Sequence[Span], only: Sequence[str] = ()
    ) -> dict[str, list[Amount | None]]:
        """See `Series.amounts`."""
        found = {}
        columns = self._series.columns(operand, scope)
        if only and scope is Scope.SESSION:  # a few of many, which are named by nothing but their ids
            columns = {subject: columns[subject] for subject in only if subject in columns}
        for subject, column in columns.items():
            if is_meant(subject, scope, only):
                amounts = [column.amount(start, min(end, self._now)) for start, end in spans]
                if any(amount is not None for amount in amounts):
                    found[subject] = amounts
        return found

    def sessions(self, since: int, until: int) -> dict[str, int]:
        """See `Series.sessions`."""
        instants, sessions = self._series.records
        first, last = bisect_left(instants, since), bisect_left(instants, min(until, self._now))
        return dict(zip(sessions[first:last], instants[first:last], strict=True))  # of several the last one stays

    def began(self, operand: Operand, scope: Scope) -> dict[str, int]:
        """See `Series.began`."""
        columns = self._series.columns(operand, scope).items()
        return {subject: column.hours[0] for subject, column in columns if column.hours[0] < self._now}


class _Column:
    """The amounts of one subject by hour, added up from the first so that a span costs two look-ups."""

    __slots__ = ("_buckets", "_counts", "_members", "_present", "_shape", "_values", "hours")

    def __init__(self, shape: Shape, cells: list[Cell]) -> None:
        ordered = sorted(cells, key=_hour)
        self._shape = shape
        self.hours = [cell.hour for cell in ordered]
        self._members = [cell.members for cell in ordered]
        self._present = [cell.value for cell in ordered] if shape is Shape.GAUGE else []
        self._values = list(accumulate((round(cell.value * _GRAIN) for cell in ordered), initial=0))
        self._counts = list(accumulate((round(cell.count * _GRAIN) for cell in ordered), initial=0))
        width = max(len(cell.buckets) for cell in ordered)
        whole = (cell.buckets + (0,) * (width - len(cell.buckets)) for cell in ordered)
        self._buckets = list(accumulate(whole, _added, initial=(0,) * width)) if width else []

    def amount(self, start: int, end: int) -> Amount | None:
        first, last = bisect_left(self.hours, start), bisect_left(self.hours, end)
        if last <= first:
            return None
        if self._shape is Shape.GAUGE:
            return Amount(self._present[last - 1], 1)
        if self._shape is Shape.DISTINCT:
            number = len({member for held in self._members[first:last] for member in held})
            return Amount(number, number)
        value = (self._values[last] - self._values[first]) / _GRAIN
        count = (self._counts[last] - self._counts[first]) / _GRAIN
        if self._shape is Shape.MEAN and any(self._members[first:last]):
            # A mean over sessions: one that works for hours is one session.
            count = len({member for held in self._members[first:last] for member in held})
        if not self._buckets:
            return Amount(value, count)
        ends = zip(self._buckets[first], self._buckets[last], strict=True)
        return Amount(value, count, tuple(after - before for before, after in ends))


def _hour(cell: Cell) -> int:
    return cell.hour


def _added(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(sum, zip(one, other, strict=True)))
