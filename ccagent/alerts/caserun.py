"""Running a rule's unit tests: the rule turned over invented amounts, and what came of it held against what was expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ccagent.alerts import durations
from ccagent.alerts.backtest import operands_of
from ccagent.alerts.casefile import PLACES, Case, Course, Expectation, line, shown_at
from ccagent.alerts.engine import GAP_MS, Pace
from ccagent.alerts.evaluate import evaluate
from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.hours import Cell, HourlySeries
from ccagent.alerts.metrics import Shape
from ccagent.alerts.notation import Written
from ccagent.alerts.rule import Operand, Scope
from ccagent.alerts.states import Standing, State, Transition
from ccagent.alerts.windows import SESSION_END_MS
from ccagent.rollups.buckets import HOUR_MS, buckets_between

MOST_STEPS: Final = 100_000
CLOSE: Final = 1e-6
"""How far a value may be from the one expected, as a share of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a case came to. `faults` is empty where it passed: sentences, and for transitions a difference line by line."""

    name: str
    rule: str
    faults: tuple[str, ...]
    transitions: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.faults

    def document(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "name": self.name, "rule": self.rule, "passed": self.passed, "faults": list(self.faults),
            "transitions": list(self.transitions),
        }  # fmt: skip


def run_case(case: Case) -> Result:
    """Turn the rule over the case's amounts and compare."""
    series = _series(case)
    standings: Mapping[str, Standing] = {}
    transitions: list[Transition] = []
    found: dict[int, Mapping[str, Standing]] = {}
    wanted = {expectation.at for expectation in case.expected}
    pace = Pace(gap_ms=max(GAP_MS, case.step_ms), session_end_ms=max(SESSION_END_MS, case.step_ms))
    for end in _ends(case):
        if not any(since < end <= until for since, until in case.asleep):
            outcome = evaluate(case.rule, series.at(end - 1), standings, end - 1, case.zone, pace=pace)
            standings = outcome.standings
            transitions += outcome.transitions
        if end in wanted:
            found[end] = standings
    came = tuple(line(one.at + 1, one.after, one.subject, case.zone) for one in transitions)
    faults = [fault for one in case.expected for fault in _missed(one, found.get(one.at), case)]
    if case.transitions is not None and came != case.transitions:
        faults += _difference(case.transitions, came)
    return Result(name=case.name, rule=case.rule.id, faults=tuple(faults), transitions=came)


def _ends(case: Case) -> Sequence[int]:
    """Ends of the steps, from the first amount to the last amount or expectation."""
    first = min(course.start for course in case.courses)
    last = max(course.start + len(course.amounts) * case.step_ms for course in case.courses)
    last = max([last, *(one.at for one in case.expected)])
    if (last - first) // case.step_ms > MOST_STEPS:
        raise AlertRuleError(
            "every", f"{case.name!r} takes more than {MOST_STEPS} steps; write a longer `every`, or less time"
        )
    if case.step_ms == HOUR_MS:
        return [end for _, end in buckets_between(case.zone, "hour", first, last)]
    return range(first + case.step_ms, last + 1, case.step_ms)


def _series(case: Case) -> HourlySeries:
    cells: dict[Operand, list[Cell]] = {}
    records: dict[str, list[int]] = {}
    for operand in operands_of(case.rule):
        cells[operand] = [cell for course in case.courses if _counts(operand, course) for cell in _cells(course, case)]
    for course in case.courses:
        if (session := course.places.get("session")) is not None:
            records.setdefault(session, []).extend(at for at, amount in _placed(course, case) if amount is not None)
    return HourlySeries(cells, scope=case.rule.scope, records=records)


def _counts(operand: Operand, course: Course) -> bool:
    """Whether the course is a part of what the operand reads."""
    return course.metric.name == operand.metric and all(
        course.labels.get(dimension) in values for dimension, values in operand.where
    )


def _cells(course: Course, case: Case) -> list[Cell]:
    scope = case.rule.scope
    subject = "" if scope is Scope.GLOBAL else course.places.get(PLACES[scope], "")
    if scope is not Scope.GLOBAL and not subject:
        raise AlertRuleError(
            "series",
            f"{case.name!r}: a series of {course.metric.name} has no {PLACES[scope]}, and the rule asks by {scope}",
        )
    return [
        Cell(
            subject=subject, hour=at, value=amount.value, count=amount.count, buckets=amount.buckets,
            members=_members(course, amount, at),
        )
        for at, amount in _placed(course, case)
        if amount is not None
    ]  # fmt: skip


def _members(course: Course, amount: Written, at: int) -> tuple[str, ...]:
    if course.metric.shape is not Shape.DISTINCT:
        return ()
    if "session" in course.places:
        return (course.places["session"],)
    return tuple(f"{at} {number}" for number in range(int(amount.value)))


def _placed(course: Course, case: Case) -> list[tuple[int, Written | None]]:
    """The amounts with the beginnings of their steps; hours are those of the zone."""
    count = len(course.amounts)
    if case.step_ms == HOUR_MS:
        hours = buckets_between(case.zone, "hour", course.start, course.start + (count + 4) * HOUR_MS)
        starts = [start for start, _ in hours][:count]
    else:
        starts = [course.start + number * case.step_ms for number in range(count)]
    return list(zip(starts, course.amounts, strict=True))


def _missed(expected: Expectation, standings: Mapping[str, Standing] | None, case: Case) -> list[str]:
    at = shown_at(expected.at, case.zone)
    if standings is None:
        return [f"{at}: nothing is evaluated at this moment; the ends of steps of {durations.shown(case.step_ms)} are"]
    subjects = _subjects(case)
    subject = expected.subject if expected.subject is not None else subjects[0] if len(subjects) == 1 else None
    if subject is None:
        return [f"{at}: say of which {case.rule.scope} (subject = …): there are several"]
    if subject not in subjects:
        known = f": there are {', '.join(subjects)}" if subjects != [""] else ""
        return [f"{at}: no series is of {subject!r}{known}"]
    standing = standings.get(subject)
    came = State.INACTIVE if standing is None else standing.state
    of = f" of {subject}" if subject else ""
    if came is not expected.state:
        return [f"{at}: the state{of} is {came}, expected {expected.state}"]
    faults = []
    for name in ("value", "threshold"):
        wanted = getattr(expected, name)
        had = None if standing is None else getattr(standing, name)
        if wanted is not None and (had is None or abs(had - wanted) > CLOSE * max(1.0, abs(wanted))):
            faults.append(f"{at}: the {name}{of} is {'none' if had is None else f'{had:g}'}, expected {wanted:g}")
    return faults


def _subjects(case: Case) -> list[str]:
    if case.rule.scope is Scope.GLOBAL:
        return [""]
    return sorted({course.places.get(PLACES[case.rule.scope], "") for course in case.courses})


def _difference(expected: Sequence[str], came: Sequence[str]) -> list[str]:
    from difflib import ndiff

    lines = ndiff(list(expected), list(came))
    marks = {"- ": "- ", "+ ": "+ ", "  ": "  "}
    return ["transitions: - expected, + found", *(marks[line[:2]] + line[2:] for line in lines if line[:2] in marks)]
