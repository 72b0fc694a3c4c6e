"""Attachments: a line each, of an open set of types; a few of them tell of happenings, most repeat what is known.

Types that nobody knows are told to drift.py before a line comes here.
"""

from __future__ import annotations

from ccagent.facts.cache_miss import Mark
from ccagent.facts.hooks import HOOK_ENDS
from ccagent.facts.partial import Partial
from ccagent.sources.claude.caching import TOOL_LISTS, mark
from ccagent.sources.claude.hooks import derive_ended
from ccagent.sources.claude.queues import derive_queued
from ccagent.sources.claude.records import Record
from ccagent.sources.claude.standing import Standing


def derive_attachment(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """Facts of one attachment line; None where its type tells nothing new.

    Lists, files and reminders repeat to the model what stands elsewhere. `hook_additional_context` and
    `hook_system_message` hold what a hook put out: they name no command, and the run stands beside them.
    """
    kind = record.attachment.type if record.attachment is not None else None
    if kind in HOOK_ENDS:
        return derive_ended(deriver, record, kind or "")
    if kind == "queued_command":
        return derive_queued(deriver, record)
    if kind in TOOL_LISTS:
        mark(deriver, Mark.TOOLS)
    return None
