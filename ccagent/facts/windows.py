"""How many tokens a model's context holds, and how full a request made it.

Transcripts of Codex say which window a session had. Those of Claude Code do not: there the id of a model is looked up
in a dated table (windows.json, made by scripts/generate_windows.py), and a window that a longer prompt disproves is
learned from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

SOURCES: Final = ("transcript", "table", "suffix", "learned", "assumed")
"""Where a window comes from: the transcript itself; the table; the suffix of the model's id; a prompt that was longer;
nothing."""

LONG_SUFFIX: Final = "[1m]"


class WindowTable(NamedTuple):
    """`models`: id in small letters → (ms UTC from which it holds, or None; tokens), oldest first. `ladder`: the windows
    that are tried, ascending, where a longer prompt disproves one."""

    version: str
    assumed: int
    long: int
    ladder: tuple[int, ...]
    models: Mapping[str, tuple[tuple[int | None, int], ...]]


@lru_cache(maxsize=1)
def bundled() -> WindowTable:
    """The table that comes with the program; read once."""
    data = json.loads(files("ccagent.facts").joinpath("windows.json").read_bytes())
    models = {
        name: tuple((_day_ms(day), tokens) for day, tokens in periods) for name, periods in data["models"].items()
    }
    return WindowTable(data["version"], data["assumed"], data["long"], tuple(data["ladder"]), models)


def _day_ms(day: str | None) -> int | None:
    if day is None:
        return None
    return int(datetime.combine(date.fromisoformat(day), time(), UTC).timestamp()) * 1_000


def window(model: str | None, used: int, at_ms: int | None = None, stated: int | None = None) -> tuple[int, str]:
    """Tokens that the context of `model` holds, and which of SOURCES says so.

    Rule: what the transcript says of the request (`stated`) holds whatever the prompt's length. Else the suffix [1m]
    asks for a million; else the table, by the time of the request (None: the newest window); else 200,000 are assumed.
    Where the prompt (`used` tokens: input, cache reads and writes) is longer than that, the window is disproved: the
    next larger one that Claude models have is learned, or the prompt itself where there is none. Why: a wrong window is
    worse than a marked one. Not seen: a window that the user's plan or a gateway makes smaller, and a larger one before
    a prompt makes use of it.
    """
    if stated is not None:
        return stated, "transcript"
    table = bundled()
    name = (model or "").lower()
    source = "assumed"
    tokens = table.assumed
    periods = table.models.get(name)
    if name.endswith(LONG_SUFFIX):
        tokens, source = table.long, "suffix"
    elif periods is not None:
        source = "table"
        tokens = periods[-1][1]
        if at_ms is not None:
            tokens = next(
                (tokens for start, tokens in reversed(periods) if start is None or at_ms >= start), periods[0][1]
            )
    if used <= tokens:
        return tokens, source
    return next((each for each in table.ladder if each >= used), used), "learned"


def utilization(model: str | None, used: int, at_ms: int | None = None, stated: int | None = None) -> float:
    """The part of the window that a prompt of `used` tokens fills, 0 to 1; beyond that only where the transcript states
    less than it used."""
    return used / window(model, used, at_ms, stated)[0]
