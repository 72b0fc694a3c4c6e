"""What a rule asks of the past, and what it is answered: the seam between the rules and whoever holds the amounts.

Live, the store answers from rollups (`store/alert_series.py`). On the past and in rules' unit tests a matrix of hours in
memory answers (`hours.py`). Both are held to the same tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ccagent.alerts.rule import Operand, Scope

BEGINNING: Final = -(2**62)
"""Start of a span that reaches back as far as there is anything."""

Span = tuple[int, int]
"""Start and end (exclusive) in ms UTC. Whole hours of the rollups' zone, but for the end, which may be the present."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What lies in a span: `value` in the unit that people see, the number of things that it was made of, and of a histogram
    the counts by bucket (not cumulative, the last above all bounds). A gauge has its present value and count 1."""

    value: float
    count: float
    buckets: tuple[int, ...] = ()


class Series(Protocol):
    """Amounts by subject. One object answers for one moment: equal questions may be answered from memory."""

    def amounts(
        self, operand: Operand, scope: Scope, spans: Sequence[Span], only: Sequence[str] = ()
    ) -> Mapping[str, Sequence[Amount | None]]:
        """Of each subject with an amount in any of the spans, its amounts, one a span; None where there is nothing.

        Nothing is not zero: a span in which the metric did not occur has no amount. With scope `global` the only subject is "".
        `only`: the subjects to answer for, as `rule.is_meant` reads them; none means all. Of a baseline there may be some
        hundred spans, which ascend or descend, of one length or nearly, and do not overlap.
        """
        ...

    def sessions(self, since: int, until: int) -> Mapping[str, int]:
        """Sessions with a record in [since, until), and the time of the last one before `until`."""
        ...

    def began(self, operand: Operand, scope: Scope) -> Mapping[str, int]:
        """Of each subject the start of the first hour in which it had an amount: absence is judged only after it."""
        ...
