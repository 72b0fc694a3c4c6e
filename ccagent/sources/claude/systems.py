"""System lines: the end of a turn, compactions and microcompactions, and retries of failed requests."""

from __future__ import annotations

from typing import Final

from ccagent.facts.cache_miss import Mark
from ccagent.facts.drift import Drift
from ccagent.facts.keys import content_native
from ccagent.facts.model import EventType, Flag
from ccagent.facts.outcomes import api_failure
from ccagent.facts.partial import NO_TIME, Partial, most
from ccagent.facts.times import whole_ms
from ccagent.sources.claude import drift
from ccagent.sources.claude.caching import compacted, mark
from ccagent.sources.claude.lines import decode
from ccagent.sources.claude.records import ErrorDetail, Record
from ccagent.sources.claude.signals import SYSTEM
from ccagent.sources.claude.standing import Standing

IGNORED_SUBTYPES: Final = frozenset(
    (
        "stop_hook_summary",
        "local_command",
        "away_summary",
        "scheduled_task_fire",
        "informational",
        "bridge_status",
    )
)


def derive_system(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """Facts of one system line."""
    agent = deriver.chain_agent
    deriver.advance(agent, None, False, reply=False)
    subtype = record.subtype
    if subtype == "turn_duration":
        return _turn_ended(deriver, record)
    if subtype == "compact_boundary":
        return _compaction(deriver, record)
    if subtype == "microcompact_boundary":
        return _microcompaction(deriver, record)
    if subtype == "api_error":
        return _retry(deriver, record)
    if subtype is None:
        return None
    rule = SYSTEM.get(subtype)
    if rule is not None:
        return rule(deriver, record)
    if subtype in IGNORED_SUBTYPES:
        return None
    drift.record_type(deriver, Drift.SYSTEM, subtype)
    return deriver.unknown(f"system/{subtype}", record)


def _turn_ended(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    turn = deriver.turn or deriver.open_turn()
    if turn is None:
        return None
    turn.reported_ms = most(turn.reported_ms, whole_ms(record.durationMs))
    if not record.pendingBackgroundAgentCount:
        deriver.close_turn(turn.native)
    return ()


def _compaction(deriver: Standing, record: Record) -> tuple[Partial, ...]:
    native = record.uuid or content_native("compact_boundary", deriver.carry.session, deriver.raw)
    meta = record.compactMetadata
    trigger = (meta.trigger if meta is not None else None) or "unknown"
    partial, made = deriver.written(EventType.COMPACTION, native, record, trigger[:64])
    if trigger == "auto":
        partial.flags |= Flag.AUTO
    if meta is not None:
        partial.size = most(partial.size, meta.preTokens)
        partial.reported_ms = most(partial.reported_ms, whole_ms(meta.durationMs))
    compacted(deriver, native)
    return (partial,) if made else ()


def _microcompaction(deriver: Standing, record: Record) -> tuple[Partial, ...]:
    """Old tool results were cleared. Not a compaction: the conversation stays."""
    native = record.uuid or content_native("microcompact_boundary", deriver.carry.session, deriver.raw)
    meta = record.microcompactMetadata
    trigger = (meta.trigger if meta is not None else None) or "unknown"
    partial, made = deriver.written(EventType.MICROCOMPACTION, native, record, trigger[:64])
    if trigger == "auto":
        partial.flags |= Flag.AUTO
    if meta is not None:
        partial.size = most(partial.size, meta.preTokens)
        partial.attempts = most(partial.attempts, meta.tokensSaved)
        partial.reported_ms = most(partial.reported_ms, whole_ms(meta.durationMs))
    mark(deriver, Mark.MICROCOMPACTED)
    return (partial,) if made else ()


def _retry(deriver: Standing, record: Record) -> tuple[Partial, ...]:
    """One line a retry; a run of them up to the next assistant line is one incident, named by its first line."""
    carry = deriver.carry
    mark(deriver, Mark.RETRIED)
    native = carry.incident or record.uuid or content_native("api_error", carry.session, deriver.raw)
    carry.incident = native
    detail = decode(ErrorDetail, record.error) if record.error else None
    inner = detail.error if detail is not None else None
    kind = None
    if isinstance(inner, dict):
        nested = inner.get("error")
        kind = nested.get("type") if isinstance(nested, dict) else inner.get("type")
    failure = api_failure(
        status=detail.status if detail is not None else None, kind=kind if isinstance(kind, str) else None, text=""
    )
    known = deriver.batch.facts[EventType.API_ERROR].get(native)
    over = known is not None and known.closing
    partial, made = deriver.written(EventType.API_ERROR, native, record, None)
    partial.closing = over
    partial.attempts = most(partial.attempts, record.retryAttempt)
    partial.result_at = most(partial.result_at, None if deriver.at == NO_TIME else deriver.at)
    if partial.failure is None or failure > partial.failure:
        partial.failure = failure
    return (partial,) if made else ()
