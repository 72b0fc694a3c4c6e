"""From where a subject stands and what is found of it to where it stands next: the life of an alert.

    inactive ──met──► pending ──held as long as `for`, no cooldown──► firing ──clear as long as `keep_firing`──► resolved

Pending ends with the first reading that is not met. Firing ends when the readings are clear, when the calendar period or the
session that fired is over, or when there was nothing to read for a whole window. Without `for` and cooldown inactive fires at
once. What is resolved is stored as inactive.

A step is a pure function of what it is given; all memory is in the `Standing`. Two steps at the same moment are one, and
clocks may jump: lengths are sums of the time between steps, of which none counts for more than a gap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ccagent.alerts.rule import Rule
from ccagent.alerts.states import Finding, Reason, Standing, State, Transition, Verdict
from ccagent.alerts.windows import SESSION_END_MS, length_ms
from ccagent.rollups.buckets import DAY_MS, HOUR_MS

GAP_MS: Final = 5 * 60_000
"""What the time between two steps counts for at most. Steps are a minute apart; a longer gap is a machine that slept, a
process that was away or a clock that jumped, and what was in between nobody saw."""

NO_DATA_MS: Final = DAY_MS
"""An alert with nothing to read is resolved after its window, or after this where that is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often steps come: what a gap counts for at most, and after how long without a record a session is over."""

    gap_ms: int = GAP_MS
    session_end_ms: int = SESSION_END_MS


LIVE: Final = Pace()
BY_HOUR: Final = Pace(gap_ms=HOUR_MS, session_end_ms=HOUR_MS)
"""For the past, evaluated at the end of each hour: the hour that has passed was seen whole, and whoever had a record in it
was there."""

Step = tuple[Standing, Transition | None]


def step(rule: Rule, standing: Standing, verdict: Verdict, now: int, pace: Pace = LIVE) -> Step:
    """Where the subject stands after a verdict at `now` (ms UTC), and its change of state if there was one."""
    elapsed = min(max(now - standing.evaluated_at, 0), pace.gap_ms) if standing.evaluated_at else 0
    at = replace(
        standing, resolved_at=_resolved_at(standing, now), evaluated_at=now, value=verdict.value,
        threshold=verdict.threshold, period=verdict.period,
    )  # fmt: skip
    if standing.state is State.FIRING:
        return _while_firing(rule, at, verdict, standing.period, elapsed)
    if standing.state is State.PENDING:
        return _while_pending(rule, at, verdict, elapsed)
    return _while_inactive(rule, at, verdict)


def retire(standing: Standing, now: int, reason: Reason = Reason.RULE) -> tuple[Standing | None, Transition | None]:
    """What becomes of a subject whose rule was changed, disabled or removed, or of which nobody is left to tell anything
    (`reason`): nothing of it fires any more.

    None where nothing is left to remember. The count of episodes stays, and the cooldown begins.
    """
    if standing.state is State.FIRING:
        return _resolve(replace(standing, evaluated_at=now), reason)
    if standing.state is State.PENDING:
        ended, transition = _give_up(replace(standing, evaluated_at=now), reason)
        return (None if may_be_forgotten(ended) else ended), transition
    return (None if may_be_forgotten(standing) else standing), None


def may_be_forgotten(standing: Standing) -> bool:
    """Whether a subject that stands so is like one that was never seen. Whoever has fired is remembered, for the number of
    its next episode and for its cooldown."""
    return standing.state is State.INACTIVE and standing.episode == 0


def is_cooling(rule: Rule, standing: Standing, now: int) -> bool:
    """Whether the subject may not begin to fire yet."""
    resolved = _resolved_at(standing, now)
    return resolved is not None and now < resolved + rule.cooldown_ms


def has_turned(before: int | None, period: int | None) -> bool:
    """Whether a calendar period is over, by the starts of the one that was read last and the present one. A clock that is set
    back ends none."""
    return before is not None and period is not None and period > before


def judges_alike(one: Rule, other: Rule) -> bool:
    """Whether two versions of a rule differ in nothing but words and receivers: then what fires may go on."""
    alike = {"name": "", "summary": "", "reason": "", "channels": (), "labels": (), "severity": one.severity}
    return replace(one, **alike) == replace(other, **alike)  # type: ignore[arg-type]


def no_data_ms(rule: Rule) -> int:
    """For how long there may be nothing to read of what fires."""
    return min(max(length_ms(condition.window) for condition in rule.conditions), NO_DATA_MS)


def unseen_ms(rule: Rule) -> int:
    """For how long nobody may look at what fires before it is said to be over. Outside of its schedule a rule stays as it
    is, which is for a week less a minute at most."""
    return NO_DATA_MS if rule.schedule is None else 8 * NO_DATA_MS


def _resolved_at(standing: Standing, now: int) -> int | None:
    """When it was resolved, by a clock that was set back as the present one: a cooldown gets no longer by that."""
    if standing.resolved_at is None:
        return None
    back = max(standing.evaluated_at - now, 0)
    return min(standing.resolved_at - back, now)


def _while_inactive(rule: Rule, at: Standing, verdict: Verdict) -> Step:
    now = at.evaluated_at
    at = replace(at, held_ms=0, clear_ms=0, unknown_ms=0)
    if verdict.finding is not Finding.MET or verdict.ended:
        return at, None
    if rule.for_ms == 0 and not is_cooling(rule, at, now):
        return _fire(at, Reason.HOLDS)
    return _enter(at, State.PENDING, Reason.HOLDS, at.episode + 1)


def _while_pending(rule: Rule, at: Standing, verdict: Verdict, elapsed: int) -> Step:
    if verdict.ended:
        return _give_up(at, Reason.ENDED)
    if verdict.finding is Finding.UNKNOWN:
        return _give_up(at, Reason.NO_DATA)
    if verdict.finding is Finding.CLEAR:
        return _give_up(at, Reason.CLEAR)
    at = replace(at, held_ms=at.held_ms + elapsed)
    if at.held_ms < rule.for_ms or is_cooling(rule, at, at.evaluated_at):
        return at, None
    return _fire(at, Reason.HELD)


def _while_firing(rule: Rule, at: Standing, verdict: Verdict, before: int | None, elapsed: int) -> Step:
    """`before`: the period that was read last."""
    if verdict.ended:
        return _resolve(at, Reason.ENDED)
    if verdict.finding is Finding.MET:
        return replace(at, clear_ms=0, unknown_ms=0), None
    if has_turned(before, verdict.period):
        return _resolve(at, Reason.PERIOD)
    if verdict.finding is Finding.CLEAR:
        at = replace(at, clear_ms=_counted(at.clear_ms, elapsed), unknown_ms=0)
        return _resolve(at, Reason.CLEAR) if at.clear_ms > rule.keep_firing_ms else (at, None)
    at = replace(at, unknown_ms=_counted(at.unknown_ms, elapsed))
    return _resolve(at, Reason.NO_DATA) if at.unknown_ms > no_data_ms(rule) else (at, None)


def _counted(so_far: int, elapsed: int) -> int:
    """A length that begins with this step is 1, so that 0 says that it has not: when it began is not known, only that it
    was after the step before."""
    return so_far + elapsed if so_far else 1


def _fire(at: Standing, reason: Reason) -> Step:
    fired = replace(at, episode=at.episode + 1, fired_at=at.evaluated_at)
    return _enter(fired, State.FIRING, reason, fired.episode)


def _resolve(at: Standing, reason: Reason) -> Step:
    return _enter(replace(at, resolved_at=at.evaluated_at), State.RESOLVED, reason, at.episode)


def _give_up(at: Standing, reason: Reason) -> Step:
    return _enter(at, State.INACTIVE, reason, at.episode + 1)


def _enter(at: Standing, state: State, reason: Reason, episode: int) -> Step:
    transition = Transition(
        rule=at.rule, subject=at.subject, before=at.state, after=state, at=at.evaluated_at, reason=reason,
        episode=episode, value=at.value, threshold=at.threshold,
    )  # fmt: skip
    kept = State.INACTIVE if state is State.RESOLVED else state
    held = at.held_ms if kept is State.FIRING else 0
    return replace(at, state=kept, since=at.evaluated_at, held_ms=held, clear_ms=0, unknown_ms=0), transition
