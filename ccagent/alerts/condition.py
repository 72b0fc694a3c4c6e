"""Whether the conditions of a rule hold for its subjects at a moment: from amounts to readings, and from these to verdicts.

A reading is what an aggregation makes of the amount of a window, perhaps divided by another. Nothing to read is no
zero: the finding is then `unknown`. Where a share is asked, what did not occur is 0 of what did.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

from ccagent.alerts.metrics import Shape, resolve
from ccagent.alerts.rule import Aggregation, Baseline, Condition, Operand, Operator, Rule, Scope
from ccagent.alerts.series import Amount, Series, Span
from ccagent.alerts.states import Finding, Verdict
from ccagent.alerts.windows import past_spans, period_of, span_of
from ccagent.rollups.buckets import HOUR_MS
from ccagent.rollups.outlook import NORMAL_MAD, SPREAD_FLOOR

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_QUANTILES: Final = {Aggregation.P50: 0.5, Aggregation.P90: 0.9, Aggregation.P95: 0.95, Aggregation.P99: 0.99}
_RISING: Final = (Operator.ABOVE, Operator.AT_LEAST)


class Reading(NamedTuple):
    """What a condition found of one subject: the reading and its bound are None where there is none."""

    finding: Finding
    value: float | None = None
    threshold: float | None = None


_NOTHING: Final = Reading(Finding.UNKNOWN)


class Question(NamedTuple):
    """What all conditions of a rule are asked alike. `among`: the subjects to look at; empty for all that `only` allows."""

    series: Series
    scope: Scope
    now: int
    zone: ZoneInfo
    firing: Collection[str]
    among: Sequence[str] = ()


def judge(
    rule: Rule,
    series: Series,
    now: int,
    zone: ZoneInfo,
    *,
    firing: Collection[str] = (),
    among: Sequence[str] = (),
) -> dict[str, Verdict]:
    """What the rule's conditions say at `now` (ms UTC) of each subject that has anything to read.

    `firing`: subjects that fire, for which the bound is the one to clear. `among`: only these subjects. The period is set
    (here, and in `unread`) where the first condition reads a calendar period.
    """
    question = Question(series, rule.scope, now, zone, firing, among or rule.only)
    readings = [_readings(condition, question) for condition in rule.conditions]
    period = period_of(rule.conditions[0].window, zone, now)
    verdicts = {}
    for subject in dict.fromkeys(subject for found in readings for subject in found):
        parts = [found.get(subject, _NOTHING) for found in readings]
        verdicts[subject] = Verdict(
            finding=joined([part.finding for part in parts]),
            value=parts[0].value,
            threshold=parts[0].threshold,
            period=period,
        )
    return verdicts


def unread(rule: Rule, now: int, zone: ZoneInfo) -> Verdict:
    """The verdict of a subject of which there is nothing to read."""
    return Verdict(finding=Finding.UNKNOWN, period=period_of(rule.conditions[0].window, zone, now))


def joined(findings: Sequence[Finding]) -> Finding:
    """What several conditions say together: met when each is met, clear when one is clear."""
    if Finding.CLEAR in findings:
        return Finding.CLEAR
    return Finding.UNKNOWN if Finding.UNKNOWN in findings else Finding.MET


def reads_whole(condition: Condition) -> bool:
    """Whether a trailing window holds at least the hours that it names: where too little is what is looked for. "Nothing for
    6 hours", or "fewer than ten", must not be said of five hours and a minute."""
    grows = condition.per is None and condition.operand.aggregation in (Aggregation.SUM, Aggregation.COUNT)
    return condition.absent or (grows and condition.operator not in _RISING)


def reading(operand: Operand, amount: Amount | None, span: Span) -> float | None:
    """What the operand's aggregation makes of the amount of a span; None where there is nothing, or no number.

    A rate is by hours passed, of which there is at least one: the first minute of a day is not the day's rate. Percentiles
    are as Prometheus reads them: even within a bucket, and of what lies above all bounds the last bound.
    """
    if amount is None:
        return None
    value = _aggregated(operand, amount, span)
    return value if value is not None and math.isfinite(value) else None


def usual(baseline: Baseline, past: Sequence[float], operator: Operator, factor: float) -> float | None:
    """The bound that past readings make, the latest first; None where they are too few. `factor` stands for the baseline's."""
    counted = past[: baseline.windows]
    if len(counted) < baseline.least:
        return None
    middle = median(counted)
    if baseline.kind == "median":
        return factor * middle
    spread = max(NORMAL_MAD * median(abs(value - middle) for value in counted), SPREAD_FLOOR * abs(middle))
    return middle + factor * spread if operator in _RISING else middle - factor * spread


def exceeds(value: float, operator: Operator, bound: float) -> bool:
    """Whether a reading is beyond a bound."""
    match operator:
        case Operator.ABOVE:
            return value > bound
        case Operator.AT_LEAST:
            return value >= bound
        case Operator.BELOW:
            return value < bound
        case Operator.AT_MOST:
            return value <= bound


def quantile(buckets: Sequence[int], bounds: Sequence[float], share: float) -> float | None:
    """The value below which `share` of the observations lie, by buckets (not cumulative, the last above all `bounds`)."""
    total = sum(buckets)
    if total == 0:
        return None
    rank, below, lower = share * total, 0, 0.0
    for count, upper in zip(buckets, bounds, strict=False):
        if below + count >= rank and count:
            start = min(lower, upper)
            return start + (upper - start) * (rank - below) / count
        below, lower = below + count, upper
    return bounds[-1]


def _aggregated(operand: Operand, amount: Amount, span: Span) -> float | None:
    match operand.aggregation:
        case Aggregation.SUM | Aggregation.LAST:
            return amount.value
        case Aggregation.RATE:
            return amount.value / max(1.0, (span[1] - span[0]) / HOUR_MS)
        case Aggregation.COUNT:
            return amount.count
        case Aggregation.MEAN:
            return amount.value / amount.count if amount.count else None
        case Aggregation.MAX:
            return _highest(amount.buckets, resolve(operand.metric).buckets)
        case percentile:
            return quantile(amount.buckets, resolve(operand.metric).buckets, _QUANTILES[percentile])


def _highest(buckets: Sequence[int], bounds: Sequence[float]) -> float | None:
    held = [place for place, count in enumerate(buckets) if count]
    return bounds[min(held[-1], len(bounds) - 1)] if held else None


def _readings(condition: Condition, question: Question) -> dict[str, Reading]:
    if condition.absent:
        return _absences(condition, question)
    span = span_of(condition.window, question.zone, question.now, whole=reads_whole(condition))
    values = {subject: found[0] for subject, found in _values(condition, [span], question).items()}
    if condition.baseline is None:
        bounds = {}
    else:
        # The past is asked only of those whose present might be too much.
        asked = [
            subject
            for subject, value in values.items()
            if value is not None and (subject in question.firing or condition.floor is None or value >= condition.floor)
        ]
        bounds = _baselines(condition, condition.baseline, asked, question)
    return {
        subject: _held_against(condition, value, bounds.get(subject), subject in question.firing)
        for subject, value in values.items()
    }


def _held_against(condition: Condition, value: float | None, usually: float | None, firing: bool) -> Reading:
    """`usually`: the bound that the past makes, of a condition with a baseline."""
    if value is None:
        return _NOTHING
    held_by_clear = firing and condition.clear is not None
    threshold = usually
    if condition.baseline is None:
        threshold = condition.threshold
    if condition.floor is not None and value < condition.floor and not held_by_clear:
        return Reading(Finding.CLEAR, value, threshold)
    if threshold is None:
        return Reading(Finding.UNKNOWN, value)
    bound = condition.clear if held_by_clear and condition.baseline is None else threshold
    assert bound is not None
    met = exceeds(value, condition.operator, bound)
    return Reading(Finding.MET if met else Finding.CLEAR, value, threshold)


def _baselines(
    condition: Condition, baseline: Baseline, subjects: Sequence[str], question: Question
) -> dict[str, float | None]:
    if not subjects:
        return {}  # finding the past windows costs more than looking into them
    spans = past_spans(
        condition.window, question.zone, question.now, baseline.against, baseline.windows, whole=reads_whole(condition)
    )
    if not spans:
        return {}
    narrowed = question._replace(among=() if question.scope is Scope.GLOBAL else subjects)
    past = _values(condition, spans, narrowed)
    found = {}
    for subject in subjects:
        factor = baseline.factor
        if subject in question.firing and condition.clear is not None:
            factor = condition.clear
        values = [value for value in past.get(subject, ()) if value is not None]
        found[subject] = usual(baseline, values, condition.operator, factor)
    return found


def _values(condition: Condition, spans: Sequence[Span], question: Question) -> dict[str, list[float | None]]:
    """The readings of each subject with an amount, one a span: quotients where the condition divides."""
    amounts = _asked(condition.operand, spans, question)
    if condition.per is None:
        return {
            subject: [
                None if _too_few(condition.least, amount) else reading(condition.operand, amount, span)
                for amount, span in zip(found, spans, strict=True)
            ]
            for subject, found in amounts.items()
        }
    divisors = _asked(condition.per, spans, question)
    none: Sequence[Amount | None] = [None] * len(spans)
    return {
        subject: [
            _quotient(condition, condition.per, above, below, span)
            for above, below, span in zip(
                amounts.get(subject, none), divisors.get(subject, none), spans, strict=True
            )
        ]
        for subject in dict.fromkeys((*amounts, *divisors))
    }  # fmt: skip


def _asked(operand: Operand, spans: Sequence[Span], question: Question) -> Mapping[str, Sequence[Amount | None]]:
    return question.series.amounts(operand, question.scope, spans, question.among)


def _too_few(least: float | None, amount: Amount | None) -> bool:
    return least is not None and amount is not None and amount.count < least


def _quotient(
    condition: Condition, per: Operand, above: Amount | None, below: Amount | None, span: Span
) -> float | None:
    divisor = reading(per, below, span)
    if divisor is None or divisor == 0 or (condition.least is not None and divisor < condition.least):
        return None
    value = reading(condition.operand, above, span)
    if value is None and _adds_up(condition.operand):
        value = 0.0
    return None if value is None else value / divisor


def _adds_up(operand: Operand) -> bool:
    """Whether nothing of it is 0 of whatever it is held against: so many of none."""
    return operand.aggregation in (Aggregation.SUM, Aggregation.RATE, Aggregation.COUNT)


def _absences(condition: Condition, question: Question) -> dict[str, Reading]:
    """Met where a window holds nothing of what was there before it; the reading is 0, and the amount of what is there."""
    span = span_of(condition.window, question.zone, question.now, whole=reads_whole(condition))
    began = question.series.began(condition.operand, question.scope)
    here = {subject: found[0] for subject, found in _asked(condition.operand, [span], question).items()}
    counts = resolve(condition.operand.metric).shape is Shape.COUNTER
    found = {}
    for subject in dict.fromkeys((*here, *began)):
        if question.among and question.scope is Scope.SESSION and subject not in question.among:
            continue
        amount = here.get(subject)
        value = 0.0 if amount is None else amount.value if counts else amount.count
        if value:
            found[subject] = Reading(Finding.CLEAR, value)
        elif began.get(subject, span[0]) < span[0]:
            found[subject] = Reading(Finding.MET, 0.0)
        else:
            found[subject] = _NOTHING
    return found
