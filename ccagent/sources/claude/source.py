"""Claude Code's transcripts as a source."""

from __future__ import annotations

from typing import Final

from ccagent.facts.batch import Batch
from ccagent.sources import base
from ccagent.sources.claude.carry import load
from ccagent.sources.claude.derive import Deriver
from ccagent.sources.claude.files import agent_of


class ClaudeSource:
    """Projects trees of Claude Code: every `*.jsonl`, those of sub-agents among them."""

    name: Final = base.CLAUDE

    def feeder(self, batch: Batch, carried: bytes | None, *, file: int, path: bytes) -> Deriver:
        """See `base.Source`."""
        feeder = Deriver(batch, load(base.unmarked(base.CLAUDE, carried)), file=file, agent=agent_of(path))
        feeder.path = path
        return feeder
