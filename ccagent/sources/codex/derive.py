"""From the lines of one rollout to partial facts: the rules of docs/codex.md, one line at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ccagent.facts.keys import content_native
from ccagent.facts.model import EventType, Flag
from ccagent.facts.outcomes import api_failure
from ccagent.facts.partial import NO_TIME, Partial, most
from ccagent.facts.prompts import PromptKind
from ccagent.facts.rework import pause_of
from ccagent.facts.times import whole_ms
from ccagent.sources import base
from ccagent.sources.codex.calls import derive_call, derive_end, derive_output, derive_patch
from ccagent.sources.codex.carry import dump
from ccagent.sources.codex.identity import digest, is_uuid
from ccagent.sources.codex.records import Line, Payload
from ccagent.sources.codex.standing import Standing
from ccagent.sources.codex.tokens import derive_tokens
from ccagent.sources.feeding import Feeding
from ccagent.sources.lines import reader, text_of

Born = tuple[Partial, ...] | None
"""Facts that a record made; () for more of known ones; None: known, and of no consequence."""

IGNORED: Final = frozenset(
    ("world_state", "inter_agent_communication_metadata", "inter_agent_communication", "ghost_snapshot")
)
"""Known records that yield no fact."""

IGNORED_EVENTS: Final = frozenset(
    """
    agent_reasoning agent_reasoning_raw_content agent_reasoning_section_break agent_message_delta item_started
    item_completed thread_settings_applied thread_name_updated thread_rolled_back sub_agent_activity session_configured
    web_search_begin mcp_tool_call_begin exec_command_begin exec_command_output_delta patch_apply_begin turn_diff
    plan_update background_event entered_review_mode exited_review_mode undo_started undo_completed get_history_entry
    warning deprecation_notice shutdown_complete image_generation_end view_image_tool_call model_reroute
    """.split()
)

IGNORED_ITEMS: Final = frozenset(
    """
    message reasoning tool_search_output ghost_snapshot compaction compaction_summary context_compaction
    image_generation_call other
    """.split()
)
"""Items of the conversation that make no fact: user_message events stand for the messages of a person."""

CALLS: Final = frozenset(
    ("function_call", "custom_tool_call", "web_search_call", "local_shell_call", "tool_search_call", "mcp_tool_call")
)
OUTPUTS: Final = frozenset(("function_call_output", "custom_tool_call_output", "mcp_tool_call_output"))
ENDS: Final = frozenset(("mcp_tool_call_end", "web_search_end", "exec_command_end"))

NO_PROMPTS: Final = ("<environment_context>", "<user_instructions>", "<turn_aborted>", "<subagent_notification>")
"""Beginnings of what the client writes in the user's name."""

CLIENT_KINDS: Final = frozenset(("environment_context", "user_instructions"))

MESSAGE_TEXT: Final = 1_000_000
"""Characters of a prompt that are looked at; its length is counted up to there."""

_ERRORS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"usage_limit", "usage_limit"),
    (b"server_overloaded", "overloaded"),
    (b"unauthorized", "auth"),
    (b"context_window", "invalid_request"),
    (b"bad_request", "invalid_request"),
    (b"internal_server_error", "server_error"),
    (b"connection_failed", "server_error"),
    (b"stream_", "server_error"),
    (b"too_many_failed_attempts", "server_error"),
    (b"cyber_policy", "refusal"),
)
"""Words of codex_error_info → class of the failure."""


class Deriver(Standing, Feeding[Line]):
    """Feeds one file's lines into a batch. One instance a chunk."""

    source = base.CODEX
    parse = staticmethod(reader(Line))

    def beside(self) -> bytes | None:
        """Nothing stands beside a rollout."""
        return None

    def companion(self, data: bytes) -> None:
        """Nothing stands beside a rollout."""

    def carried(self) -> bytes:
        """What later chunks of the file need, as the store keeps it."""
        return base.marked(base.CODEX, dump(self.carry))

    def _label(self, record: Line) -> str:
        return record.type or "untyped"

    def _record(self, record: Line) -> None:
        self.stand(record.timestamp)
        kind, said = record.type, record.payload
        if said is None:
            born = self._bare(record)
        elif kind == "session_meta":
            born = self.meta(said)
        else:
            if kind == "turn_context":
                self.turn_named(said.turn_id)
                self.settings(said)
            elif said.type == "task_started":
                self.turn_named(said.turn_id)
            if not self.carry.replaying:
                self.touch()
            rule = _RECORDS.get(kind or "")
            born = rule(self, said) if rule is not None else self._unknown(kind or "untyped", known=kind in IGNORED)
        label = kind or "untyped"
        if born is None:
            self.batch.count(label, "ignored")
        elif born and born[0].type == EventType.UNKNOWN:
            self.batch.count(label, "unknown")
        elif born:
            self.batch.births.append((label, born))
        else:
            self.batch.count(label, "merged")

    def _bare(self, record: Line) -> Born:
        """A line without a payload: clients before 0.30 began with {id, timestamp, git} and wrote bare items."""
        if record.type is None and record.id is not None:
            return self.meta(Payload(id=record.id, timestamp=record.timestamp, git=record.git))
        self.touch()
        return self._unknown(f"bare/{record.type or 'untyped'}")

    def _unknown(self, name: str, *, known: bool = False) -> Born:
        """A record that this version does not know: kept by type, counted, never a failure; none if it is a copy."""
        if known or self.carry.replaying:
            return None
        fact, _ = self.written(EventType.UNKNOWN, content_native(name, self.carry.session, self.raw), name[:128])
        return (fact,)


# ---- records ---------------------------------------------------------------------------------------------------------


def _item(deriver: Deriver, said: Payload) -> Born:
    """response_item: a piece of the conversation."""
    kind = said.type or "untyped"
    if deriver.carry.replaying:
        return None
    if kind in CALLS or kind == "reasoning" or (kind == "message" and said.role == "assistant"):
        deriver.carry.replied = True
    if kind in IGNORED_ITEMS:
        return None
    if kind in CALLS:
        return derive_call(deriver, said)
    if kind in OUTPUTS:
        return derive_output(deriver, said)
    return deriver._unknown(f"response_item/{kind}")


def _event(deriver: Deriver, said: Payload) -> Born:
    """event_msg: what the client told its user."""
    kind = said.type or "untyped"
    if kind == "token_count":
        return derive_tokens(deriver, said.info)
    if kind in IGNORED_EVENTS or deriver.carry.replaying:
        return None
    rule = _EVENTS.get(kind)
    if rule is not None:
        return rule(deriver, said)
    return deriver._unknown(f"event_msg/{kind}")


def _context(deriver: Deriver, said: Payload) -> Born:
    """turn_context: was heeded where the line stands."""
    return None


def _compacted(deriver: Deriver, said: Payload) -> Born:
    """A compaction is told twice, by a record and by an event: the first of them makes the fact."""
    carry = deriver.carry
    if carry.replaying:
        return None
    kind = said.type if said.type == "context_compacted" else "compacted"
    if carry.compacted is not None and carry.compacted != kind:
        carry.compacted = None
        return ()
    carry.compacted = kind
    native = content_native("compacted", carry.session, deriver.raw)
    fact, made = deriver.written(EventType.COMPACTION, native, "unknown")
    fact.size = most(fact.size, carry.context_tokens)
    return (fact,) if made else ()


# ---- events ----------------------------------------------------------------------------------------------------------


def _started(deriver: Deriver, said: Payload) -> Born:
    deriver.carry.compacted = None
    if said.turn_id is None and deriver.carry.turn is not None:
        deriver.end_turn(None, None, aborted=False)
    return ()


def _prompted(deriver: Deriver, said: Payload) -> Born:
    """A prompt. It opens a turn where none is open; what a person adds to an open one belongs to that."""
    carry = deriver.carry
    text = text_of(said.message, MESSAGE_TEXT)
    if said.kind in CLIENT_KINDS or text.lstrip()[:64].startswith(NO_PROMPTS):
        return None
    if deriver.at != NO_TIME:
        carry.asked = deriver.at
    if carry.turn_id is not None and is_uuid(carry.turn_id):
        native = f"{carry.turn_id}/{digest(text)[:16]}"
    else:
        native = content_native("user_message", carry.session, deriver.raw)
    if carry.turn is None or carry.turn_id is None:
        deriver.begin_turn(native)
    if carry.subagent is not None:
        return ()  # the one who asks is another agent
    fact, made = deriver.written(EventType.PROMPT, native, None)
    fact.label = PromptKind.HUMAN
    fact.size = most(fact.size, len(text))
    fact.pause_ms = max(fact.pause_ms, pause_of(deriver.gap_ms))
    return (fact,) if made else ()


def _answered(deriver: Deriver, said: Payload) -> Born:
    deriver.carry.replied = True
    deriver.heard()
    return ()


def _completed(deriver: Deriver, said: Payload) -> Born:
    deriver.heard()
    deriver.end_turn(said.turn_id, whole_ms(said.duration_ms), aborted=False)
    return ()


def _aborted(deriver: Deriver, said: Payload) -> Born:
    deriver.end_turn(said.turn_id, whole_ms(said.duration_ms), aborted=True)
    return ()


def _failed(deriver: Deriver, said: Payload) -> Born:
    """`stream_error` is a retry, `error` gives up; the retries up to a reply are one incident, named by the first."""
    carry = deriver.carry
    over = said.type == "error"
    native = carry.incident or content_native("error", carry.session, deriver.raw)
    carry.incident = None if over else native
    known = deriver.batch.facts[EventType.API_ERROR].get(native)
    closing = over or (known is not None and known.closing)
    fact, made = deriver.written(EventType.API_ERROR, native, None)
    fact.closing = closing
    if over:
        fact.flags |= Flag.FINAL_FAILURE
        turn = deriver.turn()
        if turn is not None and deriver.at != NO_TIME:
            turn.error_at = most(turn.error_at, deriver.at)
    fact.result_at = most(fact.result_at, None if deriver.at == NO_TIME else deriver.at)
    failure = _failure(said)
    fact.failure = failure if fact.failure is None else max(fact.failure, failure)
    return (fact,) if made else ()


def _failure(said: Payload) -> str:
    info = bytes(said.codex_error_info)[:256]
    for word, failure in _ERRORS:
        if word in info:
            return failure
    return api_failure(status=None, kind=None, text=text_of(said.message))


_RECORDS: Final[Mapping[str, Callable[[Deriver, Payload], Born]]] = {
    "response_item": _item,
    "event_msg": _event,
    "turn_context": _context,
    "compacted": _compacted,
}

_EVENTS: Final[Mapping[str, Callable[[Deriver, Payload], Born]]] = {
    "task_started": _started,
    "turn_started": _started,
    "user_message": _prompted,
    "agent_message": _answered,
    "task_complete": _completed,
    "turn_complete": _completed,
    "turn_aborted": _aborted,
    "patch_apply_end": derive_patch,
    "context_compacted": _compacted,
    "error": _failed,
    "stream_error": _failed,
    **dict.fromkeys(ENDS, derive_end),
}
