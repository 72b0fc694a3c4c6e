"""Where a session comes from: what its own lines say of resuming or copying another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from ccagent.facts.lineage import FORKED, RESUMED
from ccagent.facts.model import EventType
from ccagent.sources.claude.lines import decode
from ccagent.sources.claude.records import ForkedFrom, Record

if TYPE_CHECKING:
    from ccagent.sources.claude.standing import Standing

RESUME_HOOK: Final = "SessionStart:resume"
"""Name of the hooks that run when a session is taken up again."""

ID_LENGTH: Final = 128


def trace(standing: Standing, record: Record) -> None:
    """What a line of the main chain says of another session.

    Rule: forked, if the record was copied from there (`forkedFrom`); resumed, if it was written by another one's process
    (`session_id`), or goes on where another one's line in the same file ended (old `--resume`). Reason: only a record's own
    word is taken; a session without one is fresh, which may be wrong where clients write none.
    """
    carry = standing.carry
    session = carry.session
    if session is None:
        return
    if record.forkedFrom:
        forked = decode(ForkedFrom, record.forkedFrom)
        if forked is not None and forked.sessionId and forked.sessionId != session:
            _related(standing, forked.sessionId, "forked_from", FORKED)
    if record.session_id is not None and record.session_id != session:
        _related(standing, record.session_id, "process", RESUMED)
    before = carry.line_session
    follows = record.parentUuid is not None and record.parentUuid == carry.line_uuid
    if before is not None and before != session and follows:
        _related(standing, before, "same_file", RESUMED)
    carry.line_session = session


def resumed(standing: Standing) -> None:
    """A hook ran since the session was taken up again."""
    if standing.carry.session is not None:
        standing.mark_session(RESUMED)


def _related(standing: Standing, other: str, strategy: str, kind: str) -> None:
    session = standing.carry.session
    assert session is not None
    other = other[:ID_LENGTH]
    standing.mark_session(kind)
    fact, _ = standing.batch.get(
        EventType.ARTIFACT, f"{session}/session/{other}/{strategy}", standing.file, standing.offset, standing.length
    )
    extra = orjson.dumps({"target": other}).decode()
    fact.claim(standing.rank, standing.at, standing.context(standing.rank, None), None, "session", None, extra)
    standing.date(fact)
    fact.label = strategy
    fact.closing = True
