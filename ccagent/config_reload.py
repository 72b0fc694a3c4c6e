"""Reading the configuration again while the daemon runs."""

from __future__ import annotations

from collections.abc import Mapping

from ccagent.config import Config, OriginKind, load

FIXED = ("sources", "database", "listen", "ingest", "rollups", "backup", "git", "prices", "compat")
"""What is only read at the start."""


def again(config: Config, env: Mapping[str, str]) -> Config:
    """The configuration as its file says now, under the same command-line values. ConfigError as at the start."""
    flags = {
        name: _given(config.value(name)) for name, origin in config.origins.items() if origin.kind is OriginKind.FLAG
    }  # fmt: skip
    return load(flags, env, config.file)


def _given(value: object) -> object:
    """A value of the configuration as an option would give it: paths are texts there."""
    return tuple(str(one) for one in value) if isinstance(value, tuple) else value


def needs_restart(old: Config, new: Config) -> list[str]:
    """Parts that changed and hold only from the next start on."""
    parts = [name for name in FIXED if getattr(old, name) != getattr(new, name)]
    if old.metrics.label_budgets != new.metrics.label_budgets:
        parts.append("metrics.label_budgets")
    return parts
