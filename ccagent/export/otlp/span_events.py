"""Moments of a span: failed attempts, compactions, and answers of people to calls that asked them.

Names and attributes are few and fixed. What a transcript does not know has no event: a permission that was granted
without a trace, attempts between the first and the last of a run.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.closed import ClosedFact, Mark
from ccagent.facts.model import EventType, Flag, Status

RETRY: Final = "ccagent.request.retry"
"""A failed attempt of a request that the client repeated: on the request that came of it, else on the turn or run."""

FAILURE: Final = "ccagent.request.failure"
"""The client gave a request up; on the turn or run, for no request came of it."""

COMPACTION: Final = "ccagent.compaction"
"""The conversation was replaced by a summary of it; on the turn or run in which that happened."""

PERMISSION: Final = "ccagent.permission"
"""The answer to a call: of a person who was asked, or of a rule or hook that refused it."""


class Moment(NamedTuple):
    """One event: when (ms UTC), its name, its attributes."""

    at: int
    name: str
    attributes: dict[str, AttributeValue]


def moments(fact: ClosedFact) -> list[Moment]:
    """The span's events by time; the same for the same fact."""
    if fact.event_type is EventType.TOOL_CALL:
        return _permission(fact)
    return [_moment(mark) for mark in fact.marks]


def decision(fact: ClosedFact) -> str | None:
    """What was decided about a call: accept or reject; None where the transcript does not tell."""
    if fact.status == Status.REJECTED:
        return "reject"
    return "accept" if fact.flags & Flag.HUMAN and fact.status != Status.OPEN else None


def _moment(mark: Mark) -> Moment:
    if mark.kind == "compaction":
        # The tokens afterwards are known only with the next request, when the turn may have left already.
        return _known(mark.at, COMPACTION, {
            "ccagent.compaction.trigger": mark.name, "ccagent.compaction.tokens_before": mark.before,
        })  # fmt: skip
    return _known(mark.at, FAILURE if mark.kind == "failure" else RETRY, {
        "error.type": mark.name, "ccagent.retry.attempt": mark.attempt, "ccagent.retry.attempts": mark.attempts,
    })  # fmt: skip


def _permission(fact: ClosedFact) -> list[Moment]:
    decided = decision(fact)
    # When somebody was asked is not in a transcript; the answer is there with the result at the latest.
    at = fact.result_at if fact.result_at is not None else fact.occurred_at
    if decided is None or at is None:
        return []
    asked = bool(fact.flags & Flag.HUMAN) or fact.failure == "rejected"
    return [Moment(at, PERMISSION, {"ccagent.permission.decision": decided, "ccagent.permission.asked_person": asked})]


def _known(at: int, name: str, attributes: dict[str, AttributeValue | None]) -> Moment:
    return Moment(at, name, {key: value for key, value in attributes.items() if value is not None})
