"""One evaluation of one rule: every subject judged and moved on. Pure: series, standings and the time come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ccagent.alerts.condition import judge, unread
from ccagent.alerts.engine import LIVE, Pace, has_turned, may_be_forgotten, step
from ccagent.alerts.rule import Rule, Scope, is_meant
from ccagent.alerts.series import Series
from ccagent.alerts.states import Finding, Standing, State, Transition, Verdict
from ccagent.alerts.windows import is_on

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an evaluation leaves. `standings`: all that are worth keeping, by subject. `changed`: those of them that are not
    as they were. `forgotten`: subjects whose earlier standing may be removed."""

    standings: Mapping[str, Standing]
    transitions: tuple[Transition, ...] = ()
    changed: tuple[Standing, ...] = ()
    forgotten: tuple[str, ...] = ()


def evaluate(
    rule: Rule,
    series: Series,
    standings: Mapping[str, Standing],
    now: int,
    zone: ZoneInfo,
    *,
    not_before: int = 0,
    pace: Pace = LIVE,
) -> Outcome:
    """Judge a rule's subjects at `now` (ms UTC) and move on where they stand; `standings` are the rule's own, by subject.

    A rule of scope session looks at sessions with a record since `not_before` (the end of the first catch-up) and within the
    last half hour (`pace`): what fires of others is resolved, and none of them begins to. Outside of its schedule a rule is
    not evaluated. A subject without a standing that is worth keeping has none.
    """
    if not is_on(rule.schedule, zone, now):
        return Outcome(standings=dict(standings))
    verdicts = _verdicts(rule, series, standings, now, zone, not_before, pace)
    kept, changed, transitions, forgotten = dict(standings), [], [], []
    for subject, verdict in verdicts.items():
        before = standings.get(subject)
        if _rests(rule, before, verdict):
            if before is not None and may_be_forgotten(before):
                forgotten.append(subject)
                del kept[subject]
            continue
        after, transition = step(rule, before or _newcomer(rule, subject, now), verdict, now, pace)
        if transition is not None:
            transitions.append(transition)
        if may_be_forgotten(after):
            kept.pop(subject, None)
            forgotten += [subject] if before is not None else []
        elif after != before:
            kept[subject] = after
            changed.append(after)
    return Outcome(
        standings=kept, transitions=tuple(transitions), changed=tuple(changed), forgotten=tuple(forgotten)
    )  # fmt: skip


def _newcomer(rule: Rule, subject: str, now: int) -> Standing:
    return Standing(rule=rule.id, subject=subject, since=now)


def _rests(rule: Rule, standing: Standing | None, verdict: Verdict) -> bool:
    """Whether a step would say nothing new: nothing was going on, and nothing is. The end of a cooldown is one more step, so
    that a clock that is set back later does not begin it again."""
    if verdict.finding is Finding.MET and not verdict.ended:
        return False
    return standing is None or _is_at_rest(rule, standing)


def _is_at_rest(rule: Rule, standing: Standing) -> bool:
    cooled = standing.resolved_at is None or standing.evaluated_at >= standing.resolved_at + rule.cooldown_ms
    return standing.state is State.INACTIVE and cooled


def _verdicts(
    rule: Rule,
    series: Series,
    standings: Mapping[str, Standing],
    now: int,
    zone: ZoneInfo,
    not_before: int,
    pace: Pace,
) -> dict[str, Verdict]:
    """Of every subject that can be read, and of every other of which something is going on.

    What fired in a period that is over has to be beyond the threshold in the new one: `clear` is for the period it fired in.
    """
    nothing = unread(rule, now, zone)
    firing = {
        subject
        for subject, standing in standings.items()
        if standing.state is State.FIRING and not has_turned(standing.period, nothing.period)
    }
    if rule.scope is Scope.SESSION:
        alive = [
            session
            for session in series.sessions(max(not_before, now - pace.session_end_ms), now)
            if is_meant(session, rule.scope, rule.only)
        ]
        found = judge(rule, series, now, zone, firing=firing, among=alive) if alive else {}
        found = {session: found[session] for session in alive if session in found}
    else:
        alive = []
        found = judge(rule, series, now, zone, firing=firing)
        found = {subject: one for subject, one in found.items() if is_meant(subject, rule.scope, rule.only)}
    living = set(alive)
    for subject, standing in standings.items():
        # Whoever fired once is remembered for a year: what cannot be read of it now says nothing new.
        if subject not in found and not (standing.episode and _is_at_rest(rule, standing)):
            ended = rule.scope is Scope.SESSION and subject not in living
            found[subject] = replace(nothing, ended=ended)
    return found
