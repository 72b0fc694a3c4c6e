"""What a person types while the agent works: the queue's operations, and prompts that are handed over from it."""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from ccagent.facts.keys import content_native, digest
from ccagent.facts.model import EventType
from ccagent.facts.partial import NO_TIME, Partial, most
from ccagent.facts.prompts import PromptKind
from ccagent.sources.claude.background import notified
from ccagent.sources.claude.lines import text_of
from ccagent.sources.claude.records import Record
from ccagent.sources.claude.standing import Standing

QUEUED: Final = 64
"""Entries of the queue that a file remembers; the oldest go first."""

TEXT: Final = 1_000_000
"""Characters of an entry that are looked at; its length is counted up to there."""

_OPERATION: Final = 32


def derive_operation(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """One row a happening: enqueue, dequeue, remove or popAll."""
    operation = record.operation
    if operation is None:
        return None
    native = content_native("queue-operation", deriver.carry.session, deriver.raw)
    fact, made = deriver.written(EventType.QUEUE, native, record, operation[:_OPERATION])
    text = text_of(record.content, TEXT) if record.content else None
    if text is not None:
        fact.size = most(fact.size, len(text))
    waited = _follow(deriver, operation, text)
    if waited is not None:
        fact.reported_ms = most(fact.reported_ms, waited)
    return (fact,) if made else ()


def _follow(deriver: Standing, operation: str, text: str | None) -> int | None:
    """Keep the queue; how long the entry that is taken out of it had waited, in ms."""
    queue = deriver.carry.queue
    at = -1 if deriver.at == NO_TIME else deriver.at
    if operation == "enqueue":
        queue.append((at, digest(text or "")))
        del queue[:-QUEUED]
    elif operation == "popAll":
        queue.clear()
    elif operation in ("dequeue", "remove") and queue:
        entry = queue.pop(_place(queue, text))
        if operation == "dequeue" and 0 <= entry[0] <= at:
            return at - entry[0]
    return None


def _place(queue: list[tuple[int, str]], text: str | None) -> int:
    """Where in the queue an entry is taken out: the one of that text, else the oldest."""
    if text is not None:
        wanted = digest(text)
        for number, (_, known) in enumerate(queue):
            if known == wanted:
                return number
    return 0


def arrived(deriver: Standing, text: str) -> None:
    """A prompt stands in the transcript: it waits no longer, if it had been typed ahead and no row says so."""
    queue = deriver.carry.queue
    if queue:
        wanted = digest(text)
        deriver.carry.queue = [entry for entry in queue if entry[1] != wanted]


def handed_over(deriver: Standing, text: str) -> bool:
    """Whether that prompt had already been handed to the agent in the middle of a turn, as an attachment."""
    carry, own = deriver.carry, digest(text)
    known, carry.handed, carry.prompted = carry.handed, None, own
    return known == own


def derive_queued(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """An attachment `queued_command`: a prompt that the agent got in the middle of a turn, without a line of its own.

    It is a prompt of the turn that is going on. If its user line stands above it with no reply between, that one was
    counted; a reply between tells that somebody said the same again.
    """
    said = record.attachment
    text = _text(said.prompt) if said is not None and said.prompt else ""
    if said is None or not text:
        return None
    if said.commandMode == "task-notification" or text.lstrip().startswith("<task-notification>"):
        notified(deriver, text)
        return None
    arrived(deriver, text)
    carry, own = deriver.carry, digest(text)
    native = said.source_uuid or record.uuid
    if native is None or deriver.rank != 0 or carry.prompted == own:
        return None
    carry.handed = own
    prompt, made = deriver.written(EventType.PROMPT, native, record, None)
    if prompt.label is None or PromptKind.HUMAN.value > prompt.label:
        prompt.label = PromptKind.HUMAN.value
    prompt.size = most(prompt.size, len(text))
    return (prompt,) if made else ()


def _text(raw: Raw) -> str:
    return text_of(raw, TEXT)
