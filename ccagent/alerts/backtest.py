"""What a rule would have done: the evaluation that runs live, turned over the hours of the past.

Each hour is judged at its end, with what had begun until then and nothing of what came later. So a rule fires in the hour in
which its threshold was passed; `for`, cooldown and the end of a session are as exact as an hour. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ccagent.alerts.condition import judge, reads_whole
from ccagent.alerts.engine import BY_HOUR
from ccagent.alerts.evaluate import evaluate
from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.hours import HourlySeries
from ccagent.alerts.metrics import resolve
from ccagent.alerts.rule import Condition, Operand, Operator, Rule, Scope, is_meant
from ccagent.alerts.series import BEGINNING, Series
from ccagent.alerts.states import Reason, Standing, State, Transition, Verdict
from ccagent.alerts.windows import is_on, past_spans, span_of
from ccagent.rollups.buckets import bucket_start, buckets_between

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

PROGRESS_HOURS: Final = 100
"""Hours between two words of progress."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One alert of the past. `ended_at` and `reason` are None where it still fired at the end. `value` and `threshold` are
    those at which it began, `worst` is the reading that was furthest beyond."""

    subject: str
    fired_at: int
    ended_at: int | None
    reason: Reason | None
    value: float | None
    threshold: float | None
    worst: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The reading at the end of an hour (`at`, ms UTC): of several subjects the one that was nearest to firing."""

    at: int
    value: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What a rule would have done between two moments. `hours` were evaluated, `read` of them had anything to read; `subjects`
    had anything to read in any of them."""

    rule: Rule
    since: int
    until: int
    hours: int
    read: int
    subjects: int
    transitions: tuple[Transition, ...]
    firings: tuple[Firing, ...]
    points: tuple[Point, ...]


def run(
    rule: Rule, series: HourlySeries, *, since: int, until: int, zone: ZoneInfo, progress: Progress | None = None
) -> Backtest:
    """Turn the rule over the hours of [since, until); both are ms UTC. `series` has what `needs` says.

    Raises AlertRuleError for a rule that asks for what has no past.
    """
    if (missing := pastless(rule)) is not None:
        raise AlertRuleError(
            "metric", f"{missing} is not made of facts: its past is not kept, so there is nothing to replay"
        )
    ends = [min(end, until) - 1 for _, end in buckets_between(zone, "hour", since, until)]
    standings: Mapping[str, Standing] = {}
    transitions: list[Transition] = []
    points: list[Point] = []
    worst: dict[str, float | None] = {}
    seen: set[str] = set()
    read = 0
    for number, now in enumerate(ends):
        moment = series.at(now)
        verdicts = _verdicts(rule, moment, standings, now, zone)
        outcome = evaluate(rule, moment, standings, now, zone, pace=BY_HOUR)
        standings = outcome.standings
        transitions += outcome.transitions
        told = {subject: one for subject, one in verdicts.items() if one.value is not None}
        seen |= told.keys()
        read += bool(told)
        points.append(_nearest(rule, told, now))
        for subject, standing in standings.items():
            if standing.state is State.FIRING:
                worst[_episode(subject, standing.episode)] = _further(
                    rule, worst.get(_episode(subject, standing.episode)), standing.value
                )
        if progress is not None and number % PROGRESS_HOURS == 0:
            progress(number, len(ends))
    return Backtest(
        rule=rule,
        since=since,
        until=until,
        hours=len(ends),
        read=read,
        subjects=len(seen),
        transitions=tuple(transitions),
        firings=tuple(_firings(transitions, worst)),
        points=tuple(points),
    )


def operands_of(rule: Rule) -> tuple[Operand, ...]:
    """Everything that the rule reads, each once."""
    found = (one for condition in rule.conditions for one in (condition.operand, condition.per) if one is not None)
    return tuple(dict.fromkeys(found))


def pastless(rule: Rule) -> str | None:
    """The first metric of the rule of which no past is kept; None where all of them have one."""
    return next((one.metric for one in operands_of(rule) if not resolve(one.metric).has_past), None)


def needs(rule: Rule, since: int, zone: ZoneInfo) -> int:
    """From which moment on amounts are needed to judge the rule from `since` on: BEGINNING for all there are."""
    return min((_needs(rule.scope, condition, since, zone) for condition in rule.conditions), default=since)


def what_if(rule: Rule, threshold: float) -> Rule:
    """The rule with another threshold, or with another factor where it has a baseline; without its `clear`."""
    first, *others = rule.conditions
    if first.absent:
        raise AlertRuleError("threshold", "a rule of absence has none")
    if first.baseline is not None:
        first = replace(first, baseline=replace(first.baseline, factor=threshold), clear=None)
    else:
        first = replace(first, threshold=threshold, clear=None)
    return replace(rule, conditions=(first, *others))


def is_below(condition: Condition) -> bool:
    """Whether too little is what it fires at."""
    return condition.operator in (Operator.BELOW, Operator.AT_MOST)


def _needs(scope: Scope, condition: Condition, since: int, zone: ZoneInfo) -> int:
    if scope is Scope.SESSION or condition.absent or condition.window.session:
        return BEGINNING
    hour = bucket_start(zone, "hour", since)
    whole = reads_whole(condition)
    spans = [span_of(condition.window, zone, hour, whole=whole)]
    if condition.baseline is not None:
        spans += past_spans(
            condition.window, zone, hour, condition.baseline.against, condition.baseline.windows, whole=whole
        )
    return min(start for start, _ in spans)


def _verdicts(
    rule: Rule, moment: Series, standings: Mapping[str, Standing], now: int, zone: ZoneInfo
) -> Mapping[str, Verdict]:
    """What there is to read at the end of an hour: of sessions of those that had a record in it."""
    if not is_on(rule.schedule, zone, now):
        return {}
    firing = {subject for subject, standing in standings.items() if standing.state is State.FIRING}
    among: tuple[str, ...] = ()
    if rule.scope is Scope.SESSION:
        alive = moment.sessions(now - BY_HOUR.session_end_ms, now)
        among = tuple(one for one in alive if is_meant(one, rule.scope, rule.only))
        if not among:
            return {}
    found = judge(rule, moment, now, zone, firing=firing, among=among)
    return {subject: one for subject, one in found.items() if is_meant(subject, rule.scope, rule.only)}


def _nearest(rule: Rule, verdicts: Mapping[str, Verdict], now: int) -> Point:
    """Of all subjects the one whose reading is highest, or lowest where the rule asks for too little."""
    if not verdicts:
        return Point(at=now, value=None, threshold=None)
    pick = min if is_below(rule.conditions[0]) else max
    one = pick(verdicts.values(), key=lambda verdict: verdict.value or 0.0)
    return Point(at=now, value=one.value, threshold=one.threshold)


def _further(rule: Rule, before: float | None, value: float | None) -> float | None:
    if before is None or value is None:
        return value if before is None else before
    return min(before, value) if is_below(rule.conditions[0]) else max(before, value)


def _episode(subject: str, episode: int) -> str:
    return f"{episode} {subject}"


def _firings(transitions: list[Transition], worst: Mapping[str, float | None]) -> Iterator[Firing]:
    ends = {(one.subject, one.episode): one for one in transitions if one.after is State.RESOLVED}
    for one in transitions:
        if one.after is not State.FIRING:
            continue
        end = ends.get((one.subject, one.episode))
        yield Firing(
            subject=one.subject,
            fired_at=one.at,
            ended_at=None if end is None else end.at,
            reason=None if end is None else end.reason,
            value=one.value,
            threshold=one.threshold,
            worst=worst.get(_episode(one.subject, one.episode), one.value),
        )
