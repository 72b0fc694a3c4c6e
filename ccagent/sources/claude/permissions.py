"""Changes of the permission mode. A mode is stated again and again; only a statement that differs is a change."""

from __future__ import annotations

from typing import Final

import orjson

from ccagent.facts.model import EventType, Status
from ccagent.facts.partial import NO_TIME, Partial
from ccagent.sources.claude.occasions import Answer
from ccagent.sources.claude.records import Record
from ccagent.sources.claude.standing import Standing

PLAN: Final = "plan"
_MODE: Final = 64
"""Characters of a mode's name that are kept."""


def stated(deriver: Standing, mode: str | None) -> str | None:
    """Take over the mode that a line states; the mode before, where this one is a change.

    The first statement of a file changes nothing. Lines of a sub-agent that stand between those of the main chain state
    a mode of their own and are passed over.
    """
    if not mode or (deriver.rank != 0 and deriver.agent is None):
        return None
    before = deriver.carry.permission_mode
    deriver.permission(mode)
    return before if before is not None and before != mode and deriver.rank == 0 else None


def changed(deriver: Standing, record: Record, before: str) -> tuple[Partial, ...]:
    """The fact of a change from the mode `before` to the one that is carried now.

    A row without a uuid is named by the last user line above it and the two modes, so that a copy of it is the same
    fact; where there is none, by session and time.
    """
    carry = deriver.carry
    mode = carry.permission_mode or ""
    anchor = carry.anchor or f"{carry.session or ''}@{'' if deriver.at == NO_TIME else deriver.at}"
    native = record.uuid or f"{anchor}/{before[:_MODE]}/{mode[:_MODE]}"
    change, made = deriver.written(EventType.PERMISSION, native, record, mode[:_MODE])
    if before == PLAN and carry.plan_approved:
        agent = deriver.chain_agent
        turn = carry.turn if agent is None else None
        by = orjson.dumps({"by": "ExitPlanMode"}).decode()
        change.claim(deriver.rank, deriver.at, deriver.context(deriver.rank, agent), turn, mode[:_MODE], None, by)
    carry.plan_approved = False
    if change.label is None or before > change.label:
        change.label = before[:_MODE]
    return (change,) if made else ()


def derive_row(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """A permission-mode row, which clients repeat all through the file."""
    before = stated(deriver, record.permissionMode)
    return changed(deriver, record, before) if before is not None else None


def plan_approved(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """A person approved a plan: the mode that the next line states followed from that."""
    if answer.outcome.status == Status.OK and answer.rank == 0:
        deriver.carry.plan_approved = True
    return ()
