"""SQL that several queries share, over `fact f`."""

from __future__ import annotations

from typing import Final

from ccagent.facts.model import EventType

DURATION: Final = (
    f"(CASE f.type WHEN {int(EventType.TOOL_CALL)} THEN f.result_at - f.occurred_at"
    f" WHEN {int(EventType.LLM_REQUEST)} THEN f.ended_at"
    " - CASE WHEN f.result_at < f.occurred_at THEN f.result_at ELSE f.occurred_at END"
    " ELSE COALESCE(f.reported_ms, f.ended_at - f.occurred_at) END)"
)
"""Milliseconds: of a tool call to its result, of a request from what it answers (where known) to its last line, of a
turn or sub-agent as the client reported it, else from the first record to the last."""
