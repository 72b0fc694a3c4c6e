"""Rows that hold a session's title. They are written again and again: a state of the session, no happenings."""

from __future__ import annotations

from typing import Final

from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial, most
from ccagent.facts.titles import TitleKind
from ccagent.sources.claude.records import Record
from ccagent.sources.claude.standing import Standing

_KINDS: Final = {"ai-title": TitleKind.MODEL, "custom-title": TitleKind.PERSON}


def derive_title(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """Note whose title the session named by the row has. A `summary` names no session, so it is passed over."""
    kind = _KINDS.get(record.type or "")
    if kind is None or record.sessionId is None or record.sessionId != deriver.carry.session:
        return None
    session, _ = deriver.batch.get(EventType.SESSION, record.sessionId, deriver.file, deriver.offset, deriver.length)
    session.attempts = most(session.attempts, int(kind))
    return None
