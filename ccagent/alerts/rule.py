"""What an alert rule is. Reading it from TOML, JSON or options is `parsing`'s; whether it holds is `condition`'s.

A rule asks for one or two readings of every subject of its scope and says when they are too high or too low. All times
are in milliseconds; thresholds are in the unit that people see of the metric (USD, seconds, tokens, a ratio from 0 to 1).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ccagent.rollups.buckets import Unit
from ccagent.rollups.outlook import BASELINE_DAYS, BASELINE_LEAST

RULE_ID_LENGTH: Final = 64
"""Characters of a rule's id: `[a-z0-9][a-z0-9-]*`. It is a label value, a file name and a word on the command line."""


class Scope(StrEnum):
    """What a rule looks at one by one: its subjects."""

    GLOBAL = "global"  # everything together; the one subject is ""
    PROJECT = "project"  # a subject is a project's path
    FEATURE = "feature"  # a feature's id; a session belongs to the feature that it is linked to most strongly
    SESSION = "session"  # a session's id


class Severity(StrEnum):
    """How much it matters; `critical` does not wait for the end of quiet hours."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Operator(StrEnum):
    """How a reading is held against its threshold."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="


class Aggregation(StrEnum):
    """What is made of the amounts of a window."""

    SUM = "sum"  # of counters; of a histogram, the sum of what was observed
    RATE = "rate"  # sum an hour, over the part of the window that has passed
    COUNT = "count"  # of a histogram, the number of observations; of a mean, what it was made of
    MEAN = "mean"  # sum ÷ count
    MAX = "max"  # of a histogram, the upper bound of the highest bucket with an observation
    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"
    LAST = "last"  # a gauge, as it stands now


class Against(StrEnum):
    """What past windows a baseline is made of."""

    ANY = "any"  # every past window of this length
    SAME_HOUR = "same_hour"  # those that began at the same hour of the day
    SAME_WEEKDAY = "same_weekday"  # those of the same day of the week (and hour, where the window is an hour)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time that a reading is made of.

    Either a calendar period to date in the zone of the rollups (`unit` hour, day, week or month), or the last `trailing_ms`
    (whole hours; the present hour counts as one), or with `session` the whole session so far. None of them: "now", the
    present value of a gauge.
    """

    name: str  # as written: "session", "hourly", "daily", "weekly", "monthly", "6h", "7d", "now"
    unit: Unit | None = None
    trailing_ms: int | None = None
    session: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A metric, and what of it counts: `where` has the allowed values of a dimension; none means all."""

    metric: str  # canonical, as `metrics.resolve` has it
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    aggregation: Aggregation = Aggregation.SUM


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A threshold made of the subject's own past.

    `median`: factor × median of the past windows. `mad`: median + factor × spread, the spread being the median absolute
    deviation in standard deviations, at least a tenth of the median (rollups/outlook.py). Only windows with an amount
    count, at most `windows` of them, the latest; below `least` there is no baseline, and the condition says nothing.
    """

    kind: str  # "median" or "mad"
    factor: float
    against: Against = Against.ANY
    windows: int = BASELINE_DAYS
    least: int = BASELINE_LEAST


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One reading and its bound.

    The reading is `operand`, or `operand ÷ per` where `per` is given. Exactly one of `threshold`, `baseline` and `absent` is
    set. `clear` is the hysteresis: once the rule fires, the condition holds until the reading is past `clear` (by default the
    threshold itself; with a baseline it is a factor in place of the baseline's). `least`: below this amount of `per` (or,
    without one, of observations) the reading says nothing. `floor`: the reading must also be at least this much (a baseline
    of cents is no baseline).
    """

    operand: Operand
    window: Window
    operator: Operator = Operator.ABOVE
    threshold: float | None = None
    baseline: Baseline | None = None
    absent: bool = False  # holds when the window holds nothing, for a subject that had something before
    clear: float | None = None
    per: Operand | None = None
    least: float | None = None
    floor: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a rule is evaluated, in the zone of the rollups: outside of it states stay as they are."""

    days: frozenset[int] = frozenset(range(7))  # Monday is 0
    start_minute: int = 0
    end_minute: int = 24 * 60  # exclusive; smaller than the start: over midnight, counted to the day it began


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule, whole and sound: whoever made it has checked it (`parsing.parse`)."""

    id: str
    name: str
    conditions: tuple[Condition, ...]  # one, or two joined by "and"
    scope: Scope = Scope.GLOBAL
    only: tuple[str, ...] = ()  # subjects (projects: path or last folder); none means all
    for_ms: int = 0
    keep_firing_ms: int = 0
    cooldown_ms: int = 0
    severity: Severity = Severity.WARNING
    enabled: bool = True
    channels: tuple[str, ...] = ("log",)
    schedule: Schedule | None = None
    summary: str = ""  # template of the message's first line; empty: made of the rule
    reason: str = ""  # why the rule and its bound are what they are
    labels: tuple[tuple[str, str], ...] = field(default=())


def is_meant(subject: str, scope: Scope, only: Collection[str]) -> bool:
    """Whether a rule that names these subjects alone looks at `subject`. A project is named by its path or last folder.

    What belongs to no project, feature or session ("") is no subject but of everything.
    """
    if scope is Scope.GLOBAL:
        return True
    if not subject:
        return False
    if not only or subject in only:
        return True
    if scope is not Scope.PROJECT:
        return False
    path = subject.rstrip("/")
    return path.rsplit("/", 1)[-1] in only or any(one.rstrip("/") == path for one in only)
