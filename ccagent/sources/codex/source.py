"""Codex's rollouts as a source."""

from __future__ import annotations

from typing import Final

from ccagent.facts.batch import Batch
from ccagent.sources import base
from ccagent.sources.codex.carry import load
from ccagent.sources.codex.derive import Deriver
from ccagent.sources.codex.identity import session_of


class CodexSource:
    """Session trees of Codex: every `rollout-*.jsonl`, archived ones among them."""

    name: Final = base.CODEX

    def feeder(self, batch: Batch, carried: bytes | None, *, file: int, path: bytes) -> Deriver:
        """See `base.Source`."""
        return Deriver(batch, load(base.unmarked(base.CODEX, carried)), file=file, named=session_of(path))
