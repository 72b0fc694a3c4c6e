"""Follows Claude Code transcripts and turns them into usage, cost, Prometheus metrics and OpenTelemetry traces."""

from __future__ import annotations

from typing import Final

# The one place of it; a literal: asking importlib.metadata costs more than the rest of `ccagent status`.
__version__: Final = "0.1.0"
