"""Follows the transcripts of Claude Code and Codex: usage, cost, Prometheus metrics, OpenTelemetry."""

from __future__ import annotations

from typing import Final

# The one place of it; a literal: asking importlib.metadata costs more than the rest of `ccagent status`.
__version__: Final = "0.1.0"
