"""Calls of MCP servers: how long the server says that it took."""

from __future__ import annotations

from ccagent.facts.partial import Partial, most
from ccagent.facts.times import whole_ms
from ccagent.sources.claude.records import Record
from ccagent.sources.claude.standing import Standing


def derive_progress(deriver: Standing, record: Record) -> tuple[Partial, ...]:
    """A progress line of an MCP call: kept with the open call, so that its result says it whole."""
    data = record.data
    call = deriver.carry.calls.get(record.parentToolUseID or record.toolUseID or "")
    if call is not None and data is not None:
        call.elapsed_ms = most(call.elapsed_ms, whole_ms(data.elapsedTimeMs))
    return ()
