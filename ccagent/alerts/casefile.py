"""Unit tests of rules: an invented course of amounts, a rule, and what is expected of it.

    zone = "Europe/Berlin"
    start = "2026-03-02T08:00"

    [[case]]
    name = "a costly day fires in the hour in which it passes the threshold"
    rule = "budget-daily"
    set = { threshold = 20.0 }
    transitions = ["2026-03-02T13:00 firing", "2026-03-03T01:00 resolved"]
    [[case.series]]
    metric = "session_cost"
    values = "5 5 _ 5 6 0x18"

A file is a document of this shape, in TOML or JSON. The rule is evaluated at the end of each hour (or of each `every`), by
the code that evaluates it live (`caserun.py`). Reading and running are pure; `ccagent/alert_cases.py` finds files and rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ccagent.alerts import durations
from ccagent.alerts.editing import merged
from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.metrics import AlertMetric, resolve
from ccagent.alerts.notation import Written, read_amounts
from ccagent.alerts.parsing import known, parse
from ccagent.alerts.rule import Rule, Scope
from ccagent.alerts.states import State

FILE_KEYS: Final = ("zone", "start", "every", "rules", "case")
CASE_KEYS: Final = (
    "name", "rule", "set", "zone", "start", "every", "series", "asleep", "expect", "transitions",
)  # fmt: skip
SERIES_KEYS: Final = ("metric", "values", "start", "session", "project", "feature", "labels")
EXPECT_KEYS: Final = ("at", "state", "subject", "value", "threshold")

STEPS: Final = ("1m", "5m", "10m", "15m", "30m", "1h")
"""What `every` may be: parts of an hour."""

T = TypeVar("T")
Lookup = Callable[[str], Mapping[str, Any]]
"""The document of a rule by its id; AlertRuleError where there is none."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
PLACES: Final = {Scope.SESSION: "session", Scope.PROJECT: "project", Scope.FEATURE: "feature"}
"""What a series says of its subject in rules of a scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A series of a case: amounts from a moment on, of a place and with labels."""

    metric: AlertMetric
    start: int
    amounts: tuple[Written | None, ...]
    places: Mapping[str, str]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What is to be found after the evaluation that ends at `at`; None where nothing was said of it."""

    at: int
    state: State
    subject: str | None = None
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A test, read. `transitions` is None where no list was given; `asleep` are spans in which nobody evaluates."""

    name: str
    rule: Rule
    zone: ZoneInfo
    step_ms: int
    courses: tuple[Course, ...]
    asleep: tuple[tuple[int, int], ...]
    expected: tuple[Expectation, ...]
    transitions: tuple[str, ...] | None


def read_cases(document: Mapping[str, Any], lookup: Lookup) -> list[Case]:
    """The cases of a file. `lookup` finds rules that the file does not have itself. AlertRuleError names the key at fault."""
    known(document, FILE_KEYS)
    own: dict[str, Mapping[str, Any]] = {}
    for number, rule in enumerate(_list(document, "rules")):
        own[_within(f"rules[{number}]", lambda rule=rule: parse(rule)).id] = rule  # type: ignore[misc]
    cases = _list(document, "case")
    if not cases:
        raise AlertRuleError("case", "is missing: a file has at least one [[case]]")

    def found(id: str) -> Mapping[str, Any]:
        return own[id] if id in own else lookup(id)

    return [
        _within(f"case[{number}]", lambda case=case: _case(case, document, found))  # type: ignore[misc]
        for number, case in enumerate(cases)
    ]


def _case(document: object, file: Mapping[str, Any], lookup: Lookup) -> Case:
    known(document, CASE_KEYS)
    assert isinstance(document, Mapping)
    name = _text(document, "name")
    zone = _zone(document.get("zone", file.get("zone", "UTC")))
    start = document.get("start", file.get("start"))
    begin = None if start is None else moment(start, zone, "start")
    every = document.get("every", file.get("every", STEPS[-1]))
    if every not in STEPS:
        raise AlertRuleError("every", f"is none of them: {every!r}", STEPS)
    step = durations.parse(every, "every")
    rule = _rule(document, lookup)
    courses = tuple(
        _within(f"series[{number}]", lambda one=one: _course(one, zone, begin))  # type: ignore[misc]
        for number, one in enumerate(_list(document, "series"))
    )
    if not courses:
        raise AlertRuleError("series", "is missing: a case has at least one [[case.series]]")
    first = min(course.start for course in courses)
    expected = tuple(
        _within(f"expect[{number}]", lambda one=one: _expectation(one, zone, first))  # type: ignore[misc]
        for number, one in enumerate(_list(document, "expect"))
    )
    transitions = None
    if "transitions" in document:
        transitions = tuple(_transition(text, zone, first) for text in _texts(document, "transitions"))
    if not expected and transitions is None:
        raise AlertRuleError("expect", "is missing: say what is expected, with [[case.expect]] or transitions = […]")
    asleep = tuple(_span(text, zone, first) for text in _texts(document, "asleep"))
    return Case(
        name=name, rule=rule, zone=zone, step_ms=step, courses=courses, asleep=asleep, expected=expected,
        transitions=transitions,
    )  # fmt: skip


def _rule(document: Mapping[str, Any], lookup: Lookup) -> Rule:
    given = document.get("rule")
    if isinstance(given, str):
        found = lookup(given)
    elif isinstance(given, Mapping):
        found = {"id": "case", **given}
    else:
        raise AlertRuleError("rule", "is the id of a rule, or a rule's table")
    changes = document.get("set", {})
    if not isinstance(changes, Mapping):
        raise AlertRuleError("set", f"is a table of a rule's keys, not {changes!r}")
    # A rule that is off would never be evaluated: whoever tests it wants to know what it does when it is on.
    return _within("rule", lambda: parse({**merged(found, changes), "enabled": True}))


def _course(document: object, zone: ZoneInfo, begin: int | None) -> Course:
    known(document, SERIES_KEYS)
    assert isinstance(document, Mapping)
    labels = document.get("labels", {})
    if not isinstance(labels, Mapping) or not all(isinstance(value, str) for value in labels.values()):
        raise AlertRuleError("labels", f"is a table of texts, not {labels!r}")
    metric = resolve(_text(document, "metric"), tuple(labels))
    start = moment(document["start"], zone, "start") if "start" in document else begin
    if start is None:
        raise AlertRuleError("start", 'is missing: when the first amount begins, such as "2026-03-02T08:00"')
    places = {place: _text(document, place) for place in PLACES.values() if place in document}
    for label, value in labels.items():
        if label not in metric.dimensions:
            raise AlertRuleError("labels", f"{metric.name} has no label {label!r}", metric.dimensions)
        closed = metric.closed.get(label, ())
        if closed and value not in closed:
            raise AlertRuleError(f"labels.{label}", f"never is {value!r}", closed)
    return Course(
        metric=metric, start=start, amounts=tuple(read_amounts(_text(document, "values"), metric)), places=places,
        labels={**places, **labels},
    )  # fmt: skip


def _expectation(document: object, zone: ZoneInfo, first: int) -> Expectation:
    known(document, EXPECT_KEYS)
    assert isinstance(document, Mapping)
    states = (State.INACTIVE, State.PENDING, State.FIRING)
    state = document.get("state")
    if state not in states:
        raise AlertRuleError("state", f"is none of them: {state!r}", states)
    numbers = {}
    for key in ("value", "threshold"):
        if key in document and (isinstance(document[key], bool) or not isinstance(document[key], int | float)):
            raise AlertRuleError(key, f"is a number, not {document[key]!r}")
        numbers[key] = None if key not in document else float(document[key])
    return Expectation(
        at=moment(document.get("at"), zone, "at", first), state=State(state), subject=document.get("subject"), **numbers
    )


def moment(text: object, zone: ZoneInfo, where: str, first: int | None = None) -> int:
    """Ms UTC of "2026-03-02T08:00" (in the zone, unless it has an offset), a date, or "+5h" after the first amount."""
    if isinstance(text, datetime):
        text = text.isoformat()
    if isinstance(text, str):
        try:
            if first is not None and text.startswith("+"):
                return first + durations.parse(text[1:], where)
            found = datetime.fromisoformat(text)
            whole = found if found.tzinfo is not None else found.replace(tzinfo=zone)
            return (whole.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
        except (ValueError, OverflowError):
            pass
    right = ('"2026-03-02T08:00"', '"2026-03-02T08:00+01:00"', *(('"+5h"',) if first is not None else ()))
    raise AlertRuleError(where, f"is a moment, not {text!r}" if text is not None else "is missing", right)


def _transition(text: str, zone: ZoneInfo, first: int) -> str:
    """`2026-03-02T13:00 firing [SUBJECT]` as results have it."""
    at, _, rest = text.strip().partition(" ")
    state, _, subject = rest.strip().partition(" ")
    if state not in tuple(State):
        raise AlertRuleError("transitions", f"{text!r} is written TIME STATE [SUBJECT], and states are", tuple(State))
    return line(moment(at, zone, "transitions", first), state, subject.strip(), zone)


def _span(text: str, zone: ZoneInfo, first: int) -> tuple[int, int]:
    since, slash, until = text.partition("/")
    if not slash:
        raise AlertRuleError("asleep", f"{text!r} is no span", ('"2026-03-02T08:00/2026-03-03T08:00"',))
    return moment(since.strip(), zone, "asleep", first), moment(until.strip(), zone, "asleep", first)


def _zone(name: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise AlertRuleError("zone", f"{name!r} is no time zone", ('"UTC"', '"Europe/Berlin"')) from error


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise AlertRuleError(key, "is missing" if value is None else f"is a text, not {value!r}")
    return value


def _texts(document: Mapping[str, Any], key: str) -> list[str]:
    found = _list(document, key)
    if not all(isinstance(one, str) for one in found):
        raise AlertRuleError(key, f"is a list of texts, not {found!r}")
    return found


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key, [])
    if not isinstance(value, list | tuple):
        raise AlertRuleError(key, f"is a list, not {value!r}")
    return list(value)


def _within(where: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except AlertRuleError as error:
        raise error.within(where) from error


def line(at: int, state: str, subject: str, zone: ZoneInfo) -> str:
    return f"{shown_at(at, zone)} {state}" + (f" {subject}" if subject else "")


def shown_at(at: int, zone: ZoneInfo) -> str:
    """Local time with its offset only where the hour is there twice or does not fall on a whole one."""
    local = (_EPOCH + timedelta(milliseconds=at)).astimezone(zone)
    text = local.replace(tzinfo=None).isoformat(timespec="minutes")
    other = local.replace(fold=1 - local.fold)
    return text if other.utcoffset() == local.utcoffset() else local.isoformat(timespec="minutes")
