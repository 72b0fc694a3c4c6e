"""Where a subject of a rule stands, and how it got there: shapes that the evaluation, the store and the channels share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The life of an alert."""

    INACTIVE = "inactive"
    PENDING = "pending"  # the conditions hold, not yet long enough
    FIRING = "firing"
    RESOLVED = "resolved"  # only in transitions: what is stored after it is inactive


class Reason(StrEnum):
    """Why a transition took place."""

    HOLDS = "holds"  # the conditions hold
    HELD = "held"  # … and have held as long as `for` asks
    CLEAR = "clear"  # they no longer hold
    PERIOD = "period"  # the calendar period that fired is over
    ENDED = "ended"  # the session that fired is over
    NO_DATA = "no_data"  # nothing was to be read for a whole window
    RULE = "rule"  # the rule was changed, disabled or removed


class Finding(StrEnum):
    """What a condition says of a reading. Absent data is an answer of its own, and never "fine"."""

    MET = "met"
    CLEAR = "clear"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What all conditions of a rule say of a subject at a moment: `met` when each is met, `clear` when one is clear.

    `value` and `threshold` are those of the first condition (None: there was nothing to read, or no baseline). `period` is the
    start of the calendar period that was read (ms UTC), None for trailing windows and sessions. `ended`: the subject is a
    session without a record in the last half hour.
    """

    finding: Finding
    value: float | None = None
    threshold: float | None = None
    period: int | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is kept of a subject of a rule between evaluations; times in ms UTC by the machine's clock.

    `held_ms` is how long the conditions have held while somebody looked: time between two evaluations counts at most for
    `engine.GAP_MS`, so neither a night's sleep nor a clock that jumps makes a pending alert fire. `clear_ms` is the same for
    `keep_firing`, and `unknown_ms` for readings that said nothing; both begin at 1, since 0 says that there is none.
    `episode` counts the times it has begun to fire.
    """

    rule: str
    subject: str
    state: State = State.INACTIVE
    held_ms: int = 0
    clear_ms: int = 0
    unknown_ms: int = 0
    episode: int = 0
    since: int = 0  # when the present state began
    fired_at: int | None = None
    resolved_at: int | None = None
    evaluated_at: int = 0
    value: float | None = None
    threshold: float | None = None
    period: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of state, as the history keeps it. To `firing` and `resolved` ones are told to people, others are kept only.

    `episode`: of one to or from pending the number that it would have when it fires.
    """

    rule: str
    subject: str
    before: State
    after: State
    at: int
    reason: Reason
    episode: int
    value: float | None = None
    threshold: float | None = None
