"""The sources there are, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ccagent.sources.base import Source
from ccagent.sources.claude.source import ClaudeSource
from ccagent.sources.codex.source import CodexSource

_ALL: Final[tuple[Source, ...]] = (ClaudeSource(), CodexSource())

SOURCES: Final[Mapping[str, Source]] = MappingProxyType({source.name: source for source in _ALL})
"""Name → source. Which files are a source's follows from its root (ccagent/follow/roots.py)."""
