"""What people are told of one transition: its words and figures, with nothing in it that may not leave the machine.

A subject is named as people may hear of it: a project by the last folder of its path, a session and a feature by their
ids. The path itself stands in `place` alone, which no rendering shows; who decides what may leave needs it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ccagent.alerts.figures import AN_HOUR, RATIO, metric_unit, worded
from ccagent.alerts.metrics import tells_of_ccagent
from ccagent.alerts.rule import Aggregation, Condition, Rule, Scope, Severity
from ccagent.alerts.states import Reason, State, Transition
from ccagent.alerts.template import fill
from ccagent.metrics.spec import PROJECT

EVERYTHING: Final = "everything"
"""How the subject of a rule over everything is called in templates."""

_AMOUNTS_OF_THEIR_OWN: Final = ("USD", "s", "By", "1")
"""Units that stay beside a divisor: dollars a turn are dollars, calls a call are a share."""

_PATH: Final = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
"""How a project's path begins; a feature that a document names may hold a slash."""
_SESSION: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_REASONS: Final[Mapping[Reason, str]] = {
    Reason.HOLDS: "the condition holds",
    Reason.HELD: "the condition has held long enough",
    Reason.CLEAR: "the condition no longer holds",
    Reason.PERIOD: "the period is over",
    Reason.ENDED: "the session is over",
    Reason.NO_DATA: "there was nothing to read for a whole window",
    Reason.RULE: "the rule was changed, disabled or removed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One transition to tell. Times in ms UTC; `value` and `threshold` in `unit` (UCUM; "" has none), None where there was
    nothing to read.

    `key` is the transition's own, the same whenever it is sent again. `covers` has the keys of earlier transitions that this
    message tells as well (it fired and was resolved while nobody was to be disturbed); `fired_at` is then when it fired.
    """

    key: str
    rule: str
    name: str
    severity: Severity
    state: State
    reason: Reason
    scope: Scope
    subject: str
    value: float | None
    threshold: float | None
    unit: str
    at: int
    episode: int
    summary: str = ""
    why: str = ""  # the rule's own reason
    metric: str = ""
    window: str = ""
    operator: str = ""  # "" where absence is the condition, or the rule was changed or is gone
    absent: bool = False
    template: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    covers: tuple[str, ...] = ()
    fired_at: int | None = None
    place: str = field(default="", repr=False)
    named: tuple[str, ...] = field(
        default=(), repr=False
    )  # projects that the rule itself names, as people may hear of them

    @property
    def keys(self) -> tuple[str, ...]:
        """Every transition that is told with it."""
        return (*self.covers, self.key)


def compose(transition: Transition, key: str, rule: Rule | None, *, severity: Severity = Severity.WARNING) -> Message:
    """The message of a transition, of the `severity` that was recorded with it. A rule that was removed since is called by
    its id; what its subject is, is then told by how it looks, as of one that was given another scope since."""
    scope = rule.scope if rule is not None and _fits(transition.subject, rule) else _likely_scope(transition.subject)
    first = None if rule is None else rule.conditions[0]
    # What was read last is no answer to what the rule asks by now, and perhaps of another unit.
    read = transition.reason is not Reason.RULE
    bare = Message(
        key=key,
        rule=transition.rule,
        name=transition.rule if rule is None else rule.name or rule.id,
        severity=severity,
        state=transition.after,
        reason=transition.reason,
        scope=scope,
        subject=shown(transition.subject),
        value=transition.value if read else None,
        threshold=transition.threshold if read else None,
        unit="" if first is None else unit_of(first),
        at=transition.at,
        episode=transition.episode,
        why="" if rule is None else rule.reason,
        metric="" if first is None else first.operand.metric,
        window="" if first is None else first.window.name,
        operator="" if first is None or first.absent or not read else first.operator.value,
        absent=first is not None and first.absent,
        template="" if rule is None else rule.summary,
        labels=() if rule is None else rule.labels,
        place=transition.subject,
        named=() if rule is None else _named(rule),
    )
    return summed_up(bare)


def summed_up(message: Message) -> Message:
    """The message with the summary that follows from its other fields."""
    return replace(message, summary=_one_line(fill(message.template or default_template(message), words(message))))


def merged(fired: Message, resolved: Message) -> Message:
    """One message for an alert that fired and was resolved before anybody was told."""
    both = replace(resolved, covers=fired.keys, fired_at=fired.at, severity=_worse(fired.severity, resolved.severity))
    return summed_up(both)


def default_template(message: Message) -> str:
    """How a message is worded whose rule says nothing of it."""
    subject = "" if message.scope is Scope.GLOBAL else " · {subject}"
    if message.state is State.RESOLVED:
        now = "" if message.value is None else ", now {value}"
        return f"{{name}}{subject}: {{reason}}{now}"
    if message.absent:
        return f"{{name}}{subject}: nothing of {{metric}} ({{window}})"
    if not message.operator:
        return f"{{name}}{subject}: {{reason}}"
    return f"{{name}}{subject}: {{value}} {{operator}} {{threshold}}"


def words(message: Message) -> dict[str, str]:
    """What each placeholder of a template stands for."""
    return {
        "subject": message.subject or EVERYTHING,
        "value": worded(message.value, message.unit),
        "threshold": worded(message.threshold, message.unit),
        "operator": message.operator,
        "rule": message.rule,
        "name": message.name,
        "severity": message.severity.value,
        "state": message.state.value,
        "reason": reason_words(message),
        "scope": message.scope.value,
        "metric": message.metric,
        "window": message.window,
        "time": instant(message.at),
    }


def reason_words(message: Message) -> str:
    """Why the transition took place, for people."""
    text = _REASONS[message.reason]
    if message.covers and message.fired_at is not None:
        return f"fired at {instant(message.fired_at)}, and since {instant(message.at)} {text}"
    return text


def shown(subject: str) -> str:
    """A subject as it may be named outside of this machine: of a path the last folder, whatever the subject is said to be."""
    folders = [part for part in re.split(r"[/\\]", subject) if part]
    return folders[-1] if folders else subject


def _likely_scope(subject: str) -> Scope:
    if not subject:
        return Scope.GLOBAL
    if _PATH.match(subject):
        return Scope.PROJECT
    return Scope.SESSION if _SESSION.fullmatch(subject) else Scope.FEATURE


def _fits(subject: str, rule: Rule) -> bool:
    """Whether the rule can have meant this subject. A rule over everything has one where it asks for what a host tells of
    itself: the host's name."""
    if rule.scope is Scope.GLOBAL:
        return not subject or any(tells_of_ccagent(one.operand.metric) for one in rule.conditions)
    return bool(subject) and bool(_PATH.match(subject)) is (rule.scope is Scope.PROJECT)


def instant(ms: int) -> str:
    """A time as RFC 3339 in UTC, whole seconds."""
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=ms // 1_000)).strftime("%Y-%m-%dT%H:%M:%SZ")


def unit_of(condition: Condition) -> str:
    """The unit of a condition's reading and threshold."""
    operand = condition.operand
    unit = "" if operand.aggregation is Aggregation.COUNT else metric_unit(operand.metric)
    if condition.per is not None:
        return unit if unit in _AMOUNTS_OF_THEIR_OWN else RATIO
    return unit + AN_HOUR if operand.aggregation is Aggregation.RATE else unit


def _named(rule: Rule) -> tuple[str, ...]:
    """The projects that a rule names: its id, name and words may hold them, too."""
    projects = list(rule.only) if rule.scope is Scope.PROJECT else []
    for condition in rule.conditions:
        for operand in (condition.operand, condition.per):
            projects += [
                one for label, values in (operand.where if operand else ()) if label == PROJECT for one in values
            ]
    return tuple(dict.fromkeys(shown(one) for one in projects))


def _one_line(text: str) -> str:
    """Without line ends and other characters that command a terminal or end a field."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _worse(one: Severity, other: Severity) -> Severity:
    order = list(Severity)
    return max(one, other, key=order.index)
